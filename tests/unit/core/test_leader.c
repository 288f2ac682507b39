/* A leader: members, transfers, snapshots and reads in detail. */
#include <criterion/criterion.h>

#include "tests/unit/core/node.h"

static struct node node;

static void leader_new(void)
{
    node_new(&node, 3);
    node_start(&node);
    node_lead(&node);
}

static void leader_free(void)
{
    node_free(&node);
}

TestSuite(leader, .init = leader_new, .fini = leader_free);

static uint64_t last(void)
{
    return raft_last_index(node.raft);
}

static void ack_all(void)
{
    node_ack(&node, 2, last());
    node_ack(&node, 3, last());
}

static void snapshot_made(uint64_t index, uint64_t floor)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_MADE, .now_ns = node.now_ns};
    event.snapshot_made.index = index;
    event.snapshot_made.floor_index = floor;
    raft_step(node.raft, &event, &node.update);
}

static void snapshot_sent(uint64_t peer, uint64_t index, bool ok)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_SENT, .now_ns = node.now_ns};
    event.snapshot_sent.peer = peer;
    event.snapshot_sent.index = index;
    event.snapshot_sent.ok = ok;
    raft_step(node.raft, &event, &node.update);
}

static void decide(uint32_t count)
{
    node_propose(&node, count);
    node_persist(&node);
    ack_all();
    node_apply(&node, last());
}

/* ---- the lease ---------------------------------------------------------------------------------
 */

/* One worker has applied 4 and told a client; another stands at 2, so no more is announced. Then
 * the first one loses its map. At 2 it shows all that was announced, but not what that client
 * knows. */
Test(leader, has_no_lease_before_a_lost_map_shows_all_that_it_did)
{
    decide(1);
    node_propose(&node, 2);
    node_persist(&node);
    ack_all();
    cr_assert_eq(node.update.commit_index, 4);
    cr_assert_eq(node.update.announced_index, 2);
    cr_assert_neq(node.update.lease_end_ns, 0);
    node_apply(&node, 0);
    cr_assert_eq(node.update.lease_end_ns, 0);
    node_apply(&node, 2);
    cr_assert_eq(node.update.lease_end_ns, 0);
    node_apply(&node, 4);
    cr_assert_neq(node.update.lease_end_ns, 0);
}

/* ---- members -----------------------------------------------------------------------------------
 */

Test(leader, refuses_changes_that_change_nothing)
{
    node_change(&node, RAFT_CHANGE_ADD, 2);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID, "is one already");
    node_change(&node, RAFT_CHANGE_ADD, RAFT_NONE);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID);
    node_change(&node, RAFT_CHANGE_REMOVE, 9);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID, "is none");
    node_change(&node, RAFT_CHANGE_PROMOTE, 2);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID, "is a voter");
    node_change(&node, RAFT_CHANGE_RENEW, 9);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID);
    node_change(&node, (enum raft_change_kind)77, 2);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_NONE);
}

Test(leader, keeps_members_in_the_order_of_their_ids)
{
    node_change(&node, RAFT_CHANGE_ADD, UINT64_MAX);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    cr_assert_eq(node.update.config->members[3].id, UINT64_MAX);
    cr_assert_not(node.update.config->members[3].voter);
    node_persist(&node);
    ack_all();
    node_change(&node, RAFT_CHANGE_REMOVE, 2);
    cr_assert_eq(node.update.config->count, 3);
    cr_assert_eq(node.update.config->members[1].id, 3);
    cr_assert_eq(node.update.config->members[2].id, UINT64_MAX);
}

Test(leader, renews_a_member_without_giving_up_its_lease)
{
    ack_all();
    cr_assert_neq(node.update.lease_end_ns, 0);
    node_change(&node, RAFT_CHANGE_RENEW, 2);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_CONFIG);
    cr_assert_not(node.update.drop_lease);
    cr_assert_neq(node.update.lease_end_ns, 0);
}

/* It must learn that it is out, or it would ask for votes for ever. */
Test(leader, still_sends_to_one_that_was_removed_for_two_election_timeouts)
{
    node_change(&node, RAFT_CHANGE_REMOVE, 3);
    node_persist(&node);
    node_ack(&node, 2, last());
    node_apply(&node, last());
    cr_assert_eq(node_sent(&node, RAFT_MESSAGE_APPEND, 3)->append.commit, last());
    for (uint32_t i = 0; i < 25; i++)
        node_ack(&node, 2, last());
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node.update.message_count, 1);
    cr_assert_eq(node.update.messages[0].to, 2);
}

