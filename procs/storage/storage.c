/* storage.c - the table of what storage does, and what concerns every command. */
#include "procs/storage/storage.h"

#include "base/error.h"

/* A doomed_remove_fn. */
static int storage_remove_some(void *arg, MDB_txn *txn, const struct scope *scope,
                               struct doomed_step *step, bool *is_empty)
{
    const struct storage *storage = arg;

    int error = doomed_remove_keys(txn, storage->values, scope, step, is_empty);
    if (error != 0 || !*is_empty)
        return error;
    return doomed_remove_keys(txn, storage->atomics, scope, step, is_empty);
}

int storage_load(void *arg, const struct map *map, MDB_txn *txn)
{
    struct storage *storage = arg;

    storage->values = map_database(map, MAP_VALUES_DB);
    storage->atomics = map_database(map, MAP_ATOMICS);
    storage->apikeys = map_database(map, MAP_APIKEYS);
    doomed_free(&storage->doomed);
    return doomed_load(&storage->doomed, map, txn, storage_remove_some, storage);
}

void storage_free(struct storage *storage)
{
    doomed_free(&storage->doomed);
}

static storage_apply_fn *storage_function(enum command_operation operation)
{
    switch (operation) {
    case COMMAND_VALUE_SET:
        return values_set;
    case COMMAND_VALUE_DELETE:
        return values_delete;
    case COMMAND_VALUE_BATCH_SET:
        return values_batch_set;
    case COMMAND_VALUE_BATCH_DELETE:
        return values_batch_delete;
    case COMMAND_VALUE_SETNX:
        return values_setnx;
    case COMMAND_VALUE_CAS:
        return values_cas;
    case COMMAND_VALUE_BUMP:
        return values_bump;
    case COMMAND_ATOMIC_NEW:
        return atomics_new;
    case COMMAND_ATOMIC_ADD:
        return atomics_add;
    case COMMAND_ATOMIC_DELETE:
        return atomics_delete;
    case COMMAND_APIKEY_CREATE:
        return apikeys_create;
    case COMMAND_APIKEY_DELETE:
        return apikeys_delete;
    case COMMAND_SCOPE_PURGE:
        return apikeys_purge;
    default:
        return NULL;
    }
}

/* Deleting a key names no scope, and purging is for deleted ones. */
static bool storage_needs_live_scope(enum command_operation operation)
{
    return operation != COMMAND_APIKEY_DELETE && operation != COMMAND_SCOPE_PURGE;
}

int storage_apply(void *arg, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result)
{
    struct storage *storage = arg;
    storage_apply_fn *apply = storage_function(command->operation);
    int error = 0;

    if (apply == NULL) {
        result->error = E_BAD_COMMAND;
        return 0;
    }
    if (storage_needs_live_scope(command->operation))
        error = doomed_check(&storage->doomed, turn->txn, &command->scope);
    if (error == E_SCOPE_GONE) {
        result->error = error;
        return 0;
    }
    return error != 0 ? error : apply(storage, turn, command, result);
}
