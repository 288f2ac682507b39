/* child.h - one worker process as its supervisor holds it: start it, talk to it, give it up. When
 * to do which is the table's business (children.h); supervise.c connects the two. */
#ifndef INSI_SUPERVISOR_CHILD_H
#define INSI_SUPERVISOR_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "insid-supervisor/children.h"
#include "insid-supervisor/config_file.h"
#include "insid-supervisor/node.h"

#define CHILD_NAME_BYTES 24

struct child {
    enum proc proc;
    unsigned index;
    char name[CHILD_NAME_BYTES]; /* for log lines: "raft", "gateway0" */
    enum child_state state;
    pid_t pid;            /* 0: no process */
    int control_fd;       /* -1: closed */
    uint64_t started_ms;  /* this life */
    uint64_t deadline_ms; /* of the state; 0: none */
    bool beat_open;       /* a heartbeat is unanswered */
    bool served;          /* READY in this life */
    bool late;            /* said so in the log */
    bool babbles;         /* said so in the log: it sends what we do not understand */
    bool asked;           /* an operator wants it started anew: no delay after this life */
    unsigned failures;    /* ends in a row */
    unsigned starts;      /* processes so far */
};

void child_init(struct child *child, enum proc proc, unsigned index);

/* fork and exec with everything a worker inherits. E_IO with errno. */
int child_start(struct child *child, const struct node *node, const struct config_file *file,
                const char *workers);

/* One control message, with a descriptor when fd is not -1. E_IO with errno. */
int child_tell(struct child *child, enum proc_control what, int fd);

/* The next event that the worker's messages make: READY, ANSWER, YIELDED, HANGUP. False: nothing to
 * read. */
bool child_hear(struct child *child, enum child_event *out);

void child_signal(const struct child *child, int number);
void child_close(struct child *child); /* the control channel */

#endif
