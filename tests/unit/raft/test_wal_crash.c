/* Crashes between the steps of what changes several files of a log: the next start goes on with the
 * log from before or from behind the change. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/raft/log_folder.h"

static struct log_folder folder;

static void begin(void)
{
    log_folder_init(&folder, false);
}

static void end(void)
{
    log_folder_fini(&folder);
}

TestSuite(log_crash, .init = begin, .fini = end, .timeout = 300);

static void crash_copy(const char *from, const char *to)
{
    uint8_t *bytes;
    size_t len = log_file_load(from, &bytes);
    log_file_store(to, bytes, len);
    free(bytes);
}

/* The last segment has no batch yet, or was not even named. */
static void crash_make_fresh_segment(void)
{
    char name[WAL_NAME_BYTES];
    folder.options.segment_bytes = LOG_SMALL_BYTES;
    cr_assert_eq(log_open(&folder), 0);
    while (log_segment_count(&folder, NULL) < 2) {
        log_add(&folder, wal_last_index(folder.wal) + 1, 1, 1, 500);
        log_sync(&folder);
    }
    log_close(&folder);
    log_file_name(&folder, name, 2);
    uint8_t *bytes;
    size_t len = log_file_load(name, &bytes);
    memset(bytes + WAL_HEADER_BYTES, 0, len - WAL_HEADER_BYTES);
    log_file_store(name, bytes, len);
    free(bytes);
}

Test(log_crash, a_crash_before_the_first_batch_of_a_segment_loses_nothing)
{
    crash_make_fresh_segment();
    cr_assert_eq(log_open(&folder), 0);
    uint64_t last = folder.state.last_index;
    cr_assert_geq(last, 7);
    log_add(&folder, last + 1, 1, 1, 30);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, last + 1);
}

Test(log_crash, a_crash_between_seal_and_name_is_completed)
{
    char second[WAL_NAME_BYTES], prepared[WAL_NAME_BYTES];
    crash_make_fresh_segment();
    log_file_name(&folder, second, 2);
    wal_prepared_name(prepared, folder.path);
    cr_assert_eq(rename(second, prepared), 0);
    cr_assert_eq(log_open(&folder), 0);
    uint64_t last = folder.state.last_index;
    log_add(&folder, last + 1, 1, 1, 30);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, last + 1);
    cr_assert_eq(log_segment_count(&folder, NULL), 2);
}

Test(log_crash, a_crash_before_the_seal_goes_on_in_the_old_segment)
{
    char first[WAL_NAME_BYTES], second[WAL_NAME_BYTES], prepared[WAL_NAME_BYTES];
    uint8_t *bytes;
    crash_make_fresh_segment();
    log_file_name(&folder, first, 1);
    log_file_name(&folder, second, 2);
    wal_prepared_name(prepared, folder.path);
    cr_assert_eq(rename(second, prepared), 0);
    size_t len = log_file_load(first, &bytes), end = len;
    while (bytes[end - 1] == 0)
        end--;
    memset(bytes + end - WAL_BATCH_HEADER_BYTES, 0, WAL_BATCH_HEADER_BYTES); /* the seal */
    log_file_store(first, bytes, len);
    free(bytes);
    cr_assert_eq(log_open(&folder), 0);
    uint64_t last = folder.state.last_index;
    for (uint64_t i = 1; i <= 20; i++) {
        log_add(&folder, last + i, 1, 1, 500);
        log_sync(&folder);
    }
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, last + 20);
}

Test(log_crash, a_crash_in_the_first_start_leaves_a_folder_that_starts)
{
    char floor[WAL_NAME_BYTES];
    folder.options.segment_bytes = LOG_SMALL_BYTES;
    cr_assert_eq(log_open(&folder), 0);
    uint64_t id = folder.state.identity.raft_id;
    log_close(&folder);
    snprintf(floor, sizeof(floor), "%s/floor", folder.path);
    cr_assert_eq(unlink(floor), 0); /* as if it had not come to it */
    cr_assert_eq(log_open(&folder), 0);
    cr_assert(folder.state.is_new);
    cr_assert_eq(folder.state.identity.raft_id, id);
    log_add(&folder, 1, 1, 1, 30);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, 1);
}

