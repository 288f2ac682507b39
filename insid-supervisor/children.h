/* children.h - the life of one child as a pure table: (state, event) -> (next state, action).
 *
 * No I/O, no clock: the caller feeds events and carries out the action (supervise.c). Restart
 * delays: the first restart comes at once, then 0.1 s doubling to 5 s; a child that lived 10 s
 * after it was ready begins anew.
 */
#ifndef INSI_SUPERVISOR_CHILDREN_H
#define INSI_SUPERVISOR_CHILDREN_H

#include <stdint.h>

enum child_state {
    CHILD_STOPPED,  /* not running and not wanted */
    CHILD_STARTING, /* running, has not said ready; deadline CHILD_READY_MS */
    CHILD_READY,    /* serving; heartbeats every CHILD_HEARTBEAT_MS */
    CHILD_HUNG,     /* got SIGABRT; deadline CHILD_ABORT_MS */
    CHILD_KILLED,   /* got SIGKILL; waiting for its end */
    CHILD_BACKOFF,  /* ended; a timer starts it anew */
    CHILD_STOPPING, /* told to finish; the deadline is the stop phase's */
    CHILD_STATE_COUNT
};

enum child_event {
    CHILD_EVENT_START,   /* wanted */
    CHILD_EVENT_READY,   /* said ready */
    CHILD_EVENT_EXIT,    /* ended, however */
    CHILD_EVENT_TIMEOUT, /* the deadline of its state passed, or heartbeats went unanswered */
    CHILD_EVENT_STOP,    /* the node stops */
    CHILD_EVENT_COUNT
};

enum child_action {
    CHILD_ACTION_NONE,
    CHILD_ACTION_SPAWN,
    CHILD_ACTION_ANNOUNCE, /* it serves: log, reset heartbeats */
    CHILD_ACTION_ABORT,    /* SIGABRT */
    CHILD_ACTION_KILL,     /* SIGKILL */
    CHILD_ACTION_SCHEDULE, /* set the restart timer */
    CHILD_ACTION_TELL,     /* PROC_CONTROL_STOP */
    CHILD_ACTION_FORGET    /* gone for good */
};

struct child_step {
    enum child_state next;
    enum child_action action;
};

#define CHILD_READY_MS 30000
#define CHILD_HEARTBEAT_MS 1000
#define CHILD_HUNG_MS 5000
#define CHILD_ABORT_MS 1000
#define CHILD_BACKOFF_FIRST_MS 100
#define CHILD_BACKOFF_MAX_MS 5000
#define CHILD_GOOD_LIFE_MS 10000

struct child_step child_step(enum child_state state, enum child_event event);
const char *child_state_name(enum child_state state);

/* The delay before the next start. failures: ends in a row without a good life, this one included.
 */
uint64_t child_backoff_ms(unsigned failures);

#endif
