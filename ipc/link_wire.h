/* link_wire.h - one connection of a link: an NNG byte stream that carries batches, each behind its
 * length (4 bytes, the highest first, of 1 to LIMIT_MESSAGE_BYTES).
 *
 * NNG's sockets are not used, because pair0 over ipc:// may get stuck for ever when a peer dies
 * under traffic both ways (NNG 1.5.2: an operation begun on what is being closed never ends, and
 * the one thread that ends pipes waits for it). Here nothing is begun on a stream that is closed or
 * being closed (the mutex sees to that), closing a stream ends what is under way, and a stream is
 * freed when the ends of all its operations have been seen. No operation is ever cancelled.
 *
 * NNG's threads read ahead, cut what came into batches, put them into the inbox and send on what
 * the kernel did not take at once; everything else belongs to the owner's thread. At most one
 * receiving and one sending operation are under way.
 */
#ifndef INSI_IPC_LINK_WIRE_H
#define INSI_IPC_LINK_WIRE_H

#include <pthread.h>
#include <stdatomic.h>

#include <nng/nng.h>

#include "base/buf.h"
#include "ipc/link_inbox.h"

#define LINK_WIRE_HEAD_BYTES 4
#define LINK_WIRE_KEEP_BYTES (64u << 10) /* of a buffer for sending, while idle */

struct link_wire {
    struct link_inbox *inbox;
    nng_aio *receive_aio, *send_aio;
    nng_stream *stream;  /* the owner's; NULL: no connection */
    uint32_t generation; /* of the connection: the number that its events carry */

    pthread_mutex_t mutex; /* over what follows, and over each begin of an operation */
    bool is_closing;       /* nothing more is begun */
    bool is_receiving, is_sending;
    bool wants_sent; /* the owner waits for the end of sending */
    struct buf in;   /* what was received: nothing or the beginning of a batch */
    struct buf out;  /* what is being sent */
    size_t out_sent;
    atomic_size_t unsent_bytes; /* of out, not yet taken by the kernel */
};

int link_wire_init(struct link_wire *wire, struct link_inbox *inbox); /* E_IO */
void link_wire_fini(struct link_wire *wire);

/* Takes the stream and begins to receive. Its events: LINK_EVENT_BYTES, LINK_EVENT_SENT, and at
 * least one LINK_EVENT_ENDED when it breaks, or when its peer says what is not a batch. */
void link_wire_begin(struct link_wire *wire, nng_stream *stream);

/* Closes the stream, waits for the callbacks of its operations (they end at once) and frees it.
 * Nothing when there is no connection. */
void link_wire_end(struct link_wire *wire);

bool link_wire_is_open(const struct link_wire *wire);

/* Whether the event is of the present connection. */
bool link_wire_is_of(const struct link_wire *wire, const struct link_event *event);

/* Receives again, after link_inbox_done said so. */
void link_wire_receive(struct link_wire *wire);

/* Sends the batch, which begins with LINK_WIRE_HEAD_BYTES for its length, and takes its bytes in
 * exchange for an empty buffer. False: the batch before is not sent yet, and LINK_EVENT_SENT will
 * come. (It also comes after each large batch, so whoever waits for room hears of it.) */
bool link_wire_send(struct link_wire *wire, struct buf *batch);

size_t link_wire_unsent_bytes(const struct link_wire *wire);

/* The first batch in bytes, which hold whole batches only; moves them on behind it. */
struct slice link_wire_next_batch(struct slice *bytes);

#endif
