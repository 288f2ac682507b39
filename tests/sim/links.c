/* links.c - what happens to the network between nodes. */
#include "tests/sim/sim.h"

/* Leaders are hit more often than by chance. */
static uint32_t sim_links_any(struct sim_world *world)
{
    uint32_t any = (uint32_t)sim_below(world, world->node_count);
    bool leader = sim_chance(world, 400);
    for (uint32_t i = 0; i < world->node_count && leader; i++)
        if (sim_node_leads(&world->nodes[i]))
            any = i;
    return any;
}

static void sim_links_cut(struct sim_world *world, uint32_t from, uint32_t to, uint64_t until)
{
    if (from != to && world->cut_until[from][to] < until)
        world->cut_until[from][to] = until;
}

static void sim_links_cut_both(struct sim_world *world, uint32_t a, uint32_t b, uint64_t until)
{
    sim_links_cut(world, a, b, until);
    sim_links_cut(world, b, a, until);
}

/* One node hears nobody, or nobody hears it, or both. */
void sim_links_isolate(struct sim_world *world, uint32_t victim, bool deaf, bool mute,
                       uint64_t until)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (deaf)
            sim_links_cut(world, i, victim, until);
        if (mute)
            sim_links_cut(world, victim, i, until);
    }
    sim_trace(world, "%lu is %s%s", world->nodes[victim].id, deaf ? "deaf " : "",
              mute ? "mute" : "");
}

static void sim_links_split(struct sim_world *world, uint64_t until)
{
    bool side[SIM_NODES_MAX];
    for (uint32_t i = 0; i < world->node_count; i++)
        side[i] = sim_chance(world, 500);
    for (uint32_t i = 0; i < world->node_count; i++)
        for (uint32_t k = 0; k < world->node_count; k++)
            if (side[i] != side[k])
                sim_links_cut(world, i, k, until);
    sim_trace(world, "a split");
}

/* A link that breaks and comes again: the drivers notice, what was under way is lost or not. */
static void sim_links_reset(struct sim_world *world)
{
    uint32_t a = sim_links_any(world), b = sim_links_any(world);
    if (a == b)
        return;
    uint64_t down = world->now_ns + sim_below(world, 10 * SIM_MS);
    uint64_t up = down + sim_below(world, world->profile.election_ns);
    sim_links_cut_both(world, a, b, up);
    for (uint32_t way = 0; way < 2; way++) {
        struct sim_event event = {.time = down,
                                  .kind = SIM_PEER,
                                  .node = way == 0 ? a : b,
                                  .a = world->nodes[way == 0 ? b : a].id};
        sim_push(world, event);
        event.time = up;
        event.b = true;
        sim_push(world, event);
    }
}

void sim_links_break(struct sim_world *world, enum sim_fault fault, uint64_t until)
{
    uint32_t a = sim_links_any(world), b = sim_links_any(world);
    switch (fault) {
    case SIM_FAULT_isolate:
        sim_links_isolate(world, a, true, true, until);
        break;
    case SIM_FAULT_deafen:
        sim_links_isolate(world, a, sim_chance(world, 500), true, until);
        break;
    case SIM_FAULT_split:
        sim_links_split(world, until);
        break;
    case SIM_FAULT_cut_link:
        sim_links_cut_both(world, a, b, until);
        break;
    case SIM_FAULT_cut_one_way:
        sim_links_cut(world, a, b, until);
        break;
    case SIM_FAULT_clog:
        if (world->clog_until[a][b] < until)
            world->clog_until[a][b] = until;
        break;
    case SIM_FAULT_reset_link:
        sim_links_reset(world);
        break;
    default:
        break;
    }
}
