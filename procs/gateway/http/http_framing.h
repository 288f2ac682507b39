/* http_framing.h - requests whose length can be understood in two ways.
 *
 * h2o takes the first Content-Length of several, and Transfer-Encoding before any of them. Whoever
 * stands in front of us may choose otherwise, and would then take part of a body for a request of
 * somebody else's (request smuggling, RFC 9112 section 11.2). Such requests are refused, and their
 * connection is closed.
 */
#ifndef INSI_GATEWAY_HTTP_FRAMING_H
#define INSI_GATEWAY_HTTP_FRAMING_H

#include <h2o.h>
#include <stdbool.h>

bool http_framing_is_clear(const h2o_req_t *request);

#endif