/* The floor is stored before anything is removed: what a crash left is removed by the next start.
 */
Test(log_crash, segments_that_a_cut_did_not_get_to_remove_go_with_the_next_start)
{
    char name[WAL_NAME_BYTES], kept[WAL_NAME_BYTES + 8];
    log_make_segments(&folder);
    log_file_name(&folder, name, 1);
    snprintf(kept, sizeof(kept), "%s.kept", name);
    crash_copy(name, kept);
    cr_assert_eq(log_open(&folder), 0);
    wal_cut(folder.wal, 30, 1);
    log_close(&folder);
    cr_assert_eq(rename(kept, name), 0);
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.state.base_index, 30);
    cr_assert_neq(access(name, F_OK), 0);
    cr_assert_eq(folder.state.last_index, 60);
}

Test(log_crash, a_segment_missing_behind_a_cut_is_noticed_at_the_front)
{
    uint64_t first;
    log_make_segments(&folder);
    cr_assert_eq(log_open(&folder), 0);
    wal_cut(folder.wal, 30, 1);
    log_close(&folder);
    log_segment_count(&folder, &first);
    cr_assert_gt(first, 1);
    log_remove_segment(&folder, first);
    log_expect_refusal(&folder, E_CORRUPT, first, "a segment is missing");
}

/* Second names of all segments, so that removing them can be undone. */
static void crash_link_segments(uint64_t count, bool back)
{
    char name[WAL_NAME_BYTES], kept[WAL_NAME_BYTES + 8];
    for (uint64_t i = 1; i <= count; i++) {
        log_file_name(&folder, name, i);
        snprintf(kept, sizeof(kept), "%s.kept", name);
        cr_assert_eq(back ? rename(kept, name) : link(name, kept), 0);
    }
}

/* What lies behind a reset when the old segments, or the old floor too, are still there. */
static void crash_reset_and_undo(bool with_floor)
{
    char floor[WAL_NAME_BYTES], kept[WAL_NAME_BYTES + 8];
    uint64_t first;
    log_make_segments(&folder);
    uint64_t count = log_segment_count(&folder, NULL);
    snprintf(floor, sizeof(floor), "%s/floor", folder.path);
    snprintf(kept, sizeof(kept), "%s.kept", floor);
    crash_copy(floor, kept);
    cr_assert_eq(log_open(&folder), 0);
    crash_link_segments(count, false);
    wal_reset(folder.wal, 1000, 1);
    log_sync_reset(&folder, 1000);
    log_close(&folder);
    cr_assert_eq(log_segment_count(&folder, &first), 1);
    cr_assert_eq(first, count + 1);
    crash_link_segments(count, true);
    if (with_floor)
        cr_assert_eq(rename(kept, floor), 0);
}

/* Until the new floor has its name, the old log is there. */
Test(log_crash, a_crash_in_a_reset_before_the_floor_leaves_the_old_log)
{
    crash_reset_and_undo(true);
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.state.base_index, 0);
    cr_assert_eq(folder.state.last_index, 60);
    log_add(&folder, 61, 1, 1, 20);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, 61);
}

Test(log_crash, a_crash_in_a_reset_behind_the_floor_leaves_the_new_log)
{
    crash_reset_and_undo(false);
    cr_assert_gt(log_segment_count(&folder, NULL), 1);
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.state.base_index, 1000);
    cr_assert_eq(folder.state.last_index, 1000);
    cr_assert_eq(log_segment_count(&folder, NULL), 1);
    log_add(&folder, 1001, 1, 1, 20);
    log_reopen(&folder);
    cr_assert_str_eq(log_entries(&folder, 1001), "1001.1");
}
