/* params.h - taking what a request says, with the answer to everything it says wrongly.
 *
 * Each function returns false after it has built a refusal.
 */
#ifndef INSI_GATEWAY_PARAMS_H
#define INSI_GATEWAY_PARAMS_H

#include "procs/gateway/http/json.h"
#include "procs/gateway/request.h"

/* The body as a JSON object, to be ended with json_decref. too_many: the answer to a body of more
 * than JSON_VALUES_MAX values. Names that nobody asks for are ignored. */
bool params_body(struct request *request, enum reply_error too_many, json_t **out);

/* A key: a string of 1 to LIMIT_KEY_BYTES bytes without NUL. name is the field's. */
bool params_check_key(struct request *request, const char *name, struct slice key);
bool params_key(struct request *request, const json_t *object, const char *name, struct slice *out);

bool params_query_key(struct request *request, const char *name, struct slice *out);

/* A value: any string of at most limits.maxValue bytes. */
bool params_value(struct request *request, const json_t *object, const char *name,
                  struct slice *out);
bool params_check_value(struct request *request, const char *name, struct slice value);

/* A duration in a body, in seconds, fractions allowed: the milliseconds, rounded up; otherwise_ms
 * when it is not there. It must be a number of at least least_ms. What is beyond max_ms is refused
 * with too_long, naming the limit by the words given. */
struct params_seconds {
    const char *name, *limit; /* "ttl", "cache.maxTTL" */
    uint64_t otherwise_ms, least_ms, max_ms;
    enum reply_error too_long;
};
bool params_seconds(struct request *request, const json_t *object,
                    const struct params_seconds *wanted, uint64_t *out);

/* true, false; otherwise when it is not there. */
bool params_bool(struct request *request, const json_t *object, const char *name, bool otherwise,
                 bool *out);

bool params_parse_number(struct slice text, uint64_t *out); /* decimal; refuses nothing by itself */

/* A number of the query within [low, high]; otherwise when it is not there. */
bool params_number(struct request *request, const char *name, uint64_t otherwise, uint64_t low,
                   uint64_t high, uint64_t *out);
bool params_flag(struct request *request, const char *name, bool *out); /* true, false; not there */

#endif
