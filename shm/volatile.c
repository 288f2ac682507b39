/* volatile.c - see volatile.h. Pure functions over a transaction. */
#include "shm/volatile.h"

#include "base/bytes.h"
#include "base/error.h"
#include "shm/map_error.h"

/* ---- cache ---- */

#define CACHE_DUE_INDEX_BITS 16
#define CACHE_DEADLINE_MAX_MS (UINT64_MAX >> CACHE_DUE_INDEX_BITS) /* in the year 10889 */

uint64_t cache_due(uint64_t deadline_ms, uint64_t index)
{
    uint64_t low = index & ((1u << CACHE_DUE_INDEX_BITS) - 1);

    if (deadline_ms > CACHE_DEADLINE_MAX_MS)
        deadline_ms = CACHE_DEADLINE_MAX_MS;
    return deadline_ms << CACHE_DUE_INDEX_BITS | low;
}

uint64_t cache_due_deadline_ms(uint64_t due)
{
    return due >> CACHE_DUE_INDEX_BITS;
}

int cache_view_of(const MDB_val *stored, struct cache_view *out)
{
    const uint8_t *bytes = stored->mv_data;

    if (stored->mv_size < CACHE_HEAD_BYTES)
        return E_CORRUPT;
    out->due = bytes_get_u64(bytes);
    out->deadline_ms = cache_due_deadline_ms(out->due);
    out->data = slice_of(bytes + CACHE_HEAD_BYTES, stored->mv_size - CACHE_HEAD_BYTES);
    return 0;
}

int cache_get(MDB_txn *txn, MDB_dbi cache, const struct scope *scope, struct slice key,
              uint64_t now_ms, struct cache_view *out)
{
    MDB_val stored;

    int error = key_find(txn, cache, scope, key, &stored);
    if (error == 0)
        error = cache_view_of(&stored, out);
    if (error == 0 && out->deadline_ms <= now_ms)
        error = E_NOT_FOUND;
    return error;
}

struct cache_walk {
    uint64_t now_ms;
    value_visit_fn *visit;
    cache_gone_fn *on_gone;
    void *arg;
};

static int cache_walk_visit(struct slice key, const MDB_val *stored, void *arg)
{
    const struct cache_walk *walk = arg;
    struct cache_view view;

    int error = cache_view_of(stored, &view);
    if (error != 0)
        return error;
    if (view.deadline_ms <= walk->now_ms)
        return walk->on_gone(key, walk->arg) ? 0 : E_CLOSED;
    const struct value_view value = {.data = view.data};
    return walk->visit(key, &value, walk->arg) ? 0 : E_CLOSED;
}

int cache_scan(MDB_txn *txn, MDB_dbi cache, const struct scope *scope, struct slice prefix,
               struct slice after, uint64_t now_ms, value_visit_fn *visit, cache_gone_fn *on_gone,
               void *arg)
{
    struct cache_walk walk = {.now_ms = now_ms, .visit = visit, .on_gone = on_gone, .arg = arg};

    return key_scan(txn, cache, scope, prefix, after, cache_walk_visit, &walk);
}

/* ---- queues ---- */

MDB_val queue_part_key(uint8_t bytes[QUEUE_PART_BYTES], uint64_t id, uint64_t number)
{
    bytes_put_key_u64(bytes, id);
    bytes_put_key_u64(bytes + 8, number);
    return (MDB_val){QUEUE_PART_BYTES, bytes};
}

int queue_get(MDB_txn *txn, MDB_dbi queues, const struct scope *scope, struct slice key,
              struct queue_view *out)
{
    MDB_val stored;

    int error = key_find(txn, queues, scope, key, &stored);
    if (error != 0)
        return error == E_NOT_FOUND ? E_QUEUE_NOT_FOUND : error;
    if (stored.mv_size != QUEUE_RECORD_BYTES)
        return E_CORRUPT;
    const uint8_t *record = stored.mv_data;
    out->id = bytes_get_u64(record);
    out->head = bytes_get_u64(record + 8);
    out->tail = bytes_get_u64(record + 16);
    out->waiters = bytes_get_u64(record + 24);
    out->next_waiter = bytes_get_u64(record + 32);
    return out->head <= out->tail ? 0 : E_CORRUPT;
}

int queue_peek(MDB_txn *txn, MDB_dbi items, const struct queue_view *queue, struct value_view *out)
{
    uint8_t bytes[QUEUE_PART_BYTES];
    MDB_val stored;

    if (queue->head == queue->tail)
        return E_QUEUE_EMPTY;
    MDB_val key = queue_part_key(bytes, queue->id, queue->head);
    int error = map_error_of(mdb_get(txn, items, &key, &stored));
    if (error != 0)
        return error == E_NOT_FOUND ? E_CORRUPT : error;
    if (stored.mv_size < 8)
        return E_CORRUPT;
    out->index = bytes_get_u64(stored.mv_data);
    out->data = slice_of((const uint8_t *)stored.mv_data + 8, stored.mv_size - 8);
    return 0;
}
