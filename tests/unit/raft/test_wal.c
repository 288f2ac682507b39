/* The log as its owner sees it: what was durable is there again after opening. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "tests/unit/raft/log_folder.h"

static struct log_folder folder;

static void wal_setup(void)
{
    log_folder_init(&folder, false);
}

static void wal_teardown(void)
{
    log_folder_fini(&folder);
}

TestSuite(wal, .init = wal_setup, .fini = wal_teardown, .timeout = 60);

/* Entries first ... last, each a batch of its own. */
static void wal_add_batches(uint64_t first, uint64_t last, uint64_t term, size_t bytes)
{
    for (uint64_t i = first; i <= last; i++) {
        log_add(&folder, i, 1, term, bytes);
        log_sync(&folder);
    }
}

static void wal_open_small(size_t segment_bytes)
{
    folder.options.segment_bytes = segment_bytes;
    cr_assert_eq(log_open(&folder), 0);
}

/* ---- life ---- */

Test(wal, a_new_log_is_empty_and_of_no_cluster)
{
    static const uint8_t none[WAL_CLUSTER_BYTES];
    cr_assert_eq(log_open(&folder), 0);
    cr_assert(folder.state.is_new);
    cr_assert_eq(folder.state.term, 0);
    cr_assert_eq(folder.state.last_index, 0);
    cr_assert_eq(wal_first_index(folder.wal), 1);
    cr_assert_neq(folder.state.identity.raft_id, 0);
    cr_assert_arr_eq(folder.state.identity.cluster, none, sizeof(none));
    cr_assert_not(folder.state.identity.founder);
}

Test(wal, keeps_its_identity_and_is_new_only_once)
{
    cr_assert_eq(log_open(&folder), 0);
    uint64_t id = folder.state.identity.raft_id;
    log_reopen(&folder);
    cr_assert_not(folder.state.is_new);
    cr_assert_eq(folder.state.identity.raft_id, id);
    cr_assert_eq(folder.state.last_index, 0);
}

Test(wal, learns_its_cluster_later_and_keeps_it)
{
    static const uint8_t cluster[WAL_CLUSTER_BYTES] = "0123456789abcdef";
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 1, 1, 10);
    cr_assert_eq(wal_set_cluster(folder.wal, cluster, true), 0);
    log_add(&folder, 2, 1, 1, 10);
    log_reopen(&folder);
    cr_assert_arr_eq(folder.state.identity.cluster, cluster, sizeof(cluster));
    cr_assert(folder.state.identity.founder);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1");
}

Test(wal, refuses_the_folder_of_another_node)
{
    cr_assert_eq(log_open(&folder), 0);
    log_close(&folder);
    folder.options.node = "node1";
    cr_assert_eq(log_open(&folder), E_FOREIGN);
    cr_assert_not_null(strstr(folder.last_error, "identity"), "%s", folder.last_error);
}

