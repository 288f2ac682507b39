/* insi-raft among others: it founds, joins, follows and is removed. The other node is played by the
 * test (friend.h). */
#include <signal.h>

#include "base/error.h"
#include "tests/unit/raft/friend.h"

#define CLUSTER 'c'
#define QUICK "raft: {electionTimeout: 200ms, heartbeat: 20ms}\n"

static void cluster_teardown(void)
{
    friend_close();
    rig_fini();
}

TestSuite(founding, .fini = cluster_teardown, .timeout = 120);
TestSuite(joining, .fini = cluster_teardown, .timeout = 120);
TestSuite(following, .fini = cluster_teardown, .timeout = 120);
TestSuite(outcast, .fini = cluster_teardown, .timeout = 120);

static struct board_lease cluster_board(void)
{
    struct board_lease lease;
    cr_assert_eq(board_read_lease(rig.board, &lease), 0);
    return lease;
}

static void cluster_answer_joins(enum peer_verdict verdict, uint8_t cluster)
{
    friend_node.answers_joins = true;
    friend_node.join_answer = (struct peer_join_answer){.verdict = verdict};
    memset(friend_node.join_answer.cluster, cluster, WAL_CLUSTER_BYTES);
}

static void cluster_start(const char *extra)
{
    rig_init(extra);
    rig_start();
    rig_open_workers();
    rig_open_gateway();
}

/* node0 is a follower of the friend, and has a config with both of them. */
static void cluster_follow(void)
{
    cluster_start("defaultLeader: node1\n" QUICK);
    friend_open(CLUSTER);
    cluster_answer_joins(PEER_VERDICT_ACCEPTED, CLUSTER);
    FRIEND_WAIT(rig_logged("event=cluster_joined") == 1);
    friend_node.answers_joins = false;
    friend_append_config(3, true);
    FRIEND_WAIT(friend_node.last_index == 1);
    FRIEND_WAIT(rig.gateway.leader_is_known);
}

/* Waits while the friend goes on to lead. */
#define LEAD_WAIT(condition)                                                                       \
    do {                                                                                           \
        friend_lead(3, friend_node.log_index);                                                     \
        FRIEND_WAIT(                                                                               \
            (friend_is_up() ? friend_lead(3, friend_node.log_index) : (void)0, condition));        \
    } while (0)

/* ---- founding ---- */

Test(founding, a_new_default_leader_asks_the_others_first)
{
    cluster_start("# node1\n");
    friend_open(0);
    cluster_answer_joins(PEER_VERDICT_NO_CLUSTER, 0);
    FRIEND_WAIT(rig_logged("event=cluster_founded") == 1);
    cr_assert_gt(friend_node.joins, 0);
    cr_assert_not(friend_node.has_log);
    FRIEND_WAIT(cluster_board().role == BOARD_ROLE_LEADER);
    FRIEND_WAIT(rig_applied_index(PROC_STORAGE) == 1);
}

