/* ring.h - the events that events.mdb retains, the oldest first. Written and read by the events
 * worker alone (procs/events/).
 *
 *   ring   index(8) -> stamp_ms(8) scope(16) topic_len(8) topic data     numbers as in keys.h
 *   meta   "ring_bytes"     what all of them count for
 *          "ring_dropped"   no event at or below it is certain to be there; 0: none was dropped
 *
 * An event counts with topic, data and RING_EVENT_BYTES, which is about what the map takes for it
 * (up to twice as much where data begins to need pages of its own, at 2 KiB). How much is retained
 * is a setting of each node, so the ring is not a part of the state that nodes compare.
 *
 * What counts is kept in memory between ring_load and ring_store, which stores it in the
 * transaction. Functions return 0, E_IO or E_CORRUPT, logged.
 */
#ifndef INSI_SHM_RING_H
#define INSI_SHM_RING_H

#include "shm/map.h"

#define RING_EVENT_BYTES 64

struct ring {
    MDB_dbi events;
    uint64_t bytes;
    uint64_t dropped_index;
};

struct ring_event { /* borrowed from the map until the transaction ends, or writes */
    uint64_t index;
    uint64_t stamp_ms; /* cluster time */
    struct scope scope;
    struct slice topic, data;
};

int ring_load(struct ring *ring, const struct map *map, MDB_txn *txn);
int ring_store(const struct ring *ring, const struct map *map, MDB_txn *txn);

/* The event's index is above all that are there; its bytes do not lie in the map. */
int ring_append(struct ring *ring, MDB_txn *txn, const struct ring_event *event);

/* Calls visit for what lies behind `after`, the oldest first, until it returns something else than
 * 0, which is returned but for E_CLOSED: enough. visit does not write. */
typedef int ring_visit_fn(const struct ring_event *event, void *arg);
int ring_scan(const struct ring *ring, MDB_txn *txn, uint64_t after, ring_visit_fn *visit,
              void *arg);

/* Drops the oldest, up to last_index, until the rest counts for limit_bytes or less, at most
 * limit_events; each is shown to visit before. */
int ring_drop(struct ring *ring, MDB_txn *txn, uint64_t limit_bytes, uint64_t last_index,
              unsigned limit_events, ring_visit_fn *visit, void *arg);

/* Takes one out; the ring goes on as if it had never been. Nothing when it is not there. */
int ring_remove(struct ring *ring, MDB_txn *txn, uint64_t index);

#endif
