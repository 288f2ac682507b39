/* node.c - a machine and its raft process: starts, deaths, and the feeding of events. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define NODE_CLOCK_START 1000000000000ull

bool sim_node_leads(const struct sim_node *node)
{
    return node->raft && node->role == RAFT_LEADER;
}

/* ---- life -------------------------------------------------------------------------------------
 */

void sim_node_init(struct sim_world *world, uint64_t id, const struct raft_config *genesis)
{
    CHECK(world->node_count < SIM_NODES_MAX);
    struct sim_node *node = &world->nodes[world->node_count++];
    uint64_t spread = world->profile.clock_spread;
    *node = (struct sim_node){.id = id, .genesis = genesis, .config = genesis};
    node->disk.newest.config = node->disk.floor.config = genesis;
    node->clock_rate = (1u << 20) - spread + sim_below(world, 2 * spread + 1);
}

void sim_node_fini(struct sim_node *node)
{
    raft_free(&node->raft);
    sim_snapshot_abandon(node);
    sim_disk_fini(&node->disk);
    free(node->log.entries);
}

/* A map that is ahead of the log would have applied what was not on the disk (P8). */
static void sim_node_check_maps(struct sim_world *world, struct sim_node *node)
{
    for (uint32_t i = 0; i < SIM_WORKERS; i++) {
        uint64_t applied = node->workers[i].machine.applied;
        if (applied > sim_log_last(&node->log))
            sim_fail(world, "durability", "node %lu applied %lu, its log ends at %lu", node->id,
                     applied, sim_log_last(&node->log));
        if (applied < node->log.base && node->workers[i].running)
            sim_worker_load(world, node, i);
    }
}

static struct raft_options sim_node_options(const struct sim_world *world,
                                            const struct sim_node *node)
{
    const struct sim_profile *profile = &world->profile;
    const struct sim_disk *disk = &node->disk;
    return (struct raft_options){
        .self = node->id,
        .seed = world->seed * 1000003 + node->id * 1009 + node->incarnation,
        .election_timeout_ns = profile->election_ns,
        .heartbeat_ns = profile->heartbeat_ns,
        .reads = profile->reads,
        .first_start = !node->exists,
        .manual_promotion = profile->manual_promotion,
        .append_entries = profile->append_entries,
        .append_bytes = profile->append_bytes,
        .window_messages = profile->window_messages,
        .window_bytes = profile->window_bytes,
        .promote_lag = profile->promote_lag,
        .uncommitted_bytes = profile->uncommitted_bytes,
        .term = disk->term,
        .vote = disk->vote,
        .base_index = disk->floor.index,
        .base_term = disk->floor.term,
        .snapshot_index = disk->newest.index,
        .config = *disk->floor.config,
        .config_index = disk->floor.config_index,
    };
}

void sim_node_start_raft(struct sim_world *world, struct sim_node *node)
{
    CHECK(!node->raft && node->up);
    node->incarnation++;
    node->board.epoch++; /* before anything else (I7) */
    node->board.lease_end_ns = 0;
    node->board.leads = false;
    sim_disk_recover(world, &node->disk);
    struct raft_options options = sim_node_options(world, node);
    node->exists = true;
    node->started_ns = world->now_ns;
    node->timer_ns = 0;
    node->may_stop = node->stopping = node->installing = node->tell_pending = false;
    node->asked_transfer = false;
    node->workers_told = true;
    node->applied_high = 0;
    node->commit = node->disk.floor.index;
    node->role = RAFT_FOLLOWER;
    node->raft = raft_new(&options);
    sim_log_reset(&node->log, node->disk.floor.index);
    for (uint64_t i = 0; i < node->disk.log.count; i++) {
        const struct sim_entry *entry = &node->disk.log.entries[i];
        sim_log_append(&node->log, node->log.base + i + 1, entry);
        raft_load(node->raft, node->log.base + i + 1,
                  &(struct raft_entry){
                      .term = entry->term, .bytes = entry->bytes, .config = entry->config});
    }
    sim_node_check_maps(world, node);
    sim_trace(world, "%lu starts term=%lu log=%lu..%lu", node->id, options.term, node->log.base + 1,
              sim_log_last(&node->log));
    sim_node_happen(world, node, RAFT_EVENT_START);
    sim_worker_tell_soon(world, node);
}

/* After a power loss the maps, which are caches, begin with the newest snapshot. */
void sim_node_start_machine(struct sim_world *world, struct sim_node *node)
{
    CHECK(!node->up && !node->gone);
    node->up = true;
    node->boot++;
    node->paused_until = node->raft_paused_until = 0;
    node->clock_offset = world->scripted ? 0 : sim_below(world, NODE_CLOCK_START);
    node->board = (struct sim_board){0};
    node->retry_ns = node->retry_gap_ns = 0;
    sim_disk_recover(world, &node->disk);
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        node->workers[i] =
            (struct sim_worker){.machine = node->disk.newest.machines[i], .running = true};
    sim_node_start_raft(world, node);
}

