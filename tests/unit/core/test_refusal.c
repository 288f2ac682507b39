/* What comes from outside and makes no sense is dropped, and nothing is changed by it. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "tests/unit/core/node.h"

static struct node node;

static void refusal_new(void)
{
    node_new(&node, 3);
    node_load(&node, 2, 4);
    node_start(&node);
}

static void refusal_free(void)
{
    node_free(&node);
}

TestSuite(refusal, .init = refusal_new, .fini = refusal_free);

static void refuse(const struct raft_message *message, const char *why)
{
    uint64_t term = node.update.term, last = raft_last_index(node.raft);
    cr_assert_eq(node_receive(&node, message), E_INVALID, "%s", why);
    cr_assert_eq(node.update.term, term, "%s", why);
    cr_assert_eq(raft_last_index(node.raft), last, "%s", why);
    cr_assert_eq(node.update.write, 0, "%s", why);
    cr_assert_eq(node.update.message_count, 0, "%s", why);
    cr_assert_eq(node.update.leader, RAFT_NONE, "%s", why);
}

Test(refusal, of_messages_that_nobody_could_have_sent_here)
{
    struct raft_message message = node_append(2, 3, 4, 2, NULL, 0, 0);
    message.from = RAFT_NONE;
    refuse(&message, "from nobody");
    message.from = 1;
    refuse(&message, "from itself");
    message.from = 2;
    message.to = 3;
    refuse(&message, "to somebody else");
    message.to = 1;
    message.term = UINT64_MAX;
    refuse(&message, "of the end of time");
    message.term = 3;
    message.kind = (enum raft_message_kind)RAFT_MESSAGE_KINDS;
    refuse(&message, "of an unknown kind");
}

Test(refusal, of_appends_with_impossible_numbers)
{
    struct raft_entry entries[2] = {{.term = 3}, {.term = 3}};
    struct raft_message message = node_append(2, 0, 0, 0, NULL, 0, 0);
    refuse(&message, "a leader of term 0");
    message = node_append(2, 3, 4, 0, NULL, 0, 0);
    refuse(&message, "an entry of term 0 before");
    message = node_append(2, 3, 0, 2, NULL, 0, 0);
    refuse(&message, "a term of no entry before");
    message = node_append(2, 3, 4, 4, NULL, 0, 0);
    refuse(&message, "an entry of a later term before");
    message = node_append(2, 3, UINT64_MAX, 2, NULL, 0, 0);
    refuse(&message, "an index that cannot be counted on from");
    message = node_append(2, 3, 4, 2, entries, 2, 0);
    message.append.entries = NULL;
    refuse(&message, "entries that are not there");
    entries[1].term = 2;
    message = node_append(2, 3, 4, 2, entries, 2, 0);
    refuse(&message, "terms that go back");
    entries[1].term = 4;
    message = node_append(2, 3, 4, 2, entries, 2, 0);
    refuse(&message, "an entry of a term to come");
    entries[1].term = 0;
    message = node_append(2, 3, 4, 2, entries, 2, 0);
    refuse(&message, "an entry of term 0");
}

Test(refusal, of_configs_that_no_leader_makes)
{
    struct raft_config config = {.count = 0};
    struct raft_entry entry = {.term = 3, .config = &config};
    struct raft_message message = node_append(2, 3, 4, 2, &entry, 1, 0);
    refuse(&message, "nobody");
    config = (struct raft_config){.count = 2, .members = {{2, true}, {2, true}}};
    refuse(&message, "a member twice");
    config = (struct raft_config){.count = 2, .members = {{3, true}, {2, true}}};
    refuse(&message, "not in order");
    config = (struct raft_config){.count = 2, .members = {{0, true}, {2, true}}};
    refuse(&message, "a member without a name");
    config = (struct raft_config){.count = 2, .members = {{1, false}, {2, false}}};
    refuse(&message, "no voter");
    config.count = RAFT_MEMBERS_MAX + 1;
    refuse(&message, "too many");
}

Test(refusal, of_votes_with_impossible_numbers)
{
    struct raft_message message = node_vote(2, 3, 4, 0);
    refuse(&message, "a log without a term");
    message = node_vote(2, 3, 0, 2);
    refuse(&message, "a term without a log");
    message = node_vote(2, 3, 4, 4);
    refuse(&message, "a log ahead of its term");
    message = node_vote(2, 3, 4, 2);
    message.vote.asked_term = 4;
    refuse(&message, "a vote for another term than its own");
    message.vote.pre = true;
    message.vote.asked_term = 3;
    refuse(&message, "a pre-vote for the term that it has");
    message = node_vote(2, 3, 4, 2);
    message.vote.transfer = true;
    message.vote.transfer_term = 3;
    refuse(&message, "a transfer by the leader of the asked term");
}

Test(refusal, of_a_second_leader_of_its_own_term)
{
    node_lead(&node);
    struct raft_message message = node_append(2, node.update.term, 4, 2, NULL, 0, 0);
    cr_assert_eq(node_receive(&node, &message), E_INVALID);
    cr_assert_eq(node.update.role, RAFT_LEADER);
    cr_assert_eq(node.update.message_count, 0);
}

Test(refusal, of_answers_to_what_was_never_sent)
{
    node_lead(&node);
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 2, node.update.term);
    reply.append_reply.ok = true;
    reply.append_reply.match = raft_last_index(node.raft) + 1;
    cr_assert_eq(node_receive(&node, &reply), E_INVALID, "beyond the log");
    reply.append_reply.match = 1;
    reply.append_reply.round = 1000;
    cr_assert_eq(node_receive(&node, &reply), E_INVALID, "a round to come");
    reply.append_reply.round = 1;
    reply.append_reply.sent_ns = node.now_ns + 1;
    cr_assert_eq(node_receive(&node, &reply), E_INVALID, "sent in the future");
    reply.append_reply.sent_ns = node.now_ns;
    cr_assert_eq(node_receive(&node, &reply), 0);
}

static int receive_snapshot(uint64_t from, uint64_t leader_term, uint64_t index, uint64_t term,
                            const struct raft_config *config, uint64_t config_index)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_RECEIVED, .now_ns = node.now_ns};
    event.snapshot_received.from = from;
    event.snapshot_received.leader_term = leader_term;
    event.snapshot_received.index = index;
    event.snapshot_received.term = term;
    event.snapshot_received.config = config;
    event.snapshot_received.config_index = config_index;
    return raft_step(node.raft, &event, &node.update);
}

Test(refusal, of_snapshots_that_no_leader_makes)
{
    const struct raft_config *config = &node.options.config;
    struct raft_config none = {.count = 0};
    cr_assert_eq(receive_snapshot(RAFT_NONE, 3, 9, 3, config, 1), E_INVALID);
    cr_assert_eq(receive_snapshot(1, 3, 9, 3, config, 1), E_INVALID);
    cr_assert_eq(receive_snapshot(2, 3, 0, 3, config, 0), E_INVALID);
    cr_assert_eq(receive_snapshot(2, 3, 9, 0, config, 1), E_INVALID);
    cr_assert_eq(receive_snapshot(2, 3, 9, 4, config, 1), E_INVALID);
    cr_assert_eq(receive_snapshot(2, 3, 9, 3, config, 10), E_INVALID);
    cr_assert_eq(receive_snapshot(2, 3, 9, 3, &none, 1), E_INVALID);
    cr_assert_not(node.update.install);
    cr_assert_eq(receive_snapshot(2, 3, 9, 3, config, 1), 0);
    cr_assert(node.update.install);
}

/* The time passes also with a message that is dropped: what it brings must be carried out. */
Test(refusal, comes_with_what_the_time_has_brought)
{
    struct raft_message message = node_append(2, 3, 4, 0, NULL, 0, 0);
    node.now_ns += 3 * NODE_TIMEOUT_NS;
    cr_assert_eq(node_receive(&node, &message), E_INVALID);
    cr_assert_eq(node.update.role, RAFT_PRE_CANDIDATE);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_VOTE), 2);
}

/* One of the two is wrong, and this node cannot tell which: it takes nothing, and counts no more.
 */
Test(refusal, of_a_leader_that_contradicts_what_is_decided)
{
    struct raft_message message = node_append(2, 3, 4, 2, NULL, 0, 4);
    node_receive(&node, &message);
    cr_assert_eq(node.update.commit_index, 4);
    struct raft_entry entry = {.term = 3};
    message = node_append(3, 4, 2, 2, &entry, 1, 0);
    node_receive(&node, &message);
    cr_assert_eq(node.update.damage, RAFT_DAMAGE_CONFLICT);
    cr_assert_eq(raft_term_at(node.raft, 3), 2);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_APPEND_REPLY), 0);
    node_wait(&node, 5 * NODE_TIMEOUT_NS);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER, "it does not stand");
    message = node_vote(2, 9, 50, 4);
    node_receive(&node, &message);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_VOTE_REPLY), 0, "nor vote");
}
