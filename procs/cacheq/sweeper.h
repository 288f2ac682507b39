/* sweeper.h - proposes, while this node leads, the commands that remove what nobody needs any more:
 * CACHE_EXPIRE when entries have been due, or waiters' leases over, for SWEEPER_LATE_MS;
 * QUEUE_PURGE while there are deleted queues; SCOPE_PURGE while scopes of deleted keys are not
 * empty.
 *
 * One is in flight at a time, and between two of them is a pause, so that a million entries that
 * expire in one second leave room for everything else. A proposal may be lost; after
 * SWEEPER_RETRY_MS or a change of role there is another one, which does no harm. With nothing to
 * remove there is no timer.
 */
#ifndef INSI_PROCS_CACHEQ_SWEEPER_H
#define INSI_PROCS_CACHEQ_SWEEPER_H

#include "procs/cacheq/cacheq.h"

#define SWEEPER_LATE_MS 1000
#define SWEEPER_PAUSE_MS 5
#define SWEEPER_RETRY_MS 2000

struct sweeper {
    const struct cacheq *cacheq;
    struct worker *worker;
    struct loop_timer timer;
    bool is_in_flight;
    uint64_t sweeps; /* of cacheq, when it was proposed */
    uint64_t pause_until_ns, retry_at_ns;
};

/* Before the first of the two below; worker as they get it. */
void sweeper_init(struct sweeper *sweeper, const struct cacheq *cacheq);

/* Hooks of the worker. */
void sweeper_on_committed(struct sweeper *sweeper, struct worker *worker);
void sweeper_on_role_changed(struct sweeper *sweeper, struct worker *worker);

#endif
