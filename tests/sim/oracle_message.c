/* oracle_message.c - what a message says must be on the disk of who sends it (P1), and hold. */
#include "base/check.h"
#include "tests/sim/oracle.h"

/* One vote a term from each node, over all its restarts. */
static void sim_check_one_vote(struct sim_world *world, const struct sim_node *from, uint64_t term,
                               uint64_t candidate)
{
    struct sim_oracle *oracle = world->oracle;
    if (from->disk.term != term || from->disk.vote != candidate)
        sim_fail(world, "durability",
                 "node %lu votes for %lu in term %lu; its disk says %lu in term %lu", from->id,
                 candidate, term, from->disk.vote, from->disk.term);
    for (uint32_t i = 0; i < oracle->vote_count; i++) {
        const struct sim_vote *vote = &oracle->votes[i];
        if (vote->id != from->id || vote->term != term)
            continue;
        if (vote->candidate != candidate)
            sim_fail(world, "election safety", "node %lu votes for %lu and %lu in term %lu",
                     from->id, vote->candidate, candidate, term);
        return;
    }
    if (oracle->vote_count == oracle->vote_room) {
        oracle->vote_room = oracle->vote_room ? oracle->vote_room * 2 : 64;
        oracle->votes = mem_resize(oracle->votes, oracle->vote_room * sizeof(oracle->votes[0]));
    }
    oracle->votes[oracle->vote_count++] = (struct sim_vote){from->id, term, candidate};
}

static void sim_check_vote(struct sim_world *world, const struct sim_node *from,
                           const struct raft_message *message)
{
    if (message->vote.pre)
        return;
    sim_check_one_vote(world, from, message->term, from->id);
    const struct raft_config *config = from->config;
    for (uint32_t i = 0; i < config->count; i++)
        if (config->members[i].id == from->id && config->members[i].voter)
            return;
    SIM_MARK(world, removed_stands);
}

static void sim_check_vote_reply(struct sim_world *world, const struct sim_node *from,
                                 const struct raft_message *message)
{
    if (message->vote_reply.pre || !message->vote_reply.granted)
        return;
    sim_check_one_vote(world, from, message->term, message->to);
    if (sim_node_has_lease(world, from))
        sim_fail(world, "lease", "node %lu votes while it holds a lease", from->id);
}

static void sim_check_append(struct sim_world *world, const struct sim_node *from,
                             const struct raft_message *message)
{
    struct sim_oracle *oracle = world->oracle;
    if (message->append.commit > oracle->committed_count)
        sim_fail(world, "commit", "node %lu announces %lu, decided is %lu", from->id,
                 message->append.commit, oracle->committed_count);
    if (message->append.commit <= oracle->announced)
        return;
    if (message->append.commit > from->applied_high)
        sim_fail(world, "announcement", "node %lu announces %lu, applied here is %lu", from->id,
                 message->append.commit, from->applied_high);
    oracle->announced = message->append.commit;
}

/* What it acknowledges is on its disk, and equal to the leader's log. */
static void sim_check_append_reply(struct sim_world *world, const struct sim_node *from,
                                   const struct raft_message *message)
{
    uint64_t match = message->append_reply.match;
    if (!message->append_reply.ok || match == 0)
        return;
    if (from->installing)
        sim_fail(world, "durability", "node %lu acknowledges %lu in the middle of an install",
                 from->id, match);
    if (match > sim_log_last(&from->disk.log))
        sim_fail(world, "durability", "node %lu acknowledges %lu, its disk ends at %lu", from->id,
                 match, sim_log_last(&from->disk.log));
    const struct sim_entry *stored = sim_log_at(&from->disk.log, match);
    const struct sim_node *leader = sim_node_by_id(world, message->to);
    if (!stored || !leader->raft || leader->role != RAFT_LEADER || leader->term != message->term ||
        match <= leader->log.base)
        return;
    const struct sim_entry *wanted = sim_log_at(&leader->log, match);
    if (!wanted || wanted->term != stored->term || wanted->command != stored->command)
        sim_fail(world, "log matching",
                 "node %lu acknowledges %lu, where its disk differs from "
                 "the leader's log",
                 from->id, match);
}

void sim_check_message(struct sim_world *world, const struct sim_node *from,
                       const struct raft_message *message)
{
    if (message->term > from->disk.term)
        sim_fail(world, "durability", "node %lu sends in term %lu, its disk says %lu", from->id,
                 message->term, from->disk.term);
    switch (message->kind) {
    case RAFT_MESSAGE_VOTE:
        sim_check_vote(world, from, message);
        break;
    case RAFT_MESSAGE_VOTE_REPLY:
        sim_check_vote_reply(world, from, message);
        break;
    case RAFT_MESSAGE_APPEND:
        sim_check_append(world, from, message);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        sim_check_append_reply(world, from, message);
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        if (sim_node_has_lease(world, from))
            sim_fail(world, "lease", "node %lu hands over while it holds a lease", from->id);
        break;
    case RAFT_MESSAGE_READ:
    case RAFT_MESSAGE_READ_REPLY:
        break; /* oracle_client.c looks at what comes of them */
    }
}
