/* purger.c - see purger.h. */
#include "procs/storage/purger.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define PURGER_COMMAND_BYTES 64

static bool purger_waits_for(const struct purger *purger, const struct doomed_pending *next)
{
    return purger->is_in_flight && purger->proposed.steps == next->steps &&
           memcmp(&purger->proposed.scope, &next->scope, sizeof(next->scope)) == 0;
}

static int purger_propose(struct purger *purger, const struct doomed_pending *next)
{
    const struct command command = {
        .operation = COMMAND_SCOPE_PURGE, .scope = next->scope, .step = next->steps};
    struct buf bytes;

    buf_init(&bytes, PURGER_COMMAND_BYTES);
    CHECK(command_encode(&bytes, &command) == 0);
    int error = worker_propose_to_all(purger->worker, buf_slice(&bytes));
    buf_fini(&bytes);
    return error;
}

static void purger_drive(struct purger *purger)
{
    struct loop *loop = worker_loop(purger->worker);

    if (!worker_is_leader(purger->worker) || purger->doomed->pending_count == 0) {
        purger->is_in_flight = false;
        loop_timer_clear(loop, &purger->retry);
        return;
    }
    const struct doomed_pending *next = &purger->doomed->pending[0];
    if (purger_waits_for(purger, next))
        return;
    int error = purger_propose(purger, next);
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY); /* then the timer helps */
    purger->is_in_flight = true;
    purger->proposed = *next;
    loop_timer_set(loop, &purger->retry, loop_now_ns(loop) + PURGER_RETRY_MS * NS_PER_MS);
}

static void purger_on_retry(void *arg)
{
    struct purger *purger = arg;

    purger->is_in_flight = false;
    purger_drive(purger);
}

void purger_init(struct purger *purger, const struct doomed *doomed)
{
    *purger = (struct purger){.doomed = doomed};
    purger->retry = (struct loop_timer){.fire = purger_on_retry, .arg = purger};
}

void purger_on_committed(struct purger *purger, struct worker *worker)
{
    purger->worker = worker;
    purger_drive(purger);
}

void purger_on_role_changed(struct purger *purger, struct worker *worker)
{
    purger->worker = worker;
    purger->is_in_flight = false;
    purger_drive(purger);
}
