/* values.c - durable values: each carries the index of the write that set it. */
#include "base/error.h"
#include "procs/storage/storage.h"
#include "shm/map_error.h"

/* E_EXISTS with only_new when there is such a key already; nothing is written then. */
static int values_put(const struct storage *storage, const struct worker_turn *turn,
                      const struct scope *scope, struct slice key, struct slice value,
                      bool only_new)
{
    const struct value_view view = {.data = value, .index = turn->index};
    return value_put(turn->txn, storage->values, scope, key, &view, only_new);
}

static int values_remove(const struct storage *storage, const struct worker_turn *turn,
                         const struct scope *scope, struct slice key)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    MDB_val where = {key_scoped(bytes, scope, key), bytes};

    int error = mdb_del(turn->txn, storage->values, &where, NULL);
    return error == MDB_NOTFOUND ? 0 : map_error_unless_done("del", error);
}

int values_set(struct storage *storage, const struct worker_turn *turn, struct command *command,
               struct worker_result *result)
{
    (void)result;
    return values_put(storage, turn, &command->scope, command->key, command->value, false);
}

int values_delete(struct storage *storage, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result)
{
    (void)result;
    return values_remove(storage, turn, &command->scope, command->key);
}

/* One after the other, so the last of several values for one key stays. */
int values_batch_set(struct storage *storage, const struct worker_turn *turn,
                     struct command *command, struct worker_result *result)
{
    struct slice key, value;
    int error = 0;

    (void)result;
    while (error == 0 && command_item(command, &key, &value))
        error = values_put(storage, turn, &command->scope, key, value, false);
    return error;
}

int values_batch_delete(struct storage *storage, const struct worker_turn *turn,
                        struct command *command, struct worker_result *result)
{
    struct slice key, value;
    int error = 0;

    (void)result;
    while (error == 0 && command_item(command, &key, &value))
        error = values_remove(storage, turn, &command->scope, key);
    return error;
}

int values_setnx(struct storage *storage, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result)
{
    int error = values_put(storage, turn, &command->scope, command->key, command->value, true);
    if (error != E_EXISTS)
        return error;
    result->error = E_CONFLICT;
    return 0;
}

int values_cas(struct storage *storage, const struct worker_turn *turn, struct command *command,
               struct worker_result *result)
{
    struct value_view old;

    int error = value_get(turn->txn, storage->values, &command->scope, command->key, &old);
    if (error == E_NOT_FOUND || (error == 0 && !slice_equal(old.data, command->expected))) {
        result->error = E_CONFLICT;
        return 0;
    }
    return error != 0
               ? error
               : values_put(storage, turn, &command->scope, command->key, command->value, false);
}

/* An absent value counts as 0. Whatever cannot be done leaves the value as it is. */
int values_bump(struct storage *storage, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    struct value_view old;
    int64_t number = 0;

    int error = value_get(turn->txn, storage->values, &command->scope, command->key, &old);
    if (error != 0 && error != E_NOT_FOUND)
        return error;
    if (error == 0)
        result->error = number_parse(old.data, &number);
    if (result->error == 0)
        result->error = number_bump(number, command->delta, &number);
    if (result->error != 0)
        return 0;
    result->detail = number_format(number, storage->detail);
    return values_put(storage, turn, &command->scope, command->key, result->detail, false);
}
