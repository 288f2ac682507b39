/* insi-raft as its neighbours see it. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "ipc/entry.h"
#include "procs/raft/wal_segment.h"
#include "tests/unit/raft/rig.h"

static void process_setup(void)
{
    rig_init(NULL);
}

static void process_teardown(void)
{
    rig_fini();
}

TestSuite(process, .init = process_setup, .fini = process_teardown, .timeout = 120);

static void process_start_all(void)
{
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    RIG_WAIT(rig.gateway.leader_is_known);
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        RIG_WAIT(rig_worker_of(proc)->resumed > 0 && rig_applied_index(proc) > 0);
}

static struct board_lease process_lease(void)
{
    struct board_lease lease;
    cr_assert_eq(board_read_lease(rig.board, &lease), 0);
    return lease;
}

/* ---- start ---- */

Test(process, the_default_leader_founds_a_cluster_and_leads_it)
{
    process_start_all();
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
    RIG_WAIT(process_lease().lease_end_ns == BOARD_LEASE_FOREVER);
    struct board_lease lease = process_lease();
    cr_assert_eq(lease.role, BOARD_ROLE_LEADER);
    cr_assert_eq(lease.epoch, 1);
    cr_assert_eq(lease.term, 1);
    cr_assert_str_eq(lease.leader, "node0");
    cr_assert_eq(lease.commit_index, 1, "its first entry is the config");
    cr_assert_eq(rig.gateway.term, 1);
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++) {
        cr_assert(rig_worker_of(proc)->is_leader);
        cr_assert_eq(rig_applied_index(proc), 1);
        cr_assert_eq(rig_worker_of(proc)->count, 0, "the config is no worker's business");
    }
}

/* Nothing is announced before every worker shows it. */
Test(process, there_is_no_lease_before_all_workers_have_applied)
{
    rig_start();
    rig_open_gateway();
    rig_open_worker(PROC_STORAGE);
    rig_open_worker(PROC_CACHEQ);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == 1 && rig_applied_index(PROC_CACHEQ) == 1);
    rig_ask(1);
    RIG_WAIT(rig.gateway.answered == 1); /* a turn of its own behind APPLIED */
    cr_assert_eq(process_lease().lease_end_ns, 0);
    cr_assert_eq(process_lease().commit_index, 0);
    rig_open_worker(PROC_EVENTS);
    RIG_WAIT(process_lease().lease_end_ns == BOARD_LEASE_FOREVER);
    cr_assert_eq(process_lease().commit_index, 1);
}

Test(process, each_start_raises_the_epoch_and_the_term)
{
    for (uint64_t i = 1; i <= 3; i++) {
        rig_start();
        RIG_WAIT(process_lease().role == BOARD_ROLE_LEADER);
        cr_assert_eq(process_lease().epoch, i);
        cr_assert_eq(process_lease().term, i);
        rig_kill();
    }
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
}

Test(process, cluster_time_is_near_wall_time_and_never_goes_back)
{
    process_start_all();
    uint64_t shown = board_cluster_time_ms(rig.board), wall = clock_wall_ms();
    cr_assert_lt(shown > wall ? shown - wall : wall - shown, 1000);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    uint64_t stamp = rig_find(PROC_STORAGE, sequence)->stamp_ms;
    cr_assert_geq(stamp, shown);
    rig_kill();
    setenv("INSI_TEST_WALL_OFFSET_MS", "-3600000", 1); /* an hour back */
    uint64_t before = board_cluster_time_ms(rig.board);
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_geq(rig_find(PROC_STORAGE, sequence)->stamp_ms, before);
    cr_assert_geq(board_cluster_time_ms(rig.board), before);
}

Test(process, a_log_from_the_future_takes_cluster_time_along)
{
    setenv("INSI_TEST_WALL_OFFSET_MS", "3600000", 1);
    process_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    uint64_t stamp = rig_find(PROC_STORAGE, sequence)->stamp_ms;
    cr_assert_gt(stamp, ((uint64_t)time(NULL) + 3500) * 1000);
    rig_kill();
    setenv("INSI_TEST_WALL_OFFSET_MS", "0", 1);
    board_close(&rig.board); /* a node that is started anew has a new board */
    cr_assert_eq(board_create(rig.paths.board), 0);
    cr_assert_eq(board_open(&rig.board, rig.paths.board, false), 0);
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_gt(rig_find(PROC_STORAGE, sequence)->stamp_ms, stamp);
}

/* ---- proposals ---- */

