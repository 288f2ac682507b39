/* events.h - what the events worker knows: the ring of retained events (shm/ring.h), scopes of
 * deleted API keys, and a feed for each gateway (feed.h).
 *
 * Publishing is applied as a function of the entry and the map alone. How much the ring retains is
 * a setting of this node, and so is what purging a deleted scope finds to remove: neither is in any
 * result, nor in what nodes compare. Both are done as transactions are committed, in bounded steps.
 *
 * Functions return an error only when the map fails: E_IO, E_CORRUPT.
 */
#ifndef INSI_PROCS_EVENTS_H
#define INSI_PROCS_EVENTS_H

#include "procs/events/feed.h"
#include "procs/worker/doomed.h"
#include "procs/worker/worker.h"

#define EVENTS_DROP_STEP 8192   /* events that one transaction drops; it adds fewer */
#define EVENTS_PURGE_STEP 16384 /* events that one step looks at */

struct events {
    struct ring ring;
    struct doomed doomed;
    uint64_t purge_after; /* of the first pending scope nothing is left up to it */
    uint64_t retention_bytes;
    bool is_shrinking; /* the ring, to a retention that has become smaller */
    struct feed feeds[LIMIT_GATEWAYS];
};

void events_init(struct events *events);
void events_free(struct events *events);

/* Hooks of struct worker_kind; arg is a struct events. */
void events_configured(void *arg, const struct config *config);
int events_load(void *arg, const struct map *map, MDB_txn *txn);
int events_store(void *arg, const struct map *map, MDB_txn *txn);
int events_apply(void *arg, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result);

/* What a gateway says. */
void events_on_message(struct events *events, unsigned gateway, enum msg type, struct unpack *body,
                       uint64_t applied_index);

/* Sends to all gateways what can be sent now; all up to applied_index is committed. Live only, or
 * also a step of each sweep. */
bool events_have_news(const struct events *events, uint64_t applied_index);
bool events_have_sweeps(const struct events *events);
int events_run_live(struct events *events, MDB_txn *txn, uint64_t applied_index);
int events_run_sweeps(struct events *events, MDB_txn *txn);

/* Something is to be purged or dropped whether anything is published or not; events_store does a
 * step of it. */
bool events_have_housework(const struct events *events);

/* purge.c, a doomed_remove_fn */
int purge_remove(void *arg, MDB_txn *txn, const struct scope *scope, struct doomed_step *step,
                 bool *is_empty);

#endif
