/* Results that come in two steps: a command waits, and a later one gives it its final result. */
#include "applying.h"

#include <stdlib.h>
#include <string.h>

#define SESSION 77
#define OTHER 78

/* What the kind's apply does: VALUE_SET waits; VALUE_DELETE finishes number 2 of SESSION with its
 * key as the detail, and says in its own result what came of that. */
static int apply_or_finish(void *arg, const struct worker_turn *turn, struct command *command,
                           struct worker_result *result)
{
    (void)arg;
    applied_count++;
    if (command->operation == COMMAND_VALUE_SET)
        result->error = E_QUEUE_WAITING;
    else if (command->operation == COMMAND_VALUE_DELETE) {
        bool waits = worker_turn_waits(turn, SESSION, 2);
        int error = worker_turn_finish(turn, SESSION, 2, 0, command->key);
        cr_assert(error == 0 || !waits);
        result->error = error == E_EXISTS ? E_CONFLICT : error != 0 ? E_NOT_FOUND : 0;
    }
    return 0;
}

static const struct worker_kind waiting_kind = {
    .proc = PROC_STORAGE, .map_kind = MAP_VALUES, .apply = apply_or_finish};

static void start(void)
{
    applying_init();
    applier.kind = &waiting_kind;
}

static void restart_waiting(void)
{
    restart();
    applier.kind = &waiting_kind;
}

TestSuite(finals, .init = start, .fini = applying_fini, .timeout = 60);

static struct session_result finish(uint64_t sequence, const char *detail)
{
    struct buf bytes;
    buf_init(&bytes, 1024);
    cr_assert_eq(command_encode(&bytes, &(struct command){.operation = COMMAND_VALUE_DELETE,
                                                          .key = slice_text(detail)}),
                 0);
    struct session_result result = apply_bytes(OTHER, sequence, 1, buf_slice(&bytes));
    buf_fini(&bytes);
    return result;
}

static void open_both(void)
{
    expect_here(open_session(SESSION, 1), 0);
    expect_here(open_session(OTHER, 1), 0);
}

static void expect_final(unsigned number, const char *detail)
{
    struct session_result result;
    uint64_t session, sequence;
    cr_assert_lt(number, applier.final_count);
    applier_final(&applier, number, &session, &sequence, &result);
    cr_assert_eq(session, SESSION);
    cr_assert_eq(sequence, 2);
    expect_here(result, 0);
    cr_assert(slice_equal(result.detail, slice_text(detail)));
}

static void expect_remembered(uint64_t index, int error, const char *detail)
{
    struct session_result result;
    commit();
    cr_assert_eq(applier_recall(&applier, SESSION, 2, &result), 0);
    expect_result(result, index, error);
    cr_assert(slice_equal(result.detail, slice_text(detail)));
}

Test(finals, a_final_result_takes_the_place_of_the_first_one)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    cr_assert_eq(applier.final_count, 0);
    expect_remembered(3, E_QUEUE_WAITING, "");
    expect_here(finish(2, "item"), 0);
    cr_assert_eq(applier.final_count, 1);
    expect_final(0, "item");
    expect_remembered(4, 0, "item");
    restart_waiting();
    expect_remembered(4, 0, "item");
}

Test(finals, both_may_be_in_one_transaction)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    expect_here(finish(2, "item"), 0);
    expect_result(set(SESSION, 2, 2), 4, 0);
    expect_remembered(4, 0, "item");
    restart_waiting();
    expect_remembered(4, 0, "item");
}

Test(finals, one_that_was_not_committed_is_given_again)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    commit();
    expect_here(finish(2, "item"), 0);
    restart_waiting();
    expect_remembered(3, E_QUEUE_WAITING, "");
    cr_assert_eq(next_index, 4);
    expect_here(finish(2, "item"), 0);
    expect_remembered(4, 0, "item");
}

Test(finals, there_is_only_one)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    expect_here(finish(2, "item"), 0);
    expect_here(finish(3, "other"), E_CONFLICT);
    cr_assert_eq(applier.final_count, 0);
    expect_remembered(4, 0, "item");
}

Test(finals, a_command_that_is_repeated_gets_what_is_remembered)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    commit();
    expect_result(set(SESSION, 2, 2), 3, E_QUEUE_WAITING);
    expect_here(finish(2, "item"), 0);
    commit();
    struct session_result result = set(SESSION, 2, 2);
    expect_result(result, 6 - 1, 0);
    cr_assert(slice_equal(result.detail, slice_text("item")));
    cr_assert_eq(applied_count, 2);
}

Test(finals, what_was_not_applied_yet_can_be_finished_and_is_not_applied_then)
{
    open_both();
    expect_here(finish(2, "never"), 0);
    unsigned before = applied_count;
    expect_result(set(SESSION, 2, 2), 3, 0);
    cr_assert_eq(applied_count, before);
    expect_remembered(3, 0, "never");
}

Test(finals, nobody_waits_below_the_floor_or_in_a_session_that_is_not_known)
{
    expect_here(open_session(OTHER, 1), 0);
    expect_here(finish(2, "item"), E_NOT_FOUND);
    expect_here(open_session(SESSION, 1), 0);
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    expect_here(bump(SESSION, 3, 3, 0), 0);
    expect_here(finish(3, "item"), E_NOT_FOUND);
    cr_assert_eq(applier.final_count, 0);
}

Test(finals, a_final_result_does_not_count_as_a_use_of_the_session)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    for (uint64_t i = 0; i < LIMIT_SESSIONS - 2; i++)
        open_session(1000 + i, 1);
    expect_here(finish(2, "item"), 0);
    open_session(5000, 1); /* SESSION's last entry is the oldest */
    expect_here(set(SESSION, 3, 2), E_SESSION_EXPIRED);
    expect_here(finish(3, "item"), E_NOT_FOUND);
    commit();
    restart_waiting();
    expect_here(finish(4, "item"), E_NOT_FOUND);
}

Test(finals, the_state_hash_tells_final_results_apart)
{
    open_both();
    expect_here(set(SESSION, 2, 2), E_QUEUE_WAITING);
    expect_here(finish(2, "item"), 0);
    uint64_t with_final = applier.state_hash;
    applying_fini();
    start();
    open_both();
    expect_here(bump(SESSION, 2, 2, 0), 0);
    expect_here(finish(2, "item"), E_CONFLICT);
    cr_assert_neq(applier.state_hash, with_final);
}

/* Splits the same entries into transactions of every length. */
Test(finals, nothing_depends_on_where_transactions_end)
{
    uint64_t expected = 0;
    for (unsigned every = 1; every <= 5; every++) {
        open_both();
        for (unsigned i = 0; i < 4; i++) {
            if (i == 2)
                expect_here(finish(2, "item"), 0);
            else
                set(SESSION, i == 0 ? 3 : 2, 2);
            if (i % every == 0)
                commit();
        }
        expect_remembered(5, 0, "item");
        if (every == 1)
            expected = applier.state_hash;
        cr_assert_eq(applier.state_hash, expected);
        applying_fini();
        start();
    }
}
