/* params.c - see params.h. */
#include "procs/gateway/calls/params.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define PARAMS_MS_PER_S 1000.0
#define PARAMS_MS_MAX 1e15     /* far beyond any limit, and exact as a double */
#define PARAMS_MS_ROUNDED 1e-6 /* what 0.3 * 1000 may be beside 300 */

bool params_body(struct request *request, enum reply_error too_many, json_t **out)
{
    char reason[JSON_REASON_BYTES];
    h2o_iovec_t body = request->http->entity;
    switch (json_parse_object(slice_of(body.base, body.len), out, reason)) {
    case JSON_OK:
        return true;
    case JSON_TOO_MANY_VALUES:
        request_refuse(request, too_many, reason);
        return false;
    default:
        request_refuse(request, REPLY_BAD_REQUEST, reason);
        return false;
    }
}

bool params_check_key(struct request *request, const char *name, struct slice key)
{
    if (key.len == 0)
        request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                             "' must not be empty");
    else if (key.len > LIMIT_KEY_BYTES)
        request_refuse_about(request, REPLY_KEY_TOO_LONG, "'", slice_text(name),
                             "' is longer than 480 bytes");
    else if (memchr(key.data, '\0', key.len) != NULL)
        request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                             "' holds a NUL byte");
    else
        return true;
    return false;
}

static bool params_text(struct request *request, const json_t *object, const char *name,
                        struct slice *out)
{
    if (json_text(json_object_get(object, name), out))
        return true;
    request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name), "' must be a string");
    return false;
}

bool params_key(struct request *request, const json_t *object, const char *name, struct slice *out)
{
    return params_text(request, object, name, out) && params_check_key(request, name, *out);
}

bool params_query_key(struct request *request, const char *name, struct slice *out)
{
    if (query_find(&request->query, name, out))
        return params_check_key(request, name, *out);
    request_refuse_about(request, REPLY_BAD_REQUEST, "the query lacks '", slice_text(name), "'");
    return false;
}

static bool params_refuse_seconds(struct request *request, enum reply_error error,
                                  const struct params_seconds *wanted, const char *words)
{
    char text[160];
    snprintf(text, sizeof(text), "' %s: %s is %.15g seconds", words, wanted->limit,
             (double)wanted->max_ms / PARAMS_MS_PER_S);
    request_refuse_about(request, error, "'", slice_text(wanted->name), text);
    return false;
}

bool params_seconds(struct request *request, const json_t *object,
                    const struct params_seconds *wanted, uint64_t *out)
{
    const json_t *value = json_object_get(object, wanted->name);
    *out = wanted->otherwise_ms;
    if (value == NULL)
        return true;
    double ms = json_is_number(value) ? json_number_value(value) * PARAMS_MS_PER_S : -1;
    if (ms >= 0) {
        *out = (uint64_t)(ms < PARAMS_MS_MAX ? ms : PARAMS_MS_MAX);
        *out += ms - (double)*out > PARAMS_MS_ROUNDED; /* up: what is above 0 stays so */
        if (*out > wanted->max_ms)
            return params_refuse_seconds(request, wanted->too_long, wanted, "is too long");
        if (*out >= wanted->least_ms)
            return true;
    }
    return params_refuse_seconds(request, REPLY_BAD_REQUEST, wanted,
                                 wanted->least_ms > 0 ? "must be a number of seconds above 0"
                                                      : "must be a number of seconds from 0 on");
}

bool params_bool(struct request *request, const json_t *object, const char *name, bool otherwise,
                 bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = value != NULL ? json_is_true(value) : otherwise;
    if (value == NULL || json_is_boolean(value))
        return true;
    request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                         "' must be true or false");
    return false;
}

bool params_value(struct request *request, const json_t *object, const char *name,
                  struct slice *out)
{
    return params_text(request, object, name, out) && params_check_value(request, name, *out);
}

bool params_check_value(struct request *request, const char *name, struct slice value)
{
    char limit[64];
    uint64_t max = request->gateway->skel.config.limits.max_value_bytes;
    if (value.len <= max)
        return true;
    snprintf(limit, sizeof(limit), "' is larger than %llu bytes", (unsigned long long)max);
    request_refuse_about(request, REPLY_VALUE_TOO_LARGE, "'", slice_text(name), limit);
    return false;
}

bool params_parse_number(struct slice text, uint64_t *out)
{
    const char *at = text.data;
    uint64_t number = 0;
    if (text.len == 0 || text.len > 19)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(at[i] - '0');
    }
    *out = number;
    return true;
}

bool params_number(struct request *request, const char *name, uint64_t otherwise, uint64_t low,
                   uint64_t high, uint64_t *out)
{
    char range[96];
    struct slice text;
    *out = otherwise;
    if (!query_find(&request->query, name, &text))
        return true;
    if (params_parse_number(text, out) && *out >= low && *out <= high)
        return true;
    snprintf(range, sizeof(range), "' must be a number from %llu to %llu", (unsigned long long)low,
             (unsigned long long)high);
    request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name), range);
    return false;
}

bool params_flag(struct request *request, const char *name, bool *out)
{
    struct slice text;
    *out = false;
    if (!query_find(&request->query, name, &text))
        return true;
    *out = slice_equal(text, slice_text("true"));
    if (*out || slice_equal(text, slice_text("false")))
        return true;
    request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                         "' must be 'true' or 'false'");
    return false;
}
