/* cacheq.c - the table of what cacheq does, and what concerns every command. */
#include "procs/cacheq/cacheq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "shm/map_error.h"

static const char cacheq_meta_used[] = "used_bytes";

int cacheq_seek(MDB_txn *txn, MDB_dbi database, MDB_cursor_op where, MDB_val *key, MDB_val *stored)
{
    MDB_cursor *cursor;

    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, database, &cursor));
    if (error != 0)
        return error;
    int found = mdb_cursor_get(cursor, key, stored, where);
    mdb_cursor_close(cursor);
    return found == MDB_NOTFOUND ? E_NOT_FOUND : map_error_unless_done("cursor", found);
}

/* ---- scopes of deleted keys ---- */

/* Calls remove for the keys of the scope until the step is over, each time from the first. */
static int cacheq_remove_keys(struct cacheq *cacheq, MDB_txn *txn, MDB_dbi database,
                              const struct scope *scope, struct doomed_step *step, bool *is_empty)
{
    bool is_cache = database == cacheq->cache;
    int error = 0;

    *is_empty = false;
    while (error == 0 && !doomed_step_is_over(step)) {
        MDB_val key = {SCOPE_BYTES, (void *)scope->id}, stored;
        uint8_t bytes[KEY_SCOPED_BYTES];
        error = cacheq_seek(txn, database, MDB_SET_RANGE, &key, &stored);
        *is_empty = error == E_NOT_FOUND ||
                    (error == 0 && memcmp(key.mv_data, scope->id, SCOPE_BYTES) != 0);
        if (*is_empty)
            return 0;
        if (error != 0 || key.mv_size > sizeof(bytes))
            return error != 0 ? error : E_CORRUPT;
        memcpy(bytes, key.mv_data, key.mv_size);
        step->removed++;
        step->bytes += key.mv_size + stored.mv_size;
        const MDB_val copy = {key.mv_size, bytes};
        error = is_cache ? cache_remove(cacheq, txn, &copy) : queues_doom(cacheq, txn, &copy);
    }
    return error;
}

/* A doomed_remove_fn. */
static int cacheq_remove_some(void *arg, MDB_txn *txn, const struct scope *scope,
                              struct doomed_step *step, bool *is_empty)
{
    struct cacheq *cacheq = arg;

    int error = cacheq_remove_keys(cacheq, txn, cacheq->cache, scope, step, is_empty);
    if (error != 0 || !*is_empty)
        return error;
    return cacheq_remove_keys(cacheq, txn, cacheq->queues, scope, step, is_empty);
}

/* The first step that comes dooms the scope here, whoever proposed it (doomed.h). */
static int cacheq_purge(struct cacheq *cacheq, const struct worker_turn *turn,
                        struct command *command, struct worker_result *result)
{
    unsigned removed;

    cacheq->sweeps++;
    int error =
        doomed_add(&cacheq->doomed, turn->txn, &command->scope, turn->index, turn->stamp_ms);
    if (error == 0)
        error = doomed_purge(&cacheq->doomed, turn->txn, &command->scope, command->step, &removed);
    if (error == 0)
        result->detail = cacheq_number(cacheq, removed);
    return error;
}

/* ---- loading and storing ---- */

static int cacheq_load_parts(struct cacheq *cacheq, const struct map *map, MDB_txn *txn)
{
    int error = doomed_load(&cacheq->doomed, map, txn, cacheq_remove_some, cacheq);
    if (error == 0)
        error = map_meta_get(map, txn, cacheq_meta_used, &cacheq->used_bytes);
    if (error == 0)
        error = expiry_load(cacheq, txn);
    if (error == 0)
        error = queues_load(cacheq, txn);
    if (error == 0)
        error = waiters_load(cacheq, txn);
    return error;
}

int cacheq_load(void *arg, const struct map *map, MDB_txn *txn)
{
    struct cacheq *cacheq = arg;

    cacheq_free(cacheq);
    buf_init(&cacheq->item, LIMIT_BODY_MAX);
    cacheq->cache = map_database(map, MAP_CACHE);
    cacheq->deadlines = map_database(map, MAP_DEADLINES);
    cacheq->queues = map_database(map, MAP_QUEUES);
    cacheq->items = map_database(map, MAP_ITEMS);
    cacheq->waiters = map_database(map, MAP_WAITERS);
    cacheq->waiting = map_database(map, MAP_WAITING);
    cacheq->deleted = map_database(map, MAP_DELETED);
    return cacheq_load_parts(cacheq, map, txn);
}

int cacheq_store(void *arg, const struct map *map, MDB_txn *txn)
{
    const struct cacheq *cacheq = arg;

    return map_meta_put(map, txn, cacheq_meta_used, cacheq->used_bytes);
}

void cacheq_free(struct cacheq *cacheq)
{
    doomed_free(&cacheq->doomed);
    free(cacheq->sessions);
    buf_fini(&cacheq->item);
    *cacheq = (struct cacheq){0};
}

int cacheq_give_back(struct cacheq *cacheq, uint64_t bytes)
{
    if (bytes > cacheq->used_bytes)
        return E_CORRUPT;
    cacheq->used_bytes -= bytes;
    return 0;
}

struct slice cacheq_number(struct cacheq *cacheq, uint64_t number)
{
    int len = snprintf(cacheq->number, sizeof(cacheq->number), "%" PRIu64, number);

    return slice_of(cacheq->number, (size_t)len);
}

/* ---- applying ---- */

static cacheq_apply_fn *cacheq_function(enum command_operation operation)
{
    switch (operation) {
    case COMMAND_CACHE_SET:
        return cache_set;
    case COMMAND_CACHE_DELETE:
        return cache_delete;
    case COMMAND_CACHE_SETNX:
        return cache_setnx;
    case COMMAND_CACHE_CAS:
        return cache_cas;
    case COMMAND_CACHE_EXPIRE:
        return expiry_step;
    case COMMAND_QUEUE_NEW:
        return queues_new;
    case COMMAND_QUEUE_DELETE:
        return queues_delete;
    case COMMAND_QUEUE_PUSH:
        return queues_push;
    case COMMAND_QUEUE_POP:
        return queues_pop;
    case COMMAND_QUEUE_POP_CANCEL:
        return waiters_cancel;
    case COMMAND_QUEUE_WAIT_RENEW:
        return waiters_renew;
    case COMMAND_QUEUE_PURGE:
        return queues_purge;
    case COMMAND_SCOPE_PURGE:
        return cacheq_purge;
    default:
        return NULL;
    }
}

/* The others name no scope, and purging is for deleted ones. */
static bool cacheq_needs_live_scope(enum command_operation operation)
{
    switch (operation) {
    case COMMAND_CACHE_EXPIRE:
    case COMMAND_QUEUE_POP_CANCEL:
    case COMMAND_QUEUE_WAIT_RENEW:
    case COMMAND_QUEUE_PURGE:
    case COMMAND_SCOPE_PURGE:
        return false;
    default:
        return true;
    }
}

int cacheq_apply(void *arg, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result)
{
    struct cacheq *cacheq = arg;
    cacheq_apply_fn *apply = cacheq_function(command->operation);
    int error = 0;

    if (apply == NULL) {
        result->error = E_BAD_COMMAND;
        return 0;
    }
    if (cacheq_needs_live_scope(command->operation))
        error = doomed_check(&cacheq->doomed, turn->txn, &command->scope);
    if (error == E_SCOPE_GONE) {
        result->error = error;
        return 0;
    }
    return error != 0 ? error : apply(cacheq, turn, command, result);
}
