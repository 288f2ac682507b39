/* How insi-raft ends, by whatever ends it, and what it is like when nothing happens. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/raft/wal/wal_segment.h"
#include "tests/unit/raft/rig.h"

static void ending_setup(void)
{
    rig_init(NULL);
}

TestSuite(ending, .init = ending_setup, .fini = rig_fini, .timeout = 120);

/* ---- killed ---- */

/* Whatever a worker was given once is in the log at that index for ever. */
Test(ending, what_was_applied_survives_kill_9_in_mid_stream)
{
    unsigned short seed[3] = {7, 7, 7};
    rig_start_all();
    for (unsigned round = 0; round < 12; round++) {
        uint64_t end_ms = clock_boot_ms() + 20 + (uint64_t)nrand48(seed) % 60;
        while (clock_boot_ms() < end_ms) {
            for (unsigned i = 0; i < 50; i++)
                rig_propose(i % 5 == 0 ? PROC_CACHEQ : PROC_STORAGE,
                            40 + (size_t)nrand48(seed) % 400);
            rig_turn(1);
        }
        rig_kill();
        rig_start();
        RIG_WAIT(rig.gateway.leader_is_known);
    }
    uint64_t last = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, last));
    /* a worker that begins from nothing is given exactly what the old one has */
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    size_t count = storage->count;
    uint64_t applied = storage->applied_index;
    struct rig_applied *before = mem_copy(storage->applied, count * sizeof(*before));
    cr_assert_gt(count, 1000);
    rig_close_worker(PROC_STORAGE);
    rig_forget_worker(PROC_STORAGE, 0);
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) >= applied);
    cr_assert_eq(storage->count, count);
    cr_assert_arr_eq(storage->applied, before, count * sizeof(*before));
    free(before);
}

/* ---- stopped ---- */

static void ending_check_stop(int how)
{
    rig_start_all();
    for (unsigned i = 0; i < 500; i++)
        rig_propose(PROC_STORAGE, 100);
    rig_turn(1);
    RIG_WAIT(rig_has(PROC_STORAGE, 1));
    uint64_t begin = clock_boot_ms();
    cr_assert_eq(rig_stop(how), 0);
    cr_assert_lt(clock_boot_ms() - begin, 1000);
    cr_assert_eq(rig_logged("event=log_closed"), 1);
    uint64_t applied = rig_applied_index(PROC_STORAGE);
    size_t count = rig_worker_of(PROC_STORAGE)->count;
    cr_assert_eq(count + rig.gateway.refused, 500, "applied or refused before it went");
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == applied + 1); /* the new term's first entry */
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->count, count);
    cr_assert_eq(rig_logged("log_tail_cut"), 0);
}

Test(ending, sigterm_finishes_what_was_taken)
{
    ending_check_stop(SIGTERM);
}

Test(ending, a_stop_from_the_supervisor_finishes_what_was_taken)
{
    ending_check_stop(0);
}

Test(ending, a_stop_does_not_wait_for_workers_that_are_gone)
{
    rig_start_all();
    rig_close_worker(PROC_STORAGE);
    rig_close_worker(PROC_CACHEQ);
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == 2);
    uint64_t begin = clock_boot_ms();
    cr_assert_eq(rig_stop(SIGTERM), 0);
    cr_assert_lt(clock_boot_ms() - begin, 450);
}

Test(ending, a_stop_does_not_wait_long_for_a_worker_that_stands_still)
{
    rig_start_all();
    rig_worker_of(PROC_STORAGE)->holds = true;
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->pending == 1);
    uint64_t begin = clock_boot_ms();
    cr_assert_eq(rig_stop(SIGTERM), 0);
    cr_assert_lt(clock_boot_ms() - begin, 1500);
}

/* ---- a full disk ---- */

TestSuite(full, .fini = rig_fini, .timeout = 120);

static void ending_mount(unsigned mib, bool again)
{
    char size[32];
    snprintf(size, sizeof(size), "size=%um", mib);
    cr_assert_eq(mount("none", rig.paths.data, "tmpfs", again ? MS_REMOUNT : 0, size), 0);
}