Test(wal, files_are_for_the_owner_alone)
{
    char name[WAL_NAME_BYTES];
    struct stat info;
    cr_assert_eq(log_open(&folder), 0);
    log_file_name(&folder, name, 1);
    cr_assert_eq(stat(name, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(info.st_size, WAL_SEGMENT_BYTES);
}

/* ---- entries ---- */

Test(wal, entries_of_all_kinds_come_back)
{
    cr_assert_eq(log_open(&folder), 0);
    log_add_hard_state(&folder, 1, 77);
    log_add_kind(&folder, 1, 1, WAL_CONFIG, slice_text("members"));
    log_add_kind(&folder, 2, 1, WAL_EMPTY, slice_of(NULL, 0));
    log_add(&folder, 3, 5, 1, 100);
    log_reopen(&folder);
    cr_assert_eq(folder.state.term, 1);
    cr_assert_eq(folder.state.vote, 77);
    cr_assert_eq(folder.state.last_index, 7);
    cr_assert_eq(folder.state.last_term, 1);
    cr_assert_eq(folder.state.torn_bytes, 0);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1 4.1 5.1 6.1 7.1");
}

static bool wal_is_config(const struct wal_entry *entry, void *arg)
{
    bool *seen = arg;
    *seen = entry->kind == WAL_CONFIG && slice_equal(entry->payload, slice_text("members"));
    return false;
}

Test(wal, an_entry_knows_its_kind_in_memory_and_on_disk)
{
    bool seen = false;
    cr_assert_eq(log_open(&folder), 0);
    log_add_kind(&folder, 1, 1, WAL_CONFIG, slice_text("members"));
    cr_assert_eq(wal_read(folder.wal, 1, 1000, wal_is_config, &seen), 0);
    cr_assert(seen);
    log_reopen(&folder);
    seen = false;
    cr_assert_eq(wal_read(folder.wal, 1, 1000, wal_is_config, &seen), 0);
    cr_assert(seen);
}

Test(wal, an_entry_of_the_largest_size_has_a_segment_as_large_as_it_needs)
{
    wal_open_small(1 << 20);
    log_add(&folder, 1, 1, 1, 100);
    log_sync(&folder);
    log_add(&folder, 2, 1, 1, LIMIT_ENTRY_BYTES);
    log_sync(&folder);
    log_add(&folder, 3, 1, 1, 100);
    log_sync(&folder);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1");
    cr_assert_eq(log_segment_count(&folder, NULL), 3);
    log_reopen(&folder);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1");
    log_add(&folder, 4, 1, 1, 100);
    log_reopen(&folder);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1 4.1");
}

Test(wal, many_segments_are_read_back_in_order)
{
    wal_open_small(2 * WAL_HEADER_BYTES);
    for (uint64_t i = 0; i < 200; i++) {
        log_add(&folder, 2 * i + 1, 2, 1 + i / 50, 300);
        log_sync(&folder);
    }
    cr_assert_gt(log_segment_count(&folder, NULL), 20);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, 400);
    cr_assert_eq(folder.state.last_term, 4);
    const char *all = log_entries(&folder, 1);
    cr_assert_not_null(strstr(all, "100.1 101.2 102.2"));
    cr_assert_not_null(strstr(all, "399.4 400.4"));
}

Test(wal, term_and_vote_are_found_behind_any_number_of_segments)
{
    wal_open_small(2 * WAL_HEADER_BYTES);
    log_add_hard_state(&folder, 9, 5);
    wal_add_batches(1, 100, 9, 500);
    wal_cut(folder.wal, 90, 9);
    log_reopen(&folder);
    cr_assert_eq(folder.state.term, 9);
    cr_assert_eq(folder.state.vote, 5);
}

/* ---- overriding ---- */

Test(wal, a_later_entry_overrides_what_was_at_its_index_and_behind)
{
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 10, 1, 50);
    log_sync(&folder);
    log_add(&folder, 6, 2, 2, 50);
    cr_assert_eq(wal_last_index(folder.wal), 7);
    cr_assert_str_eq(log_entries(&folder, 4), "4.1 5.1 6.2 7.2");
    log_sync(&folder);
    cr_assert_str_eq(log_entries(&folder, 4), "4.1 5.1 6.2 7.2");
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, 7);
    cr_assert_eq(folder.state.last_term, 2);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1 4.1 5.1 6.2 7.2");
}

static void wal_wait_ms(unsigned ms)
{
    const struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

static ssize_t wal_slow_write(int fd, const void *data, size_t len, off_t offset)
{
    wal_wait_ms(2);
    return pwrite(fd, data, len, offset);
}

/* A slow disk makes batches of many writes, which override each other inside a batch. */
Test(wal, entries_override_each_other_within_a_batch)
{
    static const struct wal_io slow = {wal_slow_write, fdatasync};
    folder.options.io = &slow;
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 5, 1, 50); /* alone */
    log_add(&folder, 6, 3, 1, 50);
    log_add(&folder, 8, 2, 2, 50); /* 8 9 */
    log_add(&folder, 4, 1, 3, 50); /* below all of this batch */
    log_add(&folder, 5, 3, 3, 50); /* 5 6 7 */
    log_add(&folder, 7, 1, 4, 50);
    const char *expected = "1.1 2.1 3.1 4.3 5.3 6.3 7.4";
    cr_assert_str_eq(log_entries(&folder, 1), expected);
    log_sync(&folder);
    cr_assert_str_eq(log_entries(&folder, 1), expected);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, 7);
    cr_assert_eq(folder.state.last_term, 4);
    cr_assert_str_eq(log_entries(&folder, 1), expected);
}

