/* gateway_raft.h - the conversation of a gateway with its node's raft process.
 *
 * PROPOSE [entry]: the gateway's start id is the entry's session. Raft answers only when it
 * refuses; the result of an accepted entry comes from the state worker (worker_gateway.h). After a
 * reconnect the gateway proposes everything that is still open again; workers apply each (session,
 * sequence) once. LEADER comes after every connect and whenever the leader or the term changes:
 * what was refused with E_NO_LEADER may then be proposed again, until the client's time is over.
 * READ_INDEX asks for an index such that a read at or after it is linearizable.
 */
#ifndef INSI_IPC_GATEWAY_RAFT_H
#define INSI_IPC_GATEWAY_RAFT_H

#include "ipc/link.h"

struct msg_propose {
    struct slice entry; /* ipc/entry.h, encoded */
};
int msg_propose_send(struct link *link, const struct msg_propose *msg);
int msg_propose_decode(struct msg_propose *msg, struct unpack *body);

struct msg_refuse { /* surely not applied and never will be */
    uint64_t session, sequence;
    uint64_t error; /* E_NO_LEADER, E_STORAGE_FULL, E_BUSY, E_TOO_LARGE, E_BAD_COMMAND */
};
int msg_refuse_send(struct link *link, const struct msg_refuse *msg);
int msg_refuse_decode(struct msg_refuse *msg, struct unpack *body);

struct msg_leader {
    uint64_t term;
    bool is_known; /* there is a leader, and proposals reach it */
};
int msg_leader_send(struct link *link, const struct msg_leader *msg);
int msg_leader_decode(struct msg_leader *msg, struct unpack *body);

struct msg_read_index {
    uint64_t id; /* fresh per question */
};
int msg_read_index_send(struct link *link, const struct msg_read_index *msg);
int msg_read_index_decode(struct msg_read_index *msg, struct unpack *body);

struct msg_read_index_reply {
    uint64_t id;
    uint64_t error; /* 0 or E_NO_LEADER */
    uint64_t index; /* read once the worker's applied index has reached it */
};
int msg_read_index_reply_send(struct link *link, const struct msg_read_index_reply *msg);
int msg_read_index_reply_decode(struct msg_read_index_reply *msg, struct unpack *body);

#endif
