/* peer_message.h - what the raft processes of the nodes say to each other, and how it is encoded.
 *
 * A message is a msgpack array [number, elements...] in a frame of its own length within the frame
 * that is authenticated (peer_frame.h). Encoders and decoders stand side by side; decoders are
 * strict (ipc/pack.h), and what they give is borrowed from the frame. The sender, its cluster and
 * its addresses are known from the connection, so no message repeats them. A change here raises
 * PEER_VERSION.
 */
#ifndef INSI_RAFT_PEER_MESSAGE_H
#define INSI_RAFT_PEER_MESSAGE_H

#include "ipc/gateway_raft.h"
#include "ipc/pack.h"
#include "procs/raft/members.h"
#include "procs/raft/peer_frame.h"

/* X(name, number, elements, who) - ANYBODY: also from a node of no cluster or of another one;
 * MEMBER: only from one of this node's cluster. */
#define PEER_MESSAGE_LIST(X)                                                                       \
    X(HELLO, 1, 5, ANYBODY)                                                                        \
    X(WELCOME, 2, 4, ANYBODY)                                                                      \
    X(VOTE, 10, 8, MEMBER)                                                                         \
    X(VOTE_REPLY, 11, 4, MEMBER)                                                                   \
    X(APPEND, 12, 10, MEMBER)                                                                      \
    X(APPEND_REPLY, 13, 9, MEMBER)                                                                 \
    X(TIMEOUT_NOW, 14, 2, MEMBER)                                                                  \
    X(READ, 15, 2, MEMBER)                                                                         \
    X(READ_REPLY, 16, 3, MEMBER)                                                                   \
    X(FORWARD, 20, 2, MEMBER)                                                                      \
    X(FORWARD_REFUSED, 21, 3, MEMBER)                                                              \
    X(DISK, 22, 1, MEMBER)                                                                         \
    X(FORWARD_AGAIN, 23, 0, MEMBER)                                                                \
    X(JOIN, 30, 1, ANYBODY)                                                                        \
    X(JOIN_ANSWER, 31, 4, ANYBODY)                                                                 \
    X(INVITE, 32, 0, ANYBODY)                                                                      \
    X(INVITE_ANSWER, 33, 1, ANYBODY)                                                               \
    X(STATUS_ASK, 40, 1, MEMBER)                                                                   \
    X(STATUS_ANSWER, 41, 4, MEMBER)                                                                \
    X(CHANGE, 42, 4, MEMBER)                                                                       \
    X(CHANGE_ANSWER, 43, 3, MEMBER)                                                                \
    X(CLOCK_ASK, 50, 1, MEMBER)                                                                    \
    X(CLOCK_ANSWER, 51, 2, MEMBER)                                                                 \
    X(SNAPSHOT_OFFER, 60, 3, MEMBER)                                                               \
    X(SNAPSHOT_CHUNK, 61, 3, MEMBER)                                                               \
    X(SNAPSHOT_ACK, 62, 2, MEMBER)                                                                 \
    X(SNAPSHOT_ABORT, 63, 2, MEMBER)                                                               \
    X(SNAPSHOT_WANTED, 64, 1, MEMBER)                                                              \
    X(STATE_HASH, 65, 3, MEMBER)                                                                   \
    X(STATE_DIFFERS, 66, 3, MEMBER)

enum peer_message {
#define X(name, number, elements, who) PEER_##name = number,
    PEER_MESSAGE_LIST(X)
#undef X
};

const char *peer_message_name(int number);    /* "APPEND"; "?" for an unknown number */
int peer_message_elements(int number);        /* -1 for an unknown number */
bool peer_message_is_for_members(int number); /* MEMBER in the list */

/* Within a frame a message stands as a msgpack bin. Appends the beginning of one: pack its elements
 * behind it, then end it. begin: what out->len was before. */
void peer_message_begin(struct buf *out, struct pack *pack, enum peer_message number);
void peer_message_end(struct buf *out, size_t begin);
/* The one message of a frame that may hold no other: the body is at its first element. E_INVALID
 * and the like. */
int peer_message_single(struct slice messages, enum peer_message number, struct unpack *body);

/* ---- connections ------------------------------------------------------------------------------
 */

struct peer_hello { /* also WELCOME, without the nonce */
    uint8_t nonce[PEER_NONCE_BYTES];
    uint64_t start_id;                       /* of the process */
    struct slice name;                       /* node id of the configuration; not empty, no NUL */
    struct slice raft_address, http_address; /* "host:port" where others reach it */
};
void peer_hello_pack(struct pack *pack, const struct peer_hello *hello);
int peer_hello_decode(struct peer_hello *hello, struct unpack *body);
void peer_welcome_pack(struct pack *pack, const struct peer_hello *hello);
int peer_welcome_decode(struct peer_hello *hello, struct unpack *body);