/* What any sequence of writes leaves, against a plain array. */
Test(wal, random_overrides_leave_what_a_plain_array_says)
{
    uint64_t terms[2000] = {0}, last = 0, term = 1;
    unsigned short seed[3] = {1, 2, 3};
    wal_open_small(4 * WAL_HEADER_BYTES);
    for (unsigned round = 0; round < 600; round++) {
        uint64_t back = nrand48(seed) % 4 == 0 ? (uint64_t)nrand48(seed) % 40 : 0;
        uint64_t index = last + 1 > back ? last + 1 - back : 1;
        uint32_t count = 1 + (uint32_t)nrand48(seed) % 5;
        term += back > 0;
        for (uint64_t i = index; i < index + count; i++)
            terms[i] = term;
        last = index + count - 1;
        cr_assert_lt(last, 1990);
        log_add(&folder, index, count, term, (size_t)nrand48(seed) % 200);
        if (nrand48(seed) % 16 == 0)
            log_sync(&folder);
        if (nrand48(seed) % 64 == 0)
            log_reopen(&folder);
        uint64_t from = 1 + (uint64_t)nrand48(seed) % last;
        char head[64];
        snprintf(head, sizeof(head), "%lu.%lu", from, terms[from]);
        const char *text = log_entries(&folder, from);
        cr_assert_eq(strncmp(text, head, strlen(head)), 0, "round %u: %s", round, head);
    }
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, last);
    char expected[1 << 16];
    size_t len = 0;
    for (uint64_t i = 1; i <= last; i++)
        len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s%lu.%lu",
                                i > 1 ? " " : "", i, terms[i]);
    cr_assert_str_eq(log_entries(&folder, 1), expected);
}

/* ---- reading ---- */

Test(wal, what_is_not_durable_yet_can_be_read)
{
    static const struct wal_io slow = {wal_slow_write, fdatasync};
    folder.options.io = &slow;
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 3, 1, 50);
    cr_assert_str_eq(log_entries(&folder, 2), "2.1 3.1");
}

Test(wal, reading_outside_the_log_finds_nothing)
{
    bool ignored;
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(wal_read(folder.wal, 0, 1000, wal_is_config, &ignored), E_NOT_FOUND);
    cr_assert_eq(wal_read(folder.wal, 1, 1000, wal_is_config, &ignored), E_NOT_FOUND);
    log_add(&folder, 1, 3, 1, 50);
    cr_assert_eq(wal_read(folder.wal, 4, 1000, wal_is_config, &ignored), E_NOT_FOUND);
}

struct wal_count {
    uint64_t next, count;
    size_t bytes;
};

static bool wal_count_entry(const struct wal_entry *entry, void *arg)
{
    struct wal_count *count = arg;
    cr_assert_eq(entry->index, count->next);
    cr_assert(log_payload_is_right(entry));
    count->next++;
    count->count++;
    count->bytes += entry->payload.len;
    return true;
}

/* Far more than the cache keeps: most of it comes from the segments, and memory stays bounded. */
Test(wal, old_entries_come_from_the_segments)
{
    wal_open_small(1 << 20);
    for (uint64_t i = 0; i < 400; i++)
        log_add(&folder, 100 * i + 1, 100, 1, 200);
    log_sync(&folder);
    struct wal_count count = {.next = 1};
    while (count.next <= 40000) {
        size_t before = count.bytes;
        cr_assert_eq(wal_read(folder.wal, count.next, 50000, wal_count_entry, &count), 0);
        cr_assert_leq(count.bytes - before, 50000 + 200);
    }
    cr_assert_eq(count.count, 40000);
    for (uint64_t from = 7; from < 40000; from += 1777) {
        count = (struct wal_count){.next = from};
        cr_assert_eq(wal_read(folder.wal, from, 1, wal_count_entry, &count), 0);
        cr_assert_eq(count.count, 1);
    }
}

/* ---- durability ---- */

