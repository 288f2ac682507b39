/* What one worker was sent and has applied. */
#include <criterion/criterion.h>

#include "procs/raft/apply_cursor.h"

static struct apply_cursor cursor;
static const uint8_t lineage[RAFT_LINEAGE_BYTES] = "this very log...";

static void cursor_setup(void)
{
    apply_cursor_init(&cursor, 100);
}

TestSuite(apply_cursor, .init = cursor_setup);

static bool cursor_resume(uint64_t applied, const uint8_t *of, uint64_t first)
{
    struct msg_resume resume = {.applied_index = applied};
    if (of)
        memcpy(resume.lineage, of, sizeof(resume.lineage));
    return apply_cursor_resume(&cursor, &resume, lineage, first, 5) == APPLY_FITS;
}

Test(apply_cursor, an_empty_worker_begins_at_the_beginning)
{
    cr_assert(cursor_resume(0, NULL, 1));
    cr_assert(cursor.is_flowing);
    cr_assert_eq(cursor.next_index, 1);
    cr_assert_eq(cursor.applied_index, 0);
}

Test(apply_cursor, a_worker_goes_on_behind_what_it_has)
{
    cr_assert(cursor_resume(60, lineage, 1));
    cr_assert_eq(cursor.next_index, 61);
    cr_assert_eq(cursor.applied_index, 60);
    cr_assert(cursor_resume(100, lineage, 1));
    cr_assert_eq(cursor.next_index, 101);
}

Test(apply_cursor, a_state_ahead_of_the_log_is_not_this_logs)
{
    cr_assert_not(cursor_resume(101, lineage, 1));
    cr_assert_not(cursor.is_flowing);
}

/* The log grows, but what the worker had before nobody here gave it. */
Test(apply_cursor, what_may_be_had_grows_only_with_what_was_sent)
{
    cr_assert(cursor_resume(100, lineage, 1));
    apply_cursor_sent(&cursor, 110, 50, 6);
    apply_cursor_down(&cursor);
    cr_assert_not(cursor_resume(111, lineage, 1));
    cr_assert(cursor_resume(110, lineage, 1));
}

Test(apply_cursor, a_state_of_another_log_or_of_none_is_refused)
{
    static const uint8_t other[RAFT_LINEAGE_BYTES] = "another log.....";
    cr_assert_not(cursor_resume(60, other, 1));
    cr_assert_not(cursor_resume(60, NULL, 1));
    cr_assert_not(cursor_resume(0, other, 1));
}

Test(apply_cursor, a_state_behind_the_logs_beginning_is_refused)
{
    cr_assert_not(cursor_resume(48, lineage, 50));
    cr_assert(cursor_resume(49, lineage, 50));
    cr_assert_not(cursor_resume(0, NULL, 2));
}

Test(apply_cursor, bytes_in_flight_are_bounded)
{
    cr_assert(cursor_resume(0, NULL, 1));
    cr_assert(apply_cursor_has_room(&cursor));
    apply_cursor_sent(&cursor, 10, RAFT_WORKER_WINDOW_BYTES - 1, 6);
    cr_assert(apply_cursor_has_room(&cursor));
    apply_cursor_sent(&cursor, 11, 1, 6);
    cr_assert_not(apply_cursor_has_room(&cursor));
    cr_assert(apply_cursor_applied(&cursor, 9, 7));
    cr_assert_not(apply_cursor_has_room(&cursor), "the batch up to 10 is still under way");
    cr_assert(apply_cursor_applied(&cursor, 10, 7));
    cr_assert(apply_cursor_has_room(&cursor));
    cr_assert_eq(cursor.flying_bytes, 1);
}

Test(apply_cursor, batches_in_flight_are_bounded)
{
    cr_assert(cursor_resume(0, NULL, 1));
    for (uint64_t i = 1; i <= APPLY_BATCHES_MAX; i++) {
        cr_assert(apply_cursor_has_room(&cursor));
        apply_cursor_sent(&cursor, i, 1, 6);
    }
    cr_assert_not(apply_cursor_has_room(&cursor));
    cr_assert(apply_cursor_applied(&cursor, 3, 7));
    cr_assert(apply_cursor_has_room(&cursor));
    cr_assert_eq(cursor.flying_bytes, APPLY_BATCHES_MAX - 3);
    for (uint64_t i = 1; i <= 3; i++)
        apply_cursor_sent(&cursor, APPLY_BATCHES_MAX + i, 1, 6);
    cr_assert(apply_cursor_applied(&cursor, APPLY_BATCHES_MAX + 3, 8));
    cr_assert_eq(cursor.flying_bytes, 0);
    cr_assert_eq(cursor.count, 0);
}

Test(apply_cursor, an_applied_index_that_cannot_be_changes_nothing)
{
    cr_assert_not(apply_cursor_applied(&cursor, 0, 7), "it has not resumed");
    cr_assert(cursor_resume(50, lineage, 1));
    apply_cursor_sent(&cursor, 60, 10, 6);
    cr_assert_not(apply_cursor_applied(&cursor, 61, 7));
    cr_assert_not(apply_cursor_applied(&cursor, 49, 7));
    cr_assert_eq(cursor.applied_index, 50);
    cr_assert(apply_cursor_applied(&cursor, 55, 7));
    cr_assert_eq(cursor.applied_index, 55);
}

Test(apply_cursor, what_was_under_way_is_forgotten_with_the_connection)
{
    cr_assert(cursor_resume(50, lineage, 1));
    apply_cursor_sent(&cursor, 60, 10, 6);
    cr_assert(apply_cursor_applied(&cursor, 55, 7));
    apply_cursor_down(&cursor);
    cr_assert_eq(cursor.applied_index, 55, "its map still shows so much");
    cr_assert_eq(cursor.flying_bytes, 0);
    cr_assert_not(apply_cursor_has_room(&cursor));
    cr_assert(cursor_resume(52, lineage, 1), "some of it was only in memory");
    cr_assert_eq(cursor.next_index, 53);
    cr_assert_eq(cursor.applied_index, 52);
}

Test(apply_cursor, a_worker_with_work_stalls_without_progress)
{
    cr_assert(cursor_resume(50, lineage, 1));
    cr_assert_eq(apply_cursor_stalls_ns(&cursor, 1000), 0);
    apply_cursor_sent(&cursor, 60, 10, 2000);
    cr_assert_eq(apply_cursor_stalls_ns(&cursor, 1000), 3000);
    apply_cursor_sent(&cursor, 70, 10, 2500);
    cr_assert_eq(apply_cursor_stalls_ns(&cursor, 1000), 3000);
    cr_assert(apply_cursor_applied(&cursor, 60, 2700));
    cr_assert_eq(apply_cursor_stalls_ns(&cursor, 1000), 3700);
    cr_assert(apply_cursor_applied(&cursor, 70, 2800));
    cr_assert_eq(apply_cursor_stalls_ns(&cursor, 1000), 0);
}
