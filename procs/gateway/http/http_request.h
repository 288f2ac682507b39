/* http_request.h - what several files ask of one of h2o's requests. */
#ifndef INSI_GATEWAY_HTTP_REQUEST_H
#define INSI_GATEWAY_HTTP_REQUEST_H

#include <stdbool.h>
#include <string.h>

#include <h2o.h>

#include "base/slice.h"

/* As h2o numbers them: the major version above the minor one. */
#define HTTP_VERSION_1_1 0x101
#define HTTP_VERSION_2 0x200

static inline bool http_is_version_2(const h2o_req_t *request)
{
    return request->version >= HTTP_VERSION_2;
}

/* The first header of this name, in lower case; borrowed. Without data when there is none. */
static inline struct slice http_header(const h2o_req_t *request, const char *name)
{
    ssize_t at = h2o_find_header_by_str(&request->headers, name, strlen(name), -1);
    if (at == -1)
        return slice_of(NULL, 0);
    return slice_of(request->headers.entries[at].value.base,
                    request->headers.entries[at].value.len);
}

#endif
