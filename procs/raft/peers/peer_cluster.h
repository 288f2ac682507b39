/* peer_cluster.h - messages about the cluster: proposals on their way to the leader, joining, what
 * operators want, cluster time.
 *
 * Of each: pack and decode, and peer_say_<message>, which is how it is said. That is done or not
 * at all: E_PEER_DOWN (also for a peer that is NULL: it is not known), E_BUSY.
 */
#ifndef INSI_RAFT_PEER_CLUSTER_H
#define INSI_RAFT_PEER_CLUSTER_H

#include "ipc/gateway_raft.h"
#include "procs/raft/peers/peer_message.h"

struct peer; /* peers.h */

/* ---- proposals of a follower's gateways -------------------------------------------------------
 */

struct peer_forward {
    uint64_t term;      /* of the leader it is meant for (M6) */
    struct slice entry; /* ipc/entry.h, encoded */
};
void peer_forward_pack(struct pack *pack, const struct peer_forward *forward);
int peer_forward_decode(struct peer_forward *forward, struct unpack *body);
int peer_say_forward(struct peer *peer, const struct peer_forward *forward);

struct peer_forward_refused { /* as REFUSE of gateway_raft.h */
    uint64_t session, sequence, error;
};
void peer_forward_refused_pack(struct pack *pack, const struct peer_forward_refused *refused);
int peer_forward_refused_decode(struct peer_forward_refused *refused, struct unpack *body);
int peer_say_forward_refused(struct peer *peer, const struct peer_forward_refused *refused);

/* FORWARD_AGAIN has no elements: the leader refused while it was about to hand over, and leads on.
 */
int peer_say_forward_again(struct peer *peer);

/* A follower's disk is nearly full, or is not any more: the leader takes no proposals meanwhile. */
void peer_disk_pack(struct pack *pack, bool is_full);
int peer_disk_decode(bool *is_full, struct unpack *body);
int peer_say_disk(struct peer *peer, bool is_full);

/* ---- joining ----------------------------------------------------------------------------------
 */

/* "I am in no cluster", or "I have a log and hear of no leader": what am I? */
void peer_join_pack(struct pack *pack, bool has_log);
int peer_join_decode(bool *has_log, struct unpack *body);
int peer_say_join(struct peer *peer, bool has_log);

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
int peer_say_join_answer(struct peer *peer, const struct peer_join_answer *answer);

/* INVITE has no elements: an operator wants the node to join. */
int peer_say_invite(struct peer *peer);

enum peer_invited {
    PEER_INVITED_COMES,  /* it asks to join, now */
    PEER_INVITED_STARTS, /* it throws its old log away and starts anew: invite it again */
    PEER_INVITED_MEMBER, /* it believes to be a member, until it is told otherwise */
    PEER_INVITED_FOREIGN /* it belongs to another cluster */
};
#define PEER_INVITED_ANSWERS 4

void peer_invite_answer_pack(struct pack *pack, enum peer_invited answer);
int peer_invite_answer_decode(enum peer_invited *answer, struct unpack *body);
int peer_say_invite_answer(struct peer *peer, enum peer_invited answer);

/* ---- what operators want, asked at a follower -------------------------------------------------
 */

void peer_id_pack(struct pack *pack, uint64_t id); /* STATUS_ASK */
int peer_id_decode(uint64_t *id, struct unpack *body);
int peer_say_status_ask(struct peer *peer, uint64_t id);

struct peer_status { /* what the leader knows of the members */
    uint64_t id;
    uint64_t term;
    struct slice leader; /* name */
    uint32_t member_count;
    struct msg_cluster_member members[MSG_CLUSTER_MEMBERS];
};
void peer_status_pack(struct pack *pack, const struct peer_status *status);
int peer_status_decode(struct peer_status *status, struct unpack *body);
int peer_say_status_answer(struct peer *peer, const struct peer_status *status);

void peer_change_pack(struct pack *pack, const struct msg_change *change);
int peer_change_decode(struct msg_change *change, struct unpack *body);
int peer_say_change(struct peer *peer, const struct msg_change *change);
void peer_change_answer_pack(struct pack *pack, const struct msg_change_answer *answer);
int peer_change_answer_decode(struct msg_change_answer *answer, struct unpack *body);
int peer_say_change_answer(struct peer *peer, const struct msg_change_answer *answer);

/* ---- the cluster clock ------------------------------------------------------------------------
 */

struct peer_clock {
    uint64_t asked_ns;   /* boot time of the node that asks, when it asked */
    uint64_t cluster_ns; /* ANSWER: cluster time at the leader when it answered */
};
void peer_clock_answer_pack(struct pack *pack, const struct peer_clock *clock);
int peer_clock_answer_decode(struct peer_clock *clock, struct unpack *body);
int peer_say_clock_answer(struct peer *peer, const struct peer_clock *clock);
/* CLOCK_ASK is asked_ns alone: peer_id_pack, peer_id_decode. */
int peer_say_clock_ask(struct peer *peer, uint64_t asked_ns);

#endif
