/* test_read_waits.c - reads that cannot be answered now: what they wait for, and how they end. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "tests/unit/gateway/reading.h"

TestSuite(read_waits, .init = reading_start, .fini = reading_stop, .timeout = 60);

Test(read_waits, reads_of_a_turn_share_one_question)
{
    struct waiter waiters[3], late;
    reading_make_map();
    reading_apply(5);
    reads_on_leader(reading.reads, true);
    for (unsigned i = 0; i < 3; i++)
        reading_begin(&waiters[i], READ_LINEARIZABLE);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 1);
    reading_begin(&late, READ_LINEARIZABLE); /* asked for after the question was sent */
    reads_on_answer(reading.reads, reading.questions[0], 0, 5);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(waiters[i].woken, 1);
        cr_assert_eq(waiters[i].error, 0);
        cr_assert_eq(waiters[i].mode, READ_AT_INDEX);
        cr_assert_eq(waiters[i].index, 5);
    }
    cr_assert_eq(late.woken, 0);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 2);
    cr_assert_neq(reading.questions[0], reading.questions[1]);
    reads_on_answer(reading.reads, reading.questions[1], 0, 5);
    cr_assert_eq(late.woken, 1);
    cr_assert_eq(reads_waiting(reading.reads), 0);
    cr_assert_eq(reads_due_ns(reading.reads), UINT64_MAX);
}

Test(read_waits, a_later_answer_serves_earlier_questions_but_never_the_other_way_round)
{
    struct waiter first, second;
    reading_make_map();
    reading_apply(5);
    reads_on_leader(reading.reads, true);
    reading_begin(&first, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    reading_begin(&second, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 2);
    reads_on_answer(reading.reads, reading.questions[1], 0, 5);
    cr_assert_eq(first.woken, 1);
    cr_assert_eq(second.woken, 1);
}

Test(read_waits, a_read_waits_until_the_worker_has_applied_the_index)
{
    struct waiter waiter;
    reading_make_map();
    reading_apply(5);
    reads_on_worker_up(reading.reads);
    reads_on_leader(reading.reads, true);
    reading_begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    reads_on_answer(reading.reads, reading.questions[0], 0, 8);
    cr_assert_eq(waiter.woken, 0);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    cr_assert_eq(reading.awaited[0], 8);
    cr_assert_eq(reads_due_ns(reading.reads), reading.now_ns + NS_PER_S); /* nothing polls */
    reading_apply_and_tell(7);
    reads_flush(reading.reads);
    cr_assert_eq(waiter.woken, 0);
    cr_assert_eq(reading.awaited_count, 1); /* it goes on telling */
    reading_apply_and_tell(8);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_AT_INDEX);
    cr_assert_eq(waiter.index, 8);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
}

Test(read_waits, the_worker_is_asked_once_for_all_and_again_for_more)
{
    struct waiter waiters[3];
    reading_make_map();
    reading_apply(5);
    reads_on_worker_up(reading.reads);
    reads_on_leader(reading.reads, true);
    for (unsigned i = 0; i < 3; i++) {
        reading_begin(&waiters[i], READ_LINEARIZABLE);
        reads_flush(reading.reads);
    }
    reads_on_answer(reading.reads, reading.questions[0], 0, 8);
    reads_on_answer(reading.reads, reading.questions[1], 0, 10);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    cr_assert_eq(reading.awaited[0], 10);
    reads_on_answer(reading.reads, reading.questions[2], 0, 12);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 2);
    cr_assert_eq(reading.awaited[1], 12);
    reading_apply_and_tell(9);
    cr_assert_eq(waiters[0].woken + waiters[1].woken + waiters[2].woken, 1);
    reading_apply_and_tell(20);
    cr_assert_eq(waiters[0].woken + waiters[1].woken + waiters[2].woken, 3);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 2);
    reading_begin(&waiters[0], READ_LINEARIZABLE); /* an earlier wait's index is forgotten */
    reads_flush(reading.reads);
    reads_on_answer(reading.reads, reading.questions[3], 0, 21);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited[2], 21);
}

