/* expiry.c - the index of cache entries by deadline, and removing those that are due, a bounded
 * number at a time. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "shm/map_error.h"

#define EXPIRY_KEY_BYTES 16

static MDB_val expiry_key(uint8_t bytes[EXPIRY_KEY_BYTES], uint64_t deadline_ms, uint64_t index)
{
    bytes_put_key_u64(bytes, deadline_ms);
    bytes_put_key_u64(bytes + 8, index);
    return (MDB_val){EXPIRY_KEY_BYTES, bytes};
}

/* The first or the last record. E_NOT_FOUND: there is none. */
static int expiry_at(const struct cacheq *cacheq, MDB_txn *txn, MDB_cursor_op end,
                     uint64_t *deadline_ms, MDB_val *entry_key)
{
    MDB_val key;

    int error = cacheq_seek(txn, cacheq->deadlines, end, &key, entry_key);
    if (error != 0)
        return error;
    if (key.mv_size != EXPIRY_KEY_BYTES || entry_key->mv_size <= SCOPE_BYTES ||
        entry_key->mv_size > KEY_SCOPED_BYTES)
        return E_CORRUPT;
    *deadline_ms = bytes_get_key_u64(key.mv_data);
    return 0;
}

int expiry_load(struct cacheq *cacheq, MDB_txn *txn)
{
    MDB_val ignored;

    cacheq->earliest_ms = UINT64_MAX;
    int error = expiry_at(cacheq, txn, MDB_FIRST, &cacheq->earliest_ms, &ignored);
    if (error == 0)
        error = expiry_at(cacheq, txn, MDB_LAST, &cacheq->latest_ms, &ignored);
    return error == E_NOT_FOUND ? 0 : error;
}

/* Most entries of a cache have the same time to live, so their deadlines come in order: told so,
 * LMDB fills its pages instead of leaving them half empty. */
int expiry_add(struct cacheq *cacheq, MDB_txn *txn, uint64_t deadline_ms, uint64_t index,
               const MDB_val *key)
{
    uint8_t bytes[EXPIRY_KEY_BYTES];
    MDB_val where = expiry_key(bytes, deadline_ms, index), stored = *key;
    unsigned flags = deadline_ms >= cacheq->latest_ms ? MDB_APPEND : 0;

    /* an index only grows, so a deadline as late as the latest one is behind it */
    int error =
        map_error_unless_done("put", mdb_put(txn, cacheq->deadlines, &where, &stored, flags));
    if (deadline_ms < cacheq->earliest_ms)
        cacheq->earliest_ms = deadline_ms;
    if (deadline_ms > cacheq->latest_ms)
        cacheq->latest_ms = deadline_ms;
    return error;
}

int expiry_drop(struct cacheq *cacheq, MDB_txn *txn, uint64_t deadline_ms, uint64_t index)
{
    uint8_t bytes[EXPIRY_KEY_BYTES];
    MDB_val where = expiry_key(bytes, deadline_ms, index);

    return map_error_unless_done("del", mdb_del(txn, cacheq->deadlines, &where, NULL));
}

/* earliest_ms is the bound that says without a look that nothing is due. */
int expiry_remove_due(struct cacheq *cacheq, const struct worker_turn *turn, unsigned limit,
                      uint64_t enough_bytes, unsigned *removed)
{
    uint8_t bytes[KEY_SCOPED_BYTES];

    while (cacheq->earliest_ms <= turn->stamp_ms) {
        MDB_val found;
        int error = expiry_at(cacheq, turn->txn, MDB_FIRST, &cacheq->earliest_ms, &found);
        if (error == E_NOT_FOUND) {
            cacheq->earliest_ms = UINT64_MAX;
            return 0;
        }
        if (error != 0)
            return error;
        if (cacheq->earliest_ms > turn->stamp_ms || *removed >= limit ||
            cacheq->used_bytes <= enough_bytes)
            return 0;
        memcpy(bytes, found.mv_data, found.mv_size);
        const MDB_val key = {found.mv_size, bytes};
        uint64_t used_bytes = cacheq->used_bytes;
        error = cache_remove(cacheq, turn->txn, &key);
        if (error != 0)
            return error;
        if (cacheq->used_bytes == used_bytes)
            return E_CORRUPT; /* a deadline of no entry would stay the first for ever */
        ++*removed;
    }
    return 0;
}

int expiry_make_room(struct cacheq *cacheq, const struct worker_turn *turn, uint64_t bytes,
                     uint64_t limit_bytes, bool *fits)
{
    unsigned removed = 0;
    int error = 0;

    *fits = false;
    if (bytes > limit_bytes)
        return 0;
    if (cacheq->used_bytes > limit_bytes - bytes)
        error = expiry_remove_due(cacheq, turn, CACHE_FULL_EXPIRES, limit_bytes - bytes, &removed);
    *fits = cacheq->used_bytes <= limit_bytes - bytes;
    return error;
}

int expiry_step(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    unsigned entries = 0, waiters = 0;

    (void)command;
    cacheq->sweeps++;
    int error = expiry_remove_due(cacheq, turn, EXPIRE_STEP_ENTRIES, 0, &entries);
    if (error == 0)
        error = waiters_drop_dead(cacheq, turn, EXPIRE_STEP_WAITERS, &waiters);
    result->detail = cacheq_number(cacheq, (uint64_t)entries + waiters);
    return error;
}
