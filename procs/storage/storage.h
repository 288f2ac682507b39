/* storage.h - what the storage worker knows: values, atomics and API keys (layout: shm/keys.h).
 *
 * Commands come from the log, decoded and checked against base/limits.h, and are applied as a
 * function of themselves and the map alone. What clients did wrong is the result of the command
 * (worker_result); functions return an error only when the map fails: E_IO, E_CORRUPT.
 */
#ifndef INSI_PROCS_STORAGE_H
#define INSI_PROCS_STORAGE_H

#include "procs/storage/number.h"
#include "procs/worker/doomed.h"
#include "procs/worker/worker.h"

struct storage {
    MDB_dbi values, atomics, apikeys;
    struct doomed doomed;
    char detail[NUMBER_TEXT_BYTES]; /* what the last result's detail borrows from */
};

typedef int storage_apply_fn(struct storage *storage, const struct worker_turn *turn,
                             struct command *command, struct worker_result *result);

/* Hooks of struct worker_kind; arg is a struct storage. */
int storage_load(void *arg, const struct map *map, MDB_txn *txn);
int storage_apply(void *arg, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result);

void storage_free(struct storage *storage);

/* values.c */
storage_apply_fn values_set, values_delete, values_batch_set, values_batch_delete, values_setnx,
    values_cas, values_bump;

/* atomics.c */
storage_apply_fn atomics_new, atomics_add, atomics_delete;
/* apikeys.c */
storage_apply_fn apikeys_create, apikeys_delete, apikeys_purge;

#endif
