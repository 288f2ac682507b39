/* A node's supervisor with real processes under it: started, hung, killed, crashing, stopped. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fakes.h"

TestSuite(supervise, .init = fakes_init, .fini = fakes_fini, .timeout = 60);

#define WORKERS 5
static const char *const names[WORKERS] = {"raft", "storage", "cacheq", "events", "gateway0"};

static void start_ready(void)
{
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("node_ready", "") == 1);
}

static int stop(void)
{
    cr_assert_eq(kill(fakes_pid(), SIGTERM), 0);
    return fakes_wait();
}

static bool exists(const char *name)
{
    char path[256];
    struct stat info;
    snprintf(path, sizeof(path), "%s/%s", fakes_folder, name);
    return stat(path, &info) == 0;
}

/* Every worker but one is still the first of its kind. */
static void expect_others_untouched(const char *name)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (strcmp(names[i], name) != 0)
            cr_expect_eq(fakes_traced(names[i], "start"), 1, "%s", names[i]);
}

/* ---- start and stop ---- */

Test(supervise, all_workers_are_started_and_stopped_in_order_and_nothing_is_left)
{
    start_ready();
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(fakes_traced(names[i], "ready"), 1, "%s", names[i]);
    cr_assert(exists("data/node0/run/insid.pid"));
    cr_assert(exists("shm"));
    cr_assert_eq(stop(), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(fakes_traced(names[i], "end"), 1, "%s", names[i]);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_geq(fakes_traced_ms(names[i], "stop", 0), fakes_traced_ms("gateway0", "end", 0));
        cr_assert_geq(fakes_traced_ms("raft", "stop", 0), fakes_traced_ms(names[i], "end", 0));
    }
    cr_assert(!exists("data/node0/run/insid.pid"));
    char shm[128];
    snprintf(shm, sizeof(shm), "%s/shm", fakes_folder);
    cr_assert_eq(rmdir(shm), 0, "something is left in shmDir");
}

Test(supervise, before_a_stop_raft_hands_over_while_everything_serves)
{
    fakes_tell("raft", "tarry");
    start_ready();
    cr_assert_eq(stop(), 0);
    cr_assert_eq(fakes_traced("raft", "yield"), 1);
    cr_assert_eq(fakes_traced("raft", "yielded"), 1);
    cr_assert_geq(fakes_traced_ms("gateway0", "stop", 0), fakes_traced_ms("raft", "yielded", 0));
    for (unsigned i = 1; i < WORKERS; i++)
        cr_expect_eq(fakes_traced(names[i], "yield"), 0, "%s", names[i]);
    cr_assert_eq(fakes_logged("yield_not_answered", ""), 0);
}

Test(supervise, a_raft_that_does_not_hand_over_holds_up_the_stop_for_a_bounded_time)
{
    fakes_limits.yield_ms = 600;
    fakes_limits.stop_gateway_ms = 1500;
    fakes_tell("raft", "clings");
    fakes_tell("gateway0", "hold");
    start_ready();
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(stop(), 0);
    uint64_t took_ms = fakes_traced_ms("gateway0", "stop", 0) - start_ms;
    cr_assert(took_ms >= fakes_limits.yield_ms - 1 && took_ms < fakes_limits.yield_ms + 500, "%llu",
              (unsigned long long)took_ms);
    cr_assert_eq(fakes_logged("yield_not_answered", ""), 1);
    /* it is part of the time that the gateways have */
    took_ms = fakes_traced_ms("storage", "stop", 0) - start_ms;
    cr_assert(took_ms >= fakes_limits.stop_gateway_ms - 1 &&
                  took_ms < fakes_limits.stop_gateway_ms + 500,
              "%llu", (unsigned long long)took_ms);
    cr_assert_eq(fakes_traced("raft", "end"), 1);
}

Test(supervise, a_raft_that_ends_instead_of_handing_over_is_not_waited_for)
{
    fakes_tell("raft", "bolts");
    start_ready();
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(stop(), 0);
    cr_assert_lt(clock_boot_ms() - start_ms, 3000);
    cr_assert_eq(fakes_traced("raft", "yield"), 1);
    cr_assert_eq(fakes_traced("gateway0", "end"), 1);
}

