/* Pops that wait: proposed in sessions of their own, renewed, cancelled, fed, and told once. */
#include "tests/unit/gateway/popping.h"

TestSuite(pops, .init = popping_start, .fini = popping_stop);

/* ---- items ---- */

Test(pops, a_pop_that_need_not_wait_is_answered_at_once)
{
    struct client client;
    cr_assert_eq(begin(&client, 1500), 0);
    const struct sent *sent = find_last(COMMAND_QUEUE_POP);
    cr_assert_eq(sent->wait_ms, 1500);
    cr_assert_eq(sent->session, rig.sessions[0]);
    result(sent, 0, "item");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "item");
    cr_assert_eq(client.index, rig.index);
    cr_assert_eq(pops_count(rig.pops), 0);
}

Test(pops, an_item_that_comes_while_it_waits_is_its_answer)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    pass_ms(100);
    result(&sent, 0, "late");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "late");
    result(&sent, 0, "late"); /* told twice by the worker: not to the client */
    expect(&client, 0);
}

Test(pops, a_wait_outlasts_the_request_timeout)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 60000);
    for (unsigned i = 0; i < 59; i++) {
        pass_ms(1000);
        const struct sent *renewal = find_last(COMMAND_QUEUE_WAIT_RENEW);
        result(renewal, 0, "");
    }
    cr_assert_eq(client.told, 0);
    result(&sent, 0, "item");
    expect(&client, 0);
}

Test(pops, other_errors_are_told_as_they_are)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    result(&sent, E_QUEUE_NOT_FOUND, ""); /* deleted under it */
    expect(&client, E_QUEUE_NOT_FOUND);
    cr_assert_eq(begin(&client, 1000), 0);
    result(find_last(COMMAND_QUEUE_POP), E_SCOPE_GONE, "");
    expect(&client, E_SCOPE_GONE);
}

/* ---- renewal ---- */

Test(pops, one_renewal_every_half_second_serves_all_that_wait)
{
    struct client clients[3];
    for (unsigned i = 0; i < 3; i++)
        begin_waiting(&clients[i], 60000);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 0);
    for (unsigned i = 1; i <= 4; i++) {
        cr_assert_leq(pops_due_ns(rig.pops), rig.now_ns + POPS_RENEW_MS * NS_PER_MS);
        pass_ms(POPS_RENEW_MS);
        cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), i);
        cr_assert_eq(find_last(COMMAND_QUEUE_WAIT_RENEW)->session, rig.sessions[0]);
        result(find_last(COMMAND_QUEUE_WAIT_RENEW), 0, "");
    }
}

Test(pops, nothing_is_renewed_when_nobody_waits)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    result(&sent, 0, "item");
    pass_ms(5000);
    pass_ms(30000);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 0);
    cr_assert_eq(pops_due_ns(rig.pops), UINT64_MAX);
}

Test(pops, a_pop_that_the_worker_gave_up_pops_again_with_what_is_left)
{
    struct client client;
    struct sent first = begin_waiting(&client, 10000);
    pass_ms(4000);
    result(&first, E_QUEUE_EMPTY, "");
    cr_assert_eq(client.told, 0);
    struct sent second = *find_last(COMMAND_QUEUE_POP);
    cr_assert_gt(second.sequence, first.sequence);
    cr_assert_eq(second.wait_ms, 6000);
    result(&second, 0, "item");
    expect(&client, 0);
}

Test(pops, a_pop_that_may_not_wait_because_too_many_do_is_told_so_and_does_not_ask_again)
{
    struct client client;
    cr_assert_eq(begin(&client, 10000), 0);
    pass_ms(5);
    result(find_last(COMMAND_QUEUE_POP), E_QUEUE_EMPTY, "");
    expect(&client, E_QUEUE_EMPTY);
    cr_assert_eq(count_of(COMMAND_QUEUE_POP), 1);
}

Test(pops, a_pop_whose_first_result_got_lost_pops_again_when_it_was_given_up)
{
    struct client client;
    cr_assert_eq(begin(&client, 10000), 0);
    struct sent first = *find_last(COMMAND_QUEUE_POP);
    pass_ms(QUEUE_WAIT_LEASE_MS);
    result(&first, E_QUEUE_EMPTY, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP)->wait_ms, 10000 - QUEUE_WAIT_LEASE_MS);
}

/* ---- the end of a wait ---- */

Test(pops, at_the_end_of_its_wait_it_is_cancelled_and_only_then_empty)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    cr_assert_leq(pops_due_ns(rig.pops), rig.now_ns + 400 * NS_PER_MS);
    pass_ms(399);
    cr_assert_null(find_last(COMMAND_QUEUE_POP_CANCEL));
    pass_ms(1);
    const struct sent *cancel = find_last(COMMAND_QUEUE_POP_CANCEL);
    cr_assert(cancel != NULL && cancel->cancelled == sent.sequence);
    cr_assert_eq(cancel->session, sent.session);
    cr_assert_eq(client.told, 0);
    result(cancel, 0, "");
    expect(&client, E_QUEUE_EMPTY);
    cr_assert_eq(pops_count(rig.pops), 0);
}

