/* A follower: what it writes, answers and promises. The scenarios in tests/sim/data tell the
 * stories; here are the details. */
#include <criterion/criterion.h>

#include "tests/unit/core/node.h"

static struct node node;
static const struct raft_entry three[3] = {{1, 100, NULL}, {1, 100, NULL}, {1, 100, NULL}};

static void follower_new(void)
{
    node_new(&node, 3);
}

static void follower_free(void)
{
    node_free(&node);
}

TestSuite(follower, .init = follower_new, .fini = follower_free);

static const struct raft_message *reply(void)
{
    return node_sent(&node, RAFT_MESSAGE_APPEND_REPLY, 2);
}

static void follow(void)
{
    node_start(&node);
    struct raft_message append = node_append(2, 1, 0, 0, three, 3, 0);
    node_receive(&node, &append);
}

Test(follower, answers_when_term_and_entries_are_on_the_disk)
{
    follow();
    cr_assert(node.update.hard_state_changed);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_RECEIVED);
    cr_assert_eq(node.update.append_first, 1);
    cr_assert_eq(node.update.append_last, 3);
    cr_assert_eq(node.update.message_count, 0);
    node_persist(&node);
    cr_assert(reply()->append_reply.ok);
    cr_assert_eq(reply()->append_reply.match, 3);
}

/* A slow disk must not look like a dead node. */
Test(follower, answers_a_heartbeat_at_once_while_its_disk_is_busy)
{
    follow();
    node_persist(&node);
    struct raft_message append = node_append(2, 1, 3, 1, three, 3, 0);
    node_receive(&node, &append);
    cr_assert_eq(node.update.message_count, 0);
    append = node_append(2, 1, 6, 1, NULL, 0, 0);
    append.append.round = 5;
    node_receive(&node, &append);
    cr_assert_eq(reply()->append_reply.match, 3, "what is on the disk");
    cr_assert_eq(reply()->append_reply.round, 5);
}

Test(follower, writes_only_what_it_does_not_have)
{
    follow();
    node_persist(&node);
    struct raft_entry entries[4] = {three[0], three[1], three[2], {1, 100, NULL}};
    struct raft_message append = node_append(2, 1, 0, 0, entries, 4, 0);
    node_receive(&node, &append);
    cr_assert_eq(node.update.append_first, 4);
    cr_assert_eq(node.update.append_skip, 3);
    cr_assert_not(node.update.truncated);
    node_receive(&node, &append);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_NONE, "the same once more");
}

Test(follower, decides_no_more_than_the_message_has_shown_to_fit)
{
    follow();
    node_persist(&node);
    struct raft_message append = node_append(2, 1, 2, 1, NULL, 0, 3);
    node_receive(&node, &append);
    cr_assert_eq(node.update.commit_index, 2);
    cr_assert_eq(node.update.announced_index, 2);
    append = node_append(2, 1, 3, 1, NULL, 0, 9);
    node_receive(&node, &append);
    cr_assert_eq(node.update.commit_index, 3);
}

/* Decided, but not on this disk yet. */
Test(follower, applies_what_is_on_its_own_disk)
{
    node_start(&node);
    struct raft_message append = node_append(2, 1, 0, 0, three, 3, 3);
    node_receive(&node, &append);
    cr_assert_eq(node.update.commit_index, 0);
    node_persist(&node);
    cr_assert_eq(node.update.commit_index, 3);
}

Test(follower, names_the_last_entry_that_could_fit)
{
    node.options.term = 5;
    node.raft = raft_new(&node.options);
    static const uint64_t terms[] = {1, 1, 4, 4, 4};
    for (uint64_t i = 0; i < 5; i++)
        raft_load(node.raft, i + 1, &(struct raft_entry){.term = terms[i], .bytes = 1});
    node_start(&node);
    struct raft_message append = node_append(2, 5, 9, 5, NULL, 0, 0);
    node_receive(&node, &append);
    cr_assert_eq(reply()->append_reply.hint_index, 5);
    cr_assert_eq(reply()->append_reply.hint_term, 4);
    append = node_append(2, 5, 5, 3, NULL, 0, 0);
    node_receive(&node, &append);
    cr_assert_not(reply()->append_reply.ok);
    cr_assert_eq(reply()->append_reply.prev_index, 5);
    cr_assert_eq(reply()->append_reply.hint_index, 2, "none of term 4 can fit behind a 3");
    cr_assert_eq(reply()->append_reply.hint_term, 1);
}

Test(follower, stands_only_after_an_election_timeout_of_silence)
{
    follow();
    node_persist(&node);
    node_wait(&node, NODE_TIMEOUT_NS - 1);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
    node_wait(&node, NODE_TIMEOUT_NS / 2 + 1);
    cr_assert_eq(node.update.role, RAFT_PRE_CANDIDATE);
    cr_assert_eq(node.update.leader, RAFT_NONE);
}

