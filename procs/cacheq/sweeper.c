/* sweeper.c - see sweeper.h. */
#include "procs/cacheq/sweeper.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define SWEEPER_COMMAND_BYTES 64

/* What has to be removed first, and from when on, in cluster time. */
static uint64_t sweeper_next(const struct cacheq *cacheq, struct command *command)
{
    if (cacheq->doomed.pending_count > 0) {
        *command = (struct command){.operation = COMMAND_SCOPE_PURGE,
                                    .scope = cacheq->doomed.pending[0].scope,
                                    .step = cacheq->doomed.pending[0].steps};
        return 0;
    }
    if (cacheq->deleted_count > 0) {
        *command = (struct command){.operation = COMMAND_QUEUE_PURGE};
        return 0;
    }
    *command = (struct command){.operation = COMMAND_CACHE_EXPIRE};
    uint64_t lease_end_ms = waiters_lease_end_ms(cacheq);
    uint64_t due_ms = lease_end_ms < cacheq->earliest_ms ? lease_end_ms : cacheq->earliest_ms;
    return due_ms < UINT64_MAX ? due_ms + SWEEPER_LATE_MS : UINT64_MAX;
}

static void sweeper_propose(struct sweeper *sweeper, const struct command *command, uint64_t now_ns)
{
    struct buf bytes;

    buf_init(&bytes, SWEEPER_COMMAND_BYTES);
    CHECK(command_encode(&bytes, command) == 0);
    int error = worker_propose(sweeper->worker, buf_slice(&bytes));
    buf_fini(&bytes);
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY); /* then the timer helps */
    sweeper->is_in_flight = true;
    sweeper->sweeps = sweeper->cacheq->sweeps;
    sweeper->retry_at_ns = now_ns + SWEEPER_RETRY_MS * NS_PER_MS;
}

static void sweeper_note_done(struct sweeper *sweeper, uint64_t now_ns)
{
    if (!sweeper->is_in_flight)
        return;
    bool is_done = sweeper->sweeps != sweeper->cacheq->sweeps;
    if (is_done)
        sweeper->pause_until_ns = now_ns + SWEEPER_PAUSE_MS * NS_PER_MS;
    if (is_done || now_ns >= sweeper->retry_at_ns)
        sweeper->is_in_flight = false;
}

static void sweeper_drive(struct sweeper *sweeper)
{
    struct loop *loop = worker_loop(sweeper->worker);
    uint64_t now_ns = loop_now_ns(loop), at_ns;
    struct command command;

    sweeper_note_done(sweeper, now_ns);
    uint64_t due_ms = sweeper_next(sweeper->cacheq, &command);
    if (!worker_is_leader(sweeper->worker) || due_ms == UINT64_MAX) {
        sweeper->is_in_flight = false;
        loop_timer_clear(loop, &sweeper->timer);
        return;
    }
    uint64_t now_ms = worker_cluster_time_ms(sweeper->worker);
    uint64_t due_ns = due_ms > now_ms ? now_ns + (due_ms - now_ms) * NS_PER_MS : now_ns;
    at_ns = due_ns > sweeper->pause_until_ns ? due_ns : sweeper->pause_until_ns;
    if (!sweeper->is_in_flight && at_ns <= now_ns)
        sweeper_propose(sweeper, &command, now_ns);
    loop_timer_set(loop, &sweeper->timer, sweeper->is_in_flight ? sweeper->retry_at_ns : at_ns);
}

static void sweeper_on_timer(void *arg)
{
    sweeper_drive(arg);
}

void sweeper_init(struct sweeper *sweeper, const struct cacheq *cacheq)
{
    *sweeper = (struct sweeper){.cacheq = cacheq};
    sweeper->timer = (struct loop_timer){.fire = sweeper_on_timer, .arg = sweeper};
}

void sweeper_on_committed(struct sweeper *sweeper, struct worker *worker)
{
    sweeper->worker = worker;
    sweeper_drive(sweeper);
}

void sweeper_on_role_changed(struct sweeper *sweeper, struct worker *worker)
{
    sweeper->worker = worker;
    sweeper->is_in_flight = false;
    sweeper_drive(sweeper);
}