Test(leader, tells_of_its_peers)
{
    node_change(&node, RAFT_CHANGE_ADD, 9);
    node_persist(&node);
    node_ack(&node, 2, last());
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    cr_assert_eq(raft_peers(node.raft, node.now_ns + NODE_TIMEOUT_NS - 1, peers), 3);
    cr_assert_eq(peers[0].id, 2);
    cr_assert(peers[0].voter);
    cr_assert(peers[0].active);
    cr_assert_eq(peers[0].match_index, last());
    cr_assert_eq(peers[2].id, 9);
    cr_assert_not(peers[2].voter);
    cr_assert_eq(peers[2].match_index, 0);
    raft_peers(node.raft, node.now_ns + NODE_TIMEOUT_NS, peers);
    cr_assert_not(peers[0].active);
}

/* ---- transfer ----------------------------------------------------------------------------------
 */

Test(leader, hands_over_to_none_but_a_living_voter)
{
    node_transfer(&node, 9);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID, "no member");
    node_transfer(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_INVALID, "itself");
    for (uint32_t i = 0; i < 11; i++)
        node_ack(&node, 3, last());
    node_transfer(&node, 2);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BEHIND, "silent for an election timeout");
    node_transfer(&node, 3);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    node_transfer(&node, 3);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_TRANSFERRING);
    node_change(&node, RAFT_CHANGE_ADD, 9);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_TRANSFERRING);
}

Test(leader, picks_the_best_when_nobody_is_named)
{
    node_propose(&node, 1);
    node_persist(&node);
    node_ack(&node, 3, last());
    node_transfer(&node, RAFT_NONE);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    cr_assert_eq(node_sent(&node, RAFT_MESSAGE_TIMEOUT_NOW, 3)->term, node.update.term);
}

/* It may be unfit in ways that do not show: cut off from the others, without a disk. */
Test(leader, picks_another_one_after_a_transfer_that_failed)
{
    ack_all();
    node_transfer(&node, RAFT_NONE);
    node_sent(&node, RAFT_MESSAGE_TIMEOUT_NOW, 2);
    for (uint32_t i = 0; i < 10; i++)
        ack_all();
    cr_assert_eq(node.update.role, RAFT_LEADER);
    node_transfer(&node, RAFT_NONE);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    node_sent(&node, RAFT_MESSAGE_TIMEOUT_NOW, 3);
}

/* Two leaders without workers would hand over to each other for ever. */
Test(leader, without_workers_is_nobody_to_hand_over_to)
{
    struct raft_message append = node_append(2, node.update.term + 1, 1, 1, NULL, 0, 1);
    node_receive(&node, &append);
    node_persist(&node);
    node_workers(&node, false);
    struct raft_message now = node_message(RAFT_MESSAGE_TIMEOUT_NOW, 2, node.update.term);
    now.timeout_now.round = 1;
    node_receive(&node, &now);
    cr_assert_eq(node.update.role, RAFT_FOLLOWER);
    node_workers(&node, true);
    node_receive(&node, &now);
    cr_assert_eq(node.update.role, RAFT_CANDIDATE);
}

/* ---- snapshots ---------------------------------------------------------------------------------
 */

/* node 3 has not answered since the election; its log begins before ours. */
static void leave_behind(void)
{
    node_propose(&node, 5);
    node_persist(&node);
    node_ack(&node, 2, last());
    node_apply(&node, last());
    struct raft_event event = {.kind = RAFT_EVENT_PEER, .now_ns = node.now_ns};
    event.peer.id = 3;
    event.peer.up = true;
    raft_step(node.raft, &event, &node.update);
    snapshot_made(last(), last());
}

Test(leader, asks_for_a_snapshot_when_the_log_is_cut_off)
{
    leave_behind();
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node.update.snapshot_peer_count, 1);
    cr_assert_eq(node.update.snapshot_peers[0], 3);
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node.update.snapshot_peer_count, 0, "once");
    cr_assert_eq(node_sent(&node, RAFT_MESSAGE_APPEND, 3)->append.count, 0, "only heartbeats");
}

Test(leader, goes_on_behind_a_snapshot_that_was_sent)
{
    leave_behind();
    uint64_t index = last();
    node_wait(&node, NODE_HEARTBEAT_NS);
    node_propose(&node, 2);
    cr_assert_eq(node_count_sent(&node, RAFT_MESSAGE_APPEND), 1, "to node 2 alone");
    snapshot_sent(3, index, true);
    node_wait(&node, NODE_HEARTBEAT_NS);
    const struct raft_message *append = node_sent(&node, RAFT_MESSAGE_APPEND, 3);
    cr_assert_eq(append->append.prev_index, index);
    cr_assert_eq(append->append.count, 2);
}

