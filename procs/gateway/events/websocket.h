/* websocket.h - a session over a WebSocket (RFC 6455), by HTTP/1.1's Upgrade.
 *
 * h2o makes the handshake and gives its socket away; its own memory of the connection ends there.
 * What comes in is websocket_in.h's. What goes out are whole frames, in the order in which the
 * session hands them over, one write each time.
 *
 * The end. Whoever closes first, both sides send a close and the server ends the connection: after
 * the client's close has come, or its end of the connection was closed, or some time.
 */
#ifndef INSI_GATEWAY_WEBSOCKET_H
#define INSI_GATEWAY_WEBSOCKET_H

#include <h2o.h>

#include "procs/gateway/events/sessions.h"

enum websocket_offer {
    WEBSOCKET_OFFERED,
    WEBSOCKET_NOT_OFFERED, /* no Upgrade to WebSocket, or another version: 426 */
    WEBSOCKET_MALFORMED    /* its key is none: 400 */
};

#define WEBSOCKET_VERSION "13"

/* Whether the request is a handshake. */
enum websocket_offer websocket_look(const h2o_req_t *http);

/* Answers the handshake; the request's memory ends with that. The session is OPENING. */
void websocket_open(h2o_req_t *http, struct session *session);

#endif
