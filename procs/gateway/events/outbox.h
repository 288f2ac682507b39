/* outbox.h - what one subscriber still has to be sent, and what it owes for it.
 *
 * Frames leave in order: gather hands the first of them to the socket, written lets go of those.
 * An event costs its subscriber event_cost from its arrival until the worker is told that it has
 * left (EVENT_CREDIT), which is done in steps: when a quarter of the window is due. Pure: knows no
 * socket and no link.
 */
#ifndef INSI_GATEWAY_OUTBOX_H
#define INSI_GATEWAY_OUTBOX_H

#include "procs/gateway/events/frames.h"

struct outbox {          /* embedded by its owner, zeroed before first use */
    struct frame **ring; /* room for `room`, a power of two */
    unsigned first, count, room;
    unsigned gathered; /* of the first ones: with the socket */
    uint64_t queued;   /* what those here cost */
    uint64_t due;      /* what those that have left cost, not told yet */
};

void outbox_fini(struct outbox *outbox);

void outbox_add(struct outbox *outbox, struct frame *frame); /* takes a reference of its own */

/* Begins a write: the frames that follow those with the socket (there must be none), at most max
 * and, but for the first, not beyond bytes of cost. How many; out borrows them. */
unsigned outbox_gather(struct outbox *outbox, struct frame **out, unsigned max, uint64_t bytes);

/* What was gathered has left. */
void outbox_written(struct outbox *outbox);

/* What the worker has to be told now, of a window of so many bytes; 0: nothing yet. It counts as
 * told. */
uint64_t outbox_take_credit(struct outbox *outbox, uint64_t window);

/* Lets go of everything that is not with the socket. */
void outbox_drop(struct outbox *outbox);

/* What the subscriber owes, as the worker counts. */
static inline uint64_t outbox_unpaid(const struct outbox *outbox)
{
    return outbox->queued + outbox->due;
}

static inline bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->count == 0;
}

#endif
