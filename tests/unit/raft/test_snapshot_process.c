/* insi-raft and its own snapshots, as the workers see them: when one is made, what is loaded, and
 * what becomes of damaged ones. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/proc.h"
#include "tests/unit/raft/rig.h"

static void setup(void)
{
    rig_init("raft: {snapshotLogSize: 64KiB}\n");
}

TestSuite(snapshot_process, .init = setup, .fini = rig_fini, .timeout = 120);

static void start_all(void)
{
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    RIG_WAIT(rig.gateway.leader_is_known);
}

/* So much for each worker, one after the other. */
static void write_bytes(size_t bytes)
{
    uint64_t last = 0;
    for (size_t written = 0; written < bytes; written += 3000)
        for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
            last = rig_propose(proc, 1000);
    RIG_WAIT(rig_has(PROC_LAST_WORKER, last));
    for (enum proc proc = PROC_FIRST_WORKER; proc < PROC_LAST_WORKER; proc++)
        RIG_WAIT(rig_applied_index(proc) >= rig_applied_index(PROC_LAST_WORKER));
}

static unsigned snapshots_made(void)
{
    return rig_logged("event=snapshot_made");
}

static void make_snapshots(unsigned count)
{
    for (unsigned goal = snapshots_made() + count; snapshots_made() < goal;) {
        write_bytes(30000);
        rig_turn(5);
    }
}

/* The folders that are numbers, ascending; the count. */
static unsigned list_snapshots(uint64_t out[16])
{
    DIR *stream = opendir(rig.paths.snapshots);
    unsigned count = 0;
    cr_assert_not_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        char *end;
        uint64_t index = strtoull(entry->d_name, &end, 10);
        if (index == 0 || *end != '\0')
            continue;
        unsigned at = count++;
        for (; at > 0 && out[at - 1] > index; at--)
            out[at] = out[at - 1];
        out[at] = index;
    }
    closedir(stream);
    return count;
}

/* A worker begins from nothing, on the connection that it has. */
static void forget(enum proc proc)
{
    struct rig_worker *worker = rig_worker_of(proc);
    worker->count = 0;
    worker->applied_index = 0;
    rig_resume(worker);
}

/* Whatever became of the processes, a worker that begins from nothing gets what others have. */
static void check_state(void)
{
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    write_bytes(3000);
    size_t count = storage->count;
    uint64_t applied = storage->applied_index, hash = rig_state_hash(storage);
    forget(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) >= applied);
    cr_assert_eq(storage->count, count);
    cr_assert_eq(rig_state_hash(storage), hash);
}

/* ---- making ---- */

Test(snapshot_process, one_is_made_when_the_log_has_grown_and_two_are_kept)
{
    uint64_t kept[16];
    start_all();
    write_bytes(30000);
    cr_assert_eq(snapshots_made(), 0, "not yet due");
    make_snapshots(4);
    RIG_WAIT(list_snapshots(kept) == 2);
    RIG_WAIT(rig_logged("event=snapshot_removed") >= 2);
    cr_assert_geq(rig_logged("event=log_cut"), 3);
    check_state();
}

Test(snapshot_process, a_worker_that_cannot_make_its_part_means_another_try_later)
{
    start_all();
    rig_worker_of(PROC_CACHEQ)->part_error = E_IO;
    write_bytes(100000);
    RIG_WAIT(rig_logged("event=snapshot_not_made") == 1);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->asked ==
             1); /* its link may be read later than cacheq's */
    rig_worker_of(PROC_CACHEQ)->part_error = 0;
    RIG_WAIT(snapshots_made() == 1);
    check_state();
}

Test(snapshot_process, a_worker_that_goes_away_meanwhile_means_another_try_later)
{
    start_all();
    rig_worker_of(PROC_EVENTS)->keeps_parts = true;
    write_bytes(100000);
    RIG_WAIT(rig_worker_of(PROC_EVENTS)->asked == 1);
    rig_close_worker(PROC_EVENTS);
    RIG_WAIT(rig_logged("event=snapshot_not_made") == 1);
    rig_worker_of(PROC_EVENTS)->keeps_parts = false;
    rig_open_worker(PROC_EVENTS);
    RIG_WAIT(snapshots_made() == 1);
    check_state();
}

Test(snapshot_process, applying_goes_on_while_a_part_is_being_made)
{
    start_all();
    rig_worker_of(PROC_STORAGE)->keeps_parts = true;
    write_bytes(100000);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->asked == 1);
    uint64_t asked = rig_worker_of(PROC_STORAGE)->asked_index;
    uint64_t sequence = rig_propose(PROC_STORAGE, 100);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_gt(rig_applied_index(PROC_STORAGE), asked);
    cr_assert_eq(snapshots_made(), 0);
}

/* ---- loading ---- */

/* More than a segment of the log holds, so that its beginning is given up. */
static void outgrow_log(void)
{
    make_snapshots(1);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t last = 0;
        for (unsigned k = 0; k < 10; k++)
            last = rig_propose(PROC_STORAGE, 100000);
        RIG_WAIT(rig_has(PROC_STORAGE, last));
    }
    make_snapshots(3);
}

