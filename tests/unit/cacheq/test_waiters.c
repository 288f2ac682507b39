/* Pops that wait: order, hand-over, ends of every kind, leases. */
#include <stdio.h>
#include <stdlib.h>

#include "caching.h"

static void start(void)
{
    caching_init();
    cr_assert_eq(queue_new("q"), 0);
}

TestSuite(waiters, .init = start, .fini = caching_fini, .timeout = 60);

static void expect_finals(const char *expected)
{
    const char *got = finals();
    cr_assert_str_eq(got, expected);
}

static const char *final_of(uint64_t session, uint64_t sequence, const char *what)
{
    static char text[128];
    snprintf(text, sizeof(text), "%c:%llu%s", session == SESSION_A ? 'a' : 'b',
             (unsigned long long)sequence, what);
    return text;
}

Test(waiters, a_push_hands_its_item_to_the_first_that_waits)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 1000);
    uint64_t second = begin_to_wait(SESSION_B, "q", 1000);
    uint64_t third = begin_to_wait(SESSION_A, "q", 1000);
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_str_eq(last_detail, "0");
    expect_finals(final_of(SESSION_A, first, "=one"));
    cr_assert_eq(length("q"), 0);
    cr_assert_eq(push("q", ""), 0);
    expect_finals(final_of(SESSION_B, second, "="));
    cr_assert_eq(push("q", "three"), 0);
    expect_finals(final_of(SESSION_A, third, "=three"));
    cr_assert_eq(push("q", "four"), 0);
    cr_assert_str_eq(last_detail, "1");
    expect_finals("");
    cr_assert_eq(remembered(SESSION_A, first), 0);
    cr_assert_str_eq(last_detail, "one");
    cr_assert_eq(count(cacheq.waiting), 0);
    cr_assert_eq(cacheq.session_count, 0);
}

Test(waiters, a_queue_with_items_lets_nobody_wait)
{
    const struct command popping = {
        .operation = COMMAND_QUEUE_POP, .scope = scope, .key = slice_text("q"), .wait_ms = 1000};
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_eq(apply_as(SESSION_A, &popping), 0);
    cr_assert_str_eq(last_detail, "one");
    cr_assert_eq(count(cacheq.waiters), 0);
}

Test(waiters, without_a_session_there_is_no_waiting)
{
    cr_assert_eq(apply(&(struct command){.operation = COMMAND_QUEUE_POP,
                                         .scope = scope,
                                         .key = slice_text("q"),
                                         .wait_ms = 1000}),
                 E_QUEUE_EMPTY);
    cr_assert_eq(apply(&(struct command){.operation = COMMAND_QUEUE_POP_CANCEL, .sequence = 1}),
                 E_BAD_COMMAND);
    cr_assert_eq(apply(&(struct command){.operation = COMMAND_QUEUE_WAIT_RENEW}), E_BAD_COMMAND);
    cr_assert_eq(count(cacheq.waiters), 0);
}

Test(waiters, a_pop_that_is_proposed_again_waits_once)
{
    const struct command popping = {
        .operation = COMMAND_QUEUE_POP, .scope = scope, .key = slice_text("q"), .wait_ms = 1000};
    uint64_t sequence = begin_to_wait(SESSION_A, "q", 1000);
    cr_assert_eq(apply_again(SESSION_A, sequence, &popping), E_QUEUE_WAITING);
    cr_assert_eq(count(cacheq.waiters), 1);
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_eq(apply_again(SESSION_A, sequence, &popping), 0);
    cr_assert_str_eq(last_detail, "one");
    cr_assert_eq(last_index, next_index - 2);
    cr_assert_eq(count(cacheq.waiters), 0);
}

Test(waiters, one_whose_wait_is_over_gets_nothing)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 1000);
    uint64_t second = begin_to_wait(SESSION_A, "q", 1001);
    now_ms += 1000;
    cr_assert_eq(push("q", "one"), 0);
    char expected[128];
    snprintf(expected, sizeof(expected), "a:%llu!QUEUE_EMPTY,a:%llu=one", (unsigned long long)first,
             (unsigned long long)second);
    expect_finals(expected);
}

