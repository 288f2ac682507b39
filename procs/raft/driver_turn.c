/* driver_turn.c - what gateways and workers want, gathered over a turn; the turn's end; the stop.
 */
#include "procs/raft/driver_private.h"

#include <malloc.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/entry.h"
#include "procs/raft/discard.h"

#define DRIVER_TRIM_BYTES (1u << 20)
#define DRIVER_TRIM_QUIET_NS NS_PER_S
#define DRIVER_STOP_LOOK_NS NS_PER_MS      /* between two looks at who still has to hear what */
#define DRIVER_STOP_WAIT_NS (NS_PER_S / 2) /* for workers that do not apply */

/* ---- proposals --------------------------------------------------------------------------------
 */

static int driver_refusal_error(enum raft_refusal refusal)
{
    switch (refusal) {
    case RAFT_REFUSED_BUSY:
        return E_BUSY;
    default: /* not the leader, or not for long: whoever is next will take it */
        return E_NO_LEADER;
    }
}

static void driver_propose(struct driver *driver)
{
    struct proposals *proposals = &driver->proposals;
    if (proposals->count == 0)
        return;
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE};
    event.propose.count = proposals->count;
    event.propose.bytes = proposals->sizes;
    enum raft_refusal refusal = driver_step(driver, &event);
    for (uint32_t i = 0; i < proposals->count && refusal != RAFT_TAKEN; i++)
        forwarding_refuse(&driver->forwarding, &proposals->origins[i],
                          driver_refusal_error(refusal));
    proposals_clear(proposals);
}

static void driver_add_proposal(struct driver *driver, const struct proposal_origin *origin,
                                struct slice entry)
{
    if (proposals_is_full(&driver->proposals))
        driver_propose(driver);
    proposals_add(&driver->proposals, origin, entry);
}

void driver_take_proposal(struct driver *driver, const struct proposal_origin *origin,
                          struct slice entry)
{
    if (driver->group.is_stopping)
        forwarding_refuse(&driver->forwarding, origin, E_NO_LEADER);
    else if (disk_room_is_full(&driver->room, entry.len) ||
             disk_room_others_are_full(&driver->room))
        forwarding_refuse(&driver->forwarding, origin, E_STORAGE_FULL);
    else
        driver_add_proposal(driver, origin, entry);
}

static void driver_on_gateway_proposes(void *arg, const struct proposal_origin *origin,
                                       struct slice entry)
{
    struct driver *driver = arg;
    if (!group_leads(&driver->group) && !driver->group.is_stopping)
        forwarding_pass_on(&driver->forwarding, origin, entry);
    else
        driver_take_proposal(driver, origin, entry);
}

/* A worker's own command frees space, so it is taken as long as the log has room at all. What is
 * dropped here the worker proposes again. */
static void driver_on_worker_proposes(void *arg, enum proc worker, struct slice command,
                                      bool is_for_all)
{
    struct driver *driver = arg;
    static const struct proposal_origin origin = {.gateway = PROPOSAL_OF_WORKER};
    struct entry entry = {.part_count = 1, .parts = {{worker, command}}};
    if (is_for_all) {
        entry.part_count = PROC_WORKER_COUNT;
        for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
            entry.parts[i] = (struct entry_part){(enum proc)(PROC_FIRST_WORKER + i), command};
    }
    if (!group_leads(&driver->group) || driver->group.is_stopping || !wal_has_reserve(driver->wal))
        return;
    buf_clear(&driver->scratch);
    int error = entry_encode(&driver->scratch, &entry);
    if (error == 0)
        driver_add_proposal(driver, &origin, buf_slice(&driver->scratch));
    else
        LOG_WARN("entry_refused", LOG_STR("worker", proc_name(worker)),
                 LOG_STR("error", error_text(error)));
}

/* ---- questions --------------------------------------------------------------------------------
 */

struct driver_answer {
    struct driver *driver;
    int error;
    uint64_t index;
};

static void driver_answer_read(const struct reads_origin *origin, void *arg)
{
    const struct driver_answer *answer = arg;
    gateways_answer(&answer->driver->gateways, origin, answer->error, answer->index);
}

void driver_answer_reads(struct driver *driver, uint64_t read_id, int error, uint64_t index)
{
    struct driver_answer answer = {driver, error, index};
    reads_answer(&driver->reads, read_id, driver_answer_read, &answer);
}

static void driver_on_gateway_asks(void *arg, const struct reads_origin *origin)
{
    struct driver *driver = arg;
    if (driver->group.is_stopping || !reads_add(&driver->reads, origin))
        gateways_answer(&driver->gateways, origin, E_NO_LEADER, 0);
}

static void driver_ask(struct driver *driver)
{
    uint64_t read_id = reads_ask(&driver->reads);
    if (read_id == 0)
        return;
    struct raft_event event = {.kind = RAFT_EVENT_READ, .read_id = read_id};
    if (driver_step(driver, &event) != RAFT_TAKEN)
        driver_answer_reads(driver, read_id, E_NO_LEADER, 0);
}

/* ---- workers ----------------------------------------------------------------------------------
 */

static void driver_on_applied(void *arg, uint64_t index)
{
    struct raft_event event = {.kind = RAFT_EVENT_APPLIED, .applied_index = index};
    driver_step(arg, &event);
}

static void driver_on_workers_ok(void *arg, bool ok)
{
    struct raft_event event = {.kind = RAFT_EVENT_WORKERS, .workers_ok = ok};
    driver_step(arg, &event);
}

static void driver_on_failed(void *arg, int error)
{
    driver_give_up(arg, error);
}