Test(snapshot_process, a_worker_behind_the_logs_beginning_loads_one)
{
    start_all();
    outgrow_log();
    uint64_t applied = rig_applied_index(PROC_STORAGE);
    forget(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) >= applied);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->loaded, 1);
    check_state();
}

static void damage(uint64_t index)
{
    char path[PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%lu/storage.mdb", rig.paths.snapshots, index);
    int fd = open(path, O_WRONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, "!!!", 3, 20), 3);
    close(fd);
}

Test(snapshot_process, the_older_one_does_when_the_newest_is_damaged)
{
    uint64_t kept[16];
    char path[PATH_BYTES + 64];
    start_all();
    outgrow_log();
    uint64_t applied = rig_applied_index(PROC_STORAGE);
    RIG_WAIT(list_snapshots(kept) == 2);
    damage(kept[1]);
    forget(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) >= applied);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->loaded, 1);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->load_index, kept[0]);
    snprintf(path, sizeof(path), "%s/%lu.damaged", rig.paths.snapshots, kept[1]);
    RIG_WAIT(rig_logged("kept_as=") == 1); /* for a person to look at */
    RIG_WAIT(access(path, F_OK) != 0);     /* until there are two good ones again */
    RIG_WAIT(list_snapshots(kept) == 2);
    check_state();
}

Test(snapshot_process, one_whose_file_is_missing_is_damaged)
{
    uint64_t kept[16];
    char path[PATH_BYTES + 64];
    start_all();
    outgrow_log();
    RIG_WAIT(list_snapshots(kept) == 2);
    snprintf(path, sizeof(path), "%s/%lu/storage.mdb", rig.paths.snapshots, kept[1]);
    cr_assert_eq(unlink(path), 0);
    forget(PROC_STORAGE);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->loaded == 1);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->load_index, kept[0]);
    RIG_WAIT(rig_logged("kept_as=") == 1);
    cr_assert_eq(rig_logged("event=worker_not_loaded"), 1);
    check_state();
}

/* Here another worker found it damaged; it may also have been removed behind a newer one. */
Test(snapshot_process, one_that_is_gone_before_a_worker_opens_it_is_no_damage)
{
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE), *cacheq = rig_worker_of(PROC_CACHEQ);
    uint64_t kept[16];
    char path[PATH_BYTES + 64];
    start_all();
    outgrow_log();
    RIG_WAIT(list_snapshots(kept) == 2);
    damage(kept[1]);
    cacheq->keeps_loads = true;
    forget(PROC_CACHEQ);
    RIG_WAIT(cacheq->load_index == kept[1]);
    forget(PROC_STORAGE);
    RIG_WAIT(storage->loaded == 1);
    snprintf(path, sizeof(path), "%s/%lu.damaged", rig.paths.snapshots, kept[1]);
    RIG_WAIT(access(path, F_OK) == 0);
    cacheq->keeps_loads = false;
    uint64_t gone_ns = clock_boot_ns();
    rig_load(cacheq);
    RIG_WAIT(cacheq->loaded == 1);
    cr_assert_lt(clock_boot_ns() - gone_ns, NS_PER_S, "the other one is offered at once");
    cr_assert_eq(cacheq->load_index, kept[0]);
    cr_assert_eq(rig_logged("event=worker_not_loaded"), 1, "storage");
    cr_assert_eq(rig_logged("kept_as="), 1);
    check_state();
}

Test(snapshot_process, a_node_alone_whose_snapshots_are_all_damaged_stops)
{
    uint64_t kept[16];
    start_all();
    outgrow_log();
    RIG_WAIT(list_snapshots(kept) == 2);
    damage(kept[0]);
    damage(kept[1]);
    forget(PROC_STORAGE);
    cr_assert_eq(rig_wait_exit(), PROC_EXIT_STOP_NODE);
    cr_assert_eq(rig_logged("event=snapshot_missing"), 1);
}

Test(snapshot_process, a_worker_without_room_for_it_tries_again)
{
    start_all();
    outgrow_log();
    rig_worker_of(PROC_STORAGE)->load_error = E_STORAGE_FULL;
    forget(PROC_STORAGE);
    RIG_WAIT(rig_logged("event=worker_not_loaded") >= 1);
    rig_worker_of(PROC_STORAGE)->load_error = 0;
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->loaded == 1);
    check_state();
}

Test(snapshot_process, a_log_that_lost_what_leads_to_its_snapshots_stops_a_node_alone)
{
    start_all();
    outgrow_log();
    rig_stop(SIGTERM);
    cr_assert_eq(path_remove_tree(rig.paths.snapshots), 0);
    rig_launch();
    cr_assert_eq(rig_wait_exit(), PROC_EXIT_STOP_NODE);
    cr_assert_eq(rig_logged("event=snapshots_missing"), 1);
}
