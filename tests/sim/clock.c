/* clock.c - the boot clocks of nodes: each starts anywhere and runs at its own rate. */
#include "tests/sim/sim.h"

#define CLOCK_SHIFT 20

uint64_t sim_node_clock(const struct sim_world *world, const struct sim_node *node)
{
    return node->clock_offset + ((world->now_ns * node->clock_rate) >> CLOCK_SHIFT);
}

/* A script moves each clock on its own. */
void sim_node_set_clock(const struct sim_world *world, struct sim_node *node, uint64_t local)
{
    uint64_t now = sim_node_clock(world, node);
    if (now < local)
        node->clock_offset += local - now;
}

uint64_t sim_node_world_time(const struct sim_world *world, const struct sim_node *node,
                             uint64_t local)
{
    if (local <= sim_node_clock(world, node))
        return world->now_ns;
    uint64_t passed = local - node->clock_offset;
    if (passed >= UINT64_MAX >> CLOCK_SHIFT)
        return SIM_NEVER;
    return ((passed << CLOCK_SHIFT) + node->clock_rate - 1) / node->clock_rate;
}
