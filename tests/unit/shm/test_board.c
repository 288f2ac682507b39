/* The board: the lease record under its sequence lock, whoever dies while writing it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "shm/board.h"

/* where the words are: board.c's layout, part of what BOARD_VERSION stands for */
#define VERSION_AT 8
#define SEQUENCE_AT 64

static char folder[64], path[96];

static void make_board(void)
{
    strcpy(folder, "/tmp/insi-board-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/board", folder);
    cr_assert_eq(board_create(path), 0);
}

static void remove_board(void)
{
    path_remove_tree(folder);
}

TestSuite(board, .init = make_board, .fini = remove_board, .timeout = 60);

static struct board *open_board(bool writable)
{
    struct board *board;
    cr_assert_eq(board_open(&board, path, writable), 0);
    return board;
}

static void poke(off_t at, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static uint64_t peek(off_t at)
{
    uint64_t word = 0;
    int fd = open(path, O_RDONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &word, sizeof(word), at), (ssize_t)sizeof(word));
    close(fd);
    return word;
}

static const struct board_lease sample = {.epoch = 3,
                                          .term = 4,
                                          .lease_end_ns = 5,
                                          .commit_index = 6,
                                          .role = BOARD_ROLE_LEADER,
                                          .standing = BOARD_STANDING_REMOVED,
                                          .leader = "node0"};

Test(board, a_new_board_says_nothing_and_replaces_the_old_one)
{
    struct board *old = open_board(true);
    struct board_lease lease;
    struct stat status;
    board_write_lease(old, &sample);
    cr_assert_eq(board_create(path), 0);
    struct board *board = open_board(false);
    cr_assert_eq(board_read_lease(board, &lease), 0);
    cr_assert_eq(lease.epoch, 0);
    cr_assert_eq(lease.lease_end_ns, 0);
    cr_assert_eq(lease.role, BOARD_ROLE_STARTING);
    cr_assert_str_eq(lease.leader, "");
    cr_assert_eq(board_read_applied(board, PROC_STORAGE), 0);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    board_close(&board);
    cr_assert_null(board);
    board_close(&old);
}

Test(board, a_lease_record_is_read_as_it_was_written)
{
    struct board *writer = open_board(true), *reader = open_board(false);
    struct board_lease lease;
    board_write_lease(writer, &sample);
    cr_assert_eq(board_read_lease(reader, &lease), 0);
    cr_assert_eq(lease.epoch, 3);
    cr_assert_eq(lease.term, 4);
    cr_assert_eq(lease.lease_end_ns, 5);
    cr_assert_eq(lease.commit_index, 6);
    cr_assert_eq(lease.role, BOARD_ROLE_LEADER);
    cr_assert_eq(lease.standing, BOARD_STANDING_REMOVED);
    cr_assert_str_eq(lease.leader, "node0");
    board_close(&writer);
    board_close(&reader);
}

Test(board, the_longest_leader_s_name_fits)
{
    struct board *board = open_board(true);
    struct board_lease longest = sample, lease;
    memset(longest.leader, 'n', sizeof(longest.leader));
    board_write_lease(board, &longest);
    cr_assert_eq(board_read_lease(board, &lease), 0);
    cr_assert_eq(strlen(lease.leader), LIMIT_NODE_ID_BYTES - 1);
    board_close(&board);
}

Test(board, a_raised_epoch_takes_the_lease_and_the_leader_away)
{
    struct board *board = open_board(true);
    struct board_lease lease;
    board_write_lease(board, &sample);
    cr_assert_eq(board_raise_epoch(board), 4);
    cr_assert_eq(board_read_lease(board, &lease), 0);
    cr_assert_eq(lease.epoch, 4);
    cr_assert_eq(lease.lease_end_ns, 0);
    cr_assert_eq(lease.role, BOARD_ROLE_STARTING);
    cr_assert_str_eq(lease.leader, "");
    cr_assert_eq(lease.commit_index, 6, "what was committed stays so");
    board_close(&board);
}

