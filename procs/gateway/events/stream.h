/* stream.h - a session over a stream of Server-Sent Events (WHATWG HTML, 9.2), in the answer to its
 * request, by HTTP/1.1 (chunked) or HTTP/2.
 *
 * h2o keeps the request; the session goes with it. The end of a session is the end of the answer:
 * a stream has no codes. Its connection, if it is HTTP/1, is closed then.
 */
#ifndef INSI_GATEWAY_STREAM_H
#define INSI_GATEWAY_STREAM_H

#include <h2o.h>

#include "procs/gateway/events/sessions.h"

#define STREAM_RETRY_MS 1000 /* after which a browser comes again */

/* Begins the answer. The session is OPENING. origin: of a page that is allowed to read it, or
 * empty. */
void stream_open(h2o_req_t *http, struct session *session, struct slice origin);

#endif
