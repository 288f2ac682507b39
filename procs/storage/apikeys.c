/* apikeys.c - API keys: created, deleted at once, and what they leave behind removed in steps.
 * Only the SHA-256 of a key is ever here. */
#include "base/error.h"
#include "procs/storage/storage.h"
#include "shm/map_error.h"

int apikeys_create(struct storage *storage, const struct worker_turn *turn, struct command *command,
                   struct worker_result *result)
{
    const struct apikey_view key = {.scope = command->scope,
                                    .created_ms = command->created_ms,
                                    .index = turn->index,
                                    .name = command->key};

    int error = apikey_put(turn->txn, storage->apikeys, command->value.data, &key);
    if (error == E_EXISTS) {
        result->error = E_CONFLICT;
        return 0;
    }
    return error;
}

int apikeys_delete(struct storage *storage, const struct worker_turn *turn, struct command *command,
                   struct worker_result *result)
{
    MDB_val key = {command->value.len, (void *)command->value.data};
    struct apikey_view view;

    int error = apikey_find(turn->txn, storage->apikeys, command->value.data, &view);
    if (error == E_NOT_FOUND) {
        result->error = E_NOT_FOUND;
        return 0;
    }
    if (error != 0)
        return error;
    error = map_error_unless_done("del", mdb_del(turn->txn, storage->apikeys, &key, NULL));
    if (error != 0)
        return error;
    return doomed_add(&storage->doomed, turn->txn, &view.scope, turn->index, turn->stamp_ms);
}

/* The result says how much was removed, so that the state hash tells nodes that differ. */
int apikeys_purge(struct storage *storage, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result)
{
    unsigned removed;

    int error = doomed_purge(&storage->doomed, turn->txn, &command->scope, command->step, &removed);
    if (error == E_NOT_FOUND) {
        result->error = E_NOT_FOUND;
        return 0;
    }
    result->detail = number_format((int64_t)removed, storage->detail);
    return error;
}