Test(founding, it_does_not_wait_for_ever_for_those_who_are_silent)
{
    cluster_start("# node1\n");
    FRIEND_WAIT(cluster_board().role == BOARD_ROLE_LEADER);
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(founding, a_default_leader_that_lost_its_disk_founds_no_second_cluster)
{
    cluster_start("# node1\n");
    friend_open(CLUSTER);
    cluster_answer_joins(PEER_VERDICT_NO_LEADER, CLUSTER);
    FRIEND_WAIT(rig_logged("event=cluster_found peer=node1") == 1);
    uint64_t until_ms = clock_boot_ms() + 2500; /* it would have founded one by then */
    FRIEND_WAIT(clock_boot_ms() >= until_ms);
    cr_assert_eq(rig_logged("event=cluster_founded"), 0);
    cr_assert_eq(cluster_board().role, BOARD_ROLE_FOLLOWER);
    cr_assert_eq(cluster_board().standing, BOARD_STANDING_WAITING);
}

Test(founding, a_cluster_that_was_founded_is_led_again_without_asking)
{
    cluster_start("# node1\n");
    FRIEND_WAIT(cluster_board().role == BOARD_ROLE_LEADER);
    cr_assert_eq(rig_stop(SIGTERM), 0);
    rig_start();
    FRIEND_WAIT(cluster_board().role == BOARD_ROLE_LEADER);
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
}

Test(founding, two_clusters_that_meet_are_reported)
{
    cluster_start("# node1\n");
    FRIEND_WAIT(cluster_board().role == BOARD_ROLE_LEADER);
    friend_open('d');
    FRIEND_WAIT(rig_logged("event=cluster_differs") == 1);
    cr_assert_eq(cluster_board().role, BOARD_ROLE_LEADER);
    FRIEND_WAIT(friend_is_up());
    friend_join(true);
    cr_assert_eq(friend_node.verdict, PEER_VERDICT_FOREIGN);
    cr_assert_eq(rig_logged("event=cluster_differs"), 1);
}

/* ---- joining ---- */

Test(joining, a_new_node_asks_until_it_is_let_in_and_follows)
{
    cluster_start("defaultLeader: node1\n" QUICK);
    FRIEND_WAIT(cluster_board().standing == BOARD_STANDING_WAITING);
    friend_open(CLUSTER);
    FRIEND_WAIT(friend_node.joins >= 3);
    cr_assert_not(friend_node.has_log);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->resumed, 0, "of which cluster it is is not known");
    cluster_answer_joins(PEER_VERDICT_ACCEPTED, CLUSTER);
    FRIEND_WAIT(rig_worker_of(PROC_STORAGE)->resumed == 1);
    cr_assert_eq(rig.lineage[0], CLUSTER);
    friend_append_config(3, true);
    friend_append_command(3, 1, 1000, 2);
    FRIEND_WAIT(rig_has(PROC_STORAGE, 1));
    cr_assert_eq(rig_find(PROC_STORAGE, 1)->index, 2);
    cr_assert_eq(rig_find(PROC_STORAGE, 1)->stamp_ms, 1000);
    cr_assert_str_eq(cluster_board().leader, "node1");
    cr_assert_eq(cluster_board().standing, BOARD_STANDING_MEMBER);
    cr_assert_eq(cluster_board().commit_index, 2);
    cr_assert_eq(rig.gateway.term, 3);
}

Test(joining, what_others_say_before_it_is_let_in_does_not_count)
{
    cluster_start("defaultLeader: node1\n" QUICK);
    friend_open(CLUSTER);
    FRIEND_WAIT(friend_node.joins >= 1 && friend_is_up());
    friend_lead(3, 0);
    unsigned joins = friend_node.joins;
    FRIEND_WAIT(friend_node.joins >= joins + 2);
    cr_assert_eq(friend_node.replies, 0);
    cr_assert_eq(cluster_board().term, 0);
}

Test(joining, a_joined_node_belongs_to_its_cluster_after_a_restart)
{
    cluster_follow();
    LEAD_WAIT(rig_applied_index(PROC_STORAGE) == 1);
    rig_kill();
    FRIEND_WAIT(!friend_is_up());
    rig_start();
    FRIEND_WAIT(friend_is_up());
    friend_append_command(3, 1, 1000, 2);
    LEAD_WAIT(rig_has(PROC_STORAGE, 1));
    cr_assert_eq(rig_logged("event=cluster_joined"), 1);
}

/* ---- following ---- */

Test(following, proposals_are_passed_on_to_the_leader_and_answered_by_the_own_worker)
{
    cluster_follow();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    LEAD_WAIT(friend_node.forwards == 1);
    cr_assert_eq(friend_node.forward_sequence, sequence);
    cr_assert_eq(friend_node.forward_term, 3);
    friend_append_command(3, sequence, 1000, 2);
    LEAD_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_eq(rig.gateway.refused, 0);
}

Test(following, a_refusal_of_the_leader_reaches_the_gateway)
{
    cluster_follow();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    LEAD_WAIT(friend_node.forwards == 1);
    const struct peer_forward_refused others = {RIG_SESSION + 1, sequence, E_BUSY};
    const struct peer_forward_refused refused = {RIG_SESSION, sequence, E_STORAGE_FULL};
    peer_forward_refused_pack(friend_begin(PEER_FORWARD_REFUSED), &others);
    friend_end();
    peer_forward_refused_pack(friend_begin(PEER_FORWARD_REFUSED), &refused);
    friend_end();
    LEAD_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_STORAGE_FULL);
    cr_assert_eq(rig.gateway.refused_sequence, sequence);
}

Test(following, a_refusal_reaches_the_gateway_under_each_of_its_sessions)
{
    cluster_follow();
    struct buf out;
    struct entry entry = {
        .sequence = 1, .part_count = 1, .parts = {{PROC_STORAGE, slice_text("x")}}};
    buf_init(&out, 1000);
    for (unsigned i = 1; i <= 3; i++) {
        entry.session = RIG_SESSION + i;
        buf_clear(&out);
        cr_assert_eq(entry_encode(&out, &entry), 0);
        rig_propose_bytes(buf_slice(&out));
    }
    LEAD_WAIT(friend_node.forwards == 3);
    for (unsigned i = 1; i <= 3; i++) {
        const struct peer_forward_refused refused = {RIG_SESSION + i, 1, E_STORAGE_FULL};
        peer_forward_refused_pack(friend_begin(PEER_FORWARD_REFUSED), &refused);
        friend_end();
        LEAD_WAIT(rig.gateway.refused == i);
        cr_assert_eq(rig.gateway.refused_session, RIG_SESSION + i);
    }
    buf_fini(&out);
}