Test(leader, clamps_a_snapshot_that_is_ahead_of_its_log)
{
    leave_behind();
    node_wait(&node, NODE_HEARTBEAT_NS);
    snapshot_sent(3, last() + 100, true);
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node_sent(&node, RAFT_MESSAGE_APPEND, 3)->append.prev_index, last());
}

Test(leader, ignores_the_end_of_streams_that_it_does_not_know)
{
    snapshot_sent(3, 1, true);
    snapshot_sent(77, 1, false);
    cr_assert_eq(node.update.message_count, 0);
}

Test(leader, knows_the_config_of_every_index_behind_its_base)
{
    uint64_t index, before = last();
    node_change(&node, RAFT_CHANGE_ADD, 9);
    node_persist(&node);
    ack_all();
    node_apply(&node, last());
    cr_assert_eq(raft_config_at(node.raft, before, &index)->count, 3);
    cr_assert_eq(index, 1);
    cr_assert_eq(raft_config_at(node.raft, last(), &index)->count, 4);
    cr_assert_eq(index, last());
    snapshot_made(last(), last());
    cr_assert_eq(raft_config_at(node.raft, last(), &index)->count, 4);
    cr_assert_eq(index, last());
}

/* ---- commit and reads ---------------------------------------------------------------------------
 */

Test(leader, takes_no_answer_back)
{
    decide(3);
    uint64_t commit = node.update.commit_index;
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 2, node.update.term);
    reply.append_reply.ok = true;
    reply.append_reply.match = 1;
    node_receive(&node, &reply);
    reply.append_reply.ok = false;
    reply.append_reply.prev_index = 2;
    node_receive(&node, &reply);
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    raft_peers(node.raft, node.now_ns, peers);
    cr_assert_eq(peers[0].match_index, last());
    cr_assert_eq(node.update.commit_index, commit);
}

Test(leader, believes_no_hint_above_what_was_refused)
{
    node_propose(&node, 3);
    uint64_t round = node_sent(&node, RAFT_MESSAGE_APPEND, 2)->append.round;
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 2, node.update.term);
    reply.append_reply.prev_index = 2;
    reply.append_reply.hint_index = 50;
    reply.append_reply.hint_term = node.update.term;
    reply.append_reply.round = round;
    reply.append_reply.sent_ns = node.now_ns;
    cr_assert_eq(node_receive(&node, &reply), 0);
    cr_assert_eq(node_sent(&node, RAFT_MESSAGE_APPEND, 2)->append.prev_index, 1);
}

Test(leader, ignores_answers_of_strangers_and_of_other_terms)
{
    node_propose(&node, 1);
    node_persist(&node);
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 9, node.update.term);
    reply.append_reply.ok = true;
    reply.append_reply.match = last();
    node_receive(&node, &reply);
    reply.from = 2;
    reply.term = node.update.term - 1;
    node_receive(&node, &reply);
    cr_assert_lt(node.update.commit_index, last());
}

Test(leader, answers_a_follower_under_its_lease_at_once)
{
    ack_all();
    struct raft_message read = node_message(RAFT_MESSAGE_READ, 3, node.update.term);
    read.read.id = 77;
    node_receive(&node, &read);
    const struct raft_message *reply = node_sent(&node, RAFT_MESSAGE_READ_REPLY, 3);
    cr_assert_eq(reply->read_reply.id, 77);
    cr_assert_eq(reply->read_reply.index, last());
}

Test(leader, gives_up_questions_after_an_election_timeout)
{
    node_free(&node);
    node_new(&node, 3);
    node.options.reads = RAFT_READS_INDEX;
    node_start(&node);
    node_lead(&node);
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, 2, node.update.term);
    node_read(&node, 5);
    for (uint32_t i = 0; i < 10; i++) { /* heard, but no answer to the question's round */
        cr_assert_eq(node.update.read_count, 0);
        node_wait(&node, NODE_HEARTBEAT_NS - 1);
        node_receive(&node, &reply);
    }
    node_wait(&node, NODE_HEARTBEAT_NS);
    cr_assert_eq(node.update.role, RAFT_LEADER);
    cr_assert_eq(node.update.read_count, 1);
    cr_assert(node.update.reads[0].refused);
}
