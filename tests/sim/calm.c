/* calm.c - the end of a seed: faults are over for a set of nodes that can do without the others,
 * and those must now elect a leader and do all that is open. What stays in trouble may not hold
 * them up: machines without power, nodes that hear nobody, or that nobody hears. */
#include <string.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define CALM_LEADER_TIMEOUTS 10
#define CALM_DONE_TIMEOUTS 40

/* ---- who must do without whom -------------------------------------------------------------------
 */

bool sim_calm_is_learner(const struct sim_world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        for (uint32_t k = 0; k < world->nodes[i].config->count; k++)
            if (world->nodes[i].config->members[k].id == id &&
                !world->nodes[i].config->members[k].voter)
                return true;
    return false;
}

static bool sim_calm_has_majority(struct sim_world *world, const struct raft_config *config)
{
    uint32_t voters = 0, core = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        const struct sim_node *node = sim_node_by_id(world, config->members[i].id);
        voters += config->members[i].voter;
        core += config->members[i].voter && world->core[sim_node_number(world, node)];
    }
    return voters == 0 || core > voters / 2;
}

/* Whatever config any log leads to, also when it loses what is not on its disk yet, the core has a
 * majority of the voters. */
static bool sim_calm_is_enough(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *node = &world->nodes[i];
        uint64_t index;
        if (!node->gone && (!sim_calm_has_majority(world, node->config) ||
                            !sim_calm_has_majority(world, sim_disk_config(&node->disk, &index))))
            return false;
    }
    return true;
}

static bool sim_calm_may_stand(const struct sim_node *node)
{
    const struct raft_config *config = node->config;
    for (uint32_t i = 0; i < config->count; i++)
        if (config->members[i].id == node->id)
            return config->members[i].voter;
    return false;
}

static bool sim_calm_votes(const struct sim_node *voter, const struct sim_node *candidate)
{
    const struct sim_log *a = &voter->disk.log, *b = &candidate->disk.log;
    uint64_t a_term = a->count > 0 ? a->entries[a->count - 1].term : voter->disk.floor.term;
    uint64_t b_term = b->count > 0 ? b->entries[b->count - 1].term : candidate->disk.floor.term;
    return b_term > a_term || (b_term == a_term && sim_log_last(b) >= sim_log_last(a));
}

/* Is there one in the core that the others would elect? A learner that it does not know to be a
 * voter may have a newer log than all of them, from a leader that is missing. */
static bool sim_calm_can_elect(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *candidate = &world->nodes[i];
        uint32_t voters = 0, votes = 0;
        for (uint32_t k = 0; k < candidate->config->count; k++) {
            const struct raft_member *member = &candidate->config->members[k];
            const struct sim_node *voter = sim_node_by_id(world, member->id);
            voters += member->voter;
            votes += member->voter && world->core[sim_node_number(world, voter)] &&
                     sim_calm_votes(voter, candidate);
        }
        if (world->core[i] && sim_calm_may_stand(candidate) && votes > voters / 2)
            return true;
    }
    return false;
}

/* Can it do without this node, too? */
bool sim_calm_can_spare(struct sim_world *world, uint32_t number)
{
    world->core[number] = false;
    bool can = sim_calm_is_enough(world) && sim_calm_can_elect(world);
    world->core[number] = !can;
    return can;
}

static void sim_calm_choose(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        world->core[i] = !world->nodes[i].gone;
    if (!world->profile.leave_some_broken)
        return;
    for (uint32_t tries = 0; tries < world->node_count; tries++) {
        uint32_t i = (uint32_t)sim_below(world, world->node_count);
        if (!world->core[i] || sim_calm_is_learner(world, world->nodes[i].id))
            continue; /* a learner may be about to be promoted */
        sim_calm_can_spare(world, i);
    }
}

enum calm_trouble {
    CALM_DEAD,
    CALM_CUT_OFF,
    CALM_MUTE,      /* is heard by nobody */
    CALM_DEAF,      /* hears nobody */
    CALM_NO_DISK,   /* nothing that it writes is ever done: it must not lead (E8) */
    CALM_NO_WORKER, /* nor may one that cannot apply */
    CALM_TROUBLES
};

static void sim_calm_break(struct sim_world *world, uint32_t number)
{
    struct sim_node *node = &world->nodes[number];
    enum calm_trouble trouble = (enum calm_trouble)sim_below(world, CALM_TROUBLES);
    if (node->gone)
        return;
    SIM_MARK(world, some_left_broken);
    if (!node->up && trouble != CALM_DEAD)
        sim_node_start_machine(world, node);
    if (trouble == CALM_DEAD)
        sim_node_kill_machine(world, node);
    if (trouble == CALM_NO_DISK)
        node->disk.stalled_until = SIM_NEVER;
    node->never_whole = trouble == CALM_NO_WORKER;
    if (trouble == CALM_NO_WORKER)
        sim_worker_kill(world, node, 0);
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (trouble == CALM_CUT_OFF || trouble == CALM_DEAF)
            world->cut_until[i][number] = SIM_NEVER;
        if (trouble == CALM_CUT_OFF || trouble == CALM_MUTE)
            world->cut_until[number][i] = SIM_NEVER;
    }
    sim_gateway_kill(world, node); /* its clients go elsewhere */
    sim_trace(world, "%lu is left in trouble of kind %d", node->id, (int)trouble);
}

