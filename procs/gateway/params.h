/* params.h - taking what a request says, with the answer to everything it says wrongly.
 *
 * Each function returns false after it has built a refusal.
 */
#ifndef INSI_GATEWAY_PARAMS_H
#define INSI_GATEWAY_PARAMS_H

#include "procs/gateway/json.h"
#include "procs/gateway/request.h"

/* The body as a JSON object, to be ended with json_decref. too_many: the answer to a body of more
 * than JSON_VALUES_MAX values. Names that nobody asks for are ignored. */
bool params_body(struct request *request, enum reply_error too_many, json_t **out);

/* A key: a string of 1 to LIMIT_KEY_BYTES bytes without NUL. name is the field's. */
bool params_check_key(struct request *request, const char *name, struct slice key);
bool params_key(struct request *request, const json_t *object, const char *name, struct slice *out);

/* A value: any string of at most limits.maxValue bytes. */
bool params_value(struct request *request, const json_t *object, const char *name,
                  struct slice *out);

/* A number of the query within [low, high]; otherwise when it is not there. */
bool params_number(struct request *request, const char *name, uint64_t otherwise, uint64_t low,
                   uint64_t high, uint64_t *out);
bool params_flag(struct request *request, const char *name, bool *out); /* true, false; not there */

#endif
