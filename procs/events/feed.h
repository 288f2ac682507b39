/* feed.h - one gateway's subscriptions, and what has been sent to them (ipc/events_gateway.h).
 *
 * Live connections share one position, feed->live_index: what lies behind it in the ring is matched
 * once and sent once, with the list of those that get it. A connection with a position of its own
 * ahead of that is live, too, and gets nothing up to its position.
 *
 * Those that are behind read the ring together: a sweep goes from the lowest of their positions to
 * the live one, where all that are still with it become live; that is the seam, and nothing lies in
 * it. Who comes meanwhile with a position that the sweep has passed waits for the next one. Who has
 * no window left is parked, until it pays. A sweep moves on by a bounded number of events in a
 * turn, and ends when nobody is left in it; so it costs one reading however many are behind, and a
 * single slow connection no more than what it gets.
 *
 * What a feed cannot send for want of the link's window stays where it is, in the ring. Whatever
 * the ring drops is shown to feed_on_drop before: connections that had yet to get it are outrun,
 * and only those.
 *
 * Nothing here writes. A link that takes no more although the windows have room has a gateway that
 * does not follow the protocol: the feed is broken until the link is new.
 */
#ifndef INSI_PROCS_EVENTS_FEED_H
#define INSI_PROCS_EVENTS_FEED_H

#include "base/buf.h"
#include "ipc/events_gateway.h"
#include "procs/events/subscription.h"
#include "procs/events/topics.h"
#include "shm/ring.h"

#define FEED_SWEEP_EVENTS 4096      /* that a sweep looks at in a turn */
#define FEED_SWEEP_BYTES (1u << 20) /* of the link's window that only sweeps may use */

struct feed {
    struct link *link;
    bool is_broken;
    struct subscriptions subscriptions;
    struct topics topics;
    uint64_t live_index;  /* live connections have been sent everything up to it */
    uint64_t sweep_index; /* those that are reading likewise */
    uint64_t told_index;  /* of the last EVENT_REACHED */
    uint64_t unpaid;      /* of the link */
    struct subscription_queue reading, waiting, parked;
    struct subscription_list found; /* kept for its memory, like the two below */
    struct subscription_list getting;
    struct buf connections;
};

void feed_init(struct feed *feed);
/* The link is new, or gone: no subscription, both windows full. */
void feed_begin(struct feed *feed, struct link *link, uint64_t applied_index);
void feed_end(struct feed *feed);

/* What the gateway says. applied_index: of the worker; all up to it is in the ring, or was.
 * E_INVALID: it must not say that. */
int feed_subscribe(struct feed *feed, const struct ring *ring, const struct msg_subscribe *msg,
                   uint64_t applied_index);
void feed_unsubscribe(struct feed *feed, uint64_t connection);
void feed_credit(struct feed *feed, uint64_t connection, uint64_t bytes);

/* Whether the two below have something to do that can be done now. */
bool feed_has_news(const struct feed *feed, uint64_t applied_index);
bool feed_has_sweep(const struct feed *feed);

/* E_IO, E_CORRUPT of the ring. */
int feed_run_live(struct feed *feed, const struct ring *ring, MDB_txn *txn, uint64_t applied_index);
int feed_run_sweep(struct feed *feed, const struct ring *ring, MDB_txn *txn);

/* EVENT_REACHED, if there is anybody to tell and anything new to be told. */
void feed_tell_reached(struct feed *feed);
bool feed_has_reached(const struct feed *feed);

/* The ring is about to drop it. */
void feed_on_drop(struct feed *feed, const struct ring_event *event);
/* The ring is another one, which holds nothing up to dropped_index for certain. */
void feed_on_other_ring(struct feed *feed, uint64_t dropped_index);

/* For fanout.c: it has no window for the event of next_index, which it has to get next. */
void feed_park(struct feed *feed, struct subscription *subscription, uint64_t next_index);

#endif
