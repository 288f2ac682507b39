/* gateway_raft.h - the conversation of a gateway with its node's raft process.
 *
 * PROPOSE [entry]: the gateway's start id is the entry's session. Raft answers only when it
 * refuses; the result of an accepted entry comes from the state worker (worker_gateway.h). After a
 * reconnect the gateway proposes everything that is still open again; workers apply each (session,
 * sequence) once. LEADER comes after every connect and whenever the leader or the term changes:
 * what was refused with E_NO_LEADER may then be proposed again, until the client's time is over.
 * READ_INDEX asks for an index such that a read at or after it is linearizable.
 *
 * LEADER with is_known means: propose everything that is open again. It also comes when the link to
 * the leader was lost and is back, because what was passed on may be lost with it; before it stands
 * a LEADER without is_known. A REFUSE speaks of one copy of a proposal; others may be under way.
 *
 * CLUSTER_ASK and CHANGE are what /admin/cluster needs. Raft answers each once, unless the
 * connection is lost: CLUSTER_ASK within RAFT_CLUSTER_WAIT_MS, with what the leader says or, when
 * it cannot be asked, with what this node knows by itself; CHANGE when it is done or given up,
 * which the gateway's own time limit may well precede (outcome unknown).
 *
 * Every msg_*_send comes to 0, E_PEER_DOWN or E_BUSY (ipc/link.h), or E_TOO_LARGE when a field is
 * beyond its bound: then nothing was queued. Every msg_*_decode refuses what breaks a bound
 * (E_INVALID), ends early or goes on too long; what it fills in is borrowed from the message.
 */
#ifndef INSI_IPC_GATEWAY_RAFT_H
#define INSI_IPC_GATEWAY_RAFT_H

#include "base/proc.h"
#include "ipc/link.h"

#define RAFT_CLUSTER_WAIT_MS 1000
#define RAFT_CHANGE_WAIT_MS 30000
#define MSG_CLUSTER_MEMBERS 64      /* at most */
#define MSG_CLUSTER_ID_BYTES 16     /* shown as hex */
#define MSG_STATE_HASH_BYTES 32     /* at most; shown as hex */
#define MSG_ADDRESS_BYTES 272       /* of "host:port", with a NUL */
#define MSG_CHANGE_DETAIL_BYTES 512 /* at most */

struct msg_propose {
    struct slice entry; /* ipc/entry.h, encoded */
};
int msg_propose_send(struct link *link, const struct msg_propose *msg);
int msg_propose_decode(struct msg_propose *msg, struct unpack *body);

struct msg_refuse { /* surely not applied and never will be */
    uint64_t session, sequence;
    uint64_t error; /* E_NO_LEADER, E_STORAGE_FULL, E_BUSY, E_BAD_COMMAND */
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

struct msg_cluster_ask {
    uint64_t id; /* fresh per question */
};
int msg_cluster_ask_send(struct link *link, const struct msg_cluster_ask *msg);
int msg_cluster_ask_decode(struct msg_cluster_ask *msg, struct unpack *body);

enum msg_member_state {
    MSG_MEMBER_FOLLOWER = 0,
    MSG_MEMBER_LEADER = 1,
    MSG_MEMBER_UNREACHABLE = 2, /* the leader, or this node, has not heard of it lately */
};

struct msg_cluster_member {
    struct slice name; /* node id of the configuration */
    struct slice raft_address, http_address;
    bool is_voter;
    enum msg_member_state state;
    uint64_t match_index; /* what the leader knows it to have; 0 when the leader was not asked */
    uint64_t lag;         /* entries it lacks */
};

/* One member, for the messages between nodes, too. */
void msg_cluster_member_pack(struct pack *pack, const struct msg_cluster_member *member);
void msg_cluster_member_take(struct unpack *body, struct msg_cluster_member *member);

struct msg_cluster_worker { /* of this node */
    uint64_t applied_index;
    uint64_t hash_index;     /* of the state hash; 0: none is known yet */
    struct slice state_hash; /* at most MSG_STATE_HASH_BYTES; empty: none */
};

struct msg_cluster_answer { /* slices are borrowed */
    uint64_t id;
    struct slice cluster_id; /* MSG_CLUSTER_ID_BYTES, or empty: this node is in no cluster yet */
    struct slice leader;     /* name, "" when unknown */
    uint64_t term;
    bool is_of_leader; /* the members are as the leader sees them, else as this node does */
    uint32_t member_count;
    struct msg_cluster_member members[MSG_CLUSTER_MEMBERS];
    uint64_t commit_index;                                /* of this node */
    struct msg_cluster_worker workers[PROC_WORKER_COUNT]; /* by PROC_WORKER_SLOT */
};
int msg_cluster_answer_send(struct link *link, const struct msg_cluster_answer *msg);
int msg_cluster_answer_decode(struct msg_cluster_answer *msg, struct unpack *body);

enum msg_change_kind {
    MSG_CHANGE_JOIN = 0,   /* name and raft_address: ask that node to join; done when it is added */
    MSG_CHANGE_REMOVE = 1, /* name; done when committed */
    MSG_CHANGE_TRANSFER = 2 /* name; done when that node leads */
};

struct msg_change {
    uint64_t id; /* fresh per question */
    enum msg_change_kind kind;
    struct slice name;         /* node id: 1 to LIMIT_NODE_ID_BYTES - 1 bytes, no NUL */
    struct slice raft_address; /* "host:port"; empty but for JOIN */
};
int msg_change_send(struct link *link, const struct msg_change *msg);
int msg_change_decode(struct msg_change *msg, struct unpack *body);

struct msg_change_answer {
    uint64_t id;
    /* 0; E_NOT_FOUND: no member of that name; E_CONFLICT: it is one already, belongs to another
     * cluster, is a learner or behind, or the voters that are left would be no majority;
     * E_BAD_COMMAND: no usable address; E_NO_LEADER: nobody leads, or the node cannot be reached,
     * and nothing was done; E_BUSY: another change is under way; E_OUTCOME_UNKNOWN */
    uint64_t error;
    struct slice detail; /* for people: a sentence without a full stop; may be empty */
};
int msg_change_answer_send(struct link *link, const struct msg_change_answer *msg);
int msg_change_answer_decode(struct msg_change_answer *msg, struct unpack *body);

#endif
