/* worker_gateway.h - the conversation of a state worker with a gateway.
 *
 * After the transaction that applied an entry has committed, the worker sends RESULT to the gateway
 * whose start id is the entry's session, if that gateway is connected to this node. The worker
 * remembers results until the session's floor passes them; a gateway that reconnects asks again
 * with RECALL for each open sequence and gets RESULT for those already applied (for others it comes
 * in due time).
 */
#ifndef INSI_IPC_WORKER_GATEWAY_H
#define INSI_IPC_WORKER_GATEWAY_H

#include "ipc/link.h"

struct msg_result {
    uint64_t sequence;
    uint64_t index;      /* log index at which it was applied */
    uint64_t error;      /* 0 or a stored code of base/error.h */
    struct slice detail; /* VALUE_BUMP: the new number in decimal; else empty */
};
int msg_result_send(struct link *link, const struct msg_result *msg);
int msg_result_decode(struct msg_result *msg, struct unpack *body);

struct msg_recall {
    uint64_t sequence;
};
int msg_recall_send(struct link *link, const struct msg_recall *msg);
int msg_recall_decode(struct msg_recall *msg, struct unpack *body);

#endif
