/* query.h - the query of a request target, strictly.
 *
 * name=value pairs separated by '&', as HTML forms, curl --data-urlencode and every HTTP library
 * write them: '+' and %20 are a space, %2B is a plus. Decoded once. Refused are broken escapes,
 * NUL, invalid UTF-8, a name that comes twice, and more than QUERY_PARAMETERS_MAX pairs. A name
 * without '=' has an empty value. Names that nobody asks for are ignored.
 */
#ifndef INSI_GATEWAY_QUERY_H
#define INSI_GATEWAY_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define QUERY_PARAMETERS_MAX 16

struct query_parameter {
    struct slice name, value; /* decoded */
};

struct query {
    unsigned count;
    struct query_parameter parameters[QUERY_PARAMETERS_MAX];
};

/* Decodes text (what stands behind the '?') into space, which holds text.len bytes and must outlive
 * the query. NULL, or what is wrong, as a static text. */
const char *query_parse(struct query *query, struct slice text, char *space);

/* False when there is no such parameter. */
bool query_find(const struct query *query, const char *name, struct slice *value);

#endif