Test(wal, writes_become_durable_in_order_and_are_told_once_for_many)
{
    cr_assert_eq(log_open(&folder), 0);
    for (uint64_t i = 1; i <= 50; i++)
        log_add(&folder, i, 1, 1, 50);
    uint64_t before = 0;
    while (before < 50) {
        uint64_t durable = wal_take_durable(folder.wal).write;
        cr_assert_geq(durable, before);
        before = durable;
    }
    cr_assert_eq(before, 50);
}

static _Atomic unsigned wal_syncs;

static int wal_count_sync(int fd)
{
    wal_syncs++;
    wal_wait_ms(3);
    return fdatasync(fd);
}

Test(wal, what_comes_during_a_sync_shares_the_next_one)
{
    static const struct wal_io counting = {wal_slow_write, wal_count_sync};
    folder.options.io = &counting;
    cr_assert_eq(log_open(&folder), 0);
    unsigned before = wal_syncs;
    for (uint64_t i = 1; i <= 1000; i++)
        log_add(&folder, i, 1, 1, 50);
    log_sync(&folder);
    cr_assert_leq(wal_syncs - before, 6);
}

Test(wal, a_mark_follows_when_nothing_else_does_and_then_all_is_quiet)
{
    static const struct wal_io counting = {wal_slow_write, wal_count_sync};
    folder.options.io = &counting;
    cr_assert_eq(log_open(&folder), 0);
    unsigned before = wal_syncs;
    log_add(&folder, 1, 1, 1, 50);
    log_sync(&folder);
    wal_wait_ms(WAL_MARK_MS * 20);
    cr_assert_eq(wal_syncs - before, 2, "one for the entry, one for the mark");
    wal_wait_ms(WAL_MARK_MS * 20);
    cr_assert_eq(wal_syncs - before, 2);
}

/* ---- giving up entries ---- */

Test(wal, a_cut_removes_the_segments_that_hold_nothing_above)
{
    uint64_t first;
    wal_open_small(2 * WAL_HEADER_BYTES);
    wal_add_batches(1, 39, 1, 500);
    wal_add_batches(40, 79, 2, 500);
    wal_add_batches(80, 100, 3, 500);
    uint64_t segments = log_segment_count(&folder, &first);
    cr_assert_eq(first, 1);
    wal_cut(folder.wal, 60, 2);
    cr_assert_eq(wal_first_index(folder.wal), 61);
    bool ignored;
    cr_assert_eq(wal_read(folder.wal, 60, 1000, wal_is_config, &ignored), E_NOT_FOUND);
    log_reopen(&folder); /* removes what the helper did not get to */
    cr_assert_lt(log_segment_count(&folder, &first), segments);
    cr_assert_gt(first, 1);
    cr_assert_eq(folder.state.base_index, 60);
    cr_assert_eq(folder.state.base_term, 2);
    cr_assert_eq(folder.state.last_index, 100);
    const char *left = log_entries(&folder, 61);
    cr_assert_eq(strncmp(left, "61.2 62.2 ", 10), 0);
    cr_assert_not_null(strstr(left, "99.3 100.3"));
}

Test(wal, a_cut_never_removes_the_last_segment)
{
    wal_open_small(2 * WAL_HEADER_BYTES);
    wal_add_batches(1, 30, 1, 500);
    wal_cut(folder.wal, 30, 1);
    log_reopen(&folder);
    cr_assert_eq(log_segment_count(&folder, NULL), 1);
    cr_assert_eq(folder.state.base_index, 30);
    cr_assert_eq(folder.state.last_index, 30);
    log_add(&folder, 31, 2, 2, 10);
    log_reopen(&folder);
    cr_assert_str_eq(log_entries(&folder, 31), "31.2 32.2");
}

Test(wal, a_cut_within_the_first_segment_changes_nothing)
{
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 10, 1, 50);
    log_sync(&folder);
    wal_cut(folder.wal, 5, 1);
    cr_assert_eq(wal_first_index(folder.wal), 1);
    log_reopen(&folder);
    cr_assert_eq(folder.state.base_index, 0);
}

