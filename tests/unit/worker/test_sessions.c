/* Sessions: what was applied stays applied once, and the memory of it is bounded (the rules'
 * numbers are those of sessions.h). */
#include <stdlib.h>
#include <string.h>

#include "applying.h"
#include "base/limits.h"

TestSuite(sessions, .init = applying_init, .fini = applying_fini, .timeout = 60);

#define ID 0xabcdef

/* ---- rules 1 and 2 ---- */

Test(sessions, a_command_of_an_unknown_session_is_refused_and_opens_nothing)
{
    expect_result(set(ID, 1, 1), 1, E_SESSION_EXPIRED);
    expect_result(set(ID, 1, 1), 2, E_SESSION_EXPIRED);
    commit();
    restart();
    expect_result(set(ID, 1, 1), 3, E_SESSION_EXPIRED);
    cr_assert_eq(applied_count, 0);
    cr_assert_eq(sessions_count(applier.sessions), 0);
}

Test(sessions, a_repeated_command_gets_the_first_result_and_is_not_applied_again)
{
    expect_result(open_session(ID, 1), 1, 0);
    expect_result(set(ID, 2, 1), 2, 0);
    expect_result(bump(ID, 3, 1, -7), 3, E_CONFLICT);
    expect_result(set(ID, 2, 1), 2, 0); /* in the same transaction */
    commit();
    struct session_result again = bump(ID, 3, 1, -7); /* in a later one */
    expect_result(again, 3, E_CONFLICT);
    cr_assert(slice_equal(again.detail, slice_text("ddddddd")));
    commit();
    restart();
    again = bump(ID, 3, 1, -7);
    expect_result(again, 3, E_CONFLICT);
    cr_assert(slice_equal(again.detail, slice_text("ddddddd")));
    expect_result(open_session(ID, 1), 1, 0);
    cr_assert_eq(applied_count, 2);
}

Test(sessions, details_of_any_length_are_remembered)
{
    static const int64_t lengths[] = {0, 1, 2000, 5000, 150000};
    open_session(ID, 1);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 5; i++) {
            struct session_result result = bump(ID, 2 + i, 1, lengths[i]);
            expect_result(result, 2 + i, 0);
            cr_assert_eq(result.detail.len, (size_t)lengths[i]);
            for (size_t at = 0; at < result.detail.len; at += 997)
                cr_assert_eq(((const char *)result.detail.data)[at], (char)('a' + 2 + i));
        }
        commit();
        if (round == 1)
            restart();
    }
    cr_assert_eq(applied_count, 5);
}

Test(sessions, sessions_do_not_know_of_each_other)
{
    open_session(ID, 1);
    open_session(ID + 1, 1);
    open_session(ID + SIZE_MAX / 2 + 1, 1);
    expect_result(set(ID, 2, 1), 4, 0);
    expect_result(set(ID + 1, 2, 1), 5, 0);
    expect_result(set(ID, 2, 1), 4, 0);
    expect_result(set(ID + 1, 2, 1), 5, 0);
    cr_assert_eq(applied_count, 2);
}

Test(sessions, commands_without_a_session_are_applied_as_often_as_they_come)
{
    expect_result(set(0, 1, 1), 1, 0);
    expect_result(set(0, 1, 1), 2, 0);
    expect_result(apply_bytes(0, 0, 0, slice_text("nonsense")), 3, E_BAD_COMMAND);
    commit();
    cr_assert_eq(applied_count, 2);
    cr_assert_eq(sessions_count(applier.sessions), 0);
}

Test(sessions, a_command_that_is_not_understood_is_remembered_like_any_other)
{
    open_session(ID, 1);
    expect_result(apply_bytes(ID, 2, 1, slice_text("nonsense")), 2, E_BAD_COMMAND);
    commit();
    restart();
    expect_result(set(ID, 2, 1), 2, E_BAD_COMMAND);
    cr_assert_eq(applied_count, 0);
}

