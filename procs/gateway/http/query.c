/* query.c - see query.h. */
#include "procs/gateway/http/query.h"

#include <string.h>

#include "procs/gateway/http/json.h"

static int query_hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Decodes one name or value to *space and moves it on. */
static const char *query_decode(const char *at, const char *end, char **space, struct slice *out)
{
    char *start = *space, *to = start;
    while (at < end) {
        char byte = *at++;
        if (byte == '+') {
            byte = ' ';
        } else if (byte == '%') {
            int high = end - at >= 2 ? query_hex(at[0]) : -1;
            int low = end - at >= 2 ? query_hex(at[1]) : -1;
            if (high < 0 || low < 0)
                return "the query holds a '%' that is not followed by two hex digits";
            byte = (char)(high * 16 + low);
            at += 2;
        }
        if (byte == '\0')
            return "the query holds a NUL byte";
        *to++ = byte;
    }
    *out = slice_of(start, (size_t)(to - start));
    *space = to;
    return utf8_is_valid(*out) ? NULL : "the query is not valid UTF-8";
}

static bool query_has(const struct query *query, struct slice name)
{
    for (unsigned i = 0; i < query->count; i++) {
        if (slice_equal(query->parameters[i].name, name))
            return true;
    }
    return false;
}

static const char *query_add(struct query *query, const char *at, const char *end, char **space)
{
    if (query->count == QUERY_PARAMETERS_MAX)
        return "the query holds too many parameters";
    struct query_parameter *parameter = &query->parameters[query->count];
    const char *equals = memchr(at, '=', (size_t)(end - at));
    const char *wrong = query_decode(at, equals != NULL ? equals : end, space, &parameter->name);
    if (wrong == NULL)
        wrong = query_decode(equals != NULL ? equals + 1 : end, end, space, &parameter->value);
    if (wrong == NULL && query_has(query, parameter->name))
        wrong = "the query holds a parameter twice";
    query->count += wrong == NULL;
    return wrong;
}

const char *query_parse(struct query *query, struct slice text, char *space)
{
    const char *at = text.data, *end = at + text.len;
    const char *wrong = NULL;
    query->count = 0;
    while (at < end && wrong == NULL) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        next = next != NULL ? next : end;
        if (next > at)
            wrong = query_add(query, at, next, &space);
        at = next < end ? next + 1 : end;
    }
    return wrong;
}

bool query_find(const struct query *query, const char *name, struct slice *value)
{
    struct slice wanted = slice_text(name);
    for (unsigned i = 0; i < query->count; i++) {
        if (slice_equal(query->parameters[i].name, wanted)) {
            *value = query->parameters[i].value;
            return true;
        }
    }
    return false;
}
