/* queues.c - queues: records, items in push order, and what a deleted queue leaves behind. Every
 * command costs the same whatever the length. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "shm/map_error.h"

#define QUEUES_INDEX_BYTES 8
#define QUEUES_KEEP_BYTES (64u << 10) /* of an item's memory */

/* ---- records ---- */

int queues_put(const struct cacheq *cacheq, MDB_txn *txn, const struct scope *scope,
               struct slice key, const struct queue_view *queue)
{
    uint8_t key_bytes[KEY_SCOPED_BYTES], bytes[QUEUE_RECORD_BYTES];
    MDB_val where = {key_scoped(key_bytes, scope, key), key_bytes};
    MDB_val stored = {sizeof(bytes), bytes};

    CHECK(queue->head <= queue->tail);
    bytes_put_u64(bytes, queue->id);
    bytes_put_u64(bytes + 8, queue->head);
    bytes_put_u64(bytes + 16, queue->tail);
    bytes_put_u64(bytes + 24, queue->waiters);
    bytes_put_u64(bytes + 32, queue->next_waiter);
    return map_error_unless_done("put", mdb_put(txn, cacheq->queues, &where, &stored, 0));
}

static int queues_find(const struct cacheq *cacheq, const struct worker_turn *turn,
                       const struct command *command, struct queue_view *out)
{
    return queue_get(turn->txn, cacheq->queues, &command->scope, command->key, out);
}

static int queues_save(const struct cacheq *cacheq, const struct worker_turn *turn,
                       const struct command *command, const struct queue_view *queue)
{
    return queues_put(cacheq, turn->txn, &command->scope, command->key, queue);
}

static int queues_load_newest(struct cacheq *cacheq, MDB_txn *txn)
{
    MDB_val key, stored;

    int error = cacheq_seek(txn, cacheq->items, MDB_LAST, &key, &stored);
    if (error == 0)
        cacheq->newest_queue = bytes_get_key_u64(key.mv_data);
    return error == E_NOT_FOUND ? 0 : error;
}

int queues_load(struct cacheq *cacheq, MDB_txn *txn)
{
    MDB_stat stat;

    int error = map_error_unless_done("stat", mdb_stat(txn, cacheq->deleted, &stat));
    if (error != 0)
        return error;
    cacheq->deleted_count = stat.ms_entries;
    return queues_load_newest(cacheq, txn);
}

/* ---- what they count for ---- */

static uint64_t queues_cost(size_t key_len)
{
    return key_len + QUEUE_BYTES;
}

static uint64_t queues_item_cost(size_t item_len)
{
    return item_len + QUEUE_ITEM_BYTES;
}

/* ---- items ---- */

/* To the newest queue with items its next one is the last record of all: told so, LMDB fills its
 * pages. An older queue's items lie between those of others. */
static int queues_append(struct cacheq *cacheq, const struct worker_turn *turn,
                         struct queue_view *queue, struct slice item)
{
    uint8_t bytes[QUEUE_PART_BYTES];
    MDB_val where = queue_part_key(bytes, queue->id, queue->tail);
    MDB_val stored = {QUEUES_INDEX_BYTES + item.len, NULL};
    unsigned flags = MDB_RESERVE;

    if (queue->id >= cacheq->newest_queue) {
        cacheq->newest_queue = queue->id;
        flags |= MDB_APPEND;
    }
    int error =
        map_error_unless_done("put", mdb_put(turn->txn, cacheq->items, &where, &stored, flags));
    if (error != 0)
        return error;
    bytes_put_u64(stored.mv_data, turn->index);
    if (item.len > 0)
        memcpy((uint8_t *)stored.mv_data + QUEUES_INDEX_BYTES, item.data, item.len);
    queue->tail++;
    cacheq->used_bytes += queues_item_cost(item.len);
    return 0;
}

/* The first item goes to cacheq->item. */
static int queues_take(struct cacheq *cacheq, const struct worker_turn *turn,
                       struct queue_view *queue)
{
    uint8_t bytes[QUEUE_PART_BYTES];
    MDB_val where = queue_part_key(bytes, queue->id, queue->head);
    struct value_view item;