/* ---- rule 3: the floor ---- */

Test(sessions, below_the_floor_nothing_is_applied_whether_it_was_before_or_not)
{
    open_session(ID, 1);
    expect_result(set(ID, 3, 1), 2, 0);
    expect_result(set(ID, 6, 5), 3, 0);
    expect_result(set(ID, 3, 1), 4, E_OUTCOME_UNKNOWN); /* was applied */
    expect_result(set(ID, 4, 1), 5, E_OUTCOME_UNKNOWN); /* never was */
    commit();
    restart();
    expect_result(set(ID, 4, 1), 6, E_OUTCOME_UNKNOWN);
    expect_result(set(ID, 5, 1), 7, 0); /* the floor itself */
    expect_result(set(ID, 6, 1), 3, 0);
    cr_assert_eq(applied_count, 3);
}

Test(sessions, a_floor_holds_though_the_entry_that_named_it_was_a_repetition)
{
    open_session(ID, 1);
    set(ID, 2, 1);
    expect_result(set(ID, 2, 2), 2, 0);
    commit();
    restart();
    expect_result(open_session(ID, 1), 4, E_OUTCOME_UNKNOWN);
}

Test(sessions, a_floor_above_its_own_sequence_refuses_it)
{
    open_session(ID, 1);
    expect_result(set(ID, 2, 3), 2, E_OUTCOME_UNKNOWN);
    cr_assert_eq(applied_count, 0);
}

Test(sessions, records_go_when_the_floor_has_passed_all_that_they_hold)
{
    open_session(ID, 1);
    for (uint64_t sequence = 2; sequence < 1000; sequence++) {
        set(ID, sequence, sequence > 10 ? sequence - 10 : 1);
        if (sequence % 3 == 0)
            commit();
    }
    commit();
    cr_assert_leq(count_records(ID, NULL), 6);
    set(ID, 1000, 1000);
    commit();
    cr_assert_eq(count_records(ID, NULL), 2, "its head and the last result");
    restart();
    expect_result(set(ID, 1000, 1000), 1000, 0);
}

Test(sessions, what_was_answered_within_its_own_transaction_leaves_no_record)
{
    open_session(ID, 1);
    for (uint64_t sequence = 2; sequence < 500; sequence++)
        set(ID, sequence, sequence);
    set(ID, 499, 500);
    commit();
    cr_assert_eq(count_records(ID, NULL), 1);
}

Test(sessions, a_straggler_is_remembered_while_everything_around_it_is_passed)
{
    open_session(ID, 1);
    commit();
    uint64_t index = bump(ID, 5000, 1, 3).index; /* far ahead of its time */
    commit();
    for (uint64_t sequence = 2; sequence < 5000; sequence++) {
        set(ID, sequence, sequence);
        if (sequence % 100 == 0)
            commit();
    }
    commit();
    restart();
    struct session_result result = bump(ID, 5000, 5000, 3);
    expect_result(result, index, 0);
    cr_assert_eq(result.detail.len, 3);
    set(ID, 5001, 5001);
    commit();
    cr_assert_eq(count_records(ID, NULL), 2);
}

/* ---- rule 4: the window ---- */

Test(sessions, the_window_is_as_long_as_the_limit_and_no_longer)
{
    open_session(ID, 1);
    expect_result(set(ID, LIMIT_SESSION_WINDOW, 1), 2, 0);
    expect_result(set(ID, LIMIT_SESSION_WINDOW + 1, 1), 3, E_BAD_COMMAND);
    expect_result(set(ID, UINT64_MAX, 1), 4, E_BAD_COMMAND);
    commit();
    restart();
    expect_result(set(ID, LIMIT_SESSION_WINDOW, 1), 2, 0);
    expect_result(set(ID, LIMIT_SESSION_WINDOW + 1, 1), 6, E_BAD_COMMAND);
    expect_result(set(ID, LIMIT_SESSION_WINDOW + 1, 2), 7, 0); /* the refusal was not remembered */
    cr_assert_eq(applied_count, 2);
}