static void sim_calm_mend(struct sim_world *world, uint32_t number)
{
    struct sim_node *node = &world->nodes[number];
    uint64_t until[] = {node->paused_until, node->raft_paused_until, node->disk.stalled_until};
    for (uint32_t i = 0; i < 3; i++) /* what is over already is in the past */
        if (world->calm_ns < until[i])
            world->calm_ns = until[i];
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (world->calm_ns < node->workers[i].stalled_until)
            world->calm_ns = node->workers[i].stalled_until;
    if (!node->up) {
        sim_node_start_machine(world, node);
        return;
    }
    if (!node->raft)
        sim_node_start_raft(world, node);
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (!node->workers[i].running)
            sim_worker_start(world, node, i, false);
}

void sim_calm_begin(struct sim_world *world)
{
    sim_trace(world, "calm");
    world->calm = true;
    world->calm_ns = world->now_ns;
    memset(world->cut_until, 0, sizeof(world->cut_until));
    memset(world->clog_until, 0, sizeof(world->clog_until));
    sim_calm_choose(world);
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->core[i])
            sim_calm_mend(world, i);
    for (uint32_t i = 0; i < world->node_count; i++)
        if (!world->core[i])
            sim_calm_break(world, i);
}

/* ---- is all well? ------------------------------------------------------------------------------
 */

/* The leader of the newest term in the core. */
static struct sim_node *sim_calm_leader(struct sim_world *world)
{
    struct sim_node *leader = NULL;
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        if (world->core[i] && sim_node_leads(node) && (!leader || leader->term < node->term))
            leader = node;
    }
    return leader;
}

static bool sim_calm_is_member(const struct sim_node *leader, uint64_t id)
{
    for (uint32_t i = 0; i < leader->config->count; i++)
        if (leader->config->members[i].id == id)
            return true;
    return false;
}

/* One who leads without a disk or a worker shows it when there is something to do. */
static void sim_calm_keep_busy(struct sim_world *world)
{
    uint64_t timeout = world->profile.election_ns;
    if (world->busy_ns != 0 && world->now_ns < world->busy_ns + 3 * timeout)
        return;
    world->busy_ns = world->now_ns;
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->core[i])
            sim_gateway_write(world, &world->nodes[i]);
}

/* A write and a read at each node that belongs to it: do they still serve? */
static void sim_calm_ask(struct sim_world *world, const struct sim_node *leader)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        if (!world->core[i] || !sim_calm_is_member(leader, node->id))
            continue;
        sim_gateway_write(world, node);
        sim_gateway_read(world, node);
    }
}

/* What is still missing; NULL: nothing. */
static const char *sim_calm_missing(struct sim_world *world, const struct sim_node *leader)
{
    uint64_t last = raft_last_index(leader->raft);
    if (!leader->config_committed)
        return "a change of members is not decided";
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *node = &world->nodes[i];
        if (!world->core[i] || !sim_calm_is_member(leader, node->id))
            continue;
        if (node->leader != leader->id)
            return "a node follows nobody or another leader";
        if (node->open_count > 0)
            return "clients wait";
        if (sim_worker_applied(node) != last)
            return "a worker is behind";
    }
    return NULL;
}

static void sim_calm_compare(struct sim_world *world, const struct sim_node *leader)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->core[i] && sim_calm_is_member(leader, world->nodes[i].id))
            sim_check_converged(world, leader, &world->nodes[i]);
}

bool sim_calm_done(struct sim_world *world)
{
    uint64_t timeout = world->profile.election_ns;
    const struct sim_node *leader = sim_calm_leader(world);
    if (world->now_ns < world->calm_ns)
        return false;
    if (!leader)
        sim_calm_keep_busy(world);
    if (leader && world->leader_ns == 0) {
        world->leader_ns = world->now_ns;
        sim_calm_ask(world, leader);
        return false;
    }
    if (!leader && world->leader_ns == 0 &&
        world->now_ns > world->calm_ns + CALM_LEADER_TIMEOUTS * timeout)
        sim_fail(world, "progress", "no leader within %d election timeouts", CALM_LEADER_TIMEOUTS);
    const char *missing = leader ? sim_calm_missing(world, leader) : "no leader";
    if (!missing) {
        sim_calm_compare(world, leader);
        return true;
    }
    if (world->now_ns > world->calm_ns + CALM_DONE_TIMEOUTS * timeout)
        sim_fail(world, "progress", "after %d election timeouts: %s", CALM_DONE_TIMEOUTS, missing);
    return false;
}