    int error = queue_peek(turn->txn, cacheq->items, queue, &item);
    if (error != 0)
        return error;
    buf_clear(&cacheq->item);
    buf_shrink(&cacheq->item, QUEUES_KEEP_BYTES);
    CHECK(buf_append(&cacheq->item, item.data.data, item.data.len) == 0);
    queue->head++;
    error = cacheq_give_back(cacheq, queues_item_cost(item.data.len));
    if (error != 0)
        return error;
    return map_error_unless_done("del", mdb_del(turn->txn, cacheq->items, &where, NULL));
}

/* ---- commands ---- */

int queues_new(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
               struct worker_result *result)
{
    struct queue_view queue;
    bool fits;

    int error = queues_find(cacheq, turn, command, &queue);
    if (error != E_QUEUE_NOT_FOUND)
        return error;
    uint64_t bytes = queues_cost(command->key.len);
    error = expiry_make_room(cacheq, turn, bytes, command->limit_bytes, &fits);
    if (error != 0)
        return error;
    if (!fits) {
        result->error = E_STORAGE_FULL;
        return 0;
    }
    cacheq->used_bytes += bytes;
    queue = (struct queue_view){.id = turn->index};
    return queues_save(cacheq, turn, command, &queue);
}

static int queues_push_item(struct cacheq *cacheq, const struct worker_turn *turn,
                            const struct command *command, struct queue_view *queue,
                            struct worker_result *result)
{
    bool fits;

    int error = expiry_make_room(cacheq, turn, queues_item_cost(command->value.len),
                                 command->limit_bytes, &fits);
    if (error != 0 || fits)
        return error != 0 ? error : queues_append(cacheq, turn, queue, command->value);
    result->error = E_STORAGE_FULL;
    return 0;
}

int queues_push(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    struct queue_view queue;
    bool is_fed;

    int error = queues_find(cacheq, turn, command, &queue);
    if (error == E_QUEUE_NOT_FOUND) {
        result->error = error;
        return 0;
    }
    if (error == 0)
        error = waiters_feed(cacheq, turn, &queue, &command->value, &is_fed);
    if (error == 0 && !is_fed)
        error = queues_push_item(cacheq, turn, command, &queue, result);
    if (result->error == 0)
        result->detail = cacheq_number(cacheq, queue.tail - queue.head);
    return error != 0 ? error : queues_save(cacheq, turn, command, &queue);
}

static int queues_pop_item(struct cacheq *cacheq, const struct worker_turn *turn,
                           const struct command *command, struct queue_view *queue,
                           struct worker_result *result)
{
    int error = queues_take(cacheq, turn, queue);
    if (error == 0)
        error = queues_save(cacheq, turn, command, queue);
    result->detail = buf_slice(&cacheq->item);
    return error;
}

static int queues_wait(struct cacheq *cacheq, const struct worker_turn *turn,
                       const struct command *command, struct queue_view *queue,
                       struct worker_result *result)
{
    bool is_fed;
    int error = 0;

    if (queue->waiters >= QUEUE_WAITERS)
        error = waiters_feed(cacheq, turn, queue, NULL, &is_fed);
    result->error = queue->waiters < QUEUE_WAITERS ? E_QUEUE_WAITING : E_QUEUE_EMPTY;
    if (error == 0 && result->error == E_QUEUE_WAITING)
        error = waiters_add(cacheq, turn, command, queue);
    return error != 0 ? error : queues_save(cacheq, turn, command, queue);
}

/* Nobody could tell what waits without a session when its item comes. */
int queues_pop(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
               struct worker_result *result)
{
    struct queue_view queue;

    int error = queues_find(cacheq, turn, command, &queue);
    if (error == E_QUEUE_NOT_FOUND) {
        result->error = error;
        return 0;
    }
    if (error != 0)
        return error;
    if (queue.head < queue.tail)
        return queues_pop_item(cacheq, turn, command, &queue, result);
    if (command->wait_ms > 0 && turn->session != 0)
        return queues_wait(cacheq, turn, command, &queue, result);
    result->error = E_QUEUE_EMPTY;
    return 0;
}

/* ---- deleted queues ---- */

