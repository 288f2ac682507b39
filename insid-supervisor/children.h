/* children.h - the life of one worker as a table: state x event -> what to do, and the next state.
 *
 * Pure: no process, clock or descriptor in here. supervise.c feeds it events and does what it says.
 *
 *   IDLE ──START──► STARTING ──READY──► READY
 *                      │ silent, hung or hung up  │
 *                      └──────────► LEAVING ◄─────┘   LEAVING ──1 s──► KILLING
 *   any of them ──EXITED──► WAITING ──back-off over──► STARTING
 *   any of them ──STOP────► STOPPING ──too slow──► ENDING      both ──EXITED──► STOPPED
 *   any of them ──GAVE_UP─► STOPPED, and the node stops
 */
#ifndef INSI_SUPERVISOR_CHILDREN_H
#define INSI_SUPERVISOR_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/proc.h"

/* X(name, text) */
#define CHILD_STATES(X)                                                                            \
    X(IDLE, "idle")         /* never started */                                                    \
    X(STARTING, "starting") /* the process exists, not yet serving */                              \
    X(READY, "ready")       /* serves */                                                           \
    X(LEAVING, "leaving")   /* aborted, or closed its channel: expected to end by itself */        \
    X(KILLING, "killing")   /* SIGKILL sent; will be started anew */                               \
    X(WAITING, "waiting")   /* ended; will be started when the delay is over */                    \
    X(STOPPING, "stopping") /* asked to stop */                                                    \
    X(ENDING, "ending")     /* was asked to stop, SIGKILL sent */                                  \
    X(STOPPED, "stopped")   /* ended for good */

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
    X(BACK_OFF, "back_off")   /* collect it and start it after a delay */                          \
    X(ASK, "ask")             /* send STOP */                                                      \
    X(DONE, "done")           /* collect it; it ended for good */                                  \
    X(ABANDON, "abandon")     /* not even SIGKILL ended it in time */                              \
    X(STOP_NODE, "stop_node") /* collect it and stop the node */

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

#define CHILDREN_BEAT_MS 1000   /* between heartbeats */
#define CHILDREN_ANSWER_MS 5000 /* without an answer: hung */
#define CHILDREN_START_MS 30000 /* without a sign of life before READY: hung */
#define CHILDREN_LEAVE_MS 1000  /* between SIGABRT and SIGKILL */
#define CHILDREN_END_MS 500     /* between the stop's SIGKILL and giving it up */

/* How long a worker may stay in a state; 0: as long as it likes. */
uint64_t children_limit_ms(enum child_state state, enum proc proc);

/* Workers are asked to stop in rounds: gateways (0), state workers (1), raft (2). The rounds'
 * limits and kills fit into ten seconds. */
#define CHILDREN_STOP_ROUNDS 3
unsigned children_stop_round(enum proc proc);

/* Restart delays: at once, then 100 ms doubling to 5 s; from the beginning after 10 s alive. A
 * worker that served for a second and ended with 0 was restarted by an operator: at once, not
 * counted. */
struct child_end {
    bool clean; /* status 0 after READY */
    uint64_t alive_ms;
};
uint64_t children_delay_ms(unsigned *failures, const struct child_end *end);

#endif
