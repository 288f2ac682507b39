/* test_inflight_raft.c - what becomes of open proposals while raft comes, goes and refuses. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "tests/unit/gateway/writes.h"

TestSuite(inflight_raft, .init = writes_start, .fini = writes_stop);

Test(inflight_raft, what_is_open_is_proposed_again_in_order_after_a_reconnect)
{
    struct told told[3];
    uint64_t tickets[3];
    writes_serve();
    for (unsigned i = 0; i < 3; i++)
        tickets[i] = writes_add(&told[i]);
    writes_result(PROC_STORAGE, tickets[1], 5, 0);
    unsigned before = writes.sent_count;
    inflight_on_raft_down(writes.inflight);
    cr_assert_eq(writes.sent_count, before);
    inflight_on_leader(writes.inflight, true); /* of the same term: it is a new connection */
    cr_assert_eq(writes.sent_count, before + 2);
    cr_assert_eq(writes.sent[before].sequence, tickets[0]);
    cr_assert_eq(writes.sent[before + 1].sequence, tickets[2]);
}

Test(inflight_raft, everything_open_is_proposed_again_each_time_raft_says_so)
{
    struct told told[2];
    writes_serve();
    uint64_t first = writes_add(&told[0]);
    unsigned before = writes.sent_count;
    inflight_on_leader(writes.inflight,
                       true); /* a new leader, or a way to the old one that was cut */
    cr_assert_eq(writes.sent_count, before + 1);
    cr_assert_eq(writes_last()->sequence, first);
    uint64_t second = writes_add(&told[1]);
    inflight_on_leader(writes.inflight, false);
    cr_assert_eq(writes.sent_count, before + 2);
    inflight_on_leader(writes.inflight, true);
    cr_assert_eq(writes.sent_count, before + 4);
    cr_assert_eq(writes.sent[before + 2].sequence, first);
    cr_assert_eq(writes_last()->sequence, second);
    writes_result(PROC_STORAGE, first, 5, 0);
    writes_result(PROC_STORAGE, first, 5, 0); /* of a second copy */
    writes_result(PROC_STORAGE, second, 6, 0);
    writes_expect_told(&told[0], 0);
    writes_expect_told(&told[1], 0);
}

Test(inflight_raft, without_a_leader_a_write_waits_and_then_nothing_was_written)
{
    struct told told;
    writes_add(&told);
    writes_pass(PATIENCE_NS - 1);
    cr_assert_eq(told.count, 0);
    writes_pass(1);
    writes_expect_told(&told, E_NO_LEADER);
    cr_assert_eq(writes.sent_count, 0);
}

Test(inflight_raft, refused_for_want_of_a_leader_waits_for_one)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_leader(writes.inflight, false);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    cr_assert_eq(told.count, 0);
    unsigned before = writes.sent_count;
    inflight_on_leader(writes.inflight, true);
    cr_assert_eq(writes.sent_count, before + 1);
    writes_result(PROC_STORAGE, ticket, 5, 0);
    writes_expect_told(&told, 0);
}

Test(inflight_raft, when_every_copy_was_refused_nothing_was_written)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_leader(writes.inflight, false);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    writes_pass(PATIENCE_NS);
    writes_expect_told(&told, E_NO_LEADER);
}

Test(inflight_raft, when_one_copy_was_not_refused_the_outcome_is_unknown)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_leader(writes.inflight, true); /* two copies */
    inflight_on_leader(writes.inflight, false);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    writes_pass(PATIENCE_NS);
    writes_expect_told(&told, E_OUTCOME_UNKNOWN);
}

Test(inflight_raft, refused_in_three_copies_a_write_is_surely_not_done)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    for (unsigned i = 0; i < 2; i++)
        inflight_on_leader(writes.inflight, true);
    inflight_on_leader(writes.inflight, false);
    for (unsigned i = 0; i < 3; i++) {
        writes_pass(PATIENCE_NS / 10);
        inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    }
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER); /* of no copy that we know */
    writes_pass(PATIENCE_NS);
    writes_expect_told(&told, E_NO_LEADER);
}

