/* snapshot.c - snapshots of a simulated node: raft names an index, each worker copies its map when
 * it stands exactly there, and when all parts are on the disk the log may be cut (N1). Sending and
 * receiving take their time, too. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define SNAPSHOT_LAG_MAX 500 /* entries that are kept for a living peer */

/* ---- making -----------------------------------------------------------------------------------
 */

uint64_t sim_snapshot_stop_at(const struct sim_node *node, uint32_t worker)
{
    const struct sim_making *making = &node->making;
    if (!making->snapshot || making->have[worker])
        return UINT64_MAX;
    return making->snapshot->index;
}

void sim_snapshot_abandon(struct sim_node *node)
{
    free(node->making.snapshot);
    node->making = (struct sim_making){0};
}

void sim_snapshot_collect(struct sim_world *world, struct sim_node *node, uint32_t worker)
{
    struct sim_making *making = &node->making;
    const struct sim_machine *machine = &node->workers[worker].machine;
    if (!making->snapshot || making->have[worker] || machine->applied < making->snapshot->index)
        return;
    if (machine->applied > making->snapshot->index) { /* jumped over it */
        sim_snapshot_abandon(node);
        SIM_MARK(world, snapshot_lost);
        return;
    }
    making->snapshot->machines[worker] = *machine;
    making->have[worker] = true;
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (!making->have[i])
            return;
    sim_push(world, (struct sim_event){.time = world->now_ns +
                                               sim_below(world, world->profile.election_ns / 4),
                                       .kind = SIM_SNAPSHOT_WRITTEN,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->incarnation,
                                       .pointer = making->snapshot});
    *making = (struct sim_making){.writing = true};
}

void sim_snapshot_begin(struct sim_world *world, struct sim_node *node)
{
    uint64_t gap = world->profile.snapshot_gap, index = 0;
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (node->workers[i].machine.applied > index)
            index = node->workers[i].machine.applied;
    if (world->scripted || gap == 0 || node->making.snapshot || node->making.writing ||
        node->installing || index > node->commit || index < node->disk.newest.index + gap)
        return;
    struct sim_snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    snapshot->index = index;
    snapshot->term = raft_term_at(node->raft, index);
    snapshot->config =
        sim_keep_config(world, raft_config_at(node->raft, index, &snapshot->config_index));
    node->making = (struct sim_making){.snapshot = snapshot};
    for (uint32_t i = 0; i < SIM_WORKERS && node->making.snapshot; i++)
        sim_snapshot_collect(world, node, i);
}

/* The log is cut behind the older snapshot, but a leader leaves what a living peer still lacks,
 * within bounds: else the log runs away from a peer that is being sent a snapshot, again and again
 * (N5). */
static uint64_t sim_snapshot_cut(const struct sim_world *world, const struct sim_node *node)
{
    uint64_t cut = node->disk.floor.index, last = sim_log_last(&node->log);
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint32_t count =
        sim_node_leads(node) ? raft_peers(node->raft, sim_node_clock(world, node), peers) : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t needs = peers[i].snapshot ? node->log.base : peers[i].match_index;
        if (peers[i].active && needs < cut && last - needs < SNAPSHOT_LAG_MAX)
            cut = needs;
    }
    return cut;
}

void sim_snapshot_written(struct sim_world *world, struct sim_node *node,
                          const struct sim_snapshot *snapshot)
{
    node->making.writing = false;
    if (node->installing || snapshot->index <= node->disk.newest.index)
        return; /* another one came from outside meanwhile */
    node->disk.floor = node->disk.newest;
    node->disk.newest = *snapshot;
    uint64_t floor = sim_snapshot_cut(world, node);
    SIM_MARK(world, snapshot_made);
    sim_trace(world, "%lu has made snapshot %lu, log cut at %lu", node->id, snapshot->index, floor);
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_MADE,
                               .snapshot_made = {snapshot->index, floor}};
    struct raft_update update;
    sim_node_step(world, node, &event, &update);
    sim_log_cut_front(&node->log, floor);
    sim_log_cut_front(&node->disk.log, floor);
}

/* ---- handing over ------------------------------------------------------------------------------
 */

void sim_snapshot_send(struct sim_world *world, struct sim_node *node, uint64_t peer)
{
    struct sim_node *to = sim_node_by_id(world, peer);
    const struct sim_snapshot *newest = &node->disk.newest;
    sim_trace(world, "%lu sends snapshot %lu to %lu", node->id, newest->index, peer);
    if (world->scripted)
        return;
    uint32_t a = sim_node_number(world, node), b = sim_node_number(world, to);
    bool arrives =
        !sim_net_is_cut(world, a, b) && to->up && (world->calm || !sim_chance(world, 100));
    uint64_t at = world->now_ns + sim_net_delay(world);
    uint64_t late = 3 * world->profile.election_ns;
    if (arrives)
        at += sim_below(world, world->profile.election_ns);
    SIM_MARK(world, snapshot_sent);
    sim_nemesis_chase(world);
    if (!arrives)
        SIM_MARK(world, snapshot_failed);
    for (uint32_t copies = arrives ? 1 + sim_chance(world, world->profile.duplicate_permille) : 0;
         copies > 0; copies--)
        sim_push(world, (struct sim_event){.time = at + (copies > 1 ? sim_below(world, late) : 0),
                                           .kind = SIM_SNAPSHOT_ARRIVED,
                                           .node = b,
                                           .a = node->id,
                                           .b = node->term,
                                           .pointer = mem_copy(newest, sizeof(*newest))});
    sim_push(world, (struct sim_event){.time = at + sim_net_delay(world),
                                       .kind = SIM_SNAPSHOT_SENT,
                                       .node = a,
                                       .only_in = node->incarnation,
                                       .a = peer,
                                       .b = newest->index,
                                       .c = arrives});
}

/* One that comes unasked: an old stream that was thought lost, or asked for twice. */
void sim_snapshot_stray(struct sim_world *world, const struct sim_node *from)
{
    uint32_t to = (uint32_t)sim_below(world, world->node_count);
    const struct sim_snapshot *newest = &from->disk.newest;
    if (!sim_node_leads(from) || newest->index == 0 || &world->nodes[to] == from)
        return;
    sim_push(world, (struct sim_event){.time = world->now_ns +
                                               sim_below(world, 3 * world->profile.election_ns),
                                       .kind = SIM_SNAPSHOT_ARRIVED,
                                       .node = to,
                                       .a = from->id,
                                       .b = from->term,
                                       .pointer = mem_copy(newest, sizeof(*newest))});
}

void sim_snapshot_arrive(struct sim_world *world, struct sim_node *node, uint64_t from,
                         uint64_t leader_term, const struct sim_snapshot *snapshot)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_RECEIVED};
    event.snapshot_received.from = from;
    event.snapshot_received.leader_term = leader_term;
    event.snapshot_received.index = snapshot->index;
    event.snapshot_received.term = snapshot->term;
    event.snapshot_received.config = snapshot->config;
    event.snapshot_received.config_index = snapshot->config_index;
    sim_trace(world, "%lu <- %lu snapshot %lu term=%lu", node->id, from, snapshot->index,
              snapshot->term);
    struct raft_update update;
    node->arriving = snapshot;
    sim_node_step(world, node, &event, &update);
    node->arriving = NULL;
}
