/* atomics.c - durable counters, apart from values: 64 bits, never below 0. */
#include "base/error.h"
#include "procs/storage/storage.h"
#include "shm/map_error.h"

static int atomics_put(const struct storage *storage, const struct worker_turn *turn,
                       const struct command *command, int64_t value)
{
    const struct atomic_view atomic = {.value = value, .index = turn->index};

    return atomic_put(turn->txn, storage->atomics, &command->scope, command->key, &atomic);
}

/* Absent: 0, and *is_there false. */
static int atomics_find(const struct storage *storage, const struct worker_turn *turn,
                        const struct command *command, struct atomic_view *out, bool *is_there)
{
    *out = (struct atomic_view){0};
    int error = atomic_get(turn->txn, storage->atomics, &command->scope, command->key, out);
    *is_there = error == 0;
    return error == E_NOT_FOUND ? 0 : error;
}

int atomics_new(struct storage *storage, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    struct atomic_view old;
    bool is_there;

    int error = atomics_find(storage, turn, command, &old, &is_there);
    if (error != 0)
        return error;
    if (is_there && !command->overwrite) {
        result->error = E_CONFLICT;
        return 0;
    }
    return atomics_put(storage, turn, command, 0);
}

int atomics_add(struct storage *storage, const struct worker_turn *turn, struct command *command,
                struct worker_result *result)
{
    struct atomic_view atomic;
    bool is_there;
    int64_t value;

    int error = atomics_find(storage, turn, command, &atomic, &is_there);
    if (error != 0)
        return error;
    result->error = number_bump(atomic.value, command->delta, &value);
    if (result->error != 0)
        return 0;
    result->detail = number_format(value, storage->detail);
    return atomics_put(storage, turn, command, value);
}

int atomics_delete(struct storage *storage, const struct worker_turn *turn, struct command *command,
                   struct worker_result *result)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    MDB_val where = {key_scoped(bytes, &command->scope, command->key), bytes};

    (void)result;
    int error = mdb_del(turn->txn, storage->atomics, &where, NULL);
    return error == MDB_NOTFOUND ? 0 : map_error_unless_done("del", error);
}
