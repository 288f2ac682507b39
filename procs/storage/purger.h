/* purger.h - proposes the purge steps of deleted scopes while this node leads, for all workers: by
 * the first one the others learn of the deletion (procs/worker/doomed.h).
 *
 * One step is in flight at a time; the next is proposed when the map shows that it was done. Raft
 * may lose a proposal (it was not the leader any more, or was full, or died): on each change of
 * role and after PURGER_RETRY_MS the step is proposed again, which does no harm (doomed.h). Without
 * pending scopes there is no timer.
 */
#ifndef INSI_PROCS_STORAGE_PURGER_H
#define INSI_PROCS_STORAGE_PURGER_H

#include "procs/worker/doomed.h"
#include "procs/worker/worker.h"

#define PURGER_RETRY_MS 2000

struct purger {
    const struct doomed *doomed;
    struct worker *worker;
    struct loop_timer retry;
    bool is_in_flight;
    struct doomed_pending proposed;
};

/* Before the first of the two below; worker as they get it. */
void purger_init(struct purger *purger, const struct doomed *doomed);

/* Hooks of the worker: proposes what is to be proposed now. */
void purger_on_committed(struct purger *purger, struct worker *worker);
void purger_on_role_changed(struct purger *purger, struct worker *worker);

#endif