Test(read_waits, a_worker_that_went_is_asked_again_when_it_is_back)
{
    struct waiter waiter;
    reading_make_map();
    reading_apply(5);
    reads_on_worker_up(reading.reads);
    reads_on_leader(reading.reads, true);
    reading_begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    reads_on_answer(reading.reads, reading.questions[0], 0, 8);
    reads_flush(reading.reads);
    reads_on_worker_down(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    reads_on_worker_up(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 2);
    cr_assert_eq(reading.awaited[1], 8);
    reading_apply(8); /* and it dies before it can tell */
    reads_on_worker_down(reading.reads);
    cr_assert_eq(waiter.woken, 0);
    reads_on_worker_up(reading.reads);
    cr_assert_eq(waiter.woken, 1);
}

Test(read_waits, a_worker_that_cannot_be_asked_now_is_asked_a_moment_later)
{
    struct waiter waiter;
    reading_make_map();
    reads_on_worker_up(reading.reads);
    reads_on_leader(reading.reads, true);
    reading_begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    reads_on_answer(reading.reads, reading.questions[0], 0, 8);
    reading.await_error = E_BUSY;
    reads_flush(reading.reads);
    reading.await_error = 0;
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 0);
    reading.now_ns = reads_due_ns(reading.reads);
    reads_tick(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    reading_apply_and_tell(8);
    cr_assert_eq(waiter.woken, 1);
}

Test(read_waits, without_a_leader_a_read_waits_for_one_and_then_for_its_deadline)
{
    struct waiter waiter;
    reading_make_map();
    reading_begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 0);
    cr_assert_eq(reads_due_ns(reading.reads), reading.now_ns + NS_PER_S); /* nothing polls */
    reading.now_ns += NS_PER_S;
    reads_tick(reading.reads);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, E_NO_LEADER);
}

Test(read_waits, a_lease_that_comes_with_the_leader_needs_no_question)
{
    struct waiter waiter;
    reading_make_map();
    reading_begin(&waiter, READ_LINEARIZABLE);
    reading_write_lease(2, BOARD_LEASE_FOREVER, 0);
    reads_on_leader(reading.reads, true);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_LINEARIZABLE);
}

Test(read_waits, a_question_that_was_refused_or_lost_is_asked_again)
{
    struct waiter waiter;
    reading_make_map();
    reading_apply(1);
    reads_on_leader(reading.reads, true);
    reading_begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reading.reads);
    reads_on_answer(reading.reads, reading.questions[0], E_NO_LEADER, 0);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 1); /* not at once */
    reading.now_ns = reads_due_ns(reading.reads);
    reads_tick(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 2);
    reads_on_raft_down(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 2);
    reads_on_leader(reading.reads, true);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 3);
    reads_on_answer(reading.reads, reading.questions[1], 0,
                    1); /* of another life: nothing waits for it */
    cr_assert_eq(waiter.woken, 0);
    reads_on_answer(reading.reads, reading.questions[2], 0, 1);
    cr_assert_eq(waiter.woken, 1);
}

Test(read_waits, a_stale_read_waits_for_the_map_only)
{
    struct waiter waiter;
    reading_begin(&waiter, READ_STALE);
    reads_flush(reading.reads);
    cr_assert_eq(reading.question_count, 0);
    reads_tick(reading.reads);
    cr_assert_eq(waiter.woken, 0);
    cr_assert_eq(reads_due_ns(reading.reads), reading.now_ns + NS_PER_S); /* nothing polls */
    reading_make_map();
    reads_on_worker_up(reading.reads);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_STALE);
}

