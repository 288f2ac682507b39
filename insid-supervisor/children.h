/* children.h - the life of one worker as a table: state x event -> what to do, and the next state.
 *
 * Pure: no process, clock or descriptor in here. supervise.c feeds it events and does what it says.
 *
 *   IDLE ──START──► STARTING ──READY──► READY
 *                      │ silent, hung or hung up  │
 *                      └──────────► LEAVING ◄─────┘   LEAVING ──1 s──► KILLING
 *   READY ──RESTART──► RESTARTING ──too slow──► KILLING
 *   any of them ──EXITED──► WAITING ──back-off over, or RESTART──► STARTING
 *   any of them ──STOP────► STOPPING ──too slow──► ENDING ──too slow──► OVERDUE
 *     each of these ──EXITED──► STOPPED; an OVERDUE one also when the stop's time is over
 *   any of them ──GAVE_UP─► STOPPED, and the node stops
 */
#ifndef INSI_SUPERVISOR_CHILDREN_H
#define INSI_SUPERVISOR_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/proc.h"

/* X(name, text) */
#define CHILD_STATES(X)                                                                            \
    X(IDLE, "idle")             /* never started */                                                \
    X(STARTING, "starting")     /* the process exists, not yet serving */                          \
    X(READY, "ready")           /* serves */                                                       \
    X(LEAVING, "leaving")       /* aborted, or closed its channel: expected to end by itself */    \
    X(RESTARTING, "restarting") /* asked to end; will be started anew */                           \
    X(KILLING, "killing")       /* SIGKILL sent; will be started anew */                           \
    X(WAITING, "waiting")       /* ended; will be started when the delay is over */                \
    X(STOPPING, "stopping")     /* asked to stop */                                                \
    X(ENDING, "ending")         /* was asked to stop, SIGKILL sent */                              \
    X(OVERDUE, "overdue")       /* that has not ended it yet; the stop goes on beside it */        \
    X(STOPPED, "stopped")       /* ended for good */

#define CHILD_EVENTS(X)                                                                            \
    X(START, "start")               /* the node starts */                                          \
    X(READY, "ready")               /* the worker says that it serves */                           \
    X(BEAT, "beat")                 /* time for a heartbeat */                                     \
    X(ANSWER, "answer")             /* the worker answered a heartbeat */                          \
    X(HANGUP, "hangup")             /* the worker's end of the channel is closed */                \
    X(TIMEOUT, "timeout")           /* the state's time is over */                                 \
    X(EXITED, "exited")             /* the process ended */                                        \
    X(GAVE_UP, "gave_up")           /* the process ended with PROC_EXIT_STOP_NODE */               \
    X(SPAWN_FAILED, "spawn_failed") /* no process could be made */                                 \
    X(YIELDED, "yielded")           /* the worker has handed over what it could */                 \
    X(RESTART, "restart")           /* an operator wants it started anew */                        \
    X(STOP, "stop")                 /* the worker's turn in the node's stop */

#define CHILD_ACTIONS(X)                                                                           \
    X(NEVER, "never")         /* our own mistake: cannot happen */                                 \
    X(IGNORE, "ignore")       /* nothing, stay as you are */                                       \
    X(NOTHING, "nothing")     /* only the state changes */                                         \
    X(SPAWN, "spawn")         /* make the process */                                               \
    X(SEND_BEAT, "send_beat") /* unless one is unanswered; its answer has a limit */               \
    X(RENEW, "renew")         /* it lives: the state's time starts again */                        \
    X(ANNOUNCE, "announce")   /* it serves */                                                      \
    X(ABORT, "abort")         /* hung: SIGABRT */                                                  \
    X(KILL, "kill")           /* SIGKILL */                                                        \
    X(BACK_OFF, "back_off")   /* start it after a delay  */                                        \
    X(ASK, "ask")             /* send STOP */                                                      \
    X(HASTEN, "hasten")       /* its next start has no delay */                                    \
    X(PASS_OVER, "pass_over") /* SIGKILL has not ended it yet: only the whole stop waits */        \
    X(ABANDON, "abandon")     /* not even SIGKILL ended it in time */                              \
    X(STOP_NODE, "stop_node") /* it cannot go on: stop the node */

enum child_state {
#define X(name, text) CHILD_STATE_##name,
    CHILD_STATES(X)
#undef X
        CHILD_STATE_COUNT
};

enum child_event {
#define X(name, text) CHILD_EVENT_##name,
    CHILD_EVENTS(X)
#undef X
        CHILD_EVENT_COUNT
};

enum child_action {
#define X(name, text) CHILD_ACTION_##name,
    CHILD_ACTIONS(X)
#undef X
        CHILD_ACTION_COUNT
};

struct child_rule {
    enum child_action action;
    enum child_state next;
};

struct child_rule children_rule(enum child_state state, enum child_event event);
const char *children_state_name(enum child_state state);
const char *children_event_name(enum child_event event);

/* How long things may take. */
struct child_limits {
    uint64_t beat_ms;         /* between heartbeats */
    uint64_t answer_ms;       /* a READY worker that owes an answer for so long hangs */
    uint64_t start_ms;        /* so does one that starts without a sign of life for so long */
    uint64_t leave_ms;        /* between SIGABRT and SIGKILL */
    uint64_t yield_ms;        /* raft hands leadership over, before the rounds of a stop */
    uint64_t stop_gateway_ms; /* a gateway's stop: it finishes its clients' requests; of the node's
                                 stop, the time that raft took to yield is part of it */
    uint64_t stop_ms;         /* another worker's stop: it finishes what it holds */
    uint64_t end_ms;          /* after the stop's SIGKILL the next round waits no longer for it */
    uint64_t stop_total_ms;   /* the node's stop: what has not ended by then is abandoned */
    uint64_t delay_first_ms;  /* restart delays double from here */
    uint64_t delay_max_ms;    /* to here */
    uint64_t delay_reset_ms;  /* a worker that lived so long begins anew with them */
    uint64_t operator_ms;     /* lived so long and ended as asked: an operator's restart */
};

/* What insid uses; the environment variable INSI_TEST_HANG_MS replaces answer_ms, in tests. The
 * rounds of a stop, each with its kill, fit into stop_total_ms, and that into ten seconds; what
 * they leave of it is for what was killed and has not ended, such as a process that waits for its
 * disk. */
extern const struct child_limits children_limits;

/* How long a worker may stay in a state; 0: as long as it likes. */
uint64_t children_limit_ms(const struct child_limits *limits, enum child_state state,
                           enum proc proc);

/* Workers are asked to stop in rounds: gateways (0), state workers (1), raft (2). */
#define CHILDREN_STOP_ROUNDS 3
unsigned children_stop_round(enum proc proc);

/* Restart delays: at once, then delay_first_ms doubling to delay_max_ms. A worker that served for a
 * second and ended with 0 was restarted by an operator: at once, not counted. */
struct child_end {
    bool clean; /* status 0 after READY */
    uint64_t alive_ms;
};
uint64_t children_delay_ms(const struct child_limits *limits, unsigned *failures,
                           const struct child_end *end);

#endif
