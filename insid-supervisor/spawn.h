/* spawn.h - starting one program as a child: fork, descriptors in place, exec. */
#ifndef INSI_SUPERVISOR_SPAWN_H
#define INSI_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_FDS_MAX 5

struct spawn {
    const char *program;    /* absolute path */
    char *const *arguments; /* argv, NULL at the end */
    int fds[SPAWN_FDS_MAX]; /* become 3, 4, 5, 6, 7; -1: closed */
    bool quiet;             /* stdin from /dev/null, stdout to where stderr goes */
};

/* The pid, or -1 with errno. The child starts with default signals, an empty signal mask, nothing
 * open but 0, 1, 2 and what it is given, in a process group of its own (Ctrl-C reaches only us),
 * and ends with us. */
pid_t spawn_start(const struct spawn *spawn);

/* The folder of the worker programs: "libexec/" beside insid (a build folder) or "../libexec/insi/"
 * (installed). E_NOT_FOUND after naming on stderr what is missing. out holds PATH_BYTES. */
int spawn_find_workers(char *out);

#endif