Test(supervise, a_raft_that_is_not_ready_has_nothing_to_hand_over)
{
    fakes_tell("raft", "slow");
    fakes_start();
    FAKES_WAIT_FOR(fakes_traced("raft", "start") == 1 && fakes_traced("gateway0", "ready") == 1);
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(stop(), 0);
    cr_assert_lt(clock_boot_ms() - start_ms, 3000);
    cr_assert_eq(fakes_traced("raft", "yield"), 0);
}

Test(supervise, several_gateways_get_a_socket_each_and_the_first_round_is_theirs)
{
    fakes_write_config(3, "", "");
    fakes_tell("gateway1", "late");
    start_ready();
    cr_assert_eq(stop(), 0);
    for (unsigned i = 1; i <= 3; i++)
        cr_assert_geq(fakes_traced_ms(names[i], "stop", 0), fakes_traced_ms("gateway1", "end", 0));
    cr_assert_eq(fakes_traced("gateway0", "stop"), 1);
    cr_assert_eq(fakes_traced("gateway2", "stop"), 1);
}

Test(supervise, a_worker_starts_with_what_it_is_given_and_nothing_else)
{
    start_ready();
    for (unsigned i = 0; i < WORKERS; i++) {
        cr_expect(fakes_state_has(names[i], "fd 3 socket"), "%s", names[i]);
        cr_expect(fakes_state_has(names[i], "fd 4 file"), "%s", names[i]);
        cr_expect_eq(fakes_state_has(names[i], "fd 5 socket"), i == 4, "%s", names[i]);
        cr_expect(!fakes_state_has(names[i], "fd 6 socket"), "%s", names[i]);
        cr_expect(fakes_state_has(names[i], "fd 7 file"), "%s", names[i]);
        for (int fd = 8; fd < 200; fd++) {
            static const char *const kinds[] = {"socket", "file", "device", "other"};
            for (unsigned k = 0; k < 4; k++) {
                char line[32];
                snprintf(line, sizeof(line), "fd %d %s", fd, kinds[k]);
                cr_expect(!fakes_state_has(names[i], line), "%s: %s", names[i], line);
            }
        }
        cr_expect(fakes_state_has(names[i], "fd 0 device"));
        cr_expect(fakes_state_has(names[i], "SigBlk:\t0000000000000000"));
        /* Signals 32 and 33 belong to the C library, which lets nobody change them; make and its
         * like may leave them ignored. */
        cr_expect_eq(fakes_state_hex(names[i], "SigIgn:") & ~0x180000000ull, 0, "%s", names[i]);
        cr_expect(fakes_state_has(names[i], "pdeathsig 9"));
        cr_expect(fakes_state_has(names[i], "own_group 1"));
    }
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_worker_that_does_not_stop_is_killed_and_the_rest_still_stops)
{
    fakes_limits.stop_gateway_ms = 1000;
    fakes_limits.stop_ms = 1000;
    fakes_tell("gateway0", "hold");
    fakes_tell("storage", "hold");
    start_ready();
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(stop(), 0);
    cr_assert_geq(clock_boot_ms() - start_ms,
                  fakes_limits.stop_gateway_ms + fakes_limits.stop_ms - 10);
    cr_assert_eq(fakes_logged("child_killed", "child=gateway0 "), 1);
    cr_assert_eq(fakes_logged("child_killed", "child=storage "), 1);
    cr_assert_eq(fakes_logged("child_exited", "signal=9 "), 2);
    cr_assert_eq(fakes_traced("raft", "end"), 1);
}

/* As one that waits for its disk: SIGKILL does not end it, as far as insid can see, before the test
 * lets go of it. */
static void hold_fast(const char *name)
{
    cr_assert_eq(ptrace(PTRACE_SEIZE, fakes_worker(name), NULL, NULL), 0, "%s", strerror(errno));
}

static void let_go(const char *name)
{
    cr_assert_eq(waitpid(fakes_worker(name), NULL, 0), fakes_worker(name));
}

