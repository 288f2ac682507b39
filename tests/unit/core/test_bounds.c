/* Every queue has a bound, and every bound an answer. */
#include <criterion/criterion.h>

#include "tests/unit/core/node.h"

static struct node node;

static void bounds_new(void)
{
    node_new(&node, 3);
}

static void bounds_free(void)
{
    node_free(&node);
}

TestSuite(bounds, .init = bounds_new, .fini = bounds_free);

static uint32_t entries_sent(uint64_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node.update.message_count; i++)
        if (node.update.messages[i].kind == RAFT_MESSAGE_APPEND && node.update.messages[i].to == to)
            count += node.update.messages[i].append.count;
    return count;
}

static uint32_t appends_sent(uint64_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node.update.message_count; i++)
        count +=
            node.update.messages[i].kind == RAFT_MESSAGE_APPEND && node.update.messages[i].to == to;
    return count;
}

Test(bounds, an_append_holds_so_many_entries)
{
    node.options.append_entries = 3;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 8);
    cr_assert_eq(appends_sent(2), 3);
    cr_assert_eq(entries_sent(2), 8);
    cr_assert_eq(node.update.messages[0].append.count, 3);
}

/* Entries of 100 bytes each; one that is larger than the bound travels alone. */
Test(bounds, an_append_holds_so_many_bytes)
{
    node.options.append_bytes = 250;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 5);
    cr_assert_eq(appends_sent(2), 3);
    node_free(&node);
    node_new(&node, 3);
    node.options.append_bytes = 50;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 4);
    cr_assert_eq(appends_sent(2), 4);
}

Test(bounds, unanswered_appends_are_so_many)
{
    node.options.append_entries = 1;
    node.options.window_messages = 3;
    node_start(&node);
    node_lead(&node);
    uint64_t last = raft_last_index(node.raft);
    node_propose(&node, 10);
    cr_assert_eq(entries_sent(2), 3);
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 2, node.update.term);
    reply.append_reply.ok = true;
    reply.append_reply.match = last + 2;
    node_receive(&node, &reply);
    cr_assert_eq(entries_sent(2), 2, "two places became free");
    cr_assert_eq(entries_sent(3), 0);
}

Test(bounds, unanswered_bytes_are_so_many_and_one_message_always_goes)
{
    node.options.append_entries = 1;
    node.options.window_bytes = 150;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 10);
    cr_assert_eq(entries_sent(2), 2);
}

/* A heartbeat goes whatever the window holds: the lease and the follower's timer hang on it. */
Test(bounds, heartbeats_ignore_the_window)
{
    node.options.append_entries = 1;
    node.options.window_messages = 1;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 5);
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(appends_sent(2), 1);
    cr_assert_eq(entries_sent(2), 0);
}

Test(bounds, questions_that_wait_are_so_many)
{
    node.options.reads = RAFT_READS_INDEX;
    node_start(&node);
    node_lead(&node);
    for (uint64_t id = 1; id <= RAFT_READS_MAX; id++) {
        node_read(&node, id);
        cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    }
    node_read(&node, RAFT_READS_MAX + 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BUSY);
    struct raft_message read = node_message(RAFT_MESSAGE_READ, 2, node.update.term);
    node_receive(&node, &read);
    node_ack(&node, 2, raft_last_index(node.raft));
    node_ack(&node, 2, raft_last_index(node.raft));
    node_read(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN, "answered ones make room");
}

Test(bounds, questions_die_with_the_leader_all_at_once)
{
    node.options.reads = RAFT_READS_INDEX;
    node_start(&node);
    node_lead(&node);
    for (uint64_t id = 1; id <= RAFT_READS_MAX; id++)
        node_read(&node, id);
    struct raft_message append = node_append(2, node.update.term + 1, 0, 0, NULL, 0, 0);
    node_receive(&node, &append);
    cr_assert_eq(node.update.read_count, RAFT_READS_MAX);
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++)
        cr_assert(node.update.reads[i].refused);
}

/* A disk that stands still: answers pile up, and are then lost, as messages may be. */
Test(bounds, answers_that_wait_for_the_disk_are_so_many)
{
    node_start(&node);
    for (uint32_t i = 0; i < 3000; i++) {
        struct raft_message append = node_append(2, 1, 0, 0, NULL, 0, 0);
        append.append.round = i + 1;
        cr_assert_eq(node_receive(&node, &append), 0);
        cr_assert_eq(node.update.message_count, 0, "the term is not on the disk");
    }
    node_persist_only(&node, 1);
    cr_assert_eq(node.update.message_count, 1024);
}

Test(bounds, proposals_beyond_the_bound_are_refused_until_some_are_decided)
{
    node.options.uncommitted_bytes = 250;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 2);
    uint64_t write = node.update.write;
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BUSY);
    node_persist_only(&node, write);
    node_ack(&node, 2, raft_last_index(node.raft));
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
}

/* One that is larger than the bound is taken alone, or it would never be. */
Test(bounds, one_large_proposal_is_taken_alone)
{
    node.options.uncommitted_bytes = 250;
    node_start(&node);
    node_lead(&node);
    node_propose(&node, 5);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BUSY);
}

Test(bounds, a_new_leader_counts_what_its_log_holds_undecided)
{
    node.options.uncommitted_bytes = 250;
    node_load(&node, 1, 3);
    node_start(&node);
    node_wait(&node, 2 * NODE_TIMEOUT_NS);
    struct raft_message reply = node_message(RAFT_MESSAGE_VOTE_REPLY, 2, 1);
    reply.vote_reply.pre = reply.vote_reply.granted = true;
    reply.vote_reply.asked_term = 2;
    node_receive(&node, &reply);
    node_persist(&node);
    reply.term = 2;
    reply.vote_reply.pre = false;
    node_receive(&node, &reply);
    cr_assert_eq(node.update.role, RAFT_LEADER);
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BUSY);
}