Test(waiters, cancelling_ends_the_wait_and_the_item_goes_to_the_next)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 1000);
    uint64_t second = begin_to_wait(SESSION_B, "q", 1000);
    cr_assert_eq(cancel(SESSION_A, first), 0);
    expect_finals(final_of(SESSION_A, first, "!QUEUE_EMPTY"));
    cr_assert_eq(push("q", "one"), 0);
    expect_finals(final_of(SESSION_B, second, "=one"));
    cr_assert_eq(remembered(SESSION_A, first), E_QUEUE_EMPTY);
    cr_assert_eq(cancel(SESSION_A, first), E_NOT_FOUND);
}

Test(waiters, an_item_that_was_handed_over_stands_against_a_cancel)
{
    uint64_t sequence = begin_to_wait(SESSION_A, "q", 1000);
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_eq(cancel(SESSION_A, sequence), E_NOT_FOUND);
    expect_finals("");
    cr_assert_eq(remembered(SESSION_A, sequence), 0);
    cr_assert_str_eq(last_detail, "one");
}

Test(waiters, a_pop_that_comes_after_its_cancel_does_not_wait)
{
    const struct command popping = {
        .operation = COMMAND_QUEUE_POP, .scope = scope, .key = slice_text("q"), .wait_ms = 1000};
    uint64_t sequence = last_sequence(SESSION_A) + 2;
    cr_assert_eq(cancel(SESSION_A, sequence), 0);
    expect_finals(final_of(SESSION_A, sequence, "!QUEUE_EMPTY"));
    cr_assert_eq(apply_as(SESSION_A, &popping), E_QUEUE_EMPTY);
    cr_assert_eq(count(cacheq.waiters), 0);
}

Test(waiters, only_the_session_itself_cancels_and_nothing_cancels_itself)
{
    uint64_t sequence = begin_to_wait(SESSION_A, "q", 1000);
    cr_assert_eq(cancel(SESSION_B, sequence + 50), 0);
    cr_assert_eq(count(cacheq.waiters), 1);
    cr_assert_eq(cancel(SESSION_A, last_sequence(SESSION_A) + 1), E_BAD_COMMAND);
    cr_assert_eq(cancel(SESSION_A, last_sequence(SESSION_A) + 2UL * LIMIT_SESSION_WINDOW),
                 E_NOT_FOUND);
    cr_assert_eq(push("q", "one"), 0);
    expect_finals(final_of(SESSION_A, sequence, "=one"));
}

Test(waiters, a_lease_that_is_not_renewed_ends_all_waits_of_the_session)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 60000);
    now_ms += QUEUE_WAIT_LEASE_MS - 1;
    uint64_t second = begin_to_wait(SESSION_B, "q", 60000);
    now_ms += 1;
    cr_assert_eq(push("q", "one"), 0);
    char expected[128];
    snprintf(expected, sizeof(expected), "a:%llu!QUEUE_EMPTY,b:%llu=one", (unsigned long long)first,
             (unsigned long long)second);
    expect_finals(expected);
}

Test(waiters, renewing_and_waiting_anew_prolong_the_lease)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 60000);
    now_ms += QUEUE_WAIT_LEASE_MS - 1;
    cr_assert_eq(renew(SESSION_A), 0);
    now_ms += QUEUE_WAIT_LEASE_MS - 1;
    begin_to_wait(SESSION_A, "q", 60000);
    now_ms += QUEUE_WAIT_LEASE_MS - 1;
    caching_commit();
    caching_restart();
    cr_assert_eq(push("q", "one"), 0);
    expect_finals(final_of(SESSION_A, first, "=one"));
    cr_assert_eq(renew(SESSION_B), 0);
    cr_assert_eq(cacheq.session_count, 1);
}