Test(full, writes_are_refused_until_there_is_space_and_reads_go_on)
{
    rig_init(NULL);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("needs root and mount namespaces");
    ending_mount(200, false);
    cr_assert_eq(path_make_folder(rig.paths.run), 0);
    rig_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    ending_mount(70, true); /* below the floor, though nothing is full yet */
    while (rig.gateway.refused == 0) {
        rig_propose(PROC_STORAGE, 10);
        rig_turn(10);
    }
    cr_assert_eq(rig.gateway.refused_error, E_STORAGE_FULL);
    rig_ask(1);
    RIG_WAIT(rig.gateway.answered == 1);
    const struct msg_worker_propose cleaning = {.command = slice_text("clean up")};
    size_t count = rig_worker_of(PROC_CACHEQ)->count;
    cr_assert_eq(msg_worker_propose_send(rig_worker_of(PROC_CACHEQ)->link, &cleaning), 0);
    RIG_WAIT(rig_worker_of(PROC_CACHEQ)->count == count + 1);
    rig_kill(); /* it starts and leads all the same */
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    unsigned refused = rig.gateway.refused;
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig.gateway.refused == refused + 1);
    ending_mount(200, true);
    size_t before = rig_worker_of(PROC_STORAGE)->count;
    while (rig_worker_of(PROC_STORAGE)->count == before) {
        rig_propose(PROC_STORAGE, 10);
        rig_turn(10);
    }
    cr_assert_eq(rig_stop(SIGTERM), 0);
    umount2(rig.paths.data, MNT_DETACH);
}

/* ---- damage ---- */

Test(ending, a_damaged_log_stops_the_node_and_names_the_place)
{
    char name[WAL_NAME_BYTES];
    rig_start_all();
    rig_fill(30);
    rig_kill();
    wal_segment_name(name, rig.paths.log, 1);
    int fd = open(name, O_RDWR);
    uint8_t byte;
    cr_assert_eq(pread(fd, &byte, 1, 4200), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, 4200), 1);
    close(fd);
    rig_launch();
    cr_assert_eq(rig_wait_exit(), PROC_EXIT_STOP_NODE);
    cr_assert_eq(rig_logged("event=log_refused"), 1);
    cr_assert_eq(rig_logged("0000000000000001.log"), 1);
}

/* ---- rest ---- */

#ifndef __SANITIZE_ADDRESS__

/* The sum of the numbers behind a name, in a file of /proc. */
static uint64_t ending_sum(const char *path, const char *name)
{
    char line[256];
    uint64_t sum = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            sum += strtoul(line + strlen(name), NULL, 10);
    if (file)
        fclose(file);
    return sum;
}

static uint64_t ending_wakeups(void)
{
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", rig.pid);
    DIR *tasks = opendir(path);
    cr_assert_not_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", rig.pid, task->d_name);
        if (task->d_name[0] != '.')
            sum += ending_sum(path, "voluntary_ctxt_switches:");
    }
    closedir(tasks);
    cr_assert_gt(sum, 0);
    return sum;
}

static uint64_t ending_private_kib(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", rig.pid);
    uint64_t kib = ending_sum(path, "Private_Clean:") + ending_sum(path, "Private_Dirty:");
    cr_assert_gt(kib, 0);
    return kib;
}

Test(ending, an_idle_process_does_not_wake_up_and_gives_memory_back)
{
    rig_start_all();
    for (unsigned i = 0; i < 20; i++)
        rig_propose(PROC_STORAGE, 1 << 20);
    for (unsigned i = 0; i < 20000; i++)
        rig_propose(PROC_STORAGE, 64);
    RIG_WAIT(rig_has(PROC_STORAGE, rig.sequence));
    RIG_WAIT(ending_private_kib() <= 7000);
    sleep(2); /* the last timer may be one election timeout away */
    uint64_t before = ending_wakeups();
    sleep(1);
    uint64_t wakeups = ending_wakeups() - before;
    cr_assert_leq(wakeups, 2, "%lu wake-ups in an idle second", wakeups);
}

#endif
