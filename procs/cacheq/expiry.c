/* expiry.c - the index of cache entries by deadline, and removing those that are due, a bounded
 * number at a time. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "shm/map_error.h"

#define EXPIRY_DUE_BYTES 8
#define EXPIRY_KEY_BYTES (EXPIRY_DUE_BYTES + KEY_SCOPED_BYTES)

static MDB_val expiry_key(uint8_t bytes[EXPIRY_KEY_BYTES], uint64_t due, const MDB_val *key)
{
    bytes_put_key_u64(bytes, due);
    memcpy(bytes + EXPIRY_DUE_BYTES, key->mv_data, key->mv_size);
    return (MDB_val){EXPIRY_DUE_BYTES + key->mv_size, bytes};
}

/* The entry that a record of the index is about. E_CORRUPT. */
static int expiry_read(const MDB_val *record, uint64_t *due, MDB_val *key)
{
    if (record->mv_size <= EXPIRY_DUE_BYTES + SCOPE_BYTES || record->mv_size > EXPIRY_KEY_BYTES)
        return E_CORRUPT;
    *due = bytes_get_key_u64(record->mv_data);
    *key = (MDB_val){record->mv_size - EXPIRY_DUE_BYTES,
                     (uint8_t *)record->mv_data + EXPIRY_DUE_BYTES};
    return 0;
}

/* The first or the last record. E_NOT_FOUND: there is none. */
static int expiry_at(const struct cacheq *cacheq, MDB_txn *txn, MDB_cursor_op end, uint64_t *due)
{
    MDB_val record, nothing, key;

    int error = cacheq_seek(txn, cacheq->deadlines, end, &record, &nothing);
    return error != 0 ? error : expiry_read(&record, due, &key);
}

int expiry_load(struct cacheq *cacheq, MDB_txn *txn)
{
    uint64_t due;

    cacheq->earliest_ms = UINT64_MAX;
    int error = expiry_at(cacheq, txn, MDB_FIRST, &due);
    if (error == 0) {
        cacheq->earliest_ms = cache_due_deadline_ms(due);
        error = expiry_at(cacheq, txn, MDB_LAST, &cacheq->latest_due);
    }
    return error == E_NOT_FOUND ? 0 : error;
}

/* Most entries of a cache have the same time to live, so their deadlines come in order: told so,
 * LMDB fills its pages instead of leaving them half empty. */
int expiry_add(struct cacheq *cacheq, MDB_txn *txn, uint64_t due, const MDB_val *key)
{
    uint8_t bytes[EXPIRY_KEY_BYTES];
    MDB_val where = expiry_key(bytes, due, key), nothing = {0, NULL};
    unsigned flags = due > cacheq->latest_due ? MDB_APPEND : 0;
    uint64_t deadline_ms = cache_due_deadline_ms(due);

    if (deadline_ms < cacheq->earliest_ms)
        cacheq->earliest_ms = deadline_ms;
    if (due > cacheq->latest_due)
        cacheq->latest_due = due;
    return map_error_unless_done("put", mdb_put(txn, cacheq->deadlines, &where, &nothing, flags));
}

int expiry_drop(struct cacheq *cacheq, MDB_txn *txn, uint64_t due, const MDB_val *key)
{
    uint8_t bytes[EXPIRY_KEY_BYTES];
    MDB_val where = expiry_key(bytes, due, key);

    return map_error_unless_done("del", mdb_del(txn, cacheq->deadlines, &where, NULL));
}

/* The first record and its entry, if it is due and more has to go than enough_bytes. E_NOT_FOUND:
 * that is all. */
static int expiry_remove_first(struct cacheq *cacheq, const struct worker_turn *turn,
                               MDB_cursor *deadlines, MDB_cursor *cache, uint64_t enough_bytes)
{
    MDB_val record, nothing, key;
    uint64_t due, entry_due;

    int found = mdb_cursor_get(deadlines, &record, &nothing, MDB_FIRST);
    if (found == MDB_NOTFOUND) {
        cacheq->earliest_ms = UINT64_MAX;
        return E_NOT_FOUND;
    }
    int error = map_error_unless_done("cursor", found);
    if (error == 0)
        error = expiry_read(&record, &due, &key);
    if (error != 0)
        return error;
    cacheq->earliest_ms = cache_due_deadline_ms(due);
    if (cacheq->earliest_ms > turn->stamp_ms || cacheq->used_bytes <= enough_bytes)
        return E_NOT_FOUND;
    error = cache_erase(cacheq, cache, &key, &entry_due);
    if (error == E_NOT_FOUND || (error == 0 && entry_due != due))
        return E_CORRUPT; /* a deadline of no entry */
    return error != 0 ? error : map_error_unless_done("cursor_del", mdb_cursor_del(deadlines, 0));
}

/* earliest_ms is the bound that says without a look that nothing is due. */
int expiry_remove_due(struct cacheq *cacheq, const struct worker_turn *turn, unsigned limit,
                      uint64_t enough_bytes, unsigned *removed)
{
    MDB_cursor *deadlines, *cache;

    if (cacheq->earliest_ms > turn->stamp_ms)
        return 0;
    int error =
        map_error_unless_done("cursor", mdb_cursor_open(turn->txn, cacheq->deadlines, &deadlines));
    if (error != 0)
        return error;
    error = map_error_unless_done("cursor", mdb_cursor_open(turn->txn, cacheq->cache, &cache));
    if (error != 0) {
        mdb_cursor_close(deadlines);
        return error;
    }
    while (error == 0 && *removed < limit) {
        error = expiry_remove_first(cacheq, turn, deadlines, cache, enough_bytes);
        if (error == 0)
            ++*removed;
    }
    mdb_cursor_close(cache);
    mdb_cursor_close(deadlines);
    return error == E_NOT_FOUND ? 0 : error;
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
