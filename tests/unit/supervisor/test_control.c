/* An operator's requests to a running supervisor, over its control socket. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fakes.h"
#include "insid-supervisor/control.h"

TestSuite(control, .init = fakes_init, .fini = fakes_fini, .timeout = 60);

static char answer[CONTROL_ANSWER_BYTES];

static void start_ready(void)
{
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("node_ready", "") == 1);
}

static void stop(void)
{
    cr_assert_eq(kill(fakes_pid(), SIGTERM), 0);
    cr_assert_eq(fakes_wait(), 0);
}

static int dial(void)
{
    char run[128];
    struct sockaddr_un address;
    snprintf(run, sizeof(run), "%s/data/" FAKES_NODE "/run", fakes_folder);
    cr_assert_eq(control_address(&address, run), 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s",
                 strerror(errno));
    return fd;
}

static int say(const char *text)
{
    int fd = dial();
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

/* The answer, within some seconds; "" at the connection's end. */
static const char *hear(int fd)
{
    const struct timeval limit = {15, 0};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    ssize_t got = recv(fd, answer, sizeof(answer) - 1, 0);
    if (got < 0 && errno != ECONNRESET) {
        fakes_dump();
        cr_assert_fail("no answer");
    }
    answer[got > 0 ? got : 0] = '\0';
    return answer;
}

static const char *ask(const char *text)
{
    int fd = say(text);
    hear(fd);
    close(fd);
    return answer;
}

/* The answer's line about a process; the uptime is not looked at. */
static bool answered_line(const char *name, pid_t pid, const char *state, unsigned restarts)
{
    char begin[32], words[4][32], expected_pid[32] = "-", expected_restarts[32];
    snprintf(begin, sizeof(begin), "\n%s ", name);
    const char *at = strstr(answer, begin);
    if (!at || sscanf(at + strlen(begin), "%31s %31s %31s %31s", words[0], words[1], words[2],
                      words[3]) != 4)
        return false;
    if (pid > 0)
        snprintf(expected_pid, sizeof(expected_pid), "%ld", (long)pid);
    snprintf(expected_restarts, sizeof(expected_restarts), "%u", restarts);
    return strcmp(words[0], expected_pid) == 0 && strcmp(words[1], state) == 0 &&
           (strcmp(words[2], "-") == 0) == (pid == 0) && strcmp(words[3], expected_restarts) == 0;
}

/* ---- status ---- */

Test(control, status_names_every_process_with_pid_state_uptime_and_restarts)
{
    char head[64];
    fakes_write_config(2, "", "");
    start_ready();
    kill(fakes_worker("storage"), SIGKILL);
    FAKES_WAIT_FOR(fakes_traced("storage", "ready") == 2 &&
                   fakes_logged("child_ready", "child=storage ") == 2);
    ask("status");
    snprintf(head, sizeof(head), "+" FAKES_NODE ": pid %d, up ", (int)fakes_pid());
    cr_assert_eq(strncmp(answer, head, strlen(head)), 0, "%s", answer);
    cr_assert(answered_line("raft", fakes_worker("raft"), "ready", 0), "%s", answer);
    cr_assert(answered_line("storage", fakes_worker("storage"), "ready", 1), "%s", answer);
    cr_assert(answered_line("gateway1", fakes_worker("gateway1"), "ready", 0), "%s", answer);
    stop();
}

Test(control, status_shows_what_is_not_well)
{
    fakes_limits.delay_first_ms = fakes_limits.delay_max_ms = 60000;
    fakes_tell("cacheq", "crash");
    fakes_tell("raft", "slow");
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("child_restarting", "child=cacheq delay_ms=60000 ") == 1 &&
                   fakes_traced("raft", "start") == 1);
    ask("status");
    cr_assert(answered_line("raft", fakes_worker("raft"), "starting", 0), "%s", answer);
    cr_assert(answered_line("cacheq", 0, "waiting", 1), "%s", answer);
    stop();
}

/* ---- restart ---- */

Test(control, a_restart_is_graceful_and_answered_when_the_worker_serves_again)
{
    fakes_tell("storage", "late late serve");
    start_ready();
    pid_t before = fakes_worker("storage");
    cr_assert_str_eq(ask("restart storage"), "+storage serves again\n");
    cr_assert_eq(fakes_traced("storage", "stop"), 1, "it was asked, not killed");
    cr_assert_eq(fakes_traced("storage", "ready"), 2);
    cr_assert_neq(fakes_worker("storage"), before);
    cr_assert_str_eq(ask("restart storage"), "+storage serves again\n");
    cr_assert_eq(fakes_logged("child_restarting", "child=storage delay_ms=0 "), 2);
    cr_assert_eq(fakes_traced("raft", "start"), 1);
    stop();
}