Test(board, a_dropped_lease_leaves_the_rest_of_the_record)
{
    struct board *board = open_board(true);
    struct board_lease lease;
    board_write_lease(board, &sample);
    board_drop_lease(board);
    cr_assert_eq(board_read_lease(board, &lease), 0);
    cr_assert_eq(lease.lease_end_ns, 0);
    cr_assert_eq(lease.term, 4);
    cr_assert_str_eq(lease.leader, "node0");
    board_close(&board);
}

Test(board, readers_give_up_on_a_writer_stopped_half_way_until_the_next_start_of_raft)
{
    struct board *board = open_board(true);
    struct board_lease lease;
    uint64_t odd = 7;
    board_write_lease(board, &sample);
    poke(SEQUENCE_AT, &odd, sizeof(odd));
    uint64_t start_ns = clock_boot_ns();
    cr_assert_eq(board_read_lease(board, &lease), E_BUSY);
    cr_assert_lt(clock_boot_ns() - start_ns, 100 * NS_PER_MS, "it does not spin for long");
    cr_assert_eq(lease.lease_end_ns, 0);
    cr_assert_eq(board_raise_epoch(board), 4);
    cr_assert_eq(board_read_lease(board, &lease), 0);
    cr_assert_eq(lease.epoch, 4);
    cr_assert_gt(peek(SEQUENCE_AT), odd, "whoever began to read before must notice");
    board_close(&board);
}

/* ---- a writer that is killed again and again ---- */

static _Noreturn void write_for_ever(void)
{
    struct board *board;
    if (board_open(&board, path, true) != 0)
        _exit(1);
    for (uint64_t n = 1;; n++) {
        struct board_lease lease = {
            .epoch = n, .term = n, .lease_end_ns = n, .commit_index = n, .role = BOARD_ROLE_LEADER};
        snprintf(lease.leader, sizeof(lease.leader), "%llu", (unsigned long long)n);
        board_write_lease(board, &lease);
        if (n % 4 == 0) { /* a moment in which a reader can get through */
            uint64_t until_ns = clock_boot_ns() + 2000;
            while (clock_boot_ns() < until_ns)
                ;
        }
    }
}

static void expect_one_record(const struct board_lease *lease)
{
    char leader[LIMIT_NODE_ID_BYTES] = "";
    cr_assert_eq(lease->term, lease->epoch);
    cr_assert_eq(lease->lease_end_ns, lease->epoch);
    cr_assert_eq(lease->commit_index, lease->epoch);
    snprintf(leader, sizeof(leader), "%llu", (unsigned long long)lease->epoch);
    cr_assert_str_eq(lease->leader, leader);
}

Test(board, no_reader_sees_half_a_record_and_a_killed_writer_s_lock_is_mended)
{
    struct board *board = open_board(true);
    unsigned read_count = 0;
    for (unsigned round = 0; round < 30; round++) {
        struct board_lease lease;
        cr_assert_eq(board_create(path), 0);
        board_close(&board);
        board = open_board(true);
        pid_t pid = fork();
        if (pid == 0)
            write_for_ever();
        unsigned seen = 0; /* a while after the child has begun, then it is killed anywhere */
        uint64_t end_ns = UINT64_MAX;
        while (clock_boot_ns() < end_ns) {
            if (board_read_lease(board, &lease) != 0 || lease.epoch == 0)
                continue;
            expect_one_record(&lease);
            if (seen++ == 0)
                end_ns = clock_boot_ns() + NS_PER_MS + round * 37000ull;
        }
        read_count += seen;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int error = board_read_lease(board, &lease);
        cr_assert_eq(error, (peek(SEQUENCE_AT) & 1) != 0 ? E_BUSY : 0);
        board_raise_epoch(board);
        cr_assert_eq(board_read_lease(board, &lease), 0);
        cr_assert_eq(lease.lease_end_ns, 0);
    }
    cr_assert_gt(read_count, 1000);
    board_close(&board);
}

/* ---- the state workers' part ---- */

