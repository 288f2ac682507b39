/* spawn.c - fork and exec. Between the two only async-signal-safe calls are made. */
#include "insid-supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "base/proc.h"

#define SPAWN_FD_FIRST 3
#define SPAWN_FD_PARKED 100 /* beyond every target, so that moving one never overwrites another */

static void spawn_place_fds(const struct spawn *spawn)
{
    int parked[SPAWN_FDS_MAX];
    for (int i = 0; i < SPAWN_FDS_MAX; i++)
        parked[i] =
            spawn->fds[i] >= 0 ? fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, SPAWN_FD_PARKED) : -1;
    for (int i = 0; i < SPAWN_FDS_MAX; i++) {
        if (parked[i] >= 0)
            dup2(parked[i], SPAWN_FD_FIRST + i); /* clears close-on-exec */
        else
            close(SPAWN_FD_FIRST + i);
    }
}

static _Noreturn void spawn_become(const struct spawn *spawn)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (spawn->own_group)
        setpgid(0, 0);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &by_default, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    spawn_place_fds(spawn);
    execv(spawn->program, spawn->arguments);
    _exit(127);
}

pid_t spawn_start(const struct spawn *spawn)
{
    pid_t pid = fork();
    if (pid == 0)
        spawn_become(spawn);
    return pid;
}

int spawn_find_workers(char *out)
{
    static const char *const places[] = {"/libexec", "/../libexec/insi"};
    char self[PATH_BYTES], probe[PATH_BYTES + 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0)
        return E_NOT_FOUND;
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (snprintf(out, PATH_BYTES, "%s%s", self, places[i]) >= PATH_BYTES)
            return E_TOO_LARGE;
        snprintf(probe, sizeof(probe), "%s/%s", out, proc_program(PROC_RAFT));
        if (access(probe, X_OK) == 0)
            return 0;
    }
    return E_NOT_FOUND;
}
