/* insi-raft as the leader of others, who are played by the test (friend.h): it lets them in,
 * replicates, hands over, and does what operators want. */
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "tests/unit/raft/friend.h"

static void leading_teardown(void)
{
    friend_close();
    rig_fini();
}

TestSuite(leading, .fini = leading_teardown, .timeout = 120);

static struct board_lease leading_board(void)
{
    struct board_lease lease;
    cr_assert_eq(board_read_lease(rig.board, &lease), 0);
    return lease;
}

static void leading_start(void)
{
    rig_init("# node1\n");
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    friend_open(0);
    friend_node.answers_joins = true;
    friend_node.join_answer = (struct peer_join_answer){.verdict = PEER_VERDICT_NO_CLUSTER};
    FRIEND_WAIT(leading_board().role == BOARD_ROLE_LEADER && friend_is_up());
    FRIEND_WAIT(rig_applied_index(PROC_STORAGE) == 1);
}

/* The friend is let in, as a learner; acknowledges: it becomes a voter. */
static void leading_let_in(bool acknowledges)
{
    leading_start();
    friend_node.answers_appends = acknowledges;
    friend_join(false);
    cr_assert_eq(friend_node.verdict, PEER_VERDICT_ACCEPTED);
    friend_set_cluster(friend_node.join_answer.cluster);
    FRIEND_WAIT(friend_node.appends > 0);
}

static void leading_look(void)
{
    unsigned shown = rig.gateway.shown;
    rig_ask_cluster(1);
    FRIEND_WAIT(rig.gateway.shown > shown);
}

static void leading_have_voter(void)
{
    leading_let_in(true);
    /* the config, who was added, who was promoted */
    FRIEND_WAIT(rig_applied_index(PROC_STORAGE) == 3);
}

Test(leading, a_new_node_is_let_in_and_becomes_a_voter)
{
    leading_have_voter();
    leading_look();
    cr_assert(rig.gateway.cluster.is_of_leader);
    cr_assert_eq(rig.gateway.cluster.member_count, 2);
    cr_assert(rig.gateway.cluster.members[0].is_voter && rig.gateway.cluster.members[1].is_voter);
    cr_assert_str_eq(rig.gateway.cluster_leader, "node0");
}

Test(leading, who_does_not_acknowledge_stays_a_learner_and_keeps_nobody_from_writing)
{
    leading_let_in(false);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig_has(PROC_STORAGE, sequence));
    leading_look();
    cr_assert_eq(rig.gateway.cluster.member_count, 2);
    cr_assert(rig.gateway.cluster.members[0].is_voter != rig.gateway.cluster.members[1].is_voter);
}

Test(leading, of_two_voters_both_have_to_have_an_entry)
{
    leading_have_voter();
    friend_node.answers_appends = false;
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    unsigned appends = friend_node.appends;
    FRIEND_WAIT(friend_node.appends > appends + 1);
    cr_assert_not(rig_has(PROC_STORAGE, sequence));
    friend_node.answers_appends = true;
    FRIEND_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(leading, what_is_passed_on_for_another_term_is_refused)
{
    leading_have_voter();
    struct buf out;
    const struct entry entry = {
        .session = 99, .sequence = 1, .part_count = 1, .parts = {{PROC_STORAGE, slice_text("x")}}};
    buf_init(&out, 1000);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    struct peer_forward forward = {leading_board().term + 1, buf_slice(&out)};
    peer_forward_pack(friend_begin(PEER_FORWARD), &forward);
    friend_end();
    FRIEND_WAIT(friend_node.forwards_refused == 1);
    cr_assert_eq(friend_node.refused_error, E_NO_LEADER);
    forward.term = leading_board().term;
    peer_forward_pack(friend_begin(PEER_FORWARD), &forward);
    friend_end();
    FRIEND_WAIT(rig_applied_index(PROC_STORAGE) == 4);
    cr_assert_eq(rig_find(PROC_STORAGE, 1)->session, 99);
    buf_fini(&out);
}

Test(leading, a_full_disk_of_a_voter_is_everybodys)
{
    leading_have_voter();
    peer_disk_pack(friend_begin(PEER_DISK), true);
    friend_end();
    for (unsigned i = 0; i < 5; i++)
        friend_turn();
    rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_STORAGE_FULL);
    peer_disk_pack(friend_begin(PEER_DISK), false);
    friend_end();
    for (unsigned i = 0; i < 5; i++)
        friend_turn();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(leading, cluster_time_is_told_to_those_who_ask)
{
    leading_have_voter();
    peer_id_pack(friend_begin(PEER_CLOCK_ASK), 12345);
    friend_end();
    FRIEND_WAIT(friend_node.clock_answers == 1);
    cr_assert_eq(friend_node.clock.asked_ns, 12345);
    uint64_t shown_ms = board_cluster_time_ms(rig.board);
    uint64_t told_ms = friend_node.clock.cluster_ns / NS_PER_MS;
    cr_assert(told_ms <= shown_ms && told_ms + 5000 > shown_ms);
}

/* ---- operators ---- */

Test(leading, a_member_can_be_removed_and_is_told_so)
{
    leading_have_voter();
    rig_change(MSG_CHANGE_REMOVE, "node1", "");
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, 0, "%s", rig.gateway.change_detail);
    leading_look();
    cr_assert_eq(rig.gateway.cluster.member_count, 1);
    friend_join(true);
    cr_assert_eq(friend_node.verdict, PEER_VERDICT_REMOVED);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(leading, what_cannot_be_removed_is_said)
{
    leading_start();
    rig_change(MSG_CHANGE_REMOVE, "node7", "");
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, E_NOT_FOUND);
    rig_change(MSG_CHANGE_REMOVE, "node0", "");
    FRIEND_WAIT(rig.gateway.changed == 2);
    cr_assert_eq(rig.gateway.change_error, E_CONFLICT);
    cr_assert_str_eq(rig.gateway.change_detail, "'node0' is the only voter");
}

