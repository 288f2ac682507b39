/* members.c - an operator: joins, removals, promotions, transfers, and machines that die for ever
 * and are replaced under a new id. It never asks for what would leave no living majority: that is
 * the operator's duty, the core can only refuse what it sees. */
#include "base/check.h"
#include "tests/sim/sim.h"

/* Without the nodes that are gone, and without one member, is there a majority? */
static bool sim_members_live(struct sim_world *world, const struct raft_config *config,
                             uint64_t removed)
{
    uint32_t voters = 0, alive = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        const struct raft_member *member = &config->members[i];
        if (!member->voter || member->id == removed)
            continue;
        voters++;
        alive += !sim_node_by_id(world, member->id)->gone;
    }
    return voters > 0 && alive > voters / 2;
}

static struct sim_node *sim_members_leader(struct sim_world *world)
{
    uint32_t first = (uint32_t)sim_below(world, world->node_count);
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[(first + i) % world->node_count];
        if (sim_node_leads(node) && node->paused_until <= world->now_ns &&
            node->raft_paused_until <= world->now_ns)
            return node;
    }
    return NULL;
}

static bool sim_members_change(struct sim_world *world, struct sim_node *leader,
                               enum raft_change_kind kind, uint64_t id)
{
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE, .change = {kind, id}};
    struct raft_update update;
    sim_trace(world, "change %d of %lu at %lu", (int)kind, id, leader->id);
    sim_node_step(world, leader, &event, &update);
    if (update.refusal == RAFT_TAKEN)
        sim_nemesis_chase(world);
    else
        SIM_MARK(world, config_refused);
    return update.refusal == RAFT_TAKEN;
}

/* A node that was never a member; a new one when there is none. */
static struct sim_node *sim_members_spare(struct sim_world *world, const struct raft_config *config)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        bool member = false;
        for (uint32_t k = 0; k < config->count; k++)
            member |= config->members[k].id == node->id;
        if (!member && !node->removed && !node->gone && i >= world->profile.voters)
            return node;
    }
    if (world->node_count >= world->profile.voters + world->profile.spares ||
        world->node_count == SIM_NODES_MAX)
        return NULL;
    sim_node_init(world, world->node_count + 1,
                  sim_keep_config(world, &(struct raft_config){.count = 0}));
    struct sim_node *node = &world->nodes[world->node_count - 1];
    sim_node_start_machine(world, node);
    return node;
}

static void sim_members_add(struct sim_world *world, struct sim_node *leader)
{
    struct sim_node *spare = sim_members_spare(world, leader->config);
    if (spare)
        sim_members_change(world, leader, RAFT_CHANGE_ADD, spare->id);
}

/* Those that are gone first. */
static void sim_members_remove(struct sim_world *world, struct sim_node *leader)
{
    const struct raft_config *config = leader->config;
    uint64_t id = config->members[sim_below(world, config->count)].id;
    if (sim_chance(world, config->count == 2 ? 600 : 300))
        id = leader->id;
    for (uint32_t i = 0; i < config->count; i++)
        if (sim_node_by_id(world, config->members[i].id)->gone)
            id = config->members[i].id;
    if (sim_members_live(world, config, id) &&
        sim_members_change(world, leader, RAFT_CHANGE_REMOVE, id))
        sim_node_by_id(world, id)->removed = true;
}

static void sim_members_promote(struct sim_world *world, struct sim_node *leader)
{
    const struct raft_config *config = leader->config;
    for (uint32_t i = 0; i < config->count; i++)
        if (!config->members[i].voter) {
            sim_members_change(world, leader, RAFT_CHANGE_PROMOTE, config->members[i].id);
            return;
        }
}

static void sim_members_transfer(struct sim_world *world, struct sim_node *leader)
{
    const struct raft_config *config = leader->config;
    uint64_t to = config->members[sim_below(world, config->count)].id;
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER,
                               .transfer_to = sim_chance(world, 300) ? RAFT_NONE : to};
    struct raft_update update;
    bool asked = leader->asked_transfer;
    leader->asked_transfer = true;
    sim_node_step(world, leader, &event, &update);
    if (update.refusal == RAFT_TAKEN)
        sim_nemesis_chase(world);
    else
        leader->asked_transfer = asked;
}

/* A machine whose disk is lost for ever. */
static void sim_members_wipe(struct sim_world *world)
{
    struct sim_node *victim = sim_nemesis_pick(world);
    if (!victim || sim_calm_is_learner(world, victim->id))
        return; /* it may be promoted just now */
    if (world->now_ns < world->changed_ns + 4 * world->profile.election_ns)
        return; /* a config may be under way that nobody has in its log */
    for (uint32_t i = 0; i < world->node_count; i++)
        world->core[i] = !world->nodes[i].gone;
    if (!sim_calm_can_spare(world, sim_node_number(world, victim)))
        return;
    sim_trace(world, "%lu is gone", victim->id);
    sim_node_kill_machine(world, victim);
    victim->gone = true;
}

void sim_members_act(struct sim_world *world, enum sim_fault fault)
{
    if (fault == SIM_FAULT_wipe) {
        sim_members_wipe(world);
        return;
    }
    struct sim_node *leader = sim_members_leader(world);
    if (!leader || leader->config->count == 0)
        return;
    switch (fault) {
    case SIM_FAULT_add:
        sim_members_add(world, leader);
        break;
    case SIM_FAULT_remove:
        sim_members_remove(world, leader);
        break;
    case SIM_FAULT_promote:
        sim_members_promote(world, leader);
        break;
    case SIM_FAULT_renew:
        sim_members_change(world, leader, RAFT_CHANGE_RENEW, leader->id);
        break;
    case SIM_FAULT_transfer:
        sim_members_transfer(world, leader);
        break;
    default:
        CHECK(false);
    }
}
