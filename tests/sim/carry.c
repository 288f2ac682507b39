/* carry.c - an update's duties, in the order that raft.h asks for. */
#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

/* ---- the disk ---------------------------------------------------------------------------------
 */

static struct sim_entry sim_carry_entry(const struct sim_node *node,
                                        const struct raft_update *update, uint64_t number,
                                        const struct raft_config *config)
{
    switch (update->append_kind) {
    case RAFT_APPEND_RECEIVED:
        return node->receiving->entries[update->append_skip + number];
    case RAFT_APPEND_PROPOSED:
        return (struct sim_entry){
            .term = update->term, .command = node->proposing[number], .bytes = SIM_ENTRY_BYTES};
    case RAFT_APPEND_CONFIG:
        return (struct sim_entry){.term = update->term, .config = config};
    case RAFT_APPEND_NONE:
    case RAFT_APPEND_EMPTY:
        break;
    }
    return (struct sim_entry){.term = update->term};
}

static void sim_carry_write(struct sim_world *world, struct sim_node *node,
                            const struct raft_update *update)
{
    struct sim_write *write = sim_disk_queue(&node->disk, update->write);
    write->hard_state = update->hard_state_changed;
    write->term = update->term;
    write->vote = update->vote;
    if (update->append_kind == RAFT_APPEND_NONE)
        return;
    const struct raft_config *config =
        update->append_kind == RAFT_APPEND_CONFIG ? sim_keep_config(world, update->config) : NULL;
    if (update->truncated) {
        SIM_MARK(world, truncations);
        sim_nemesis_chase(world);
    }
    for (uint64_t i = update->append_first; i <= sim_log_last(&node->log); i++)
        if (sim_log_at(&node->log, i)->config)
            SIM_MARK(world, config_rollbacks);
    write->first = update->append_first;
    write->count = update->append_last - update->append_first + 1;
    write->entries = mem_alloc(write->count * sizeof(write->entries[0]));
    for (uint64_t i = 0; i < write->count; i++) {
        write->entries[i] = sim_carry_entry(node, update, i, config);
        sim_log_append(&node->log, update->append_first + i, &write->entries[i]);
        sim_check_entry(world, node, update->append_first + i);
    }
    if (config && update->role == RAFT_LEADER)
        sim_check_config(world, node, update->append_last);
}

static void sim_carry_install(struct sim_world *world, struct sim_node *node,
                              const struct raft_update *update)
{
    CHECK(node->arriving && node->arriving->index == update->install_index);
    const struct sim_entry *held = sim_log_at(&node->log, update->install_index);
    if (held && held->term == update->install_term)
        sim_fail(world, "contract", "node %lu throws away a log that holds all of the snapshot",
                 node->id);
    if (held)
        SIM_MARK(world, snapshot_over_conflict);
    if (update->write == 0 && update->term != node->disk.term && node->disk.queued == 0)
        sim_fail(world, "durability", "node %lu installs with a term that it did not write",
                 node->id);
    struct sim_write *write = sim_disk_queue(&node->disk, 0);
    write->snapshot = mem_copy(node->arriving, sizeof(*node->arriving));
    for (uint64_t i = update->install_index + 1; i <= sim_log_last(&node->log); i++)
        if (sim_log_at(&node->log, i)->config)
            SIM_MARK(world, config_rollbacks);
    sim_log_reset(&node->log, update->install_index);
    sim_snapshot_abandon(node);
    node->installing = true;
    sim_nemesis_chase(world);
    SIM_MARK(world, snapshot_installed);
}

void sim_carry_sync(struct sim_world *world, struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (world->scripted || !node->raft || disk->syncing > 0 || disk->queued == 0)
        return;
    const struct sim_profile *profile = &world->profile;
    uint64_t takes = profile->fsync_ns / 2 + sim_below(world, profile->fsync_ns + 1);
    if (!world->calm && sim_chance(world, profile->fsync_slow_permille))
        takes = sim_below(world, 2 * profile->election_ns);
    for (uint32_t i = 0; i < disk->queued; i++)
        if (disk->queue[i].snapshot)
            takes += sim_below(world, profile->election_ns);
    uint64_t at = world->now_ns + takes;
    if (at < disk->stalled_until)
        at = disk->stalled_until;
    disk->syncing = disk->queued;
    sim_push(world, (struct sim_event){.time = at,
                                       .kind = SIM_SYNCED,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->incarnation});
}

/* ---- what others see ---------------------------------------------------------------------------
 */

static void sim_carry_marks(struct sim_world *world, const struct sim_node *node,
                            const struct raft_update *update)
{
    if (update->role != node->role) {
        if (update->role == RAFT_LEADER && sim_chance(world, 200))
            sim_nemesis_chase(world);
        if (update->role == RAFT_LEADER)
            SIM_MARK(world, elections);
        else if (node->role == RAFT_LEADER && update->term == node->term &&
                 node->disk.stalled_until > world->now_ns)
            SIM_MARK(world, disk_stalled);
        else if (node->role == RAFT_LEADER && update->term == node->term)
            SIM_MARK(world, quorum_lost);
        else if (node->role == RAFT_LEADER)
            SIM_MARK(world, leader_deposed);
        else if (node->role == RAFT_CANDIDATE && update->role == RAFT_FOLLOWER)
            SIM_MARK(world, vote_lost);
    }
    if (update->transfer == RAFT_TRANSFER_DONE)
        SIM_MARK(world, transfer_done);
    if (update->transfer == RAFT_TRANSFER_FAILED)
        SIM_MARK(world, transfer_failed);
    if (update->drop_lease && node->board.lease_end_ns != 0)
        SIM_MARK(world, lease_dropped);
    if (update->lease_end_ns == RAFT_LEASE_FOREVER &&
        node->board.lease_end_ns != RAFT_LEASE_FOREVER)
        SIM_MARK(world, sole_voter);
    if (update->snapshot_ignored)
        SIM_MARK(world, snapshot_ignored);
}

