/* Links whose peers die, hang up, keep silent or are in the way. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "ipc/link_private.h"
#include "link_ends.h"

static struct end raft, gateway;

TestSuite(link_peers, .init = ends_init, .fini = ends_fini, .timeout = 60);

static bool both_are_up(void)
{
    return link_is_up(raft.link) && link_is_up(gateway.link);
}

/* ---- a peer in another process ---- */

/* Beside this test, in libexec. */
static void find_program(char program[PATH_BYTES], const char *name)
{
    ssize_t len = readlink("/proc/self/exe", program, PATH_BYTES - 64);
    cr_assert_gt(len, 0);
    program[len] = '\0';
    len = strrchr(program, '/') - program;
    snprintf(program + len, PATH_BYTES - (size_t)len, "/libexec/%s", name);
}

/* tests/fake/link_streamer.c, started by exec: NNG does not survive a fork, and Criterion itself
 * uses it. Streams numbers from 1 once it is told to go, until it is killed. */
static pid_t start_streamer(uint64_t start_id, char *window, int *go_fd)
{
    char program[PATH_BYTES], id[24], node[] = NODE;
    char *arguments[] = {program, ends_dir, node, id, window, NULL};
    int fds[2];
    pid_t pid;
    posix_spawn_file_actions_t actions;
    find_program(program, "link-streamer");
    snprintf(id, sizeof(id), "%llu", (unsigned long long)start_id);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_eq(posix_spawn_file_actions_init(&actions), 0);
    cr_assert_eq(posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO), 0);
    cr_assert_eq(posix_spawn(&pid, program, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[0]);
    *go_fd = fds[1];
    return pid;
}

Test(link_peers, a_peer_killed_in_mid_stream_is_down_at_once_and_its_successor_starts_afresh)
{
    char window[] = "0";
    int go[3];
    pid_t pids[3];
    for (unsigned i = 0; i < 3; i++)
        pids[i] = start_streamer(500 + i, window, &go[i]);
    end_open(&raft, PROC_RAFT, 100);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(write(go[i], "x", 1), 1);
        WAIT_FOR(raft.ups > raft.downs && raft.peer.start_id == 500 + i);
        WAIT_FOR(raft.count > 100000);
        cr_assert_eq(raft.first, 1);
        cr_assert(!raft.has_gap);
        unsigned downs = raft.downs;
        kill(pids[i], SIGKILL);
        uint64_t start_ms = clock_boot_ms();
        cr_assert_eq(waitpid(pids[i], NULL, 0), pids[i]);
        WAIT_FOR(raft.downs > downs);
        cr_assert_lt(clock_boot_ms() - start_ms, 1000);
        cr_assert(!raft.has_gap);
        close(go[i]);
    }
}

/* Where NNG's sockets got stuck, once in 30 to 1000 times: see link_wire.h. */
Test(link_peers, a_peer_killed_under_traffic_both_ways_is_noticed_every_time)
{
    char window[] = "5000";
    uint64_t slowest_ms = 0;
    end_open(&raft, PROC_RAFT, 100);
    for (unsigned i = 1; i <= 100; i++) {
        int go;
        pid_t pid = start_streamer(i, window, &go);
        raft.echoes = UINT32_MAX;
        cr_assert_eq(write(go, "x", 1), 1);
        WAIT_FOR(raft.ups > raft.downs && raft.peer.start_id == i && raft.count > 1000 + 100 * i);
        unsigned downs = raft.downs;
        kill(pid, SIGKILL);
        uint64_t start_ms = clock_boot_ms();
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        WAIT_FOR(raft.downs > downs);
        if (clock_boot_ms() - start_ms > slowest_ms)
            slowest_ms = clock_boot_ms() - start_ms;
        cr_assert(!raft.has_gap);
        close(go);
    }
    cr_assert_lt(slowest_ms, 2000);
}

/* ---- peers that hang up at once, or say nothing ---- */

Test(link_peers, dialers_that_hang_up_at_once_do_not_end_the_listening)
{
    const struct sockaddr_un address = raw_address();
    end_open(&raft, PROC_RAFT, 100);
    for (unsigned i = 0; i < 200; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        cr_assert_geq(fd, 0);
        (void)connect(fd, (const struct sockaddr *)&address, sizeof(address));
        close(fd);
        if (i % 8 == 0)
            ends_turn(0);
    }
    end_open(&gateway, PROC_GATEWAY, 200);
    uint64_t start_ms = clock_boot_ms();
    WAIT_FOR(both_are_up());
    cr_assert_lt(clock_boot_ms() - start_ms, 4000);
}

Test(link_peers, a_listener_that_hangs_up_at_once_does_not_end_the_dialing)
{
    const struct sockaddr_un address = raw_address();
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 8), 0);
    end_open(&gateway, PROC_GATEWAY, 200);
    uint64_t end_ms = clock_boot_ms() + 1000;
    unsigned met = 0;
    while (clock_boot_ms() < end_ms) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        met += fd >= 0;
        if (fd >= 0)
            close(fd);
        else
            ends_turn(0);
    }
    cr_assert_gt(met, 1);
    close(listener);
    cr_assert_eq(unlink(address.sun_path), 0);
    end_open(&raft, PROC_RAFT, 100);
    uint64_t start_ms = clock_boot_ms();
    WAIT_FOR(both_are_up());
    cr_assert_lt(clock_boot_ms() - start_ms, 4000);
}

Test(link_peers, a_socket_file_that_vanished_is_made_again)
{
    const struct sockaddr_un address = raw_address();
    end_open(&raft, PROC_RAFT, 100);
    cr_assert_eq(unlink(address.sun_path), 0);
    end_open(&gateway, PROC_GATEWAY, 200);
    WAIT_FOR(both_are_up());
}

Test(link_peers, a_dialer_that_says_nothing_does_not_keep_others_waiting_for_ever)
{
    const struct sockaddr_un address = raw_address();
    end_open(&raft, PROC_RAFT, 100);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    WAIT_FOR(end_connection(&raft) != 0);
    end_open(&gateway, PROC_GATEWAY, 200);
    WAIT_FOR(both_are_up());
    close(fd);
}
