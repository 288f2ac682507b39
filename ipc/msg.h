/* msg.h - the one list of messages between the processes of a node.
 *
 * On the wire: msgpack arrays [type, elements...], each in a frame of its own (docs/ipc.md).
 * Encoders and decoders stand side by side, one file per conversation: gateway_raft.h,
 * raft_worker.h, worker_gateway.h, events_gateway.h. A change here raises LINK_PROTOCOL_VERSION.
 */
#ifndef INSI_IPC_MSG_H
#define INSI_IPC_MSG_H

#include <stdbool.h>

#include "base/proc.h"

/* X(name, number, elements after the type, from, to) */
#define MSG_LIST(X)                                                                                \
    X(HELLO, 1, 5, ANY, ANY)                                                                       \
    X(PROPOSE, 10, 1, GATEWAY, RAFT)                                                               \
    X(REFUSE, 11, 3, RAFT, GATEWAY)                                                                \
    X(READ_INDEX, 12, 1, GATEWAY, RAFT)                                                            \
    X(READ_INDEX_REPLY, 13, 3, RAFT, GATEWAY)                                                      \
    X(LEADER, 14, 2, RAFT, GATEWAY)                                                                \
    X(CLUSTER_ASK, 15, 1, GATEWAY, RAFT)                                                           \
    X(CLUSTER_ANSWER, 16, 8, RAFT, GATEWAY)                                                        \
    X(CHANGE, 17, 4, GATEWAY, RAFT)                                                                \
    X(CHANGE_ANSWER, 18, 3, RAFT, GATEWAY)                                                         \
    X(RESUME, 20, 3, WORKER, RAFT)                                                                 \
    X(APPLY, 21, 7, RAFT, WORKER)                                                                  \
    X(APPLY_END, 22, 1, RAFT, WORKER)                                                              \
    X(APPLIED, 23, 4, WORKER, RAFT)                                                                \
    X(WORKER_PROPOSE, 24, 2, WORKER, RAFT)                                                         \
    X(ROLE, 25, 2, RAFT, WORKER)                                                                   \
    X(RESUME_OK, 26, 1, RAFT, WORKER)                                                              \
    X(REBUILD, 27, 0, RAFT, WORKER)                                                                \
    X(RESULT, 30, 5, WORKER, GATEWAY)                                                              \
    X(RECALL, 31, 2, GATEWAY, WORKER)                                                              \
    X(SESSION, 32, 1, GATEWAY, WORKER)                                                             \
    X(WAIT_APPLIED, 33, 1, GATEWAY, WORKER)                                                        \
    X(APPLIED_AT, 34, 1, WORKER, GATEWAY)                                                          \
    X(SNAPSHOT_MAKE, 40, 3, RAFT, WORKER)                                                          \
    X(SNAPSHOT_MADE, 41, 5, WORKER, RAFT)                                                          \
    X(SNAPSHOT_DROP, 42, 1, RAFT, WORKER)                                                          \
    X(SNAPSHOT_LOAD, 43, 5, RAFT, WORKER)                                                          \
    X(SNAPSHOT_LOADED, 44, 2, WORKER, RAFT)                                                        \
    X(SUBSCRIBE, 50, 7, GATEWAY, EVENTS)                                                           \
    X(UNSUBSCRIBE, 51, 1, GATEWAY, EVENTS)                                                         \
    X(EVENT_CREDIT, 52, 2, GATEWAY, EVENTS)                                                        \
    X(SUBSCRIBED, 53, 3, EVENTS, GATEWAY)                                                          \
    X(EVENT, 54, 5, EVENTS, GATEWAY)                                                               \
    X(EVENT_GAP, 55, 3, EVENTS, GATEWAY)                                                           \
    X(EVENT_REACHED, 56, 1, EVENTS, GATEWAY)                                                       \
    X(EVENT_OUTRUN, 57, 2, EVENTS, GATEWAY)                                                        \
    X(EVENT_CAUGHT_UP, 58, 2, EVENTS, GATEWAY)                                                     \
    X(EVENT_BEHIND, 59, 2, EVENTS, GATEWAY)

enum msg {
#define X(name, number, elements, from, to) MSG_##name = number,
    MSG_LIST(X)
#undef X
};

const char *msg_name(int type); /* "PROPOSE"; "?" for an unknown number */

/* How many elements follow the type; -1 for an unknown number. */
int msg_elements(int type);

/* Whether a process of one kind may say this to one of the other. */
bool msg_may_travel(int type, enum proc from, enum proc to);

#endif