Test(sessions, a_whole_window_of_open_results_comes_back)
{
    open_session(ID, 1);
    for (uint64_t sequence = LIMIT_SESSION_WINDOW; sequence > 1; sequence--) {
        set(ID, sequence, 1);
        if (sequence % 1000 == 0)
            commit();
    }
    commit();
    restart();
    for (uint64_t sequence = 2; sequence <= LIMIT_SESSION_WINDOW; sequence++)
        expect_result(set(ID, sequence, 1), LIMIT_SESSION_WINDOW + 2 - sequence, 0);
    cr_assert_eq(applied_count, LIMIT_SESSION_WINDOW - 1);
}

Test(sessions, floors_at_the_end_of_all_numbers_do_no_harm)
{
    open_session(ID, 1);
    set(ID, 2, 1);
    expect_result(set(ID, UINT64_MAX - 1, UINT64_MAX - 2), 3, 0);
    expect_result(set(ID, UINT64_MAX, 1), 4, 0);
    commit();
    restart();
    expect_result(set(ID, UINT64_MAX, 1), 4, 0);
    expect_result(set(ID, 2, 1), 6, E_OUTCOME_UNKNOWN);
    expect_result(set(ID, UINT64_MAX, UINT64_MAX), 4, 0);
}

/* ---- rules 5 and 6 ---- */

static void open_many(uint64_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        expect_here(open_session(first + i, 1), 0);
}

Test(sessions, the_session_whose_last_entry_is_oldest_makes_room)
{
    open_many(1, LIMIT_SESSIONS);
    set(1, 2, 1);
    commit();
    set(2, 2, 1);
    set(5, 2, 1);
    commit();
    restart();             /* the order is in the map */
    open_session(5000, 1); /* pushes 3 out: 1, 2 and 5 were used after it */
    open_session(5001, 1); /* pushes 4 out */
    open_session(5002, 1); /* pushes 6 out */
    commit();
    cr_assert_eq(sessions_count(applier.sessions), LIMIT_SESSIONS);
    static const uint64_t known[] = {1, 2, 5, 7, 5000}, gone[] = {3, 4, 6};
    for (unsigned i = 0; i < 5; i++)
        expect_here(set(known[i], 3, 1), 0);
    for (unsigned i = 0; i < 3; i++) {
        expect_here(set(gone[i], 3, 1), E_SESSION_EXPIRED);
        commit();
        cr_assert_eq(count_records(gone[i], NULL), 0);
    }
}

Test(sessions, a_refused_or_repeated_entry_is_a_use_too)
{
    open_many(1, LIMIT_SESSIONS);
    set(1, LIMIT_SESSION_WINDOW * 2ull, 1); /* refused */
    open_session(2, 1);                     /* repeated */
    open_session(5000, 1);
    expect_here(set(3, 2, 1), E_SESSION_EXPIRED);
    expect_here(set(1, 2, 1), 0);
    expect_here(set(2, 2, 1), 0);
}

Test(sessions, forgotten_sessions_leave_no_records_even_when_they_were_never_stored)
{
    unsigned all;
    for (uint64_t id = 1; id <= 3ull * LIMIT_SESSIONS; id++) { /* all in one transaction */
        open_session(id, 1);
        set(id, 2, 1);
    }
    commit();
    count_records(1, &all);
    cr_assert_eq(all, 2 * LIMIT_SESSIONS, "a head and a record of results each");
    for (uint64_t id = 1; id <= LIMIT_SESSIONS; id++) {
        open_session(10000 + id, 1);
        commit();
    }
    count_records(1, &all);
    cr_assert_eq(all, 2 * LIMIT_SESSIONS);
    restart();
    cr_assert_eq(sessions_count(applier.sessions), LIMIT_SESSIONS);
}

