/* volatile.h - what volatile.mdb holds besides what every map does: cache entries and queues, and
 * reading them. Numbers as in keys.h. Written by cacheq alone (procs/cacheq/).
 *
 *   cache      scope(16) key(1..480)        -> due(8) bytes
 *   deadlines  due(8) scope(16) key         -> nothing           one for each cache entry
 *   queues     scope(16) key                -> id(8) head(8) tail(8) waiters(8) next_waiter(8)
 *   items      id(8) number(8)              -> index(8) bytes    numbers from head to below tail
 *   waiters    id(8) number(8)              -> session(8) sequence(8) deadline_ms(8)
 *   waiting    session(8)                   -> renewed_ms(8)     sessions with waiting pops
 *              session(8) sequence(8)       -> scope(16) key of the queue, after id(8) number(8)
 *   deleted    id(8)                        -> nothing           queues that are being removed
 *
 * Deadlines are cluster time. An entry's due is its deadline (48 bits) and, below it, the last 16
 * bits of the index of the write that set it: what has the same deadline stands in the order of the
 * log, and LMDB fills its pages when deadlines come in order. Nothing here has to tell entries
 * apart, for the whole key follows. A queue's id is the index of the entry that made it. A queue
 * that has items has no waiters; waiters is how many it has.
 */
#ifndef INSI_SHM_VOLATILE_H
#define INSI_SHM_VOLATILE_H

#include "shm/keys.h"

struct cache_view { /* borrowed from the map until the transaction ends */
    struct slice data;
    uint64_t deadline_ms;
    uint64_t due;
};

/* As of now_ms, in cluster time: an entry whose deadline is at or before it is gone, whether it is
 * still there or not. E_NOT_FOUND, E_IO, E_CORRUPT. */
int cache_get(MDB_txn *txn, MDB_dbi cache, const struct scope *scope, struct slice key,
              uint64_t now_ms, struct cache_view *out);

/* As value_scan, over what is not gone as of now_ms. The index of what is visited is 0: entries
 * have none. on_gone hears of what is gone and still there, and ends the walk by returning
 * false. */
typedef bool cache_gone_fn(struct slice key, void *arg);
int cache_scan(MDB_txn *txn, MDB_dbi cache, const struct scope *scope, struct slice prefix,
               struct slice after, uint64_t now_ms, value_visit_fn *visit, cache_gone_fn *on_gone,
               void *arg);

struct queue_view {
    uint64_t id;
    uint64_t head, tail; /* its length is tail - head */
    uint64_t waiters, next_waiter;
};

/* E_QUEUE_NOT_FOUND, E_IO, E_CORRUPT. */
int queue_get(MDB_txn *txn, MDB_dbi queues, const struct scope *scope, struct slice key,
              struct queue_view *out);

/* The item that the next pop gets. E_QUEUE_EMPTY, E_IO, E_CORRUPT. */
int queue_peek(MDB_txn *txn, MDB_dbi items, const struct queue_view *queue, struct value_view *out);

/* ---- the records, for the writer ---- */

#define CACHE_HEAD_BYTES 8
#define QUEUE_RECORD_BYTES 40
#define QUEUE_PART_BYTES 16 /* key of items and waiters */

int cache_view_of(const MDB_val *stored, struct cache_view *out); /* E_CORRUPT */
uint64_t cache_due(uint64_t deadline_ms, uint64_t index);
uint64_t cache_due_deadline_ms(uint64_t due);
MDB_val queue_part_key(uint8_t bytes[QUEUE_PART_BYTES], uint64_t id, uint64_t number);

#endif