Test(inflight_raft, a_full_disk_is_told_only_when_no_copy_is_left_under_way)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_leader(writes.inflight, true); /* two copies */
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_STORAGE_FULL);
    writes_expect_told(&told, E_STORAGE_FULL);
}

Test(inflight_raft, what_went_down_with_raft_is_unknown_even_when_its_second_copy_is_refused)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_raft_down(writes.inflight);
    inflight_on_leader(writes.inflight, true);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0); /* the first copy may be in the log */
    writes_result(PROC_STORAGE, ticket, 8, 0);
    writes_expect_told(&told, 0);

    ticket = writes_add(&told);
    inflight_on_raft_down(writes.inflight);
    inflight_on_leader(writes.inflight, true);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_STORAGE_FULL);
    writes_pass(PATIENCE_NS);
    writes_expect_told(&told, E_OUTCOME_UNKNOWN);
}

Test(inflight_raft, a_write_that_never_gets_an_answer_does_not_leak)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    writes_pass(PATIENCE_NS);
    writes_expect_told(&told, E_OUTCOME_UNKNOWN);
    cr_assert_eq(inflight_open_count(writes.inflight), 0);
    writes_result(PROC_STORAGE, ticket, 5, 0); /* too late */
    cr_assert_eq(told.count, 1);
    struct told next;
    writes_add(&next);
    cr_assert_gt(writes_last()->floor, ticket); /* its copy comes to nothing now */
}

Test(inflight_raft, a_full_disk_is_told_at_once)
{
    struct told told;
    writes_serve();
    inflight_on_refuse(writes.inflight, SESSION, writes_add(&told), E_STORAGE_FULL);
    writes_expect_told(&told, E_STORAGE_FULL);
}

Test(inflight_raft, a_busy_raft_is_asked_again_until_it_takes_the_write)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    unsigned before = writes.sent_count;
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_BUSY);
    cr_assert_eq(told.count, 0);
    cr_assert_eq(inflight_due_ns(writes.inflight), writes.now_ns + INFLIGHT_RETRY_MS * NS_PER_MS);
    writes_pass(INFLIGHT_RETRY_MS * NS_PER_MS);
    cr_assert_eq(writes.sent_count, before + 1);
    cr_assert_eq(writes.recall_count, 0);
    writes_result(PROC_STORAGE, ticket, 5, 0);
    writes_expect_told(&told, 0);
}

Test(inflight_raft, what_was_refused_is_not_proposed_again_when_no_time_is_left_to_hear_of_it)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    writes_pass(PATIENCE_NS - INFLIGHT_LAST_MS * NS_PER_MS);
    unsigned before = writes.sent_count;
    inflight_on_refuse(writes.inflight, SESSION, ticket, E_NO_LEADER);
    writes.now_ns++;
    inflight_on_leader(writes.inflight, true);
    cr_assert_eq(writes.sent_count, before);
    writes_pass(INFLIGHT_LAST_MS * NS_PER_MS);
    writes_expect_told(&told, E_NO_LEADER);
}

Test(inflight_raft, a_raft_that_stays_busy_is_told_as_that)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told), end_ns = writes.now_ns + PATIENCE_NS;
    while (told.count == 0 && writes.now_ns <= end_ns) {
        inflight_on_refuse(writes.inflight, SESSION, ticket, E_BUSY);
        writes_pass(inflight_due_ns(writes.inflight) - writes.now_ns);
    }
    writes_expect_told(&told, E_BUSY);
    cr_assert_eq(writes.now_ns, end_ns);
}

Test(inflight_raft, a_link_that_takes_no_more_is_tried_again)
{
    struct told told;
    writes_serve();
    writes.wire_error = E_BUSY;
    uint64_t ticket = writes_add(&told);
    writes.wire_error = 0;
    writes_pass(INFLIGHT_RETRY_MS * NS_PER_MS);
    cr_assert_eq(writes_last()->sequence, ticket);
}

Test(inflight_raft, refusals_of_another_session_or_of_nothing_are_ignored)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_on_refuse(writes.inflight, SESSION + 1, ticket, E_STORAGE_FULL);
    inflight_on_refuse(writes.inflight, SESSION, ticket + 1, E_STORAGE_FULL);
    inflight_on_refuse(writes.inflight, SESSION, 0, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0);
}
