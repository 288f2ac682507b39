/* apikeys.c - API keys: created, deleted at once, and what they leave behind removed in steps.
 * Only the SHA-256 of a key is ever here. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "procs/storage/storage.h"
#include "shm/map_error.h"

#define APIKEY_HEAD_BYTES (SCOPE_BYTES + 16)

int apikeys_create(struct storage *storage, const struct worker_turn *turn, struct command *command,
                   struct worker_result *result)
{
    uint8_t bytes[APIKEY_HEAD_BYTES + LIMIT_APIKEY_NAME_BYTES];
    MDB_val key = {command->value.len, (void *)command->value.data};
    MDB_val stored = {APIKEY_HEAD_BYTES + command->key.len, bytes};

    memcpy(bytes, command->scope.id, SCOPE_BYTES);
    bytes_put_u64(bytes + SCOPE_BYTES, command->created_ms);
    bytes_put_u64(bytes + SCOPE_BYTES + 8, turn->index);
    memcpy(bytes + APIKEY_HEAD_BYTES, command->key.data, command->key.len);
    int error = mdb_put(turn->txn, storage->apikeys, &key, &stored, MDB_NOOVERWRITE);
    if (error == MDB_KEYEXIST) {
        result->error = E_CONFLICT;
        return 0;
    }
    return map_error_unless_done("put", error);
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