Test(pops, an_item_that_was_handed_over_before_the_cancel_is_not_lost)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    pass_ms(400);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), E_NOT_FOUND, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(rig.recalls, 1); /* the item is there: it is asked for */
    result(&sent, 0, "item");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "item");
}

Test(pops, an_item_beats_the_cancel_that_is_under_way)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    pass_ms(400);
    struct sent cancel = *find_last(COMMAND_QUEUE_POP_CANCEL);
    result(&sent, 0, "item");
    expect(&client, 0);
    result(&cancel, E_NOT_FOUND, ""); /* of one that is gone */
    expect(&client, 0);
}

Test(pops, a_wait_that_is_over_before_it_began_is_cancelled_when_it_begins)
{
    struct client client;
    cr_assert_eq(begin(&client, 100), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    pass_ms(1000);
    cr_assert_null(find_last(COMMAND_QUEUE_POP_CANCEL));
    result(&sent, E_QUEUE_WAITING, "");
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&client, E_QUEUE_EMPTY);
}

Test(pops, of_a_client_that_leaves_the_pop_is_cancelled)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    pop_leave(client.pop);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP_CANCEL)->cancelled, sent.sequence);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(pops_count(rig.pops), 0);
    /* also before it is known whether it waits */
    cr_assert_eq(begin(&client, 30000), 0);
    sent = *find_last(COMMAND_QUEUE_POP);
    pop_leave(client.pop);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP_CANCEL)->cancelled, sent.sequence);
    result(&sent, 0, "nobody's");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(pops_count(rig.pops), 0);
}

static bool everybody_has_left(void *arg)
{
    (void)arg;
    return true;
}

Test(pops, a_client_that_closed_its_end_is_noticed_when_it_is_looked_for)
{
    struct client client;
    begin_waiting(&client, 30000);
    pops_end_left(rig.pops, everybody_has_left);
    pops_end_left(rig.pops, everybody_has_left);
    cr_assert_eq(count_of(COMMAND_QUEUE_POP_CANCEL), 1);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&client, E_QUEUE_EMPTY); /* the answer goes nowhere, which h2o finds out */
}

Test(pops, when_the_process_is_to_end_nobody_waits_any_more)
{
    struct client waiting, placing;
    begin_waiting(&waiting, 30000);
    cr_assert_eq(begin(&placing, 30000), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    pops_stop(rig.pops);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&waiting, E_QUEUE_EMPTY);
    result(&sent, E_QUEUE_WAITING, "");
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&placing, E_QUEUE_EMPTY);
}

/* ---- when nothing can be applied ---- */

Test(pops, without_a_leader_for_too_long_nobody_can_tell_what_becomes_of_it)
{
    struct client client;
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS - 1);
    pops_on_leader(rig.pops, false);
    pass_ms(1);
    pass_ms(PATIENCE_MS - 1);
    cr_assert_eq(client.told, 0);
    pass_ms(1);
    pass_ms(0);
    expect(&client, E_OUTCOME_UNKNOWN);
    /* what comes next has nothing to do with the session that is lost */
    pops_on_leader(rig.pops, true);
    struct sent next = begin_waiting(&client, 60000);
    cr_assert_eq(rig.session_count, 2);
    cr_assert_eq(next.session, rig.sessions[1]);
    pass_ms(POPS_RENEW_MS);
    cr_assert_eq(find_last(COMMAND_QUEUE_WAIT_RENEW)->session, rig.sessions[1]);
    uint64_t sessions[POPS_SESSIONS];
    cr_assert_eq(pops_sessions(rig.pops, sessions), 1);
    cr_assert_eq(sessions[0], rig.sessions[1]);
}

Test(pops, one_that_was_never_proposed_is_surely_not_done)
{
    struct client client;
    pops_on_leader(rig.pops, false);
    cr_assert_eq(begin(&client, 60000), 0);
    pass_ms(PATIENCE_MS);
    expect(&client, E_NO_LEADER);
}

Test(pops, a_change_of_leader_repeats_what_is_open_but_not_what_waits)
{
    struct client waiting, placing;
    struct sent first = begin_waiting(&waiting, 60000);
    cr_assert_eq(begin(&placing, 60000), 0);
    struct sent second = *find_last(COMMAND_QUEUE_POP);
    unsigned before = rig.sent_count;
    pops_on_raft_down(rig.pops);
    pops_on_leader(rig.pops, true);
    cr_assert_eq(rig.sent_count, before + 1);
    cr_assert_eq(rig.sent[before].sequence, second.sequence);
    result(&first, 0, "a");
    result(&second, 0, "b");
    expect(&waiting, 0);
    expect(&placing, 0);
}

Test(pops, a_session_that_was_forgotten_loses_its_pops_and_begins_anew)
{
    struct client client;
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS);
    result(find_last(COMMAND_QUEUE_WAIT_RENEW), E_SESSION_EXPIRED, "");
    expect(&client, E_OUTCOME_UNKNOWN);
    pass_ms(0);
    struct sent sent = begin_waiting(&client, 60000);
    cr_assert_neq(sent.session, rig.sessions[0]);
    result(&sent, 0, "item");
    expect(&client, 0);
}