Test(process, a_proposal_reaches_its_worker_and_everybody_learns_the_index)
{
    process_start_all();
    uint64_t first = rig_propose(PROC_STORAGE, 10);
    uint64_t second = rig_propose(PROC_EVENTS, 100);
    RIG_WAIT(rig_has(PROC_STORAGE, first) && rig_has(PROC_EVENTS, second));
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        RIG_WAIT(rig_applied_index(proc) == 3);
    cr_assert_not(rig_has(PROC_EVENTS, first));
    cr_assert_eq(rig_worker_of(PROC_CACHEQ)->count, 0);
    cr_assert_eq(rig_find(PROC_STORAGE, first)->index, 2);
    cr_assert_eq(rig_find(PROC_STORAGE, first)->session, RIG_SESSION);
    cr_assert_eq(rig_find(PROC_EVENTS, second)->index, 3);
    RIG_WAIT(process_lease().commit_index == 3);
    cr_assert_eq(rig.gateway.refused, 0);
}

Test(process, many_proposals_keep_their_order)
{
    process_start_all();
    for (unsigned i = 0; i < 20000; i++)
        rig_propose(PROC_STORAGE, 64);
    RIG_WAIT(rig_has(PROC_STORAGE, 20000));
    const struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    cr_assert_eq(storage->count, 20000);
    for (size_t i = 0; i < 20000; i++)
        cr_assert_eq(storage->applied[i].sequence, i + 1);
}

Test(process, a_large_entry_passes)
{
    process_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, LIMIT_BODY_MAX);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_eq(rig_find(PROC_STORAGE, sequence)->bytes, LIMIT_BODY_MAX);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(process, what_is_no_entry_is_refused)
{
    process_start_all();
    rig_propose_bytes(slice_text("rubbish"));
    RIG_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_BAD_COMMAND);
    /* a whole head, and a part for nobody: the gateway learns which one it was */
    struct buf out;
    struct entry entry = {.session = RIG_SESSION,
                          .sequence = 99,
                          .part_count = 1,
                          .parts = {{PROC_STORAGE, slice_text("x")}}};
    buf_init(&out, 1000);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    for (size_t i = 0; i < out.len; i++)
        if (out.data[i] == PROC_STORAGE && i + 1 < out.len && out.data[i + 1] == 0xc4)
            out.data[i] = PROC_GATEWAY;
    rig_propose_bytes(buf_slice(&out));
    buf_fini(&out);
    RIG_WAIT(rig.gateway.refused == 2);
    cr_assert_eq(rig.gateway.refused_error, E_BAD_COMMAND);
    cr_assert_eq(rig.gateway.refused_session, RIG_SESSION);
    cr_assert_eq(rig.gateway.refused_sequence, 99);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(process, a_worker_can_propose_for_itself)
{
    process_start_all();
    const struct msg_worker_propose propose = {slice_text("clean up")};
    cr_assert_eq(msg_worker_propose_send(rig_worker_of(PROC_CACHEQ)->link, &propose), 0);
    RIG_WAIT(rig_worker_of(PROC_CACHEQ)->count == 1);
    cr_assert_eq(rig_worker_of(PROC_CACHEQ)->applied[0].session, 0);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->count, 0);
}

Test(process, reads_are_answered_with_an_index_that_covers_what_was_acknowledged)
{
    process_start_all();
    for (unsigned i = 1; i <= 50; i++) {
        uint64_t sequence = rig_propose(PROC_STORAGE, 10);
        RIG_WAIT(rig_has(PROC_STORAGE, sequence));
        for (unsigned question = 0; question < 20; question++)
            rig_ask(i * 100 + question);
        RIG_WAIT(rig.gateway.answered == 20 * i);
        cr_assert_geq(rig.gateway.answer_index, rig_find(PROC_STORAGE, sequence)->index);
    }
    cr_assert_eq(rig.gateway.unanswered, 0);
}

/* ---- a node that waits to be let in ---- */

TestSuite(waiting, .fini = process_teardown, .timeout = 120);

Test(waiting, any_other_node_runs_without_a_leader)
{
    rig_init("defaultLeader: node1\nraft: {electionTimeout: 100ms, heartbeat: 20ms}\n");
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    RIG_WAIT(rig.gateway.leaders == 1);
    cr_assert_not(rig.gateway.leader_is_known);
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_NO_LEADER);
    rig_ask(1);
    RIG_WAIT(rig.gateway.unanswered == 1);
    uint64_t until = clock_boot_ms() + 500; /* several election timeouts */
    RIG_WAIT(clock_boot_ms() >= until);
    cr_assert_eq(process_lease().role, BOARD_ROLE_FOLLOWER);
    cr_assert_eq(process_lease().term, 0);
    cr_assert_eq(process_lease().lease_end_ns, 0);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->resumed, 0); /* of which cluster's log is not known */
    cr_assert_eq(rig_stop(SIGTERM), 0);
}

