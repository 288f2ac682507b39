/* websocket_in.h - what a WebSocket's client says: frames by wslay, and what is to be done about
 * them.
 *
 * A subscriber has nothing to say but pongs and a close; messages are checked (masks, lengths,
 * fragments, UTF-8) and thrown away, longer than WEBSOCKET_MESSAGE_BYTES they are an error. wslay
 * needs some 9 KiB for a client. Most clients say something twice a minute, so that memory is there
 * only while something of a client has begun and not ended.
 */
#ifndef INSI_GATEWAY_WEBSOCKET_IN_H
#define INSI_GATEWAY_WEBSOCKET_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define WEBSOCKET_MESSAGE_BYTES 4096
#define WEBSOCKET_PING_BYTES 125
#define WEBSOCKET_CODE_BYTES 2 /* of a close, the high byte first */

struct websocket_in;

struct websocket_news {
    bool has_ping; /* of several the last: the others need no answer (RFC 6455, 5.5.3) */
    uint8_t ping[WEBSOCKET_PING_BYTES];
    uint8_t ping_len;
    bool is_over;    /* nothing that comes is of interest any more */
    bool was_closed; /* by the client's close; else it broke the protocol */
    unsigned code;   /* what to close with; 0: a close without one */
};

/* Takes all the bytes. *in is NULL before the first call and whenever nothing is under way. */
void websocket_in_take(struct websocket_in **in, struct slice bytes, struct websocket_news *news);
void websocket_in_free(struct websocket_in **in); /* NULL is fine */

#endif
