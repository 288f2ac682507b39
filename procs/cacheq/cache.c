/* cache.c - cache entries. One is gone exactly when its deadline is at or before the stamp of the
 * entry that looks (I2, I8), whether it was removed or not. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "shm/map_error.h"

/* ---- what an entry counts for ---- */

static uint64_t cache_cost(size_t key_len, size_t value_len)
{
    return key_len + value_len + CACHE_ENTRY_BYTES;
}

static uint64_t cache_cost_of(const MDB_val *key, const struct cache_view *view)
{
    return cache_cost(key->mv_size - SCOPE_BYTES, view->data.len);
}

/* ---- entries as they are in the map ---- */

/* What lies under a key, due or not. */
struct cache_old {
    bool is_there;
    uint64_t due, deadline_ms, cost; /* 0 of what is not there */
    struct slice data;               /* borrowed until the next write */
};

static int cache_look_up(const struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key,
                         struct cache_old *old)
{
    MDB_val wanted = *key, stored;
    struct cache_view view;

    *old = (struct cache_old){0};
    int found = mdb_get(txn, cacheq->cache, &wanted, &stored);
    if (found == MDB_NOTFOUND)
        return 0;
    int error = map_error_unless_done("get", found);
    if (error == 0)
        error = cache_view_of(&stored, &view);
    if (error == 0)
        *old = (struct cache_old){true, view.due, view.deadline_ms, cache_cost_of(key, &view),
                                  view.data};
    return error;
}

int cache_erase(struct cacheq *cacheq, MDB_cursor *cursor, const MDB_val *key, uint64_t *due)
{
    MDB_val where = *key, stored;
    struct cache_view view;

    int found = mdb_cursor_get(cursor, &where, &stored, MDB_SET);
    if (found == MDB_NOTFOUND)
        return E_NOT_FOUND;
    int error = map_error_unless_done("cursor", found);
    if (error == 0)
        error = cache_view_of(&stored, &view);
    if (error == 0)
        error = cacheq_give_back(cacheq, cache_cost_of(key, &view));
    if (error != 0)
        return error;
    *due = view.due;
    return map_error_unless_done("cursor_del", mdb_cursor_del(cursor, 0));
}

int cache_remove(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key)
{
    MDB_cursor *cursor;
    uint64_t due;

    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, cacheq->cache, &cursor));
    if (error != 0)
        return error;
    error = cache_erase(cacheq, cursor, key, &due);
    mdb_cursor_close(cursor);
    if (error == E_NOT_FOUND)
        return 0;
    return error != 0 ? error : expiry_drop(cacheq, txn, due, key);
}

static int cache_put(struct cacheq *cacheq, const struct worker_turn *turn,
                     const struct command *command, MDB_val *key)
{
    MDB_val stored = {CACHE_HEAD_BYTES + command->value.len, NULL};
    uint64_t due = cache_due(turn->stamp_ms + command->ttl_ms, turn->index);

    int error =
        map_error_unless_done("put", mdb_put(turn->txn, cacheq->cache, key, &stored, MDB_RESERVE));
    if (error != 0)
        return error;
    uint8_t *bytes = stored.mv_data;
    bytes_put_u64(bytes, due);
    if (command->value.len > 0)
        memcpy(bytes + CACHE_HEAD_BYTES, command->value.data, command->value.len);
    cacheq->used_bytes += cache_cost(command->key.len, command->value.len);
    return expiry_add(cacheq, turn->txn, due, key);
}

/* ---- the limit ---- */

/* Whether there is room for the write when the old entry goes. A write that makes nothing larger is
 * always allowed: the limit may have been lowered. */
static bool cache_fits(const struct cacheq *cacheq, uint64_t cost, const struct cache_old *old,
                       uint64_t limit_bytes)
{
    return cost <= old->cost || cacheq->used_bytes - old->cost + cost <= limit_bytes;
}

/* Makes room if what is due allows it. The old entry may be among that. */
static int cache_make_room(struct cacheq *cacheq, const struct worker_turn *turn,
                           const struct command *command, const MDB_val *key, struct cache_old *old,
                           bool *fits)
{
    uint64_t cost = cache_cost(command->key.len, command->value.len);
    unsigned removed = 0;

    *fits = cache_fits(cacheq, cost, old, command->limit_bytes);
    if (*fits || cost > command->limit_bytes)
        return 0;
    int error =
        expiry_remove_due(cacheq, turn, CACHE_FULL_EXPIRES, command->limit_bytes - cost, &removed);
    if (error == 0)
        error = cache_look_up(cacheq, turn->txn, key, old);
    *fits = error == 0 && cache_fits(cacheq, cost, old, command->limit_bytes);
    return error;
}

/* ---- commands ---- */

/* live is NULL when there is no entry, or its deadline has come. */
typedef bool cache_condition_fn(const struct command *command, const struct cache_old *live);

static int cache_replace(struct cacheq *cacheq, const struct worker_turn *turn,
                         const struct command *command, MDB_val *key, const struct cache_old *old)
{
    int error = cacheq_give_back(cacheq, old->cost);

    if (error == 0 && old->is_there)
        error = expiry_drop(cacheq, turn->txn, old->due, key);
    return error != 0 ? error : cache_put(cacheq, turn, command, key);
}

static int cache_write(struct cacheq *cacheq, const struct worker_turn *turn,
                       const struct command *command, struct worker_result *result,
                       cache_condition_fn *condition)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    MDB_val key = {key_scoped(bytes, &command->scope, command->key), bytes};
    struct cache_old old;
    unsigned removed = 0;
    bool fits;

    int error = expiry_remove_due(cacheq, turn, CACHE_WRITE_EXPIRES, 0, &removed);
    if (error == 0)
        error = cache_look_up(cacheq, turn->txn, &key, &old);
    if (error != 0)
        return error;
    bool is_live = old.is_there && old.deadline_ms > turn->stamp_ms;
    if (!condition(command, is_live ? &old : NULL)) {
        result->error = E_CONFLICT;
        return 0;
    }
    error = cache_make_room(cacheq, turn, command, &key, &old, &fits);
    if (error != 0 || fits)
        return error != 0 ? error : cache_replace(cacheq, turn, command, &key, &old);
    result->error = E_STORAGE_FULL;
    return 0;
}

static bool cache_always(const struct command *command, const struct cache_old *live)
{
    (void)command;
    (void)live;
    return true;
}

static bool cache_if_absent(const struct command *command, const struct cache_old *live)
{
    (void)command;
    return live == NULL;
}

static bool cache_if_equal(const struct command *command, const struct cache_old *live)
{
    return live != NULL && slice_equal(live->data, command->expected);
}

int cache_set(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
              struct worker_result *result)
{
    return cache_write(cacheq, turn, command, result, cache_always);
}

int cache_setnx(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    return cache_write(cacheq, turn, command, result, cache_if_absent);
}

int cache_cas(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
              struct worker_result *result)
{
    return cache_write(cacheq, turn, command, result, cache_if_equal);
}

int cache_delete(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    const MDB_val key = {key_scoped(bytes, &command->scope, command->key), bytes};
    unsigned removed = 0;

    (void)result;
    int error = expiry_remove_due(cacheq, turn, CACHE_WRITE_EXPIRES, 0, &removed);
    return error != 0 ? error : cache_remove(cacheq, turn->txn, &key);
}
