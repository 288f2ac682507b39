/* link.h - one link: an NNG byte stream over ipc:// between two processes of a node.
 *
 * A link carries messages of ipc/msg.h in batches: everything queued in one turn of the loop leaves
 * as one batch at the end of the turn (link_flush), never on a timer. It reconnects by itself
 * (within 10 ms of the peer's being there, and an eighth of the time that it was away, at most
 * 250 ms); both sides then say hello again (protocol version, process, index, node, start id), and
 * only after a good hello is the link up. A hello that does not fit is logged once on both sides
 * and the connection is closed. What was in flight when a peer dies is lost, always a tail, never
 * something in the middle: users ask again in on_up. For the same reason a message that does not
 * decode ends the connection (a new one is tried after a second).
 * NNG's threads only queue and wake; every callback below runs in the owner's loop, from
 * link_drain. Single peer: an extra dialer waits until that one is gone. Bounds: LINK_QUEUE_BYTES
 * not yet sent, then link_begin refuses (E_BUSY); LIMIT_MESSAGE_BYTES per batch received.
 */
#ifndef INSI_IPC_LINK_H
#define INSI_IPC_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/proc.h"
#include "ipc/loop.h"
#include "ipc/msg.h"
#include "ipc/pack.h"

#define LINK_PROTOCOL_VERSION 5
#define LINK_QUEUE_BYTES (128u << 20)

struct link;

struct link_peer {
    enum proc proc;
    unsigned index;
    uint64_t start_id; /* random per process start: tells a restarted peer from the old one */
};

/* The handlers may queue messages on any link. None may close this link. */
struct link_handlers {
    void (*on_up)(void *arg, const struct link_peer *peer);
    void (*on_down)(void *arg);
    /* body: the message's elements after the type; the handler must consume it to its end. The link
     * checks: what does not decode is logged with type and peer, and the link goes down. Bytes are
     * borrowed until the handler returns. */
    void (*on_message)(void *arg, enum msg type, struct unpack *body);
    /* the last message of one received batch was handled (may be NULL) */
    void (*on_batch_end)(void *arg);
};

struct link_options {
    const char *run_dir;
    const char *node;     /* must be equal on both sides */
    enum proc self, peer; /* who listens follows from proc.h's list */
    unsigned self_index, peer_index;
    uint64_t start_id; /* of this process */
    struct link_handlers handlers;
    void *arg;
};

/* Starts listening or dialing; returns at once. E_IO, E_TOO_LARGE (socket path). */
int link_open(struct link **out, const struct link_options *options);

/* Sends nothing more and calls no handler; what was queued is lost. Detaches from its loop, which
 * must still exist. Not from within this link's handlers, nor from a runner. */
void link_close(struct link **link);

int link_fd(const struct link *link); /* readable when link_drain has something to do */
void link_drain(struct link *link);

bool link_is_up(const struct link *link);
size_t link_queued_bytes(const struct link *link);

/* Starts one message; write its elements to the pack and end with link_end. E_PEER_DOWN, E_BUSY
 * (then nothing was queued). element_count does not include the type. */
int link_begin(struct link *link, enum msg type, uint32_t element_count, struct pack **pack);
void link_end(struct link *link);

/* Sends this turn's batch; while the one before is on its way, it is kept and goes on growing. */
void link_flush(struct link *link);

/* True when all that was queued has been handed to the kernel (used before a planned exit: ask
 * again after a moment). */
bool link_is_idle(const struct link *link);

/* Puts fd and flush into a loop.c loop. */
int link_attach(struct link *link, struct loop *loop);

#endif