/* ---- resuming ---- */

static void process_fill(unsigned count)
{
    uint64_t sequence = 0;
    for (unsigned i = 0; i < count; i++)
        sequence = rig_propose(i % 3 == 0 ? PROC_EVENTS : PROC_STORAGE, 50);
    RIG_WAIT(rig_has(count % 3 == 1 ? PROC_EVENTS : PROC_STORAGE, sequence));
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == count + 1ul);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == count + 1ul);
}

Test(process, a_worker_goes_on_from_any_index)
{
    process_start_all();
    process_fill(300);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    size_t count = storage->count;
    struct rig_applied *before = mem_copy(storage->applied, count * sizeof(*before));
    for (uint64_t from = 0; from <= 301; from += 43) {
        rig_close_worker(PROC_STORAGE);
        rig_forget_worker(PROC_STORAGE, from);
        size_t kept = storage->count;
        unsigned resumed = storage->resumed;
        rig_open_worker(PROC_STORAGE);
        RIG_WAIT(storage->resumed == resumed + 1);
        RIG_WAIT(rig_applied_index(PROC_STORAGE) == 301);
        cr_assert_eq(storage->count, count, "from %lu: kept %zu", from, kept);
        cr_assert_arr_eq(storage->applied, before, count * sizeof(*before));
    }
    free(before);
}

Test(process, a_worker_goes_on_while_others_are_served)
{
    process_start_all();
    process_fill(30);
    rig_close_worker(PROC_STORAGE);
    uint64_t sequence = rig_propose(PROC_EVENTS, 50);
    RIG_WAIT(rig_has(PROC_EVENTS, sequence));
    uint64_t other = rig_propose(PROC_STORAGE, 50);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == 33);
    cr_assert_eq(process_lease().commit_index, 31, "not before all have applied");
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_has(PROC_STORAGE, other));
    RIG_WAIT(process_lease().commit_index == 33);
}

Test(process, a_worker_that_is_ahead_of_the_log_has_to_rebuild)
{
    process_start_all();
    process_fill(30);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    rig_close_worker(PROC_STORAGE);
    storage->applied_index = 32;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
    rig_close_worker(PROC_STORAGE);
    rig_forget_worker(PROC_STORAGE, 0);
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == 31);
    cr_assert_eq(storage->count, 20);
}

/* By the time it asks the log may have grown past what it has: that does not make it this log's. */
Test(process, a_worker_that_was_ahead_when_raft_started_has_to_rebuild)
{
    process_start_all();
    process_fill(30);
    rig_close_worker(PROC_STORAGE);
    rig_kill();
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    storage->applied_index = 35;
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    for (unsigned i = 0; i < 30; i++)
        rig_propose(PROC_EVENTS, 50);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) >= 61);
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
}

Test(process, a_worker_of_another_log_has_to_rebuild)
{
    process_start_all();
    process_fill(30);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    rig_close_worker(PROC_STORAGE);
    storage->lineage[3] ^= 1;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
    rig_close_worker(PROC_STORAGE);
    storage->wants_zero = true; /* applied something, of no log */
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 2);
}

/* ---- slow workers ---- */

Test(process, a_worker_that_does_not_apply_gets_one_window_and_holds_nobody_up)
{
    process_start_all();
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    storage->holds = true;
    uint64_t last = 0;
    for (unsigned i = 0; i < 60; i++)
        last = rig_propose(i == 59 ? PROC_EVENTS : PROC_STORAGE, 1 << 20);
    RIG_WAIT(rig_has(PROC_EVENTS, last));
    RIG_WAIT(storage->held_bytes >= RAFT_WORKER_WINDOW_BYTES);
    cr_assert_leq(storage->held_bytes, RAFT_WORKER_WINDOW_BYTES + (2u << 20));
    RIG_WAIT(rig_logged("event=worker_stalled worker=storage") == 1);
    cr_assert_leq(storage->held_bytes, RAFT_WORKER_WINDOW_BYTES + (2u << 20));
    rig_close_worker(PROC_STORAGE);
    storage->holds = false;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == rig_applied_index(PROC_EVENTS));
    cr_assert_eq(storage->count, 59);
}

Test(process, a_worker_that_claims_what_it_was_not_sent_is_cut_off)
{
    process_start_all();
    const struct msg_applied lie = {.index = 1000};
    unsigned resumed = rig_worker_of(PROC_STORAGE)->resumed;
    cr_assert_eq(msg_applied_send(rig_worker_of(PROC_STORAGE)->link, &lie), 0);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->resumed == resumed + 1);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}