Test(supervise, a_killed_worker_that_takes_its_time_to_end_holds_up_nobody_and_is_waited_for)
{
    fakes_limits.stop_ms = 1000;
    fakes_limits.end_ms = 300;
    fakes_tell("storage", "hold");
    start_ready();
    hold_fast("storage");
    cr_assert_eq(kill(fakes_pid(), SIGTERM), 0);
    FAKES_WAIT_FOR(fakes_traced("raft", "end") == 1);
    cr_assert_eq(fakes_logged("child_overdue", "child=storage "), 1);
    cr_assert_eq(fakes_logged("child_overdue", ""), 1);
    cr_assert(fakes_is_alive(fakes_pid()));
    let_go("storage");
    cr_assert_eq(fakes_wait(), 0);
    cr_assert_eq(fakes_logged("child_exited", "child=storage "), 1);
    cr_assert_eq(fakes_logged("child_abandoned", ""), 0);
}

Test(supervise, a_killed_worker_that_does_not_end_is_abandoned_when_the_stop_took_all_its_time)
{
    fakes_limits.stop_ms = 600;
    fakes_limits.end_ms = 300;
    fakes_limits.stop_total_ms = 2500;
    fakes_tell("raft", "hold");
    start_ready();
    hold_fast("raft");
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(stop(), 1);
    uint64_t took_ms = clock_boot_ms() - start_ms;
    cr_assert(took_ms >= fakes_limits.stop_total_ms - 1 && took_ms < 4000, "%llu",
              (unsigned long long)took_ms);
    cr_assert_eq(fakes_logged("child_abandoned", "child=raft "), 1);
    let_go("raft");
}

Test(supervise, a_worker_that_is_slow_to_stop_but_in_time_is_left_alone)
{
    fakes_tell("events", "late");
    start_ready();
    cr_assert_eq(stop(), 0);
    cr_assert_eq(fakes_logged("child_killed", ""), 0);
    cr_assert_eq(fakes_traced("events", "end"), 1);
}

Test(supervise, a_stop_reaches_workers_that_are_not_ready_or_wait_for_their_restart)
{
    fakes_limits.delay_first_ms = fakes_limits.delay_max_ms = 60000;
    fakes_tell("raft", "slow");
    fakes_tell("cacheq", "crash");
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("child_restarting", "child=cacheq delay_ms=60000 ") == 1 &&
                   fakes_traced("raft", "start") == 1 && fakes_traced("events", "ready") == 1 &&
                   fakes_traced("storage", "ready") == 1 && fakes_traced("gateway0", "ready") == 1);
    cr_assert_eq(stop(), 0);
    cr_assert_eq(fakes_traced("raft", "stop"), 1);
    cr_assert_eq(fakes_traced("cacheq", "start"), 2);
    cr_assert_eq(fakes_logged("child_killed", ""), 0);
}

/* Before signals are held back it simply ends; afterwards it takes back what it has made. */
Test(supervise, a_stop_that_comes_at_any_moment_of_the_start_leaves_nothing)
{
    unsigned in_order = 0;
    for (unsigned i = 0; i < 25; i++) {
        int status = 0;
        fakes_start();
        usleep(i * 400);
        kill(fakes_pid(), SIGTERM);
        uint64_t end_ms = clock_boot_ms() + 10000;
        while (waitpid(fakes_pid(), &status, WNOHANG) == 0) {
            cr_assert_lt(clock_boot_ms(), end_ms);
            fakes_pause();
        }
        cr_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 0);
        in_order += WIFEXITED(status);
        cr_assert(!exists("data/node0/run/insid.pid"), "after %u us", i * 400);
        char shm[128];
        snprintf(shm, sizeof(shm), "%s/shm", fakes_folder);
        cr_assert(rmdir(shm) == 0 || errno == ENOENT, "after %u us", i * 400);
        for (unsigned w = 0; w < WORKERS; w++) {
            pid_t pid = fakes_worker(names[w]);
            cr_assert(pid == 0 || !fakes_is_alive(pid));
        }
    }
    cr_assert_gt(in_order, 0);
    fakes_forget();
}

