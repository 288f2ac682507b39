/* worker_gateway.h - the conversation of a state worker with a gateway.
 *
 * Results. On every connect, and whenever it begins a new session, the gateway says SESSION for
 * each that it has. To one that is news the worker answers with RESULT for all that it remembers of
 * that session, and from then on sends RESULT for each of its entries, after the transaction that
 * applied it has committed; of the WORKER_GATEWAY_SESSIONS that were told last on a connection,
 * which are more than a gateway has. So whatever was applied while the two were not connected, or
 * did not yet know each other, is told now; the same result may come twice. Should a result not
 * come all the same (a worker drops results for a gateway that does not read), the gateway asks for
 * it with RECALL: it gets RESULT if the entry has been applied, and else in due time; RECALL makes
 * a session known as SESSION does.
 *
 * A QUEUE_POP that waits has two results: E_QUEUE_WAITING when it was applied, and later the final
 * one, at a higher index, which is remembered in the place of the first.
 *
 * Waiting for the worker. WAIT_APPLIED: tell me when your applied index has reached this one. The
 * worker says APPLIED_AT with what it has applied: at once if that is enough, else after each
 * commit until it is. A later WAIT_APPLIED only raises the index; a connection that ends forgets
 * it.
 */
#ifndef INSI_IPC_WORKER_GATEWAY_H
#define INSI_IPC_WORKER_GATEWAY_H

#include "ipc/link.h"

#define WORKER_GATEWAY_SESSIONS 16

struct msg_session {
    uint64_t session; /* never 0 */
};
int msg_session_send(struct link *link, const struct msg_session *msg);
int msg_session_decode(struct msg_session *msg, struct unpack *body);

struct msg_result {
    uint64_t session, sequence;
    uint64_t index;      /* log index at which it was applied */
    uint64_t error;      /* 0 or a stored code of base/error.h */
    struct slice detail; /* see ipc/command.h; mostly empty */
};
int msg_result_send(struct link *link, const struct msg_result *msg);
int msg_result_decode(struct msg_result *msg, struct unpack *body);

struct msg_recall {
    uint64_t session, sequence;
};
int msg_recall_send(struct link *link, const struct msg_recall *msg);
int msg_recall_decode(struct msg_recall *msg, struct unpack *body);

struct msg_wait_applied {
    uint64_t index; /* 0: just tell how far you are */
};
int msg_wait_applied_send(struct link *link, const struct msg_wait_applied *msg);
int msg_wait_applied_decode(struct msg_wait_applied *msg, struct unpack *body);

struct msg_applied_at {
    uint64_t index; /* all up to it is in the map, and on the board */
};
int msg_applied_at_send(struct link *link, const struct msg_applied_at *msg);
int msg_applied_at_decode(struct msg_applied_at *msg, struct unpack *body);

#endif
