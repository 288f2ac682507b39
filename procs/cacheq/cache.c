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

/* Due or not. */
static int cache_find(const struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key,
                      struct cache_view *out, bool *is_there)
{
    MDB_val wanted = *key, stored;

    *is_there = false;
    int found = mdb_get(txn, cacheq->cache, &wanted, &stored);
    if (found == MDB_NOTFOUND)
        return 0;
    int error = map_error_unless_done("get", found);
    if (error == 0)
        error = cache_view_of(&stored, out);
    *is_there = error == 0;
    return error;
}

/* Forgets what the entry counts for, and its deadline. */
static int cache_take_out(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key,
                          const struct cache_view *view)
{
    uint64_t cost = cache_cost_of(key, view);

    if (cost > cacheq->used_bytes)
        return E_CORRUPT;
    cacheq->used_bytes -= cost;
    return expiry_drop(cacheq, txn, view->deadline_ms, view->index);
}

int cache_remove(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key)
{
    struct cache_view view;
    MDB_val where = *key;
    bool is_there;

    int error = cache_find(cacheq, txn, key, &view, &is_there);
    if (error != 0 || !is_there)
        return error;
    error = cache_take_out(cacheq, txn, key, &view);
    return error != 0 ? error
                      : map_error_unless_done("del", mdb_del(txn, cacheq->cache, &where, NULL));
}

static int cache_put(struct cacheq *cacheq, const struct worker_turn *turn,
                     const struct command *command, MDB_val *key)
{
    MDB_val stored = {CACHE_HEAD_BYTES + command->value.len, NULL};
    uint64_t deadline_ms = turn->stamp_ms + command->ttl_ms;

    int error =
        map_error_unless_done("put", mdb_put(turn->txn, cacheq->cache, key, &stored, MDB_RESERVE));
    if (error != 0)
        return error;
    uint8_t *bytes = stored.mv_data;
    bytes_put_u64(bytes, turn->index);
    bytes_put_u64(bytes + 8, deadline_ms);
    if (command->value.len > 0)
        memcpy(bytes + CACHE_HEAD_BYTES, command->value.data, command->value.len);
    cacheq->used_bytes += cache_cost(command->key.len, command->value.len);
    return expiry_add(cacheq, turn->txn, deadline_ms, turn->index, key);
}

/* ---- the limit ---- */

/* Whether there is room for the write when the old entry, if there is one, goes. A write that makes
 * nothing larger is always allowed: the limit may have been lowered. */
static bool cache_fits(const struct cacheq *cacheq, uint64_t cost, uint64_t old_cost,
                       uint64_t limit_bytes)
{
    return cost <= old_cost || cacheq->used_bytes - old_cost + cost <= limit_bytes;
}

/* Makes room if what is due allows it. The old entry may be among that. */
static int cache_make_room(struct cacheq *cacheq, const struct worker_turn *turn,
                           const struct command *command, const MDB_val *key, bool *fits)
{
    uint64_t cost = cache_cost(command->key.len, command->value.len), old_cost;
    uint64_t enough = command->limit_bytes > cost ? command->limit_bytes - cost : 0;
    struct cache_view old;
    unsigned removed = 0;
    bool is_there;

    int error = cache_find(cacheq, turn->txn, key, &old, &is_there);
    old_cost = is_there ? cache_cost_of(key, &old) : 0;
    *fits = error == 0 && cache_fits(cacheq, cost, old_cost, command->limit_bytes);
    if (error != 0 || *fits || cost > command->limit_bytes)
        return error;
    error = expiry_remove_due(cacheq, turn, CACHE_FULL_EXPIRES, enough, &removed);
    if (error == 0)
        error = cache_find(cacheq, turn->txn, key, &old, &is_there);
    old_cost = is_there ? cache_cost_of(key, &old) : 0;
    *fits = error == 0 && cache_fits(cacheq, cost, old_cost, command->limit_bytes);
    return error;
}

/* ---- commands ---- */

typedef bool cache_condition_fn(const struct command *command, const struct cache_view *live);

static int cache_replace(struct cacheq *cacheq, const struct worker_turn *turn,
                         const struct command *command, MDB_val *key)
{
    struct cache_view old;
    bool is_there;

    int error = cache_find(cacheq, turn->txn, key, &old, &is_there);
    if (error == 0 && is_there)
        error = cache_take_out(cacheq, turn->txn, key, &old);
    return error != 0 ? error : cache_put(cacheq, turn, command, key);
}

/* live is NULL when there is no entry, or its deadline has come. */
static int cache_write(struct cacheq *cacheq, const struct worker_turn *turn,
                       const struct command *command, struct worker_result *result,
                       cache_condition_fn *condition)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    MDB_val key = {key_scoped(bytes, &command->scope, command->key), bytes};
    struct cache_view view;
    unsigned removed = 0;
    bool is_there, fits;

    int error = expiry_remove_due(cacheq, turn, CACHE_WRITE_EXPIRES, 0, &removed);
    if (error == 0)
        error = cache_find(cacheq, turn->txn, &key, &view, &is_there);
    if (error != 0)
        return error;
    bool is_live = is_there && view.deadline_ms > turn->stamp_ms;
    if (!condition(command, is_live ? &view : NULL)) {
        result->error = E_CONFLICT;
        return 0;
    }
    error = cache_make_room(cacheq, turn, command, &key, &fits);
    if (error != 0 || fits)
        return error != 0 ? error : cache_replace(cacheq, turn, command, &key);
    result->error = E_STORAGE_FULL;
    return 0;
}

static bool cache_always(const struct command *command, const struct cache_view *live)
{
    (void)command;
    (void)live;
    return true;
}

static bool cache_if_absent(const struct command *command, const struct cache_view *live)
{
    (void)command;
    return live == NULL;
}

static bool cache_if_equal(const struct command *command, const struct cache_view *live)
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
