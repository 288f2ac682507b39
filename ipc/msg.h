/* msg.h - the one list of messages between the processes of a node.
 *
 * On the wire: msgpack arrays [type, elements...], one after the other in a batch. Encoders and
 * decoders stand side by side, one file per conversation: gateway_raft.h, raft_worker.h,
 * worker_gateway.h. A change here raises LINK_PROTOCOL_VERSION.
 */
#ifndef INSI_IPC_MSG_H
#define INSI_IPC_MSG_H

/* X(name, number, from, to) */
#define MSG_LIST(X)                                                                                \
    X(HELLO, 1, "any", "any")                                                                      \
    X(PROPOSE, 10, "gateway", "raft")                                                              \
    X(REFUSE, 11, "raft", "gateway")                                                               \
    X(READ_INDEX, 12, "gateway", "raft")                                                           \
    X(READ_INDEX_REPLY, 13, "raft", "gateway")                                                     \
    X(RESUME, 20, "worker", "raft")                                                                \
    X(APPLY, 21, "raft", "worker")                                                                 \
    X(APPLY_END, 22, "raft", "worker")                                                             \
    X(APPLIED, 23, "worker", "raft")                                                               \
    X(WORKER_PROPOSE, 24, "worker", "raft")                                                        \
    X(ROLE, 25, "raft", "worker")                                                                  \
    X(RESULT, 30, "worker", "gateway")                                                             \
    X(RECALL, 31, "gateway", "worker")

enum msg {
#define X(name, number, from, to) MSG_##name = number,
    MSG_LIST(X)
#undef X
};

const char *msg_name(int type); /* "PROPOSE"; "?" for an unknown number */

#endif