/* ---- restarts ---- */

Test(supervise, a_killed_worker_is_started_anew_at_once_and_the_others_do_not_notice)
{
    start_ready();
    for (unsigned i = 0; i < WORKERS; i++) {
        kill(fakes_worker(names[i]), SIGKILL);
        FAKES_WAIT_FOR(fakes_traced(names[i], "ready") == 2);
        cr_expect_eq(fakes_traced(names[i], "start"), 2);
    }
    cr_assert_eq(fakes_logged("child_restarting", "delay_ms=0 "), WORKERS);
    cr_assert_eq(fakes_logged("node_ready", ""), 1, "said once");
    cr_assert_eq(stop(), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        cr_expect_eq(fakes_traced(names[i], "start"), 2, "%s", names[i]);
}

Test(supervise, a_crash_loop_backs_off_and_never_makes_the_healthy_ones_restart)
{
    fakes_tell("storage", "crash crash crash crash crash crash serve");
    start_ready();
    cr_assert_eq(fakes_traced("storage", "start"), 7);
    expect_others_untouched("storage");
    static const unsigned delays[] = {0, 40, 80, 160, 160, 160};
    for (unsigned i = 0; i < 6; i++) {
        uint64_t gap =
            fakes_traced_ms("storage", "start", i + 1) - fakes_traced_ms("storage", "end", i);
        cr_expect_geq(gap + 1, delays[i], "restart %u", i);
    }
    cr_assert_eq(fakes_logged("child_restarting", "child=storage delay_ms=160 "), 3);
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_worker_that_crashes_as_soon_as_it_is_ready_backs_off_too)
{
    fakes_limits.operator_ms = 10000;
    fakes_tell("events", "flash quit flash serve");
    fakes_start();
    FAKES_WAIT_FOR(fakes_traced("events", "ready") == 4);
    cr_assert_eq(fakes_logged("child_restarting", "child=events delay_ms=0 "), 1);
    cr_assert_eq(fakes_logged("child_restarting", "child=events delay_ms=40 "), 1);
    cr_assert_eq(fakes_logged("child_restarting", "child=events delay_ms=80 "), 1);
    FAKES_WAIT_FOR(fakes_logged("node_ready", "") == 1);
    expect_others_untouched("events");
    cr_assert_eq(stop(), 0);
}

Test(supervise, an_operators_restart_is_at_once_every_time)
{
    start_ready();
    for (unsigned i = 1; i <= 4; i++) {
        const uint64_t ready_ms = fakes_traced_ms("gateway0", "ready", i - 1);
        FAKES_WAIT_FOR(clock_boot_ms() > ready_ms + fakes_limits.operator_ms + 20);
        kill(fakes_worker("gateway0"), SIGTERM);
        FAKES_WAIT_FOR(fakes_traced("gateway0", "ready") == i + 1);
        cr_assert_eq(fakes_traced("gateway0", "stop"), i, "it was asked, not killed");
    }
    cr_assert_eq(fakes_logged("child_restarting", "child=gateway0 delay_ms=0 "), 4);
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_program_that_cannot_be_started_is_tried_until_it_can)
{
    start_ready();
    fakes_uninstall(PROC_CACHEQ);
    kill(fakes_worker("cacheq"), SIGKILL);
    FAKES_WAIT_FOR(fakes_logged("child_exited", "status=127 ") >= 3);
    fakes_install(PROC_CACHEQ);
    FAKES_WAIT_FOR(fakes_traced("cacheq", "ready") == 2);
    expect_others_untouched("cacheq");
    cr_assert_eq(stop(), 0);
}

/* ---- hangs ---- */

#define HANG_MS 1500 /* what is well answers within it on a busy machine, too */

Test(supervise, a_hung_worker_is_found_by_its_silence_and_aborted)
{
    fakes_limits.answer_ms = HANG_MS;
    fakes_tell("storage", "hang serve");
    start_ready();
    FAKES_WAIT_FOR(fakes_traced("storage", "ready") == 2);
    uint64_t took = fakes_traced_ms("storage", "start", 1) - fakes_traced_ms("storage", "ready", 0);
    cr_assert_geq(took, fakes_limits.answer_ms - 1);
    cr_assert_eq(fakes_logged("child_hung", "child=storage "), 1);
    cr_assert_eq(fakes_logged("child_exited", "signal=6 "), 1);
    cr_assert_eq(fakes_logged("child_killed", ""), 0);
    expect_others_untouched("storage");
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_hung_worker_that_an_abort_does_not_end_is_killed)
{
    fakes_limits.answer_ms = HANG_MS;
    fakes_tell("raft", "deaf serve");
    start_ready();
    FAKES_WAIT_FOR(fakes_traced("raft", "ready") == 2);
    cr_assert_eq(fakes_logged("child_hung", "child=raft "), 1);
    cr_assert_eq(fakes_logged("child_killed", "child=raft "), 1);
    cr_assert_eq(fakes_logged("child_exited", "signal=9 "), 1);
    expect_others_untouched("raft");
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_worker_that_was_stopped_by_a_signal_is_killed_in_the_end)
{
    fakes_limits.answer_ms = HANG_MS;
    start_ready();
    kill(fakes_worker("events"), SIGSTOP);
    FAKES_WAIT_FOR(fakes_traced("events", "ready") == 2);
    cr_assert_eq(fakes_logged("child_exited", "signal=9 "), 1);
    expect_others_untouched("events");
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_worker_that_starts_without_a_sign_of_life_is_aborted)
{
    fakes_limits.start_ms = HANG_MS;
    fakes_tell("gateway0", "mute serve");
    start_ready();
    cr_assert_eq(fakes_logged("child_hung", "child=gateway0 "), 1);
    uint64_t took =
        fakes_traced_ms("gateway0", "start", 1) - fakes_traced_ms("gateway0", "start", 0);
    cr_assert_geq(took, fakes_limits.start_ms / 2, "its time began with the fork");
    expect_others_untouched("gateway0");
    cr_assert_eq(stop(), 0);
}

/* It may wait for another one that crashes. */
Test(supervise, a_worker_that_starts_slowly_but_lives_is_left_alone_and_talked_about)
{
    fakes_limits.start_ms = HANG_MS;
    fakes_tell("cacheq", "slow");
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("child_not_ready", "child=cacheq ") == 1);
    cr_assert_eq(fakes_traced("cacheq", "start"), 1);
    cr_assert_eq(fakes_logged("child_hung", ""), 0);
    cr_assert_eq(fakes_logged("node_ready", ""), 0);
    cr_assert_eq(stop(), 0);
    cr_assert_eq(fakes_logged("child_not_ready", ""), 1, "said once");
}

