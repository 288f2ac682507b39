/* host.c - a local cluster: the children are whole nodes. */
#include "insid-supervisor/host.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "insid-supervisor/children.h"
#include "insid-supervisor/spawn.h"

#define HOST_STOP_MS 12000 /* then a node's insid is killed: it had its own ten seconds */

struct host_node {
    const char *id;
    pid_t pid;           /* 0: does not run */
    uint64_t started_ms; /* this life */
    uint64_t restart_ms; /* 0: not to be started */
    unsigned failures;   /* ends in a row */
};

struct host {
    const char *config_path;
    char self[PATH_BYTES]; /* our own program */
    struct host_node nodes[LIMIT_NODES];
    unsigned count;
    bool stopping, failed;
    uint64_t kill_ms; /* of the stop; 0: none */
};

static void host_start(struct host *host, struct host_node *node)
{
    char program[] = "insid", as[] = "--as", option[] = "--config";
    char *id = mem_copy_string(node->id), *path = mem_copy_string(host->config_path);
    char *arguments[] = {program, as, id, option, path, NULL};
    const struct spawn spawn = {
        .program = host->self, .arguments = arguments, .fds = {-1, -1, -1, -1, -1}};
    pid_t pid = spawn_start(&spawn);
    int saved = errno;
    free(id);
    free(path);
    node->started_ms = clock_boot_ms();
    node->restart_ms = 0;
    node->pid = pid > 0 ? pid : 0;
    if (pid < 0) {
        LOG_ERROR("node_start_failed", LOG_STR("id", node->id), LOG_ERRNO(saved));
        host->failed = true;
    }
}

static void host_pass_on(const struct host *host, int number)
{
    for (unsigned i = 0; i < host->count; i++)
        if (host->nodes[i].pid > 0)
            kill(host->nodes[i].pid, number);
}

static void host_stop(struct host *host)
{
    if (host->stopping)
        return;
    host->stopping = true;
    host->kill_ms = clock_boot_ms() + HOST_STOP_MS;
    for (unsigned i = 0; i < host->count; i++)
        host->nodes[i].restart_ms = 0;
    host_pass_on(host, SIGTERM);
}

static void host_node_ended(struct host *host, struct host_node *node, int status)
{
    const bool killed = WIFSIGNALED(status);
    /* told to stop before it could take notice, it ends by that signal */
    const bool early = host->stopping && killed && WTERMSIG(status) == SIGTERM;
    const bool clean = early || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const struct child_end end = {.alive_ms = clock_boot_ms() - node->started_ms};
    node->pid = 0;
    if (killed && !host->stopping) {
        uint64_t delay = children_delay_ms(&children_limits, &node->failures, &end);
        node->restart_ms = clock_boot_ms() + delay;
        LOG_WARN("node_restarting", LOG_STR("id", node->id),
                 LOG_U64("signal", (uint64_t)WTERMSIG(status)), LOG_U64("delay_ms", delay));
        return;
    }
    host->failed |= !clean;
    if (!clean)
        LOG_ERROR("node_failed", LOG_STR("id", node->id),
                  killed ? LOG_U64("signal", (uint64_t)WTERMSIG(status))
                         : LOG_U64("status", (uint64_t)WEXITSTATUS(status)));
    else if (!host->stopping)
        LOG_WARN("node_ended", LOG_STR("id", node->id));
}

/* As pid 1 of a container we are handed strangers, too. */
static void host_reap(struct host *host)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (unsigned i = 0; i < host->count; i++)
            if (host->nodes[i].pid == pid)
                host_node_ended(host, &host->nodes[i], status);
}

/* What is due now; the time of what comes next, 0 for nothing. */
static uint64_t host_timers(struct host *host)
{
    uint64_t now = clock_boot_ms(), next = 0;
    if (host->kill_ms && now >= host->kill_ms) {
        LOG_ERROR("nodes_killed");
        host_pass_on(host, SIGKILL);
        host->kill_ms = 0;
    }
    next = host->kill_ms;
    for (unsigned i = 0; i < host->count; i++) {
        struct host_node *node = &host->nodes[i];
        if (node->restart_ms && now >= node->restart_ms)
            host_start(host, node);
        else if (node->restart_ms && (!next || node->restart_ms < next))
            next = node->restart_ms;
    }
    return next;
}

static bool host_is_needed(const struct host *host)
{
    for (unsigned i = 0; i < host->count; i++)
        if (host->nodes[i].pid > 0 || host->nodes[i].restart_ms)
            return true;
    return false;
}

static void host_wait(struct host *host, const sigset_t *set, uint64_t until_ms)
{
    uint64_t now = clock_boot_ms(), left = until_ms > now ? until_ms - now : 0;
    const struct timespec limit = {(time_t)(left / 1000), (long)(left % 1000 * NS_PER_MS)};
    siginfo_t info;
    int number = sigtimedwait(set, &info, until_ms ? &limit : NULL);
    if (number == SIGCHLD)
        host_reap(host);
    else if (number == SIGHUP)
        host_pass_on(host, SIGHUP);
    else if (number > 0)
        host_stop(host);
}

int host_run(const struct config *config, const char *config_path)
{
    struct host *host = mem_alloc(sizeof(*host));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(readlink("/proc/self/exe", host->self, sizeof(host->self) - 1) > 0);
    host->config_path = config_path;
    host->count = config->node_count;
    for (unsigned i = 0; i < host->count; i++) {
        host->nodes[i].id = config->nodes[i].id;
        host_start(host, &host->nodes[i]);
    }
    for (uint64_t next = 0; host_is_needed(host); next = host_timers(host))
        host_wait(host, &set, next);
    int status = host->failed ? 1 : 0;
    free(host);
    return status;
}