/* Rules of raft.h that need no oracle. */
static void sim_carry_check(struct sim_world *world, const struct sim_node *node,
                            const struct raft_update *update)
{
    if (raft_last_index(node->raft) != sim_log_last(&node->log))
        sim_fail(world, "contract", "node %lu thinks its log ends at %lu, not %lu", node->id,
                 raft_last_index(node->raft), sim_log_last(&node->log));
    if (node->board.lease_end_ns > sim_node_clock(world, node) && update->role != RAFT_LEADER)
        sim_fail(world, "contract", "node %lu steps down and does not drop its lease", node->id);
    if (!update->config_changed && !update->truncated)
        return;
    for (uint64_t i = sim_log_last(&node->log); i > node->log.base; i--) {
        const struct sim_entry *entry = sim_log_at(&node->log, i);
        if (!entry->config)
            continue;
        if (update->config_index != i || sim_keep_config(world, update->config) != entry->config)
            sim_fail(world, "contract",
                     "node %lu goes by the members of %lu, the newest are of "
                     "%lu",
                     node->id, update->config_index, i);
        return;
    }
    if (update->config_index > node->log.base)
        sim_fail(world, "contract", "node %lu goes by members that are not in its log", node->id);
}

static void sim_carry_board(struct sim_world *world, struct sim_node *node,
                            const struct raft_update *update)
{
    bool news = update->leader != node->leader || update->term != node->term;
    bool board = update->role != node->role || news ||
                 update->lease_end_ns != node->board.lease_end_ns ||
                 update->announced_index != node->board.announced;
    if (board && !update->board_changed)
        sim_fail(world, "contract", "node %lu changes what the board shows, and does not say so",
                 node->id);
    node->board.term = update->term;
    node->board.lease_end_ns = update->lease_end_ns;
    node->board.announced = update->announced_index;
    node->board.leads = update->role == RAFT_LEADER;
    node->role = update->role;
    node->term = update->term;
    node->leader = update->leader;
    if (news && update->leader != RAFT_NONE && !world->scripted) {
        node->retry_gap_ns = 0;
        sim_gateway_propose_open(world, node);
    }
}

static void sim_carry_timer(struct sim_world *world, struct sim_node *node, uint64_t deadline)
{
    node->deadline_ns = deadline;
    if (world->scripted)
        return;
    uint64_t at = deadline == RAFT_NEVER ? SIM_NEVER : sim_node_world_time(world, node, deadline);
    if (at == SIM_NEVER || (node->timer_ns != 0 && node->timer_ns <= at))
        return; /* one that comes too early brings a new one */
    node->timer_ns = at;
    sim_push(world, (struct sim_event){.time = at,
                                       .kind = SIM_TIMER,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->incarnation,
                                       .a = ++node->timer});
}

/* ---- all of it --------------------------------------------------------------------------------
 */

static void sim_carry_mix(struct sim_world *world, const struct raft_update *update)
{
    sim_mix(world, update->term * 64 + update->vote);
    sim_mix(world, update->commit_index * 8 + update->role);
    sim_mix(world, update->announced_index * 64 + update->message_count);
    sim_mix(world, update->lease_end_ns);
    sim_mix(world, update->next_deadline_ns);
}

void sim_carry_out(struct sim_world *world, struct sim_node *node, const struct raft_update *update)
{
    sim_carry_mix(world, update);
    sim_carry_marks(world, node, update);
    if (update->drop_lease)
        node->board.lease_end_ns = 0;
    if (update->write != 0)
        sim_carry_write(world, node, update);
    if (update->install)
        sim_carry_install(world, node, update);
    sim_carry_check(world, node, update);
    sim_check_update(world, node, update);
    if (update->config_changed) {
        node->config = sim_keep_config(world, update->config);
        node->config_index = update->config_index;
        node->config_committed = update->config_committed;
    }
    sim_carry_board(world, node, update);
    sim_check_lease(world, node);
    for (uint32_t i = 0; i < update->message_count; i++)
        sim_net_send(world, node, &update->messages[i]);
    if (update->transfer != RAFT_TRANSFER_NONE)
        node->asked_transfer = false;
    node->commit = update->commit_index;
    node->may_stop = update->may_stop;
    for (uint32_t i = 0; i < update->read_count; i++)
        sim_gateway_answer(world, node, &update->reads[i]);
    for (uint32_t i = 0; i < update->snapshot_peer_count; i++)
        sim_snapshot_send(world, node, update->snapshot_peers[i]);
    if (update->damage != RAFT_DAMAGE_NONE && world->scripted)
        sim_trace(world, "  %lu is damaged: %s", node->id,
                  update->damage == RAFT_DAMAGE_CONFLICT ? "conflict" : "lost entries");
    else if (update->damage != RAFT_DAMAGE_NONE)
        sim_fail(world, "damage", "node %lu sees damage of kind %d where there is none", node->id,
                 (int)update->damage);
    sim_carry_sync(world, node);
    sim_carry_timer(world, node, update->next_deadline_ns);
    sim_worker_wake(world, node);
}