Test(sessions, opening_again_changes_nothing_while_it_is_known)
{
    open_session(ID, 1);
    set(ID, 2, 1);
    expect_result(open_session(ID, 7), 3, 0); /* a new number, with a floor of its own */
    expect_result(set(ID, 2, 1), 4, E_OUTCOME_UNKNOWN);
    expect_result(set(ID, 8, 1), 5, 0);
    cr_assert_eq(sessions_count(applier.sessions), 1);
}

Test(sessions, a_session_opened_anew_after_it_was_forgotten_is_fenced_off_from_its_first_life)
{
    open_session(ID, 1);
    set(ID, 2, 1);
    open_many(1, LIMIT_SESSIONS);
    expect_here(set(ID, 3, 1), E_SESSION_EXPIRED);
    open_session(ID, 4);
    expect_here(set(ID, 2, 1), E_OUTCOME_UNKNOWN);
    expect_here(set(ID, 3, 1), E_OUTCOME_UNKNOWN);
    expect_here(set(ID, 5, 1), 0);
}

/* ---- recall ---- */

Test(sessions, a_result_can_be_recalled_until_it_is_passed)
{
    struct session_result result;
    open_session(ID, 1);
    bump(ID, 2, 1, 4);
    set(ID, 3, 1);
    commit();
    restart();
    cr_assert_eq(applier_recall(&applier, ID, 2, &result), 0);
    expect_result(result, 2, 0);
    cr_assert(slice_equal(result.detail, slice_text("cccc")));
    cr_assert_eq(applier_recall(&applier, ID, 3, &result), 0);
    expect_result(result, 3, 0);
    cr_assert_eq(applier_recall(&applier, ID, 4, &result), E_NOT_FOUND);
    cr_assert_eq(applier_recall(&applier, ID, UINT64_MAX, &result), E_NOT_FOUND);
    cr_assert_eq(applier_recall(&applier, ID + 1, 2, &result), E_NOT_FOUND);
    set(ID, 4, 3);
    commit();
    cr_assert_eq(applier_recall(&applier, ID, 2, &result), E_NOT_FOUND);
    cr_assert_eq(applier_recall(&applier, ID, 0, &result), E_NOT_FOUND);
}

static uint64_t recalled[16];
static unsigned recalled_count;

static void on_recalled(void *arg, uint64_t sequence, const struct session_result *result)
{
    (void)arg;
    cr_assert_lt(recalled_count, 16);
    recalled[recalled_count++] = sequence;
    cr_assert_eq(result->index, sequence <= 3 ? sequence : sequence - 2); /* as applied below */
    cr_assert_eq(result->error, 0);
    if (sequence == 2)
        cr_assert(slice_equal(result->detail, slice_text("cccc")));
}

static void recall_all(uint64_t session)
{
    recalled_count = 0;
    cr_assert_eq(applier_recall_all(&applier, session, on_recalled, NULL), 0);
}

Test(sessions, all_that_is_remembered_of_a_session_can_be_recalled_at_once)
{
    recall_all(ID); /* not known */
    cr_assert_eq(recalled_count, 0);
    open_session(ID, 1);
    bump(ID, 2, 1, 4);
    set(ID, 3, 1);
    set(ID, 6, 1); /* 4 and 5 are still under way */
    set(ID, 7, 1);
    commit();
    restart();
    recall_all(ID);
    static const uint64_t expected[] = {1, 2, 3, 6, 7};
    cr_assert_eq(recalled_count, 5);
    cr_assert_arr_eq(recalled, expected, sizeof(expected));
    recall_all(ID + 1);
    cr_assert_eq(recalled_count, 0);
    set(ID, 8, 7);
    commit();
    recall_all(ID);
    cr_assert_eq(recalled_count, 2); /* what the floor has passed is forgotten */
    cr_assert_eq(recalled[0], 7);
}
