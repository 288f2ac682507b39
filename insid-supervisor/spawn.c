/* spawn.c - fork and exec. Between the two only async-signal-safe calls are made. */
#include "insid-supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "base/proc.h"

#define SPAWN_FD_FIRST 3
#define SPAWN_EXIT 127      /* as shells do: could not be started */
#define SPAWN_FD_PARKED 100 /* beyond every target, so that moving one never overwrites another */

static void spawn_place_fds(const struct spawn *spawn)
{
    int parked[SPAWN_FDS_MAX];
    close_range(SPAWN_FD_FIRST, ~0u, CLOSE_RANGE_CLOEXEC); /* also what we were started with */
    for (int i = 0; i < SPAWN_FDS_MAX; i++)
        parked[i] =
            spawn->fds[i] >= 0 ? fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, SPAWN_FD_PARKED) : -1;
    for (int i = 0; i < SPAWN_FDS_MAX; i++)
        if (spawn->fds[i] >= 0 && dup2(parked[i], SPAWN_FD_FIRST + i) < 0) /* stays open in exec */
            _exit(SPAWN_EXIT);
    if (spawn->quiet) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
            _exit(SPAWN_EXIT);
    }
}

static _Noreturn void spawn_become(const struct spawn *spawn, pid_t parent)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it ended before we could ask to end with it */
        _exit(SPAWN_EXIT);
    setpgid(0, 0);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &by_default, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    spawn_place_fds(spawn);
    execv(spawn->program, spawn->arguments);
    _exit(SPAWN_EXIT);
}

pid_t spawn_start(const struct spawn *spawn)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        spawn_become(spawn, parent);
    return pid;
}

/* The first program that cannot be executed in a folder; NULL: all are there. */
static const char *spawn_missing(const char *folder)
{
    char probe[PATH_BYTES + 64];
    for (enum proc proc = PROC_RAFT; proc < PROC_COUNT; proc++) {
        snprintf(probe, sizeof(probe), "%s/%s", folder, proc_program(proc));
        if (access(probe, X_OK) != 0)
            return proc_program(proc);
    }
    return NULL;
}

int spawn_find_workers(char *out)
{
    static const char *const places[] = {"/libexec", "/../libexec/insi"};
    char self[PATH_BYTES];
    const char *missing = proc_program(PROC_RAFT);
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (unsigned i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
        if (snprintf(out, PATH_BYTES, "%s%s", self, places[i]) >= PATH_BYTES)
            continue;
        const char *missing_here = spawn_missing(out);
        if (!missing_here)
            return 0;
        if (strcmp(missing_here, missing) != 0) /* the folder is there, but incomplete */
            missing = missing_here;
    }
    fprintf(stderr,
            "insid: cannot find the worker program %s in %s/libexec or %s/../libexec/insi\n",
            missing, self, self);
    return E_NOT_FOUND;
}