Test(control, a_worker_that_does_not_end_is_killed_and_started_anew)
{
    fakes_limits.stop_ms = 300;
    fakes_tell("events", "hold serve");
    start_ready();
    cr_assert_str_eq(ask("restart events"), "+events serves again\n");
    cr_assert_eq(fakes_logged("child_killed", "child=events "), 1);
    stop();
}

Test(control, gateways_are_restarted_one_after_the_other)
{
    fakes_write_config(3, "", "");
    start_ready();
    cr_assert_str_eq(ask("restart gateway"), "+gateway serves again\n");
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "gateway%u", i);
        cr_assert_eq(fakes_traced(name, "ready"), 2, "%s", name);
    }
    cr_assert_geq(fakes_traced_ms("gateway1", "stop", 0), fakes_traced_ms("gateway0", "ready", 1));
    cr_assert_geq(fakes_traced_ms("gateway2", "stop", 0), fakes_traced_ms("gateway1", "ready", 1));
    cr_assert_str_eq(ask("restart gateway1"), "+gateway1 serves again\n");
    cr_assert_eq(fakes_traced("gateway1", "ready"), 3);
    cr_assert_eq(fakes_traced("gateway0", "ready"), 2);
    stop();
}

Test(control, a_worker_that_waits_for_its_restart_is_started_at_once)
{
    fakes_limits.delay_first_ms = fakes_limits.delay_max_ms = 60000;
    fakes_tell("cacheq", "crash crash serve");
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("child_restarting", "child=cacheq delay_ms=60000 ") == 1);
    cr_assert_str_eq(ask("restart cacheq"), "+cacheq serves again\n");
    stop();
}

/* While it ends of itself: the node has not seen that yet, or it takes its time. */
Test(control, a_worker_that_is_ending_is_started_at_once_when_it_has_ended)
{
    fakes_limits.delay_first_ms = fakes_limits.delay_max_ms = fakes_limits.leave_ms = 60000;
    fakes_tell("cacheq", "crash slow serve");
    fakes_tell("events", "crash hangup serve");
    fakes_start();
    FAKES_WAIT_FOR(fakes_traced("cacheq", "start") == 2 && fakes_traced("events", "ready") == 1);
    FAKES_WAIT_FOR(ask("status") && answered_line("events", fakes_worker("events"), "leaving", 1));
    cr_assert(answered_line("cacheq", fakes_worker("cacheq"), "starting", 1), "%s", answer);
    static const char *const names[] = {"cacheq", "events"};
    for (unsigned i = 0; i < 2; i++) {
        char text[64];
        snprintf(text, sizeof(text), "restart %s", names[i]);
        int fd = say(text);
        snprintf(text, sizeof(text), "child=%s ", names[i]);
        FAKES_WAIT_FOR(fakes_logged("restart_asked_for", text) == 1);
        kill(fakes_worker(names[i]), SIGKILL);
        snprintf(text, sizeof(text), "+%s serves again\n", names[i]);
        cr_assert_str_eq(hear(fd), text);
        close(fd);
    }
    stop();
}

Test(control, a_restart_that_is_wanted_while_another_is_under_way_is_the_same_one)
{
    fakes_tell("storage", "late serve");
    start_ready();
    int first = say("restart storage"), second = say("restart storage");
    cr_assert_str_eq(hear(first), "+storage serves again\n");
    cr_assert_str_eq(hear(second), "+storage serves again\n");
    close(first);
    close(second);
    cr_assert_leq(fakes_traced("storage", "start"), 3);
    stop();
}

Test(control, an_unknown_worker_is_refused_with_those_there_are)
{
    start_ready();
    cr_assert_str_eq(ask("restart frob"),
                     "!there is no worker 'frob'; there are: raft storage cacheq events gateway0");
    ask("restart gateway7");
    cr_assert_eq(answer[0], '!');
    stop();
}

Test(control, an_operator_who_does_not_wait_gets_the_restart_all_the_same)
{
    start_ready();
    close(say("restart events"));
    FAKES_WAIT_FOR(fakes_traced("events", "ready") == 2);
    ask("status");
    cr_assert_eq(answer[0], '+');
    stop();
}

/* ---- stop ---- */