void sim_node_kill_raft(struct sim_world *world, struct sim_node *node)
{
    if (!node->raft)
        return;
    sim_trace(world, "%lu killed", node->id);
    SIM_MARK(world, raft_killed);
    if (sim_node_has_lease(world, node))
        SIM_MARK(world, lease_outlived);
    raft_free(&node->raft);
    node->role = RAFT_FOLLOWER;
    node->raft_paused_until = 0;
    sim_disk_lose(world, &node->disk);
    sim_snapshot_abandon(node);
    node->config = sim_disk_config(&node->disk, &node->config_index);
}

void sim_node_kill_machine(struct sim_world *world, struct sim_node *node)
{
    if (!node->up)
        return;
    SIM_MARK(world, machine_killed);
    sim_node_kill_raft(world, node);
    sim_trace(world, "%lu without power", node->id);
    sim_gateway_kill(world, node);
    node->up = false;
    node->board = (struct sim_board){0};
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        node->workers[i].running = false;
}

/* ---- events -----------------------------------------------------------------------------------
 */

void sim_node_step(struct sim_world *world, struct sim_node *node, struct raft_event *event,
                   struct raft_update *update)
{
    event->now_ns = sim_node_clock(world, node);
    world->steps++;
    if (raft_step(node->raft, event, update) != 0)
        sim_fail(world, "validity", "node %lu refused an event of kind %d", node->id,
                 (int)event->kind);
    sim_trace_update(world, node, update);
    sim_carry_out(world, node, update);
}

void sim_node_happen(struct sim_world *world, struct sim_node *node, enum raft_event_kind kind)
{
    struct raft_update update;
    if (kind == RAFT_EVENT_STOP)
        node->asked_transfer = true;
    sim_node_step(world, node, &(struct raft_event){.kind = kind}, &update);
}

static void sim_node_vote_marks(struct sim_world *world, const struct sim_node *node,
                                const struct raft_message *vote)
{
    const struct sim_promise *promise = &node->promises[0];
    if (node->incarnation > 1 && world->now_ns < node->started_ns + world->profile.election_ns)
        SIM_MARK(world, vote_in_grace);
    else if (world->now_ns < promise->until_world && promise->to != vote->from && !vote->vote.pre)
        SIM_MARK(world, vote_in_promise);
}

void sim_node_receive(struct sim_world *world, struct sim_node *node, struct sim_message *message)
{
    struct raft_entry entries[SIM_APPEND_MAX];
    if (message->raft.kind == RAFT_MESSAGE_APPEND) {
        CHECK(message->raft.append.count <= SIM_APPEND_MAX);
        for (uint32_t i = 0; i < message->raft.append.count; i++)
            entries[i] = (struct raft_entry){.term = message->entries[i].term,
                                             .bytes = message->entries[i].bytes,
                                             .config = message->entries[i].config};
        message->raft.append.entries = entries;
    }
    sim_trace_message(world, "<-", &message->raft);
    if (message->raft.kind == RAFT_MESSAGE_VOTE)
        sim_node_vote_marks(world, node, &message->raft);
    struct raft_event event = {.kind = RAFT_EVENT_RECEIVE, .message = &message->raft};
    struct raft_update update;
    node->receiving = message;
    sim_node_step(world, node, &event, &update);
    node->receiving = NULL;
    if (message->raft.kind == RAFT_MESSAGE_APPEND && update.term == message->raft.term)
        sim_promise_hear(world, node, &message->raft);
}

void sim_node_time(struct sim_world *world, struct sim_node *node)
{
    node->timer_ns = 0;
    sim_node_happen(world, node, RAFT_EVENT_TIME);
}

/* So many queued writes are on the disk. */
void sim_node_synced(struct sim_world *world, struct sim_node *node, uint32_t writes)
{
    bool installed;
    uint64_t number = sim_disk_finish(&node->disk, writes, &installed);
    node->disk.syncing = 0;
    struct raft_update update;
    if (installed) {
        node->installing = false;
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_INSTALLED,
                                   .installed_index = node->disk.newest.index};
        sim_node_step(world, node, &event, &update);
        for (uint32_t i = 0; i < SIM_WORKERS; i++)
            if (node->workers[i].running)
                sim_worker_load(world, node, i);
        sim_worker_tell_soon(world, node);
    }
    if (number > 0) {
        struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .write = number};
        sim_node_step(world, node, &event, &update);
    }
    sim_carry_sync(world, node);
}