/* The segment that is left may begin with entries that were overridden later. */
Test(wal, a_cut_can_leave_overridden_entries_at_the_front)
{
    wal_open_small(2 * WAL_HEADER_BYTES);
    wal_add_batches(1, 7, 1, 500);
    cr_assert_eq(log_segment_count(&folder, NULL), 1);
    log_add(&folder, 8, 1, 1, 500); /* begins the second segment */
    log_sync(&folder);
    cr_assert_eq(log_segment_count(&folder, NULL), 2);
    log_add(&folder, 6, 1, 2, 20);
    log_sync(&folder);
    wal_cut(folder.wal, 5, 1);
    cr_assert_eq(wal_first_index(folder.wal), 6);
    log_reopen(&folder);
    cr_assert_eq(log_segment_count(&folder, NULL), 1);
    cr_assert_str_eq(log_entries(&folder, 6), "6.2");
}

Test(wal, a_reset_begins_the_log_anew)
{
    wal_open_small(2 * WAL_HEADER_BYTES);
    log_add_hard_state(&folder, 3, 8);
    wal_add_batches(1, 30, 3, 500);
    log_add(&folder, 31, 1, 3, 500);
    wal_reset(folder.wal, 1000, 4);
    cr_assert_eq(wal_first_index(folder.wal), 1001);
    cr_assert_eq(wal_last_index(folder.wal), 1000);
    log_sync_reset(&folder, 1000);
    cr_assert_eq(wal_take_durable(folder.wal).write, folder.write);
    log_add(&folder, 1001, 2, 4, 20);
    cr_assert_str_eq(log_entries(&folder, 1001), "1001.4 1002.4");
    log_reopen(&folder);
    cr_assert_eq(log_segment_count(&folder, NULL), 1);
    cr_assert_eq(folder.state.base_index, 1000);
    cr_assert_eq(folder.state.base_term, 4);
    cr_assert_eq(folder.state.last_index, 1002);
    cr_assert_eq(folder.state.term, 3);
    cr_assert_eq(folder.state.vote, 8);
    cr_assert_str_eq(log_entries(&folder, 1001), "1001.4 1002.4");
}

Test(wal, a_reset_keeps_term_and_vote_that_were_still_queued)
{
    static const struct wal_io slow = {wal_slow_write, fdatasync};
    folder.options.io = &slow;
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 5, 1, 50);
    log_add_hard_state(&folder, 6, 2);
    log_add(&folder, 6, 5, 6, 50);
    wal_reset(folder.wal, 500, 5);
    log_sync_reset(&folder, 500);
    log_sync(&folder);
    log_reopen(&folder);
    cr_assert_eq(folder.state.term, 6);
    cr_assert_eq(folder.state.vote, 2);
    cr_assert_eq(folder.state.last_index, 500);
}

/* ---- disk errors ---- */

static ssize_t wal_fail_write(int fd, const void *data, size_t len, off_t offset)
{
    if (offset > 5000) {
        errno = EIO;
        return -1;
    }
    return pwrite(fd, data, len, offset);
}

static bool wal_sync_fails;

static int wal_fail_sync(int fd)
{
    if (wal_sync_fails) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

/* The child's exit status; it must end by itself. */
static int wal_run_child(const struct wal_io *io)
{
    pid_t pid = fork();
    if (pid == 0) {
        folder.options.io = io;
        if (log_open(&folder) != 0)
            _exit(100);
        wal_sync_fails = true;
        for (uint64_t i = 1;; i++) {
            log_add(&folder, folder.state.last_index + i, 1, 1, 50);
            log_sync(&folder);
        }
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(wal, a_failed_write_ends_the_process_and_marks_the_log)
{
    static const struct wal_io failing = {wal_fail_write, fdatasync};
    cr_assert_eq(wal_run_child(&failing), 1);
    cr_assert(log_file_exists(&folder, "suspect"));
    log_count_lines(&folder, "event=log_suspect");
    folder.options.io = NULL;
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.logged, 1);
    cr_assert_not(log_file_exists(&folder, "suspect"), "verified: no longer suspect");
    cr_assert_geq(folder.state.last_index, 1);
}

Test(wal, a_failed_sync_ends_the_process_and_marks_the_log)
{
    static const struct wal_io failing = {wal_slow_write, wal_fail_sync};
    cr_assert_eq(wal_run_child(&failing), 1);
    cr_assert(log_file_exists(&folder, "suspect"));
    folder.options.io = NULL;
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_leq(folder.state.last_index, 1, "at most the entry whose sync failed");
}