Test(following, gateways_propose_again_when_the_leader_leads_on)
{
    cluster_follow();
    unsigned leaders = rig.gateway.leaders;
    (void)friend_begin(PEER_FORWARD_AGAIN);
    friend_end();
    LEAD_WAIT(rig.gateway.leaders == leaders + 2);
    cr_assert(rig.gateway.leader_is_known);
}

Test(following, gateways_propose_again_when_the_leader_was_out_of_reach)
{
    cluster_follow();
    unsigned leaders = rig.gateway.leaders;
    friend_close();
    FRIEND_WAIT(!rig.gateway.leader_is_known);
    friend_open(CLUSTER);
    FRIEND_WAIT(friend_is_up());
    LEAD_WAIT(rig.gateway.leader_is_known);
    cr_assert_geq(rig.gateway.leaders, leaders + 2);
}

Test(following, without_a_leader_proposals_are_refused)
{
    cluster_follow();
    friend_close();
    FRIEND_WAIT(!rig.gateway.leader_is_known);
    rig_propose(PROC_STORAGE, 10);
    FRIEND_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_NO_LEADER);
}

Test(following, a_read_index_comes_from_the_leader)
{
    cluster_follow();
    rig_ask(1);
    rig_ask(2);
    LEAD_WAIT(friend_node.reads >= 1);
    cr_assert_eq(rig.gateway.answered, 0);
    friend_answer_read(3, 1);
    LEAD_WAIT(rig.gateway.answered == 2);
    cr_assert_eq(rig.gateway.answer_index, 1);
}

Test(following, cluster_time_comes_from_the_leader)
{
    const uint64_t ahead_ns = 1000000 * NS_PER_S;
    cluster_follow();
    LEAD_WAIT(friend_node.clock_asks >= 1);
    const struct peer_clock clock = {friend_node.asked_ns, friend_node.asked_ns + ahead_ns};
    peer_clock_answer_pack(friend_begin(PEER_CLOCK_ANSWER), &clock);
    friend_end();
    LEAD_WAIT(board_has_cluster_time(rig.board));
    uint64_t expected_ms = clock_boot_ms() + ahead_ns / NS_PER_MS;
    uint64_t shown_ms = board_cluster_time_ms(rig.board);
    cr_assert(shown_ms < expected_ms + 10 && shown_ms + 2000 > expected_ms);
    unsigned asks = friend_node.clock_asks;
    LEAD_WAIT(friend_node.clock_asks > asks);
}

Test(following, who_belongs_to_the_cluster_is_asked_at_the_leader)
{
    cluster_follow();
    rig_ask_cluster(5);
    LEAD_WAIT(friend_node.status_asks == 1);
    struct peer_status status = {.id = friend_node.status_id,
                                 .term = 3,
                                 .leader = slice_text("node1"),
                                 .member_count = 1,
                                 .members = {{.name = slice_text("node1"),
                                              .raft_address = slice_text("a:1"),
                                              .http_address = slice_text("a:2"),
                                              .is_voter = true}}};
    peer_status_pack(friend_begin(PEER_STATUS_ANSWER), &status);
    friend_end();
    LEAD_WAIT(rig.gateway.shown == 1);
    cr_assert_eq(rig.gateway.cluster.id, 5);
    cr_assert(rig.gateway.cluster.is_of_leader);
    cr_assert_eq(rig.gateway.cluster.member_count, 1);
    cr_assert_str_eq(rig.gateway.cluster_leader, "node1");
}

Test(following, a_leader_that_does_not_answer_is_not_waited_for)
{
    cluster_follow();
    rig_ask_cluster(5);
    LEAD_WAIT(rig.gateway.shown == 1);
    cr_assert_not(rig.gateway.cluster.is_of_leader);
    cr_assert_eq(rig.gateway.cluster.member_count, 2);
    cr_assert_eq(rig.gateway.cluster.cluster_id.len, MSG_CLUSTER_ID_BYTES);
}

