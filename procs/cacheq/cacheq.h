/* cacheq.h - what the cacheq worker knows: cache entries and queues (layout: shm/volatile.h).
 *
 * Commands come from the log, decoded and checked against base/limits.h, and are applied as a
 * function of themselves and the map alone: time is the entry's stamp, the cache's limit is in the
 * command. What is kept in memory here is in the map, too, or follows from it. What clients did
 * wrong is the result of the command; functions return an error only when the map fails: E_IO,
 * E_CORRUPT.
 */
#ifndef INSI_PROCS_CACHEQ_H
#define INSI_PROCS_CACHEQ_H

#include "base/buf.h"
#include "procs/worker/doomed.h"
#include "procs/worker/worker.h"
#include "shm/volatile.h"

#define CACHE_ENTRY_BYTES 128       /* what an entry counts for besides its key and value */
#define QUEUE_BYTES 128             /* what a queue counts for besides its key */
#define QUEUE_ITEM_BYTES 64         /* and an item besides its bytes */
#define CACHE_WRITE_EXPIRES 4       /* due entries that a command removes on its way */
#define CACHE_FULL_EXPIRES 4096     /* and one that would exceed the limit, until it fits */
#define EXPIRE_STEP_ENTRIES 512     /* of one CACHE_EXPIRE */
#define EXPIRE_STEP_WAITERS 256     /* likewise */
#define PURGE_STEP_PARTS 1024       /* items and waiters of one QUEUE_PURGE */
#define PURGE_STEP_BYTES (1u << 20) /* of items; the last one may exceed it */
#define QUEUE_WAITERS 8192          /* of one queue; with more a pop does not wait: E_QUEUE_EMPTY */
#define CACHEQ_DETAIL_BYTES 24

struct waiting_session {
    uint64_t session;
    uint64_t renewed_ms; /* its pops wait until QUEUE_WAIT_LEASE_MS later */
};

struct cacheq {
    MDB_dbi cache, deadlines, queues, items, waiters, waiting, deleted;
    struct doomed doomed;
    uint64_t used_bytes;  /* what entries, queues and items count for; "used_bytes" in "meta" */
    uint64_t earliest_ms; /* no deadline is before it; UINT64_MAX: there is none */
    uint64_t latest_due;  /* no entry's due (shm/volatile.h) is behind it */
    uint64_t newest_queue;
    uint64_t deleted_count;
    struct waiting_session *sessions; /* in no order */
    unsigned session_count, session_capacity;
    uint64_t sweeps; /* commands of sweeper.h that were applied */

    /* what the last result's detail borrows from */
    char number[CACHEQ_DETAIL_BYTES];
    struct buf item;
};

typedef int cacheq_apply_fn(struct cacheq *cacheq, const struct worker_turn *turn,
                            struct command *command, struct worker_result *result);

/* Hooks of struct worker_kind; arg is a struct cacheq. */
int cacheq_load(void *arg, const struct map *map, MDB_txn *txn);
int cacheq_store(void *arg, const struct map *map, MDB_txn *txn);
int cacheq_apply(void *arg, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result);
void cacheq_free(struct cacheq *cacheq);
/* So many of used_bytes are free again. E_CORRUPT: there were not so many. */
int cacheq_give_back(struct cacheq *cacheq, uint64_t bytes);
struct slice cacheq_number(struct cacheq *cacheq, uint64_t number); /* as a detail */
/* One record: the first or last of a database, or (MDB_SET_RANGE) the first at or behind key.
 * Borrowed until the next write. E_NOT_FOUND: there is none. */
int cacheq_seek(MDB_txn *txn, MDB_dbi database, MDB_cursor_op where, MDB_val *key, MDB_val *stored);

/* cache.c */
cacheq_apply_fn cache_set, cache_delete, cache_setnx, cache_cas;
/* Removes the entry under this key of the database, if there is one, with its deadline. */
int cache_remove(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key);
/* Without its deadline, which is in *due: the caller's to remove. The cursor is one of the database
 * "cache". E_NOT_FOUND: there is none. */
int cache_erase(struct cacheq *cacheq, MDB_cursor *cursor, const MDB_val *key, uint64_t *due);

/* expiry.c */
cacheq_apply_fn expiry_step;
int expiry_load(struct cacheq *cacheq, MDB_txn *txn);
int expiry_add(struct cacheq *cacheq, MDB_txn *txn, uint64_t due, const MDB_val *key);
int expiry_drop(struct cacheq *cacheq, MDB_txn *txn, uint64_t due, const MDB_val *key);
/* Removes what is due at the turn's stamp: at most so many entries, the earliest first, and not
 * once no more than enough_bytes are used. Counts in *removed. */
int expiry_remove_due(struct cacheq *cacheq, const struct worker_turn *turn, unsigned limit,
                      uint64_t enough_bytes, unsigned *removed);

/* Whether so many bytes more are within the limit; if not, what is due is given back first. */
int expiry_make_room(struct cacheq *cacheq, const struct worker_turn *turn, uint64_t bytes,
                     uint64_t limit_bytes, bool *fits);

/* queues.c */
cacheq_apply_fn queues_new, queues_delete, queues_push, queues_pop, queues_purge;
int queues_load(struct cacheq *cacheq, MDB_txn *txn);
int queues_put(const struct cacheq *cacheq, MDB_txn *txn, const struct scope *scope,
               struct slice key, const struct queue_view *queue);
/* The queue under this key of the database is gone; what it holds is removed in steps. */
int queues_doom(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key);

/* waiters.c */
cacheq_apply_fn waiters_cancel, waiters_renew;
int waiters_load(struct cacheq *cacheq, MDB_txn *txn);
/* The pop of this turn waits from now on; the queue's record is changed, not stored. */
int waiters_add(struct cacheq *cacheq, const struct worker_turn *turn,
                const struct command *command, struct queue_view *queue);
/* Hands the item to the first of the queue that still waits. Those before it are dropped; likewise
 * without an item (NULL), when nothing is handed over. */
int waiters_feed(struct cacheq *cacheq, const struct worker_turn *turn, struct queue_view *queue,
                 const struct slice *item, bool *is_fed);
/* The waiters of a deleted queue, at most so many: E_QUEUE_NOT_FOUND. */
int waiters_turn_away(struct cacheq *cacheq, const struct worker_turn *turn, uint64_t queue_id,
                      unsigned limit, unsigned *removed);
/* Those of sessions whose lease is over, likewise: E_QUEUE_EMPTY. */
int waiters_drop_dead(struct cacheq *cacheq, const struct worker_turn *turn, unsigned limit,
                      unsigned *removed);
/* When the first lease ends; UINT64_MAX: no pop waits. */
uint64_t waiters_lease_end_ms(const struct cacheq *cacheq);

#endif