Test(board, each_worker_has_its_own_applied_index_and_generation)
{
    struct board *board = open_board(true), *reader = open_board(false);
    board_write_applied(board, PROC_STORAGE, 10);
    board_write_applied(board, PROC_CACHEQ, 20);
    board_write_applied(board, PROC_EVENTS, 30);
    board_raise_generation(board, PROC_CACHEQ);
    cr_assert_eq(board_read_applied(reader, PROC_STORAGE), 10);
    cr_assert_eq(board_read_applied(reader, PROC_CACHEQ), 20);
    cr_assert_eq(board_read_applied(reader, PROC_EVENTS), 30);
    cr_assert_eq(board_read_generation(reader, PROC_STORAGE), 0);
    cr_assert_eq(board_read_generation(reader, PROC_CACHEQ), 1);
    board_close(&board);
    board_close(&reader);
}

Test(board, what_a_worker_has_shown_stays_known_when_its_index_is_taken_back)
{
    struct board *board = open_board(true);
    board_write_applied(board, PROC_STORAGE, 7);
    board_write_applied(board, PROC_STORAGE, 0);
    cr_assert_eq(board_read_applied(board, PROC_STORAGE), 0);
    cr_assert_eq(board_read_shown(board, PROC_STORAGE), 7);
    board_write_applied(board, PROC_STORAGE, 5);
    cr_assert_eq(board_read_shown(board, PROC_STORAGE), 7);
    board_write_applied(board, PROC_STORAGE, 8);
    cr_assert_eq(board_read_shown(board, PROC_STORAGE), 8);
    cr_assert_eq(board_read_shown(board, PROC_EVENTS), 0);
    board_close(&board);
}

Test(board, cluster_time_is_boot_time_and_an_offset)
{
    struct board *board = open_board(true);
    cr_assert_not(board_has_cluster_time(board));
    board_write_clock_offset(board, -1000);
    cr_assert(board_has_cluster_time(board));
    cr_assert_eq(board_clock_offset_ms(board), -1000);
    cr_assert_leq(board_cluster_time_ms(board), clock_boot_ms() - 1000);
    board_write_clock_offset(board, 1700000000000);
    uint64_t now_ms = board_cluster_time_ms(board), boot_ms = clock_boot_ms();
    cr_assert_leq(now_ms, boot_ms + 1700000000000);
    cr_assert_geq(now_ms + 1000, boot_ms + 1700000000000);
    board_close(&board);
}

Test(board, cluster_time_stands_still_rather_than_go_back)
{
    struct board *board = open_board(true);
    board_write_clock_offset(board, 1700000000000);
    uint64_t before_ms = board_cluster_time_ms(board);
    board_write_clock_offset(board, 1600000000000);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(board_cluster_time_ms(board), before_ms);
    board_write_clock_offset(board, 1700000000100);
    cr_assert_geq(board_cluster_time_ms(board), before_ms + 100);
    board_close(&board);
}

/* ---- what is no board ---- */

Test(board, files_that_are_no_board_of_this_version_are_refused)
{
    struct board *board;
    uint32_t version = 99;
    char other[128];
    poke(VERSION_AT, &version, sizeof(version));
    cr_assert_eq(board_open(&board, path, false), E_VERSION);
    cr_assert_null(board);
    cr_assert_eq(board_create(path), 0);
    cr_assert_eq(truncate(path, 10), 0);
    cr_assert_eq(board_open(&board, path, false), E_VERSION);
    snprintf(other, sizeof(other), "%s/none", folder);
    cr_assert_eq(board_open(&board, other, true), E_IO);
    cr_assert_eq(symlink(path, other), 0);
    cr_assert_eq(board_open(&board, other, true), E_IO, "links are not followed");
}

Test(board, what_a_killed_supervisor_left_behind_does_not_hinder_the_next)
{
    char fresh[128];
    struct board *board;
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(board_create(path), 0);
    cr_assert_eq(board_open(&board, path, true), 0);
    board_close(&board);
    snprintf(fresh, sizeof(fresh), "%s/no/such/folder", folder);
    cr_assert_eq(board_create(fresh), E_IO);
}

Test(board, who_mapped_it_for_reading_cannot_write, .signal = SIGABRT)
{
    struct board *board = open_board(false);
    remove_board(); /* nobody does after the abort */
    board_write_applied(board, PROC_STORAGE, 1);
}