/* ---- the core's messages (core/raft.h) but for APPEND, which is in peer_append.h ---------------
 */

/* The number under which a kind travels. */
enum peer_message peer_raft_number(enum raft_message_kind kind);
void peer_raft_pack(struct pack *pack, const struct raft_message *message);
/* from and to are not touched. */
int peer_raft_decode(struct raft_message *message, enum peer_message number, struct unpack *body);

/* ---- proposals of a follower's gateways -------------------------------------------------------
 */

struct peer_forward {
    uint64_t term;      /* of the leader it is meant for (M6) */
    struct slice entry; /* ipc/entry.h, encoded */
};
void peer_forward_pack(struct pack *pack, const struct peer_forward *forward);
int peer_forward_decode(struct peer_forward *forward, struct unpack *body);

struct peer_forward_refused { /* as REFUSE of gateway_raft.h */
    uint64_t session, sequence, error;
};
void peer_forward_refused_pack(struct pack *pack, const struct peer_forward_refused *refused);
int peer_forward_refused_decode(struct peer_forward_refused *refused, struct unpack *body);

/* FORWARD_AGAIN has no elements: the leader refused while it was about to hand over, and leads on.
 */

/* A follower's disk is nearly full, or is not any more: the leader takes no proposals meanwhile. */
void peer_disk_pack(struct pack *pack, bool is_full);
int peer_disk_decode(bool *is_full, struct unpack *body);

/* ---- joining ----------------------------------------------------------------------------------
 */

/* "I am in no cluster", or "I have a log and hear of no leader": what am I? */
void peer_join_pack(struct pack *pack, bool has_log);
int peer_join_decode(bool *has_log, struct unpack *body);

enum peer_verdict {
    PEER_VERDICT_NO_CLUSTER, /* I am in none either */
    PEER_VERDICT_NO_LEADER,  /* ask again */
    PEER_VERDICT_ASK_LEADER, /* it is named */
    PEER_VERDICT_WAIT,       /* it will be seen to: ask again */
    PEER_VERDICT_ACCEPTED,   /* you are a member, or about to become one */
    PEER_VERDICT_REMOVED,    /* you were one; only an operator brings you back */
    PEER_VERDICT_FOREIGN,    /* you belong to another cluster */
    PEER_VERDICT_NAME_TAKEN, /* another node of your name is alive */
    PEER_VERDICT_FULL        /* there are as many members as there can be */
};
#define PEER_VERDICTS 9

struct peer_join_answer {
    enum peer_verdict verdict;
    uint8_t cluster[WAL_CLUSTER_BYTES];  /* of the node that answers; zeros: none */
    struct slice leader, leader_address; /* empty when unknown */
};
void peer_join_answer_pack(struct pack *pack, const struct peer_join_answer *answer);
int peer_join_answer_decode(struct peer_join_answer *answer, struct unpack *body);

enum peer_invited {
    PEER_INVITED_COMES,  /* it asks to join, now */
    PEER_INVITED_STARTS, /* it throws its old log away and starts anew: invite it again */
    PEER_INVITED_MEMBER, /* it believes to be a member, until it is told otherwise */
    PEER_INVITED_FOREIGN /* it belongs to another cluster */
};
#define PEER_INVITED_ANSWERS 4

void peer_invite_answer_pack(struct pack *pack, enum peer_invited answer);
int peer_invite_answer_decode(enum peer_invited *answer, struct unpack *body);

/* ---- what operators want, asked at a follower -------------------------------------------------
 */

void peer_id_pack(struct pack *pack, uint64_t id); /* STATUS_ASK */
int peer_id_decode(uint64_t *id, struct unpack *body);

struct peer_status { /* what the leader knows of the members */
    uint64_t id;
    uint64_t term;
    struct slice leader; /* name */
    uint32_t member_count;
    struct msg_cluster_member members[MSG_CLUSTER_MEMBERS];
};
void peer_status_pack(struct pack *pack, const struct peer_status *status);
int peer_status_decode(struct peer_status *status, struct unpack *body);

void peer_change_pack(struct pack *pack, const struct msg_change *change);
int peer_change_decode(struct msg_change *change, struct unpack *body);
void peer_change_answer_pack(struct pack *pack, const struct msg_change_answer *answer);
int peer_change_answer_decode(struct msg_change_answer *answer, struct unpack *body);

/* ---- the cluster clock ------------------------------------------------------------------------
 */

struct peer_clock {
    uint64_t asked_ns;   /* boot time of the node that asks, when it asked */
    uint64_t cluster_ns; /* ANSWER: cluster time at the leader when it answered */
};
void peer_clock_answer_pack(struct pack *pack, const struct peer_clock *clock);
int peer_clock_answer_decode(struct peer_clock *clock, struct unpack *body);
/* CLOCK_ASK is asked_ns alone: peer_id_pack, peer_id_decode. */

#endif