static void driver_on_gateway_asks_cluster(void *arg, const struct reads_origin *origin)
{
    struct driver *driver = arg;
    admin_status_ask(&driver->status, origin);
}

static void driver_on_gateway_changes(void *arg, const struct reads_origin *origin,
                                      const struct msg_change *msg)
{
    struct driver *driver = arg;
    admin_changes_ask(&driver->changes, origin, msg);
}

void driver_hook_gateways(struct driver *driver, struct gateways_hooks *hooks)
{
    *hooks = (struct gateways_hooks){.propose = driver_on_gateway_proposes,
                                     .ask = driver_on_gateway_asks,
                                     .ask_cluster = driver_on_gateway_asks_cluster,
                                     .change = driver_on_gateway_changes,
                                     .arg = driver};
}

static void driver_on_checkpoint(void *arg, enum proc worker, uint64_t index, uint64_t hash)
{
    struct driver *driver = arg;
    state_watch_on_checkpoint(&driver->watch, worker, index, hash);
}

void driver_hook_workers(struct driver *driver, struct apply_hooks *hooks)
{
    *hooks = (struct apply_hooks){.applied = driver_on_applied,
                                  .workers_ok = driver_on_workers_ok,
                                  .propose = driver_on_worker_proposes,
                                  .failed = driver_on_failed,
                                  .choose = driver_on_worker_lacks,
                                  .loaded = driver_on_worker_loaded,
                                  .part_made = driver_on_part_made,
                                  .checkpoint = driver_on_checkpoint,
                                  .arg = driver};
}

/* ---- the end of a turn ------------------------------------------------------------------------
 */

/* A quiet second after much was written: what malloc keeps goes back to the system. */
void driver_on_trim_timer(void *arg)
{
    struct driver *driver = arg;
    if (driver->trim.bytes == driver->trim.seen_bytes) {
        malloc_trim(0);
        driver->trim.trimmed_bytes = driver->trim.bytes;
        return;
    }
    driver->trim.seen_bytes = driver->trim.bytes;
    loop_timer_set(driver->loop, &driver->trim.timer,
                   loop_now_ns(driver->loop) + DRIVER_TRIM_QUIET_NS);
}

static void driver_watch_memory(struct driver *driver)
{
    driver->trim.bytes =
        driver->entry_bytes + driver->apply.sent_bytes + driver->sends.bytes + driver->intake.bytes;
    if (driver->trim.bytes - driver->trim.trimmed_bytes >= DRIVER_TRIM_BYTES &&
        driver->trim.timer.due_ns == 0)
        loop_timer_set(driver->loop, &driver->trim.timer,
                       loop_now_ns(driver->loop) + DRIVER_TRIM_QUIET_NS);
}

/* As another node: its next life has no log. */
static _Noreturn void driver_begin_anew(struct driver *driver)
{
    int error = discard_mark(&driver->skel->paths);
    if (error)
        driver_give_up(driver, error);
    LOG_WARN("node_begins_anew", LOG_U64("raft_id", driver->group.raft_id),
             LOG_U64("last_index", raft_last_index(driver->raft)));
    skel_exit(driver->skel, 1); /* and is started again */
}

/* The log's thread is woken first: it works while the rest is done. */
void driver_on_turn_end(void *arg)
{
    struct driver *driver = arg;
    driver_propose(driver);
    wal_flush(driver->wal);
    driver_ask(driver);
    admin_changes_serve(&driver->changes);
    driver_tell_peers(driver);
    peers_flush(driver->peers);
    if (driver->begins_anew)
        driver_begin_anew(driver);
    if (!driver->group.is_stopping)
        snapshots_consider(&driver->snapshots);
    apply_pump(&driver->apply);
    wal_flush(driver->wal);
    driver_watch_memory(driver);
}

/* ---- the stop ---------------------------------------------------------------------------------
 */

static _Noreturn void driver_finish(struct driver *driver)
{
    driver_transfer_close(driver);
    snapshots_close(&driver->snapshots);
    gateways_close(&driver->gateways);
    apply_close(&driver->apply);
    wal_close(&driver->wal);
    LOG_INFO("log_closed", LOG_U64("last_index", raft_last_index(driver->raft)));
    skel_exit(driver->skel, 0);
}

void driver_on_stop_timer(void *arg)
{
    struct driver *driver = arg;
    uint64_t now_ns = clock_boot_ns();
    bool done = driver->may_stop && driver->persisted == driver->write &&
                apply_is_settled(&driver->apply) && gateways_are_idle(&driver->gateways) &&
                peers_are_idle(driver->peers);
    if (done || now_ns >= driver->stop_deadline_ns)
        driver_finish(driver); /* what is queued is still written: wal_close does */
    loop_timer_set(driver->loop, &driver->stop_timer, now_ns + DRIVER_STOP_LOOK_NS);
}

void driver_yield(struct driver *driver)
{
    driver->is_yielding = true;
    handover_begin(&driver->handover, false);
}

void driver_reload(struct driver *driver)
{
    (void)peers_reload(driver->peers, &driver->skel->config);
}

void driver_finish_work(struct driver *driver)
{
    struct raft_event event = {.kind = RAFT_EVENT_STOP};
    driver_propose(driver);
    driver_ask(driver);
    driver->group.is_stopping = true;
    snapshots_drop(&driver->snapshots);
    driver->stop_deadline_ns = clock_boot_ns() + DRIVER_STOP_WAIT_NS;
    forwarding_tell(&driver->forwarding);
    driver_step(driver, &event);
    driver_on_stop_timer(driver);
}

void driver_stop(struct driver *driver)
{
    handover_begin(&driver->handover, true);
}
