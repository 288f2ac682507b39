/* oracle_promise.c - what leases and read rounds rest on (thesis 6.4).
 *
 *   Who processes an APPEND promises its leader: no vote for anybody else within an election
 *   timeout, by its own clock, also if its process starts anew. The leader itself calls promises
 *   back by TIMEOUT_NOW, those to rounds up to the one that it names.
 *   A lease must not outlast the promises of a majority of the voters, made to rounds behind the
 *   last TIMEOUT_NOW. A read index without a lease must have been confirmed by a majority's
 *   processing of APPENDs sent after the question.
 */
#include <string.h>

#include "tests/sim/oracle.h"

void sim_promise_hear(struct sim_world *world, struct sim_node *node,
                      const struct raft_message *append)
{
    struct sim_promise *promise = &node->promises[0];
    if (promise->term != append->term) {
        memmove(promise + 1, promise, (SIM_PROMISES - 1) * sizeof(*promise));
        *promise = (struct sim_promise){.to = append->from, .term = append->term};
    }
    if (promise->floor < append->append.round_floor)
        promise->floor = append->append.round_floor;
    if (promise->sent_ns < append->append.sent_ns)
        promise->sent_ns = append->append.sent_ns;
    promise->until_local = sim_node_clock(world, node) + world->profile.election_ns;
    promise->until_world = sim_node_world_time(world, node, promise->until_local);
}

/* What the node promised to this leader in its term; NULL: nothing. */
static const struct sim_promise *sim_promise_to(struct sim_world *world, uint64_t id,
                                                const struct sim_node *leader)
{
    const struct sim_node *node = sim_node_by_id(world, id);
    for (uint32_t i = 0; i < SIM_PROMISES; i++)
        if (node->promises[i].to == leader->id && node->promises[i].term == leader->term)
            return &node->promises[i];
    return NULL;
}

static bool sim_config_is_voter(const struct raft_config *config, uint64_t id)
{
    for (uint32_t i = 0; i < config->count; i++)
        if (config->members[i].id == id)
            return config->members[i].voter;
    return false;
}

static uint32_t sim_config_voters(const struct raft_config *config)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < config->count; i++)
        voters += config->members[i].voter;
    return voters;
}

/* Is there nothing left that the promise holds up? Its leader has called it back, or there is a
 * newer one, which could not have been elected under a lease that this one supports. */
static bool sim_promise_is_void(struct sim_world *world, const struct sim_promise *promise)
{
    const struct sim_node *leader = sim_node_by_id(world, promise->to);
    const struct sim_oracle *oracle = world->oracle;
    for (uint32_t i = 0; i < oracle->leader_count; i++)
        if (oracle->leaders[i].term > promise->term)
            return true;
    return leader && leader->timeout_now.term == promise->term &&
           leader->timeout_now.round >= promise->floor;
}

/* It votes; node still is as before the step. */
void sim_check_promise(struct sim_world *world, const struct sim_node *node,
                       const struct raft_update *update)
{
    const struct sim_promise *promise = &node->promises[0];
    if (!update->hard_state_changed || update->vote == RAFT_NONE ||
        world->now_ns >= promise->until_world || update->vote == promise->to ||
        sim_promise_is_void(world, promise))
        return;
    if (update->vote == node->id && sim_config_is_voter(update->config, node->id) &&
        sim_config_voters(update->config) == 1)
        return; /* nobody else can have a lease */
    sim_fail(
        world, "promise",
        "node %lu votes for %lu in term %lu, but promised %lu of term %lu not to before %.3fms",
        node->id, update->vote, update->term, promise->to, promise->term,
        (double)promise->until_world / 1e6);
}

/* A lease that was just published. */
void sim_check_backed(struct sim_world *world, const struct sim_node *node)
{
    const struct raft_config *config = node->config;
    uint32_t voters = sim_config_voters(config), backed = sim_config_is_voter(config, node->id);
    if (voters == 1 && backed == 1)
        return;
    if (node->board.lease_end_ns == RAFT_LEASE_FOREVER)
        sim_fail(world, "lease", "node %lu takes a lease without end among %u voters", node->id,
                 voters);
    uint64_t end = sim_node_world_time(world, node, node->board.lease_end_ns);
    for (uint32_t i = 0; i < config->count; i++) {
        if (!config->members[i].voter || config->members[i].id == node->id)
            continue;
        const struct sim_promise *promise = sim_promise_to(world, config->members[i].id, node);
        if (!promise ||
            (node->timeout_now.term == node->term && promise->floor <= node->timeout_now.round))
            continue; /* or called back */
        backed += promise->until_world >= end;
    }
    if (!sim_config_is_voter(config, node->id) || backed <= voters / 2)
        sim_fail(world, "lease", "node %lu takes a lease until %.3fms, which %u of %u voters back",
                 node->id, (double)end / 1e6, backed, voters);
}

void sim_check_confirmed(struct sim_world *world, const struct sim_node *node, uint64_t asked_ns)
{
    if (sim_node_has_lease(world, node))
        return;
    const struct raft_config *config = node->config;
    uint32_t voters = sim_config_voters(config), confirmed = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        if (!config->members[i].voter)
            continue;
        const struct sim_promise *promise = sim_promise_to(world, config->members[i].id, node);
        confirmed += config->members[i].id == node->id || (promise && promise->sent_ns >= asked_ns);
    }
    if (confirmed <= voters / 2)
        sim_fail(world, "read index", "node %lu answers a question that %u of %u voters confirmed",
                 node->id, confirmed, voters);
}
