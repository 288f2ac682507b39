/* spawn.h - starting one program as a child: fork, descriptors in place, exec. */
#ifndef INSI_SUPERVISOR_SPAWN_H
#define INSI_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_FDS_MAX 4

struct spawn {
    const char *program;    /* absolute path */
    char *const *arguments; /* argv, NULL at the end */
    int fds[SPAWN_FDS_MAX]; /* become 3, 4, 5, 6; -1: closed */
    bool own_group;         /* a process group of its own: Ctrl-C reaches only us */
};

/* The pid, or -1 with errno. The child starts with default signals and an empty signal mask. */
pid_t spawn_start(const struct spawn *spawn);

/* Where the workers are: "libexec/" beside insid (a build folder) or "../libexec/insi/"
 * (installed). E_NOT_FOUND, E_TOO_LARGE. out holds PATH_BYTES. */
int spawn_find_workers(char *out);

#endif
