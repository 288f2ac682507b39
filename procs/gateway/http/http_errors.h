/* http_errors.h - the answers that h2o gives by itself, in our words.
 *
 * h2o answers a body that is too large, broken chunks, a broken Content-Length and an Expect that
 * it does not know before any handler is asked, as text. Those go through the host's fallback path;
 * a filter there puts our error body in their place. (What is not HTTP at all gets a bare 400 that
 * nothing passes through, and the connection is closed.)
 *
 * A body that is refused before it was read is still on its way. Closing the connection at once
 * would reset it, and the client would lose the answer that explains why; so the socket lingers,
 * throwing away what comes, until the client closes or HTTP_LINGER_MS have passed.
 */
#ifndef INSI_GATEWAY_HTTP_ERRORS_H
#define INSI_GATEWAY_HTTP_ERRORS_H

#include <h2o.h>

#define HTTP_LINGER_MS 3000
#define HTTP_LINGERING_MAX 64 /* more are closed at once */

struct gateway;

void http_errors_register(struct gateway *gateway, h2o_pathconf_t *fallback);

#endif