Test(supervise, a_worker_that_closes_its_channel_is_replaced)
{
    fakes_tell("storage", "hangup serve");
    start_ready();
    FAKES_WAIT_FOR(fakes_traced("storage", "ready") == 2);
    cr_assert_eq(fakes_logged("child_exited", "child=storage "), 1);
    expect_others_untouched("storage");
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_worker_that_babbles_is_logged_once_and_served)
{
    fakes_tell("events", "babble");
    start_ready();
    cr_assert_eq(fakes_logged("control_not_understood", "child=events "), 1);
    expect_others_untouched("");
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_pause_of_the_supervisor_is_not_held_against_the_workers)
{
    fakes_limits.answer_ms = HANG_MS;
    start_ready();
    kill(fakes_pid(), SIGSTOP);
    uint64_t end_ms = clock_boot_ms() + 2 * fakes_limits.answer_ms;
    FAKES_WAIT_FOR(clock_boot_ms() >= end_ms);
    kill(fakes_pid(), SIGCONT);
    FAKES_WAIT_FOR(fakes_logged("supervisor_paused", "") >= 1);
    end_ms = clock_boot_ms() + 2 * fakes_limits.answer_ms;
    FAKES_WAIT_FOR(clock_boot_ms() >= end_ms);
    expect_others_untouched("");
    cr_assert_eq(fakes_logged("child_hung", ""), 0);
    cr_assert_eq(stop(), 0);
}

