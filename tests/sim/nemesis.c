/* nemesis.c - what goes wrong, by the weights of the seed's profile. */
#include "base/check.h"
#include "tests/sim/sim.h"

struct sim_node *sim_nemesis_pick(struct sim_world *world)
{
    uint32_t first = (uint32_t)sim_below(world, world->node_count);
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[(first + i) % world->node_count];
        if (node->up)
            return node;
    }
    return NULL;
}

/* Short most of the time, long enough for elections sometimes. */
static uint64_t sim_nemesis_span(struct sim_world *world)
{
    uint64_t timeout = world->profile.election_ns;
    return sim_chance(world, 500) ? sim_below(world, timeout) : sim_below(world, 4 * timeout);
}

/* A supervisor starts a process again at once, if it can. */
static void sim_nemesis_later(struct sim_world *world, const struct sim_node *node,
                              enum sim_event_kind kind, uint64_t a, uint64_t b)
{
    uint64_t wait = sim_chance(world, 500) ? sim_below(world, world->profile.election_ns / 10)
                                           : sim_nemesis_span(world);
    sim_push(world, (struct sim_event){.time = world->now_ns + wait,
                                       .kind = kind,
                                       .node = sim_node_number(world, node),
                                       .only_in = kind == SIM_MACHINE_START ? 0 : node->boot,
                                       .a = a,
                                       .b = b});
}

static void sim_nemesis_kill_machine(struct sim_world *world, struct sim_node *node)
{
    sim_node_kill_machine(world, node);
    sim_nemesis_later(world, node, SIM_MACHINE_START, 0, 0);
}

static void sim_nemesis_kill_all(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].up)
            sim_nemesis_kill_machine(world, &world->nodes[i]);
}

static void sim_nemesis_worker(struct sim_world *world, struct sim_node *node, enum sim_fault fault,
                               uint64_t until)
{
    uint32_t number = (uint32_t)sim_below(world, SIM_WORKERS);
    if (fault == SIM_FAULT_stall_worker) {
        node->workers[number].stalled_until = until;
        sim_worker_tell_soon(world, node);
        sim_push(world, (struct sim_event){
                            .time = until, .kind = SIM_TELL, .node = sim_node_number(world, node)});
        return;
    }
    if (!node->workers[number].running)
        return;
    sim_worker_kill(world, node, number);
    sim_nemesis_later(world, node, SIM_WORKER_START, number, fault == SIM_FAULT_rebuild_worker);
}

static void sim_nemesis_node(struct sim_world *world, struct sim_node *node, enum sim_fault fault,
                             uint64_t until)
{
    switch (fault) {
    case SIM_FAULT_kill_raft:
        if (!node->raft)
            return;
        sim_node_kill_raft(world, node);
        sim_nemesis_later(world, node, SIM_RAFT_START, 0, 0);
        break;
    case SIM_FAULT_kill_machine:
        sim_nemesis_kill_machine(world, node);
        break;
    case SIM_FAULT_pause_raft:
        sim_trace(world, "%lu stands still", node->id);
        node->raft_paused_until = until;
        break;
    case SIM_FAULT_pause_machine:
        sim_trace(world, "%lu stands still as a whole", node->id);
        node->paused_until = until;
        break;
    case SIM_FAULT_stall_disk:
        sim_trace(world, "%lu has no disk for a while", node->id);
        node->disk.stalled_until = until;
        break;
    case SIM_FAULT_kill_gateway:
        sim_gateway_kill(world, node);
        break;
    case SIM_FAULT_stray_snapshot:
        sim_snapshot_stray(world, node);
        break;
    case SIM_FAULT_flood:
        for (uint64_t i = sim_below(world, 30); i > 0; i--)
            sim_gateway_write(world, node);
        if (sim_chance(world, 500)) /* what it took nobody else will have */
            sim_links_isolate(world, sim_node_number(world, node), true, true, until);
        break;
    case SIM_FAULT_stop:
        sim_push(world, (struct sim_event){.time = world->now_ns,
                                           .kind = SIM_STOP,
                                           .node = sim_node_number(world, node),
                                           .only_in = node->incarnation});
        break;
    default:
        sim_nemesis_worker(world, node, fault, until);
    }
}

static enum sim_fault sim_nemesis_choose(struct sim_world *world)
{
    uint64_t at = sim_below(world, world->profile.weight_sum);
    uint32_t fault = 0;
    for (; at >= world->profile.weights[fault]; fault++)
        at -= world->profile.weights[fault];
    return (enum sim_fault)fault;
}

/* Leaders are hit more often than by chance: that is where it hurts. */
static struct sim_node *sim_nemesis_victim(struct sim_world *world)
{
    struct sim_node *node = sim_nemesis_pick(world);
    if (sim_chance(world, 600))
        return node;
    for (uint32_t i = 0; i < world->node_count; i++)
        if (sim_node_leads(&world->nodes[i]))
            node = &world->nodes[i];
    return node;
}

/* Trouble seldom comes alone: some faults follow right behind another event. */
void sim_nemesis_chase(struct sim_world *world)
{
    static const enum sim_fault chasers[] = {
        SIM_FAULT_kill_raft,    SIM_FAULT_kill_raft, SIM_FAULT_kill_machine,
        SIM_FAULT_isolate,      SIM_FAULT_cut_link,  SIM_FAULT_cut_one_way,
        SIM_FAULT_pause_raft,   SIM_FAULT_transfer,  SIM_FAULT_deafen,
        SIM_FAULT_kill_gateway, SIM_FAULT_flood,     SIM_FAULT_stray_snapshot,
    };
    if (world->scripted || world->calm || !sim_chance(world, world->profile.chase_permille))
        return;
    uint64_t which = sim_below(world, sizeof(chasers) / sizeof(chasers[0]));
    uint64_t spans[] = {0, world->profile.election_ns / 2, 3 * world->profile.election_ns};
    uint64_t wait = sim_below(world, spans[sim_below(world, 3)]);
    sim_push(world, (struct sim_event){.time = world->now_ns + wait,
                                       .kind = SIM_NEMESIS,
                                       .a = 1 + chasers[which]});
}

/* chosen: one more than the fault; 0: any. */
void sim_nemesis_act(struct sim_world *world, uint64_t chosen)
{
    uint64_t gap = sim_below(world, 2 * world->profile.nemesis_gap_ns);
    if (chosen == 0)
        sim_push(world, (struct sim_event){.time = world->now_ns + gap, .kind = SIM_NEMESIS});
    if (world->profile.weight_sum == 0)
        return;
    enum sim_fault fault = chosen > 0 ? (enum sim_fault)(chosen - 1) : sim_nemesis_choose(world);
    uint64_t until = world->now_ns + sim_nemesis_span(world);
    struct sim_node *node = sim_nemesis_victim(world);
    if (fault == SIM_FAULT_flood || sim_chance(world, 300))
        sim_nemesis_chase(world);
    if (fault == SIM_FAULT_kill_all)
        sim_nemesis_kill_all(world);
    else if (fault == SIM_FAULT_transfer || fault >= SIM_FAULT_add)
        sim_members_act(world, fault);
    else if (fault >= SIM_FAULT_isolate && fault <= SIM_FAULT_reset_link)
        sim_links_break(world, fault, until);
    else if (node)
        sim_nemesis_node(world, node, fault, until);
}
