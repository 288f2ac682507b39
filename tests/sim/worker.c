/* worker.c - the state workers of a simulated node.
 *
 * A worker applies what it is given, in its own time; its state is a function of the entries alone
 * (I2), and its applied index is a part of it (I4). The origin's worker tells the gateway that a
 * write is done (I5). Its map outlives it, unless it is lost; then it begins with the snapshot.
 */
#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define WORKER_HASH 0x100000001b3ull
#define WORKER_CHUNK 24 /* entries of one transaction */

uint64_t sim_worker_applied(const struct sim_node *node)
{
    uint64_t applied = UINT64_MAX;
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (node->workers[i].machine.applied < applied)
            applied = node->workers[i].machine.applied;
    return applied;
}

/* ---- applying ---------------------------------------------------------------------------------
 */

static void sim_worker_schedule(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    struct sim_worker *worker = &node->workers[number];
    if (world->scripted || worker->busy || !worker->running || node->installing ||
        worker->machine.applied >= node->commit)
        return;
    worker->busy = true;
    uint64_t at = world->now_ns + sim_below(world, world->profile.apply_ns + 1);
    if (at < worker->stalled_until)
        at = worker->stalled_until;
    sim_push(world, (struct sim_event){.time = at,
                                       .kind = SIM_WORKER,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->boot,
                                       .a = number});
}

void sim_worker_wake(struct sim_world *world, struct sim_node *node)
{
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        sim_worker_schedule(world, node, i);
}

static void sim_worker_run(struct sim_world *world, struct sim_node *node, uint32_t number,
                           uint64_t index)
{
    struct sim_machine *machine = &node->workers[number].machine;
    const struct sim_entry *entry = sim_log_at(&node->log, index);
    if (!entry)
        sim_fail(world, "driver", "node %lu applies %lu, which its log has not", node->id, index);
    sim_check_applied(world, node, index);
    machine->applied = index;
    uint32_t command = (uint32_t)entry->command;
    if (command == 0 || command % SIM_WORKERS != number)
        return;
    if (machine->done[command] != 0) { /* takes effect once */
        SIM_MARK(world, proposed_twice);
        return;
    }
    sim_check_effect(world, node, command, index);
    machine->done[command] = (uint32_t)index;
    uint32_t key = command / SIM_WORKERS % SIM_KEYS;
    machine->keys[key].command = command;
    machine->keys[key].index = (uint32_t)index;
    machine->hash = ((machine->hash ^ command) * WORKER_HASH ^ index) * WORKER_HASH;
    sim_gateway_write_done(world, node, command, index);
}

static void sim_worker_publish(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    uint64_t *shown = &node->board.shown[number];
    if (*shown < node->workers[number].machine.applied)
        *shown = node->workers[number].machine.applied;
    sim_gateway_applied(world, node, number);
}

void sim_worker_apply(struct sim_world *world, struct sim_node *node, uint32_t number,
                      uint64_t up_to)
{
    struct sim_machine *machine = &node->workers[number].machine;
    if (node->installing)
        return;                            /* another state is being put in place */
    if (machine->applied < node->log.base) /* the log no longer has it (I4) */
        sim_worker_load(world, node, number);
    if (up_to > node->commit)
        up_to = node->commit;
    uint64_t stop = sim_snapshot_stop_at(node, number);
    for (uint32_t i = 0; (i < WORKER_CHUNK || world->scripted) && machine->applied < up_to &&
                         machine->applied < stop;
         i++)
        sim_worker_run(world, node, number, machine->applied + 1);
    sim_snapshot_collect(world, node, number);
    sim_worker_publish(world, node, number);
    sim_worker_tell_soon(world, node);
    sim_worker_schedule(world, node, number);
}

/* The snapshot, where it is ahead; with it come the results of writes (A3). */
void sim_worker_load(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    struct sim_machine *machine = &node->workers[number].machine;
    if (machine->applied >= node->disk.newest.index)
        return;
    SIM_MARK(world, worker_from_snapshot);
    *machine = node->disk.newest.machines[number];
    sim_gateway_results(world, node, number);
    sim_worker_publish(world, node, number);
}

/* ---- what raft hears ---------------------------------------------------------------------------
 */

void sim_worker_tell_soon(struct sim_world *world, struct sim_node *node)
{
    if (world->scripted || node->tell_pending || !node->raft)
        return;
    node->tell_pending = true;
    sim_push(world, (struct sim_event){.time = world->now_ns,
                                       .kind = SIM_TELL,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->incarnation});
}

void sim_worker_tell(struct sim_world *world, struct sim_node *node)
{
    node->tell_pending = false;
    struct raft_update update;
    bool fine = true;
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        fine &= node->workers[i].running && node->workers[i].stalled_until <= world->now_ns;
    if (fine != node->workers_told) {
        node->workers_told = fine;
        struct raft_event workers = {.kind = RAFT_EVENT_WORKERS, .workers_ok = fine};
        sim_node_step(world, node, &workers, &update);
    }
    if (node->installing)
        return;
    struct raft_event applied = {.kind = RAFT_EVENT_APPLIED,
                                 .applied_index = sim_worker_applied(node)};
    if (node->applied_high < applied.applied_index)
        node->applied_high = applied.applied_index;
    sim_node_step(world, node, &applied, &update);
    sim_snapshot_begin(world, node);
}

/* ---- life -------------------------------------------------------------------------------------
 */

void sim_worker_kill(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    SIM_MARK(world, worker_killed);
    sim_trace(world, "%lu loses worker %u", node->id, number);
    node->workers[number].running = false;
    if (node->making.snapshot)
        SIM_MARK(world, snapshot_lost);
    sim_snapshot_abandon(node);
    sim_worker_tell_soon(world, node);
}

void sim_worker_start(struct sim_world *world, struct sim_node *node, uint32_t number, bool lost)
{
    struct sim_worker *worker = &node->workers[number];
    if (node->never_whole && number == 0)
        return;
    worker->running = true;
    if (lost) {
        SIM_MARK(world, worker_rebuilt);
        worker->machine = (struct sim_machine){0};
        sim_worker_load(world, node, number);
    }
    sim_trace(world, "%lu starts worker %u at %lu", node->id, number, worker->machine.applied);
    if (worker->machine.applied < node->log.base && !node->installing)
        sim_worker_load(world, node, number);
    sim_worker_schedule(world, node, number);
    sim_worker_tell_soon(world, node);
}
