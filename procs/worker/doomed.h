/* doomed.h - scopes whose API key was deleted, in the map of one worker.
 *
 * Deleting a key leaves a tombstone for its scope, for good: a command that was on its way is
 * refused by it (E_SCOPE_GONE), so nothing can be written behind the removal. What the scope holds
 * is removed by purge steps, which come through the log like any command, each bounded in keys and
 * bytes. Steps are numbered, and a step that is not the next one does nothing; so it does no harm
 * when several are proposed. Storage, which knows of the deletion, proposes its steps for all
 * workers: the first one that another worker sees leaves the tombstone there, and then that worker
 * goes on with steps of its own.
 *
 *     doomed: scope(16) -> index(8) stamp_ms(8) steps(8) is_empty(8)
 *
 * The scopes that are not yet empty are kept in memory too, in the order in which their keys were
 * deleted, as far as this process has seen it. Functions return 0, E_IO or
 * E_CORRUPT where nothing else is said.
 */
#ifndef INSI_PROCS_WORKER_DOOMED_H
#define INSI_PROCS_WORKER_DOOMED_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/map.h"

#define DOOMED_STEP_KEYS 256
#define DOOMED_STEP_BYTES (1u << 20) /* keys and values; the last one may exceed it */

struct doomed_pending {
    struct scope scope;
    uint64_t steps; /* done so far */
};

/* How much of a step is used up. */
struct doomed_step {
    unsigned removed; /* keys */
    uint64_t bytes;
};
static inline bool doomed_step_is_over(const struct doomed_step *step)
{
    return step->removed >= DOOMED_STEP_KEYS || step->bytes >= DOOMED_STEP_BYTES;
}

/* Removes of what the scope holds as much as the step allows. */
typedef int doomed_remove_fn(void *arg, MDB_txn *txn, const struct scope *scope,
                             struct doomed_step *step, bool *is_empty);

struct doomed {
    MDB_dbi scopes;
    doomed_remove_fn *remove;
    void *arg;
    struct doomed_pending *pending;
    size_t pending_count, pending_capacity;
    /* the answer to the last question, since commands of one scope come in rows */
    struct scope asked;
    bool has_asked, asked_is_doomed;
};

int doomed_load(struct doomed *doomed, const struct map *map, MDB_txn *txn,
                doomed_remove_fn *remove, void *arg);
void doomed_free(struct doomed *doomed);

/* E_SCOPE_GONE: it is doomed. */
int doomed_check(struct doomed *doomed, MDB_txn *txn, const struct scope *scope);

/* From now on the scope is doomed. */
int doomed_add(struct doomed *doomed, MDB_txn *txn, const struct scope *scope, uint64_t index,
               uint64_t stamp_ms);

/* The part of a doomed_remove_fn that is the same for every database of plain keys. */
int doomed_remove_keys(MDB_txn *txn, MDB_dbi database, const struct scope *scope,
                       struct doomed_step *step, bool *is_empty);

/* Does the step unless it was done, or the scope is empty, and says how many keys it removed.
 * E_NOT_FOUND: the scope is not doomed. */
int doomed_purge(struct doomed *doomed, MDB_txn *txn, const struct scope *scope, uint64_t step,
                 unsigned *removed);

#endif
