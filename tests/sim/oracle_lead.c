/* oracle_lead.c - leaders, terms and leases. */
#include "base/check.h"
#include "tests/sim/oracle.h"

bool sim_node_has_lease(const struct sim_world *world, const struct sim_node *node)
{
    return node->up && node->board.leads && node->board.lease_end_ns > sim_node_clock(world, node);
}

const struct sim_leader *sim_oracle_leader(const struct sim_oracle *oracle, uint64_t term)
{
    for (uint32_t i = oracle->leader_count; i-- > 0;)
        if (oracle->leaders[i].term == term)
            return &oracle->leaders[i];
    return NULL;
}

static void sim_check_no_other_lease(struct sim_world *world, const struct sim_node *node,
                                     const char *why)
{
    for (uint32_t i = 0; i < world->node_count; i++) {
        const struct sim_node *other = &world->nodes[i];
        if (other != node && sim_node_has_lease(world, other))
            sim_fail(world, "lease",
                     "node %lu %s in term %lu while node %lu has a lease of term "
                     "%lu",
                     node->id, why, node->board.term, other->id, other->board.term);
    }
}

/* It just became leader: the only one of its term, with all that is decided, and no lease is left
 * that could serve older state. */
static void sim_check_new_leader(struct sim_world *world, const struct sim_node *node,
                                 uint64_t term)
{
    struct sim_oracle *oracle = world->oracle;
    const struct sim_leader *other = sim_oracle_leader(oracle, term);
    if (other)
        sim_fail(world, "election safety", "nodes %lu and %lu lead in term %lu", other->id,
                 node->id, term);
    if (oracle->leader_count == oracle->leader_room) {
        oracle->leader_room = oracle->leader_room ? oracle->leader_room * 2 : 64;
        oracle->leaders =
            mem_resize(oracle->leaders, oracle->leader_room * sizeof(oracle->leaders[0]));
    }
    oracle->leaders[oracle->leader_count++] = (struct sim_leader){term, node->id};
    uint64_t last = oracle->committed_count;
    bool newest = true;
    for (uint32_t i = 0; i + 1 < oracle->leader_count; i++)
        newest &= oracle->leaders[i].term < term;
    if (newest && last > node->log.base &&
        raft_term_at(node->raft, last) != oracle->committed[last - 1].term)
        sim_fail(world, "leader completeness", "node %lu leads term %lu without entry %lu",
                 node->id, term, last);
    if (newest && !world->scripted) /* a script moves each clock as it likes */
        sim_check_no_other_lease(world, node, "becomes leader");
}

void sim_check_lease(struct sim_world *world, const struct sim_node *node)
{
    if (world->scripted || !sim_node_has_lease(world, node))
        return;
    sim_check_no_other_lease(world, node, "takes a lease");
    sim_check_backed(world, node);
}

void sim_check_update(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update)
{
    if (update->term < node->term_high)
        sim_fail(world, "terms", "node %lu goes back from term %lu to %lu", node->id,
                 node->term_high, update->term);
    if (update->role == RAFT_LEADER && node->role != RAFT_LEADER)
        sim_check_new_leader(world, node, update->term);
    if (update->role == RAFT_LEADER && node->role == RAFT_LEADER && update->term != node->term)
        sim_fail(world, "election safety", "node %lu leads on from term %lu to %lu", node->id,
                 node->term, update->term);
    if (!world->scripted)
        sim_check_promise(world, node, update);
    sim_check_commit(world, node, update);
}