Test(follower, asks_to_be_woken_when_its_timer_ends)
{
    follow();
    uint64_t deadline = node.update.next_deadline_ns;
    cr_assert_geq(deadline, node.now_ns + NODE_TIMEOUT_NS);
    cr_assert_leq(deadline, node.now_ns + NODE_TIMEOUT_NS * 3 / 2);
}

Test(follower, that_is_no_voter_never_stands)
{
    node.options.config.members[0].voter = false;
    follow();
    node_persist(&node);
    node_wait(&node, 10 * NODE_TIMEOUT_NS);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
    cr_assert_eq(node.update.leader, RAFT_NONE, "but it knows that the leader is silent");
    cr_assert_eq(node.update.next_deadline_ns, RAFT_NEVER);
}

Test(follower, whose_disk_stands_still_does_not_stand)
{
    follow();
    node_persist(&node);
    struct raft_message append = node_append(2, 1, 3, 1, three, 3, 0);
    node_receive(&node, &append);
    node_wait(&node, 2 * NODE_TIMEOUT_NS);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
    node_persist_only(&node, 2);
    node_wait(&node, 2 * NODE_TIMEOUT_NS);
    cr_assert_eq(node.update.role, RAFT_PRE_CANDIDATE);
}

Test(follower, refuses_to_be_made_leader_while_it_still_writes)
{
    follow();
    node_persist(&node);
    struct raft_message append = node_append(2, 1, 3, 1, three, 1, 0);
    node_receive(&node, &append);
    struct raft_message now = node_message(RAFT_MESSAGE_TIMEOUT_NOW, 2, 1);
    now.timeout_now.round = 1;
    node_receive(&node, &now);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
    node_persist_only(&node, 2);
    node_receive(&node, &now);
    cr_assert_eq(node.update.role, RAFT_CANDIDATE);
}

Test(follower, follows_no_timeout_now_of_a_transfer_that_it_knows_to_be_over)
{
    follow();
    node_persist(&node);
    struct raft_message append = node_append(2, 1, 3, 1, NULL, 0, 0);
    append.append.round = append.append.round_floor = 8;
    node_receive(&node, &append);
    struct raft_message now = node_message(RAFT_MESSAGE_TIMEOUT_NOW, 2, 1);
    now.timeout_now.round = 7;
    node_receive(&node, &now);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
}

Test(follower, drops_what_waits_for_the_disk_when_the_term_is_over)
{
    follow();
    struct raft_message append = node_append(3, 2, 0, 0, NULL, 0, 0);
    node_receive(&node, &append);
    node_persist_only(&node, 1);
    cr_assert_eq(node.update.message_count, 0, "the old leader's answer");
    node_persist_only(&node, 2);
    cr_assert_eq(node.update.message_count, 1);
    cr_assert_eq(node.update.messages[0].to, 3);
}

Test(follower, passes_questions_on_and_gives_up_after_an_election_timeout)
{
    follow();
    node_persist(&node);
    node_read(&node, 7);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_READ), 1);
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_READ), 1, "once more");
    struct raft_message append = node_append(2, 1, 3, 1, NULL, 0, 0);
    node.now_ns += NODE_TIMEOUT_NS / 2;
    node_receive(&node, &append);
    node_wait(&node, NODE_TIMEOUT_NS / 2);
    cr_assert_eq(node.update.read_count, 1);
    cr_assert_eq(node.update.reads[0].id, 7);
    cr_assert(node.update.reads[0].refused);
}

Test(follower, believes_no_read_answer_that_it_did_not_ask_for)
{
    follow();
    node_persist(&node);
    node_read(&node, 7);
    uint64_t nonce = node_sent(&node, RAFT_MESSAGE_READ, 2)->read.id;
    struct raft_message answer = node_message(RAFT_MESSAGE_READ_REPLY, 2, 1);
    answer.read_reply.index = 3;
    answer.read_reply.id = nonce + 1;
    node_receive(&node, &answer);
    cr_assert_eq(node.update.read_count, 0, "of the future");
    answer.read_reply.id = nonce - 1;
    node_receive(&node, &answer);
    cr_assert_eq(node.update.read_count, 0, "of the past");
    answer.read_reply.id = nonce;
    answer.from = 3;
    node_receive(&node, &answer);
    cr_assert_eq(node.update.read_count, 0, "of no leader");
    answer.from = 2;
    node_receive(&node, &answer);
    cr_assert_eq(node.update.read_count, 1);
    cr_assert_eq(node.update.reads[0].index, 3);
}

Test(follower, refuses_what_only_a_leader_can_do)
{
    follow();
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_NOT_LEADER);
    node_change(&node, RAFT_CHANGE_ADD, 9);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_NOT_LEADER);
    node_transfer(&node, 3);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_NOT_LEADER);
    node_stop(&node);
    cr_assert(node.update.may_stop);
}
