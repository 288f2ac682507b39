/* host.c - a local cluster: children are whole nodes; signals are passed on. */
#include "insid-supervisor/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "insid-supervisor/spawn.h"

struct host {
    pid_t pids[LIMIT_NODES];
    unsigned count, running;
    bool stopping, failed;
};

static void host_pass_on(const struct host *host, int number)
{
    for (unsigned i = 0; i < host->count; i++)
        if (host->pids[i] > 0)
            kill(host->pids[i], number);
}

static int host_start(struct host *host, const char *node, const char *config_path)
{
    char self[1024], program[] = "insid", as[] = "--as", option[] = "--config";
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CHECK(len > 0);
    self[len] = '\0';
    char *id = mem_copy_string(node), *path = mem_copy_string(config_path);
    char *arguments[] = {program, as, id, option, path, NULL};
    struct spawn spawn = {
        .program = self, .arguments = arguments, .fds = {-1, -1, -1, -1}, .own_group = true};
    pid_t pid = spawn_start(&spawn);
    free(id);
    free(path);
    if (pid < 0) {
        fprintf(stderr, "insid: cannot start %s: %s\n", node, strerror(errno));
        return 1;
    }
    host->pids[host->count++] = pid;
    host->running++;
    return 0;
}

static void host_reap(struct host *host)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < host->count; i++)
            if (host->pids[i] == pid)
                host->pids[i] = 0;
        host->running--;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !host->stopping)
            host->failed = true;
        if (!host->stopping) {
            host->stopping = true;
            host_pass_on(host, SIGTERM);
        }
    }
}

int host_run(const struct config *config, const char *config_path)
{
    struct host host = {0};
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (unsigned i = 0; i < config->node_count && !host.failed; i++)
        if (host_start(&host, config->nodes[i].id, config_path) != 0)
            host.failed = host.stopping = true;
    if (host.stopping)
        host_pass_on(&host, SIGTERM);
    while (host.running > 0 && sigwait(&set, &number) == 0) {
        if (number == SIGCHLD) {
            host_reap(&host);
        } else {
            host.stopping |= number != SIGHUP;
            host_pass_on(&host, number == SIGHUP ? SIGHUP : SIGTERM);
        }
    }
    return host.failed ? 1 : 0;
}