/* ---- killed ---- */

/* Whatever a worker was given once is in the log at that index for ever. */
Test(process, what_was_applied_survives_kill_9_in_mid_stream)
{
    unsigned short seed[3] = {7, 7, 7};
    process_start_all();
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

static void process_check_stop(int how)
{
    process_start_all();
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

Test(process, sigterm_finishes_what_was_taken)
{
    process_check_stop(SIGTERM);
}

Test(process, a_stop_from_the_supervisor_finishes_what_was_taken)
{
    process_check_stop(0);
}

Test(process, a_stop_does_not_wait_for_workers_that_are_gone)
{
    process_start_all();
    rig_close_worker(PROC_STORAGE);
    rig_close_worker(PROC_CACHEQ);
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == 2);
    uint64_t begin = clock_boot_ms();
    cr_assert_eq(rig_stop(SIGTERM), 0);
    cr_assert_lt(clock_boot_ms() - begin, 450);
}

Test(process, a_stop_does_not_wait_long_for_a_worker_that_stands_still)
{
    process_start_all();
    rig_worker_of(PROC_STORAGE)->holds = true;
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->pending == 1);
    uint64_t begin = clock_boot_ms();
    cr_assert_eq(rig_stop(SIGTERM), 0);
    cr_assert_lt(clock_boot_ms() - begin, 1500);
}

/* ---- a full disk ---- */

TestSuite(full, .fini = process_teardown, .timeout = 120);

static void process_mount(unsigned mib, bool again)
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
    process_mount(200, false);
    cr_assert_eq(path_make_folder(rig.paths.run), 0);
    process_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    process_mount(70, true); /* below the floor, though nothing is full yet */
    while (rig.gateway.refused == 0) {
        rig_propose(PROC_STORAGE, 10);
        rig_turn(10);
    }
    cr_assert_eq(rig.gateway.refused_error, E_STORAGE_FULL);
    rig_ask(1);
    RIG_WAIT(rig.gateway.answered == 1);
    const struct msg_worker_propose cleaning = {slice_text("clean up")};
    size_t count = rig_worker_of(PROC_CACHEQ)->count;
    cr_assert_eq(msg_worker_propose_send(rig_worker_of(PROC_CACHEQ)->link, &cleaning), 0);
    RIG_WAIT(rig_worker_of(PROC_CACHEQ)->count == count + 1);
    rig_kill(); /* it starts and leads all the same */
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    unsigned refused = rig.gateway.refused;
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig.gateway.refused == refused + 1);
    process_mount(200, true);
    size_t before = rig_worker_of(PROC_STORAGE)->count;
    while (rig_worker_of(PROC_STORAGE)->count == before) {
        rig_propose(PROC_STORAGE, 10);
        rig_turn(10);
    }
    cr_assert_eq(rig_stop(SIGTERM), 0);
    umount2(rig.paths.data, MNT_DETACH);
}

/* ---- damage ---- */

Test(process, a_damaged_log_stops_the_node_and_names_the_place)
{
    char name[WAL_NAME_BYTES];
    process_start_all();
    process_fill(30);
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
static uint64_t process_sum(const char *path, const char *name)
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

static uint64_t process_wakeups(void)
{
    char path[320];
    uint64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", rig.pid);
    DIR *tasks = opendir(path);
    cr_assert_not_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", rig.pid, task->d_name);
        if (task->d_name[0] != '.')
            sum += process_sum(path, "voluntary_ctxt_switches:");
    }
    closedir(tasks);
    cr_assert_gt(sum, 0);
    return sum;
}

static uint64_t process_private_kib(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", rig.pid);
    uint64_t kib = process_sum(path, "Private_Clean:") + process_sum(path, "Private_Dirty:");
    cr_assert_gt(kib, 0);
    return kib;
}

Test(process, an_idle_process_does_not_wake_up_and_gives_memory_back)
{
    process_start_all();
    for (unsigned i = 0; i < 20; i++)
        rig_propose(PROC_STORAGE, 1 << 20);
    for (unsigned i = 0; i < 20000; i++)
        rig_propose(PROC_STORAGE, 64);
    RIG_WAIT(rig_has(PROC_STORAGE, rig.sequence));
    RIG_WAIT(process_private_kib() <= 7000);
    sleep(2); /* the last timer may be one election timeout away */
    uint64_t before = process_wakeups();
    sleep(1);
    uint64_t wakeups = process_wakeups() - before;
    cr_assert_leq(wakeups, 2, "%lu wake-ups in an idle second", wakeups);
}

#endif
