/* test_read.c - when what was read may be told: a real board and a real map, and a raft that says
 * what the test wants. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "tests/unit/gateway/reading.h"

TestSuite(read, .init = reading_start, .fini = reading_stop, .timeout = 60);

/* ---- by lease ---- */

Test(read, under_a_lease_without_end_a_read_is_told)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(5);
    reading_write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 5);
}

Test(read, without_a_lease_nothing_is_told)
{
    struct look look = {0};
    reading_make_map();
    reading_write_lease(1, 0, 0);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
}

Test(read, a_lease_holds_up_to_its_end_and_no_longer)
{
    struct look look = {0};
    reading_make_map();
    reading_write_lease(1, reading.now_ns + 1, 0);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    reading.now_ns++;
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
}

static void lease_runs_out(void)
{
    reading.now_ns += NS_PER_S;
}

static void lease_is_dropped(void)
{
    board_drop_lease(reading.board);
}

static void term_changes(void)
{
    reading_write_lease(2, reading.now_ns + NS_PER_S, 0);
}

static void raft_restarts(void)
{
    uint64_t epoch = board_raise_epoch(reading.board);
    struct board_lease record = reading_lease(1, reading.now_ns + NS_PER_S, 0);
    record.epoch = epoch;
    board_write_lease(reading.board, &record);
}

static void lease_is_renewed(void)
{
    reading_write_lease(1, reading.now_ns + 2 * NS_PER_S, 3);
}

Test(read, what_was_read_while_the_lease_ended_is_not_told)
{
    static void (*const endings[])(void) = {lease_runs_out, lease_is_dropped, term_changes,
                                            raft_restarts};
    reading_make_map();
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        struct look look = {.meanwhile = endings[i]};
        reading_write_lease(1, reading.now_ns + NS_PER_S, 0);
        cr_expect_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY, "%zu", i);
        cr_expect_eq(look.count, 1, "%zu", i);
    }
}

Test(read, a_lease_that_is_only_renewed_meanwhile_is_the_same_lease)
{
    struct look look = {.meanwhile = lease_is_renewed};
    reading_make_map();
    reading_write_lease(1, reading.now_ns + NS_PER_S, 0);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
}

Test(read, a_state_behind_the_announced_commit_is_not_read)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(4);
    reading_write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
    reading_apply(5);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
}

Test(read, entries_of_other_workers_keep_no_read_waiting)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(4);
    reading_write_lease(1, BOARD_LEASE_FOREVER, 9);
    board_write_applied(reading.board, PROC_STORAGE,
                        9); /* the worker does not store that at once */
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 9, &look), 0);
    cr_assert_eq(look.index, 4);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 10, &look), E_BUSY);
}

Test(read, a_state_that_its_worker_does_not_vouch_for_is_not_read)
{
    struct look look = {0};
    reading_make_map();
    reading_store(204); /* of another log, say */
    reading_write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 5, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
    board_write_applied(reading.board, PROC_STORAGE, 204);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 5, &look), 0);
}

Test(read, a_stale_read_needs_neither_lease_nor_leader)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(4);
    reading_write_lease(1, 0, 9);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 4);
}

/* ---- the map ---- */

Test(read, a_map_that_is_not_there_yet_is_waited_for)
{
    struct look look = {0};
    reading_write_lease(1, BOARD_LEASE_FOREVER, 0);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), E_BUSY);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    reading_make_map();
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
}

static void replace_map(void)
{
    board_write_applied(reading.board, PROC_STORAGE, 0);
    map_close(&reading.writer);
    cr_assert_eq(path_remove_tree(reading.folder), 0);
    reading_make_map();
}

/* After a power cut it may be damaged: its worker looks at it first. */
Test(read, a_map_that_its_worker_has_not_shown_is_left_alone)
{
    struct look look = {0};
    char path[sizeof(reading.folder) + 16];
    cr_assert_eq(map_open_writer(&reading.writer, reading.folder, MAP_VALUES), 0);
    reading_apply(7);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), E_BUSY);
    map_close(&reading.writer);
    snprintf(path, sizeof(path), "%s/values.mdb", reading.folder);
    cr_assert_eq(truncate(path, 100), 0);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), E_BUSY);
    cr_assert_eq(path_remove_tree(reading.folder), 0);
    reading_make_map();
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.count, 1);
}

Test(read, a_map_that_was_replaced_is_opened_anew)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(7);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    replace_map();
    reading_apply(2);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 2);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 7, &look), E_BUSY); /* it has yet to catch up */
    reading_apply(7);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 7, &look), 0);
}

Test(read, an_index_of_a_map_that_is_gone_counts_nothing)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(7);
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 7, &look), 0);
    board_write_applied(reading.board, PROC_STORAGE, 0); /* about to be thrown away */
    cr_assert_eq(reading_try_read(READ_AT_INDEX, 7, &look), E_BUSY);
    cr_assert_eq(reading_try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 7); /* still the old one */
}

/* What was applied was told to clients before raft announced it: the lease record's commit index is
 * lower. */
Test(read, a_new_state_is_not_read_under_a_lease_before_it_shows_all_that_the_old_one_did)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(9);
    reading_write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
    replace_map(); /* raft may be down meanwhile: nobody takes the lease back */
    for (uint64_t index = 1; index < 9; index++) {
        reading_apply(index);
        cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY, "at %lu", index);
        cr_assert_eq(look.count, 0);
    }
    reading_apply(9);
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
}

static void replace_map_by_older_one(void)
{
    replace_map();
    reading_apply(6);
}

/* Stopped right after looking at the lease, for a time in which the map is lost. */
Test(read, a_map_that_is_lost_between_two_looks_is_not_told_of_in_any_order)
{
    struct look look = {0};
    reading_make_map();
    reading_apply(9);
    reading_write_lease(1, BOARD_LEASE_FOREVER, 5);
    board_write_applied(reading.board, PROC_STORAGE,
                        0); /* lost, and the gateway's is still the old one */
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    replace_map_by_older_one();
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    reading_apply(9);
    look.meanwhile = replace_map_by_older_one; /* within the transaction: what it sees stays */
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
    look.meanwhile = NULL;
    cr_assert_eq(reading_try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
}