Test(control, a_stop_is_answered_at_the_end_and_the_connection_lasts_until_then)
{
    start_ready();
    int fd = say("stop");
    cr_assert_str_eq(hear(fd), "+stopped\n");
    cr_assert_str_eq(hear(fd), ""); /* its end */
    close(fd);
    cr_assert_eq(fakes_wait(), 0);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const names[] = {"raft", "storage", "cacheq", "gateway0"};
        cr_assert_eq(fakes_traced(names[i], "end"), 1, "%s", names[i]);
    }
}

Test(control, while_the_node_stops_nothing_is_restarted)
{
    fakes_tell("raft", "clings");
    fakes_limits.yield_ms = 60000;
    start_ready();
    int restart, waiting = say("stop");
    FAKES_WAIT_FOR(fakes_logged("node_stopping", "") == 1);
    restart = say("restart storage");
    cr_assert_str_eq(hear(restart), "!the node is stopping");
    close(restart);
    ask("status");
    cr_assert_not_null(strstr(answer, ", stopping\n"), "%s", answer);
    kill(fakes_worker("raft"), SIGKILL); /* which was waited for */
    cr_assert_str_eq(hear(waiting), "+stopped\n");
    close(waiting);
    cr_assert_eq(fakes_wait(), 0);
}

/* Without a raft to wait for the gateway is told to stop before the other request is heard. */
Test(control, a_restart_that_comes_in_the_same_turn_as_the_stop_is_refused)
{
    fakes_tell("raft", "slow");
    fakes_start();
    FAKES_WAIT_FOR(fakes_logged("child_ready", "child=gateway0 ") == 1 &&
                   fakes_traced("raft", "start") == 1);
    int stopping = dial(), restart = dial();
    ask("status"); /* so both are accepted */
    int status;
    kill(fakes_pid(), SIGSTOP);
    cr_assert_eq(waitpid(fakes_pid(), &status, WUNTRACED), fakes_pid());
    cr_assert_eq(send(stopping, "stop", 4, MSG_NOSIGNAL), 4);
    cr_assert_eq(send(restart, "restart gateway0", 16, MSG_NOSIGNAL), 16);
    kill(fakes_pid(), SIGCONT);
    cr_assert_str_eq(hear(restart), "!the node is stopping");
    cr_assert_str_eq(hear(stopping), "+stopped\n");
    close(restart);
    close(stopping);
    cr_assert_eq(fakes_wait(), 0);
}

Test(control, who_waits_for_a_restart_is_told_when_the_node_stops)
{
    fakes_limits.stop_ms = 60000;
    fakes_tell("storage", "hold serve");
    start_ready();
    int fd = say("restart storage");
    FAKES_WAIT_FOR(fakes_traced("storage", "stop") == 1);
    kill(fakes_pid(), SIGTERM);
    cr_assert_str_eq(hear(fd), "!the node is stopping");
    close(fd);
    kill(fakes_worker("storage"), SIGKILL);
    cr_assert_eq(fakes_wait(), 0);
}

/* ---- who may ask, and what ---- */

Test(control, the_socket_is_the_owners_alone)
{
    char path[256];
    struct stat info;
    start_ready();
    snprintf(path, sizeof(path), "%s/data/" FAKES_NODE "/run/" CONTROL_SOCKET, fakes_folder);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert(S_ISSOCK(info.st_mode));
    cr_assert_eq(info.st_mode & 0777, 0600);
    stop();
    cr_assert_neq(stat(path, &info), 0, "a stopped node leaves none");
}

Test(control, what_makes_no_sense_is_refused)
{
    char large[CONTROL_REQUEST_BYTES + 1];
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    start_ready();
    static const char *const requests[] = {"frob", "restart", "status ", "restartstorage", "\n"};
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        cr_expect_eq(ask(requests[i])[0], '!', "%s", requests[i]);
    cr_expect_eq(ask(large)[0], '!');
    cr_expect_eq(ask("status")[0], '+');
    stop();
}

Test(control, connections_are_few_and_those_that_say_nothing_end)
{
    int fds[CONTROL_CLIENTS_MAX];
    start_ready();
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        fds[i] = dial();
    int extra = dial();
    cr_assert_str_eq(hear(extra), "!too many requests at a time");
    close(extra);
    close(fds[0]);
    FAKES_WAIT_FOR(ask("status")[0] == '+');
    uint64_t start_ms = clock_boot_ms();
    cr_assert_str_eq(hear(fds[1]), "");
    cr_assert_lt(clock_boot_ms() - start_ms, CONTROL_SILENT_MS + 1000);
    for (unsigned i = 1; i < CONTROL_CLIENTS_MAX; i++)
        close(fds[i]);
    stop();
}