Test(leading, an_invited_node_is_waited_for)
{
    char address[64];
    leading_start();
    snprintf(address, sizeof(address), "127.0.0.1:%u", rig.other_port);
    rig_change(MSG_CHANGE_JOIN, "node1", address);
    FRIEND_WAIT(friend_node.invites == 1);
    cr_assert_eq(rig.gateway.changed, 0);
    friend_say_join(false);
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, 0, "%s", rig.gateway.change_detail);
    leading_look();
    cr_assert_eq(rig.gateway.cluster.member_count, 2);
    rig_change(MSG_CHANGE_JOIN, "node1", address);
    FRIEND_WAIT(rig.gateway.changed == 2);
    cr_assert_eq(rig.gateway.change_error, E_CONFLICT);
}

Test(leading, a_node_that_cannot_join_is_reported)
{
    leading_start();
    rig_change(MSG_CHANGE_JOIN, "node1", "nonsense");
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, E_BAD_COMMAND);
    peer_invite_answer_pack(friend_begin(PEER_INVITE_ANSWER), PEER_INVITED_FOREIGN);
    friend_end(); /* nobody asked */
    rig_change(MSG_CHANGE_JOIN, "node1", "127.0.0.1:9");
    FRIEND_WAIT(friend_node.invites == 1); /* where it is known to be */
    peer_invite_answer_pack(friend_begin(PEER_INVITE_ANSWER), PEER_INVITED_FOREIGN);
    friend_end();
    FRIEND_WAIT(rig.gateway.changed == 2);
    cr_assert_eq(rig.gateway.change_error, E_CONFLICT);
    rig_change(MSG_CHANGE_JOIN, "node7", "127.0.0.1:9");
    FRIEND_WAIT(rig.gateway.changed == 3);
    cr_assert_eq(rig.gateway.change_error, E_NO_LEADER);
    cr_assert_str_eq(rig.gateway.change_detail, "'node7' cannot be reached at 127.0.0.1:9");
}

Test(leading, leadership_that_is_not_taken_over_stays)
{
    leading_have_voter();
    rig_change(MSG_CHANGE_TRANSFER, "node1", "");
    FRIEND_WAIT(friend_node.timeouts == 1);
    unsigned leaders = rig.gateway.leaders;
    rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig.gateway.refused == 1);
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, E_CONFLICT);
    FRIEND_WAIT(rig.gateway.leaders == leaders + 2); /* propose again */
    FRIEND_WAIT(friend_node.agains == 1);
    cr_assert_eq(leading_board().role, BOARD_ROLE_LEADER);
    rig_change(MSG_CHANGE_TRANSFER, "node0", "");
    FRIEND_WAIT(rig.gateway.changed == 2);
    cr_assert_eq(rig.gateway.change_error, 0);
}

Test(leading, leadership_that_is_taken_over_is_reported)
{
    leading_have_voter();
    uint64_t term = leading_board().term;
    rig_change(MSG_CHANGE_TRANSFER, "node1", "");
    FRIEND_WAIT(friend_node.timeouts == 1);
    friend_node.log_index = 3;
    friend_node.log_term = term;
    friend_lead(term + 1, 3);
    FRIEND_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, 0, "%s", rig.gateway.change_detail);
    cr_assert_str_eq(leading_board().leader, "node1");
}

Test(leading, a_leader_hands_over_before_the_node_stops)
{
    leading_have_voter();
    rig_yield();
    FRIEND_WAIT(friend_node.timeouts == 1);
    cr_assert_not(rig.has_yielded);
    friend_node.log_index = 3;
    friend_node.log_term = leading_board().term;
    friend_lead(leading_board().term + 1, 3);
    FRIEND_WAIT(rig.has_yielded);
    cr_assert_eq(rig_stop(SIGTERM), 0);
}

/* A disk was lost: the same name, and another id. */
Test(leading, a_member_that_comes_back_as_another_takes_its_own_place)
{
    leading_let_in(false);
    friend_close();
    friend_open_as(0, FRIEND_ID + 1);
    FRIEND_WAIT(friend_is_up());
    uint64_t asked_ms = 0;
    while (rig_logged("event=member_added member=node1") < 2) {
        if (clock_boot_ms() > asked_ms + 100) {
            friend_say_join(false);
            asked_ms = clock_boot_ms();
        }
        friend_turn();
    }
    cr_assert_eq(rig_logged("event=member_replaced"), 1);
    leading_look();
    cr_assert_eq(rig.gateway.cluster.member_count, 2);
}