/* ---- what ends the node ---- */

Test(supervise, a_worker_that_no_restart_can_help_stops_the_node_with_1)
{
    start_ready();
    kill(fakes_worker("raft"), SIGUSR1);
    cr_assert_eq(fakes_wait(), 1);
    cr_assert_eq(fakes_logged("child_gave_up", ""), 1);
    for (unsigned i = 1; i < WORKERS; i++)
        cr_assert_eq(fakes_traced(names[i], "end"), 1, "%s was stopped in order", names[i]);
    cr_assert_eq(fakes_traced("raft", "start"), 1);
}

Test(supervise, so_does_one_that_gives_up_before_it_is_ready)
{
    fakes_tell("raft", "giveup");
    fakes_start();
    cr_assert_eq(fakes_wait(), 1);
    cr_assert_eq(fakes_traced("raft", "start"), 1);
    cr_assert(!exists("data/node0/run/insid.pid"));
}

Test(supervise, workers_die_with_a_killed_supervisor_and_a_new_one_waits_for_that)
{
    pid_t workers[WORKERS];
    start_ready();
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = fakes_worker(names[i]);
    for (unsigned round = 1; round <= 5; round++) {
        kill(fakes_pid(), SIGKILL);
        fakes_start(); /* at once: the old one may not even be dead */
        FAKES_WAIT_FOR(fakes_logged("node_ready", "") == 1 + round);
        for (unsigned i = 0; i < WORKERS; i++)
            cr_expect(!fakes_is_alive(workers[i]), "%s", names[i]);
        for (unsigned i = 0; i < WORKERS; i++)
            workers[i] = fakes_worker(names[i]);
    }
    cr_assert_eq(stop(), 0);
}

Test(supervise, a_second_supervisor_is_refused_and_told_by_whom)
{
    char pid[32];
    start_ready();
    pid_t first = fakes_pid();
    snprintf(pid, sizeof(pid), "(pid %d)", (int)first);
    fakes_start();
    cr_assert_eq(fakes_wait(), 1);
    cr_assert(exists("data/node0/run/insid.pid"), "the first one's");
    cr_assert(fakes_is_alive(first));
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert(fakes_is_alive(fakes_worker(names[i])));
    cr_assert_eq(fakes_logged("", pid), 1);
    kill(first, SIGTERM);
    FAKES_WAIT_FOR(fakes_logged("node_stopped", "") == 1);
}

/* ---- reload ---- */

Test(supervise, a_changed_configuration_reaches_every_worker_those_started_later_too)
{
    start_ready();
    fakes_write_config(1, "maxBody: 3MiB", "logging: {level: warn}\n");
    kill(fakes_pid(), SIGHUP);
    for (unsigned i = 0; i < WORKERS; i++)
        FAKES_WAIT_FOR(fakes_traced(names[i], "reload maxBody=3145728") == 1);
    fakes_write_config(1, "maxBody: 4MiB", "");
    kill(fakes_pid(), SIGHUP);
    FAKES_WAIT_FOR(fakes_traced("raft", "reload maxBody=4194304") == 1);
    cr_assert_eq(stop(), 0);
}

Test(supervise, what_cannot_change_is_refused_and_everything_stays)
{
    start_ready();
    fakes_write_config(2, "maxBody: 3MiB", "");
    kill(fakes_pid(), SIGHUP);
    FAKES_WAIT_FOR(fakes_logged("config_reload_refused", "changed=gateway.processes ") == 1);
    fakes_write_config(1, "maxBody: nonsense, maxValue: 7x", "");
    kill(fakes_pid(), SIGHUP);
    FAKES_WAIT_FOR(fakes_logged("config_reload_refused", "") == 2);
    cr_assert_eq(fakes_logged("config_refused", ""), 2, "each error has its line");
    cr_assert_eq(fakes_traced("raft", "reload maxBody=3145728"), 0);
    expect_others_untouched("");
    cr_assert_eq(stop(), 0);
}