Test(read_waits, a_map_that_cannot_be_opened_is_tried_again_a_moment_later)
{
    struct waiter waiter;
    reading_begin(&waiter, READ_STALE);
    reads_on_worker_up(reading.reads); /* and there is no map */
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    cr_assert_eq(reading.awaited[0], 0);
    reads_on_applied(reading.reads, 0);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 1);
    reading_make_map();
    reading.now_ns = reads_due_ns(reading.reads);
    reads_tick(reading.reads);
    reads_flush(reading.reads);
    cr_assert_eq(reading.awaited_count, 2);
    reads_on_applied(reading.reads, 0);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.mode, READ_STALE);
}

Test(read_waits, an_impatient_read_ends_before_patient_ones_that_came_earlier)
{
    struct waiter patient, hasty;
    reading_make_map();
    reading_begin(&patient, READ_LINEARIZABLE);
    hasty = (struct waiter){
        .wait = {.wake = reading_on_wake, .deadline_ns = reading.now_ns + NS_PER_S / 2}};
    hasty.wait.arg = &hasty;
    cr_assert_eq(read_wait_begin(reading.reads, &hasty.wait, READ_LINEARIZABLE, 0), 0);
    cr_assert_eq(reads_due_ns(reading.reads), reading.now_ns + NS_PER_S / 2);
    reading.now_ns += NS_PER_S / 2;
    reads_tick(reading.reads);
    cr_assert_eq(hasty.woken, 1);
    cr_assert_eq(hasty.error, E_NO_LEADER);
    cr_assert_eq(patient.woken, 0);
    cr_assert_eq(reads_due_ns(reading.reads), reading.now_ns + NS_PER_S / 2);
}

/* ---- why ---- */

static void expect_obstacle(const struct waiter *waiter, const char *words)
{
    const char *obstacle = read_wait_obstacle(reading.reads, &waiter->wait);
    cr_expect_not_null(strstr(obstacle, words), "'%s' lacks '%s'", obstacle, words);
}

Test(read_waits, what_was_waited_for_in_vain_can_be_told)
{
    struct waiter waiter;
    struct board_lease record = reading_lease(1, 0, 0);
    reading_begin(&waiter, READ_STALE);
    expect_obstacle(&waiter, "starting");
    read_wait_end(reading.reads, &waiter.wait);
    reading_make_map();
    reading_begin(&waiter, READ_LINEARIZABLE);
    expect_obstacle(&waiter, "raft process is starting");
    reads_on_leader(reading.reads, false);
    expect_obstacle(&waiter, "no leader is known");
    record.standing = BOARD_STANDING_WAITING;
    board_write_lease(reading.board, &record);
    expect_obstacle(&waiter, "no cluster yet");
    reads_on_leader(reading.reads, true);
    reads_flush(reading.reads);
    expect_obstacle(&waiter, "could not confirm");
    reads_on_answer(reading.reads, reading.questions[0], 0, 8);
    expect_obstacle(&waiter, "lag behind");
    read_wait_end(reading.reads, &waiter.wait);
    expect_obstacle(&waiter, "lag behind");
}

Test(read_waits, a_client_that_left_waits_no_more)
{
    struct waiter waiters[3];
    reading_make_map();
    for (unsigned i = 0; i < 3; i++)
        reading_begin(&waiters[i], READ_LINEARIZABLE);
    read_wait_end(reading.reads, &waiters[1].wait);
    read_wait_end(reading.reads, &waiters[1].wait);
    cr_assert_eq(reads_waiting(reading.reads), 2);
    reading.now_ns += NS_PER_S;
    reads_tick(reading.reads);
    cr_assert_eq(waiters[0].woken + waiters[2].woken, 2);
    cr_assert_eq(waiters[1].woken, 0);
}

Test(read_waits, the_number_of_waiting_reads_is_bounded)
{
    struct waiter *waiters = calloc(READ_WAITS_MAX + 1, sizeof(*waiters));
    for (unsigned i = 0; i < READ_WAITS_MAX; i++)
        reading_begin(&waiters[i], READ_LINEARIZABLE);
    cr_assert_eq(
        read_wait_begin(reading.reads, &waiters[READ_WAITS_MAX].wait, READ_LINEARIZABLE, 0),
        E_BUSY);
    free(waiters);
}