Test(following, changes_are_passed_on_and_answered_once)
{
    cluster_follow();
    rig_change(MSG_CHANGE_REMOVE, "node7", "");
    LEAD_WAIT(friend_node.changes == 1);
    struct msg_change_answer answer = {friend_node.change_id, E_NOT_FOUND, slice_text("no node7")};
    for (unsigned i = 0; i < 2; i++) {
        peer_change_answer_pack(friend_begin(PEER_CHANGE_ANSWER), &answer);
        friend_end();
    }
    LEAD_WAIT(rig.gateway.changed == 1);
    cr_assert_eq(rig.gateway.change_error, E_NOT_FOUND);
    cr_assert_str_eq(rig.gateway.change_detail, "no node7");
    rig_change(MSG_CHANGE_REMOVE, "node7", "");
    LEAD_WAIT(friend_node.changes == 2);
    friend_close();
    FRIEND_WAIT(rig.gateway.changed == 2);
    cr_assert_eq(rig.gateway.change_error, E_OUTCOME_UNKNOWN);
    FRIEND_WAIT(!rig.gateway.leader_is_known);
    rig_change(MSG_CHANGE_REMOVE, "node7", "");
    FRIEND_WAIT(rig.gateway.changed == 3);
    cr_assert_eq(rig.gateway.change_error, E_NO_LEADER);
}

Test(following, who_does_not_lead_yields_at_once_and_does_not_stand)
{
    cluster_follow();
    rig_yield();
    FRIEND_WAIT(rig.has_yielded);
    uint64_t until_ms = clock_boot_ms() + 1000; /* several election timeouts of silence */
    FRIEND_WAIT(clock_boot_ms() >= until_ms);
    cr_assert_eq(friend_node.votes, 0);
}

/* ---- outcasts ---- */

static void cluster_become_outcast(enum peer_verdict verdict, uint8_t cluster)
{
    cluster_follow();
    LEAD_WAIT(rig_applied_index(PROC_STORAGE) == 1);
    cluster_answer_joins(verdict, cluster);
}

Test(outcast, who_was_removed_while_away_is_told_so_and_stays_out)
{
    cluster_become_outcast(PEER_VERDICT_REMOVED, CLUSTER);
    FRIEND_WAIT(cluster_board().standing == BOARD_STANDING_REMOVED);
    cr_assert(friend_node.has_log);
    cr_assert_eq(rig_logged("event=node_removed"), 1);
    unsigned joins = friend_node.joins;
    FRIEND_WAIT(friend_node.joins >= joins + 2);
    cr_assert_eq(rig_logged("event=node_removed"), 1, "not with every answer");
    cr_assert_eq(rig_logged("event=node_begins_anew"), 0);
    /* a leader that counts it in is believed */
    LEAD_WAIT(cluster_board().standing == BOARD_STANDING_MEMBER);
}

Test(outcast, who_was_removed_and_is_invited_begins_anew_under_another_id)
{
    cluster_become_outcast(PEER_VERDICT_REMOVED, CLUSTER);
    FRIEND_WAIT(cluster_board().standing == BOARD_STANDING_REMOVED);
    uint64_t old_id = peer_info(friend_node.node)->id;
    (void)friend_begin(PEER_INVITE);
    friend_end();
    FRIEND_WAIT(friend_node.invites == 1);
    cr_assert_eq(friend_node.invited, PEER_INVITED_STARTS);
    cr_assert_eq(rig_wait_exit(), 1);
    friend_node.answers_joins = false;
    friend_node.joins = 0;
    rig_start();
    FRIEND_WAIT(friend_node.joins > 0);
    cr_assert_not(friend_node.has_log);
    cr_assert_neq(peer_info(friend_node.node)->id, old_id);
    cr_assert_eq(rig_logged("event=log_discarded"), 1);
}

Test(outcast, a_member_does_not_throw_its_log_away_for_an_invitation)
{
    cluster_follow();
    (void)friend_begin(PEER_INVITE);
    friend_end();
    LEAD_WAIT(friend_node.invites == 1);
    cr_assert_eq(friend_node.invited, PEER_INVITED_MEMBER);
}

Test(outcast, data_of_another_cluster_keep_a_node_out)
{
    cluster_become_outcast(PEER_VERDICT_FOREIGN, 'd');
    FRIEND_WAIT(cluster_board().standing == BOARD_STANDING_FOREIGN);
    cr_assert_eq(rig_logged("event=cluster_differs"), 1);
    cr_assert_eq(rig_logged("peer_cluster=64646464646464646464646464646464"), 1);
    /* somebody of the own cluster is there after all */
    cluster_answer_joins(PEER_VERDICT_NO_LEADER, CLUSTER);
    FRIEND_WAIT(cluster_board().standing == BOARD_STANDING_MEMBER);
}