int queues_doom(struct cacheq *cacheq, MDB_txn *txn, const MDB_val *key)
{
    uint8_t bytes[8];
    MDB_val where = *key, stored, id = {sizeof(bytes), bytes}, nothing = {0, NULL};

    int error = map_error_unless_done("get", mdb_get(txn, cacheq->queues, &where, &stored));
    if (error != 0)
        return error;
    if (stored.mv_size != QUEUE_RECORD_BYTES)
        return E_CORRUPT;
    bytes_put_key_u64(bytes, bytes_get_u64(stored.mv_data));
    error = map_error_unless_done("put", mdb_put(txn, cacheq->deleted, &id, &nothing, 0));
    if (error != 0)
        return error;
    cacheq->deleted_count++;
    error = cacheq_give_back(cacheq, queues_cost(where.mv_size - SCOPE_BYTES));
    if (error != 0)
        return error;
    return map_error_unless_done("del", mdb_del(txn, cacheq->queues, &where, NULL));
}

/* E_QUEUE_EMPTY: there is none left. */
static int queues_remove_item(struct cacheq *cacheq, MDB_txn *txn, uint64_t id, uint64_t *bytes)
{
    uint8_t key_bytes[QUEUE_PART_BYTES];
    MDB_val key = queue_part_key(key_bytes, id, 0), stored;
    MDB_cursor *cursor;

    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, cacheq->items, &cursor));
    if (error != 0)
        return error;
    int found = mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE);
    if (found == MDB_NOTFOUND || (found == 0 && bytes_get_key_u64(key.mv_data) != id)) {
        error = E_QUEUE_EMPTY;
    } else if (found != 0) {
        error = map_error_unless_done("cursor", found);
    } else {
        *bytes += stored.mv_size;
        error =
            stored.mv_size < QUEUES_INDEX_BYTES
                ? E_CORRUPT
                : cacheq_give_back(cacheq, queues_item_cost(stored.mv_size - QUEUES_INDEX_BYTES));
    }
    if (error == 0) {
        error = map_error_unless_done("cursor_del", mdb_cursor_del(cursor, 0));
    }
    mdb_cursor_close(cursor);
    return error;
}

/* The next part of one deleted queue: who waits there is told first. */
static int queues_remove_part(struct cacheq *cacheq, const struct worker_turn *turn, uint64_t id,
                              unsigned *removed)
{
    uint8_t id_bytes[8];
    MDB_val key = {sizeof(id_bytes), id_bytes};
    uint64_t bytes = 0;

    int error = waiters_turn_away(cacheq, turn, id, PURGE_STEP_PARTS, removed);
    while (error == 0 && *removed < PURGE_STEP_PARTS && bytes < PURGE_STEP_BYTES) {
        error = queues_remove_item(cacheq, turn->txn, id, &bytes);
        if (error == 0)
            ++*removed;
    }
    if (error != E_QUEUE_EMPTY)
        return error;
    bytes_put_key_u64(id_bytes, id);
    cacheq->deleted_count--;
    return map_error_unless_done("del", mdb_del(turn->txn, cacheq->deleted, &key, NULL));
}

/* The first part goes at once. */
int queues_delete(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    const MDB_val key = {key_scoped(bytes, &command->scope, command->key), bytes};
    struct queue_view queue;
    unsigned removed = 0;

    (void)result;
    int error = queues_find(cacheq, turn, command, &queue);
    if (error == E_QUEUE_NOT_FOUND)
        return 0;
    if (error == 0)
        error = queues_doom(cacheq, turn->txn, &key);
    return error != 0 ? error : queues_remove_part(cacheq, turn, queue.id, &removed);
}

int queues_purge(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result)
{
    MDB_val key, stored;
    unsigned removed = 0;

    (void)command;
    cacheq->sweeps++;
    int error = cacheq_seek(turn->txn, cacheq->deleted, MDB_FIRST, &key, &stored);
    uint64_t id = error == 0 && key.mv_size == 8 ? bytes_get_key_u64(key.mv_data) : 0;
    if (error == 0)
        error = queues_remove_part(cacheq, turn, id, &removed);
    result->detail = cacheq_number(cacheq, removed);
    return error == E_NOT_FOUND ? 0 : error;
}