Test(waiters, expiring_drops_those_whose_lease_is_over_step_by_step)
{
    cr_assert_eq(queue_new("r"), 0);
    for (unsigned i = 0; i < EXPIRE_STEP_WAITERS; i++)
        begin_to_wait(SESSION_A, i % 2 == 0 ? "q" : "r", 60000);
    uint64_t last = begin_to_wait(SESSION_A, "q", 60000);
    now_ms += 1000;
    uint64_t live = begin_to_wait(SESSION_B, "q", 60000);
    now_ms += QUEUE_WAIT_LEASE_MS - 1000 - 1;
    cr_assert_eq(expire(), 0);
    cr_assert_str_eq(last_detail, "0");
    cr_assert_eq(waiters_lease_end_ms(&cacheq), now_ms + 1);
    now_ms += 1;
    cr_assert_eq(expire(), 0);
    cr_assert_eq(strtoul(last_detail, NULL, 10), EXPIRE_STEP_WAITERS);
    cr_assert_eq(remembered(SESSION_A, last), E_QUEUE_WAITING);
    cr_assert_eq(expire(), 0);
    expect_finals(final_of(SESSION_A, last, "!QUEUE_EMPTY"));
    cr_assert_eq(cacheq.session_count, 1);
    cr_assert_eq(count(cacheq.waiters), 1);
    cr_assert_eq(push("r", "item"), 0);
    cr_assert_str_eq(last_detail, "1");
    cr_assert_eq(push("q", "item"), 0);
    expect_finals(final_of(SESSION_B, live, "=item"));
}

Test(waiters, nothing_goes_to_a_pop_that_its_gateway_has_answered)
{
    uint64_t sequence = begin_to_wait(SESSION_A, "q", 60000);
    answered(SESSION_A, sequence);
    cr_assert_eq(renew(SESSION_A), 0);
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_str_eq(last_detail, "1");
    expect_finals("");
    cr_assert_eq(count(cacheq.waiters), 0);
}

Test(waiters, those_of_a_deleted_queue_are_told_in_steps)
{
    uint64_t first = begin_to_wait(SESSION_A, "q", 60000);
    for (unsigned i = 0; i < PURGE_STEP_PARTS; i++)
        begin_to_wait(SESSION_B, "q", 60000);
    uint64_t last = last_sequence(SESSION_B);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(applier.final_count, PURGE_STEP_PARTS);
    cr_assert_eq(remembered(SESSION_A, first), E_QUEUE_NOT_FOUND);
    cr_assert_eq(remembered(SESSION_B, last), E_QUEUE_WAITING);
    cr_assert_eq(cancel(SESSION_B, last), 0);
    expect_finals(final_of(SESSION_B, last, "!QUEUE_EMPTY"));
    cr_assert_eq(purge_queues(), 0);
    expect_nothing_left();
}

Test(waiters, a_queue_made_anew_does_not_feed_those_of_the_deleted_one)
{
    for (unsigned i = 0; i <= PURGE_STEP_PARTS; i++)
        begin_to_wait(SESSION_A, "q", 60000);
    uint64_t last = last_sequence(SESSION_A);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(push("q", "one"), 0);
    cr_assert_str_eq(last_detail, "1");
    expect_finals("");
    cr_assert_eq(cancel(SESSION_A, last), 0);
    cr_assert_eq(length("q"), 1);
    cr_assert_eq(purge_queues(), 0);
    cr_assert_eq(cacheq.deleted_count, 0);
}

Test(waiters, one_more_than_a_queue_has_room_for_does_not_wait)
{
    for (unsigned i = 0; i < QUEUE_WAITERS; i++) {
        begin_to_wait(i % 2 == 0 ? SESSION_A : SESSION_B, "q", 1000 + i);
        if (i % 4096 == 0)
            caching_commit();
    }
    struct command popping = {
        .operation = COMMAND_QUEUE_POP, .scope = scope, .key = slice_text("q"), .wait_ms = 1000};
    cr_assert_eq(apply_as(SESSION_A, &popping), E_QUEUE_EMPTY);
    now_ms += 1000;
    cr_assert_eq(apply_as(SESSION_A, &popping), E_QUEUE_WAITING);
    cr_assert_eq(count(cacheq.waiters), QUEUE_WAITERS);
}

Test(waiters, a_deleted_scope_turns_its_waiters_away)
{
    uint64_t sequence = begin_to_wait(SESSION_A, "q", 60000);
    cr_assert_eq(purge_scope(&scope, 0), 0);
    while (cacheq.deleted_count > 0)
        cr_assert_eq(purge_queues(), 0);
    cr_assert_eq(remembered(SESSION_A, sequence), E_QUEUE_NOT_FOUND);
    cr_assert_eq(count(cacheq.waiting), 0);
}
