/* admin_changes.h - changes of the cluster that operators ask for: a node is to join, to be removed
 * or to lead.
 *
 * The leader carries them out; a follower passes them on, and the answer back. Each is answered
 * once, at the latest when its time is over; ADMIN_CHANGES at a time, beyond that with E_BUSY.
 *
 * Looked at at the end of each turn, so nobody has to say that something has moved on; what comes
 * by itself are the questions, what peers say, and a peer that is gone. All that it is given is
 * borrowed for life.
 */
#ifndef INSI_RAFT_ADMIN_CHANGES_H
#define INSI_RAFT_ADMIN_CHANGES_H

#include "base/config.h"
#include "ipc/loop.h"
#include "procs/raft/gateways.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"

#define ADMIN_CHANGES 16

struct admin_changes_hooks { /* at the leader: the core is to do it */
    enum raft_refusal (*change)(void *arg, enum raft_change_kind kind, const struct member *member);
    enum raft_refusal (*transfer)(void *arg, uint64_t to);
    /* Whether this member has run for long enough to be made leader. */
    bool (*can_take_over)(void *arg, uint64_t id);
    void *arg;
};

struct admin_changes_options {
    const struct config *config;
    const struct group *group;
    struct peers *peers;
    struct gateways *gateways; /* are answered */
    struct loop *loop;
    struct admin_changes_hooks hooks;
};

enum admin_change_stage {
    ADMIN_CHANGE_FREE,
    ADMIN_CHANGE_PASSED_ON,   /* to the leader */
    ADMIN_CHANGE_BEGINNING,   /* the core has not taken it yet */
    ADMIN_CHANGE_COMMITTING,  /* it has */
    ADMIN_CHANGE_INVITING,    /* the node is asked to ask */
    ADMIN_CHANGE_HANDING_OVER /* leadership */
};

struct admin_change_origin { /* where the answer goes */
    bool is_peer;
    uint64_t node; /* its raft id; else a gateway's */
    uint32_t gateway, connection;
    uint64_t id; /* theirs */
};

struct admin_change {
    enum admin_change_stage stage;
    struct admin_change_origin origin;
    enum msg_change_kind kind;
    char name[LIMIT_NODE_ID_BYTES], address[MSG_ADDRESS_BYTES];
    uint64_t due_ns; /* to be answered */
    uint64_t term;   /* in which it was asked for */
    uint64_t target; /* raft id of the member, or of whom it was passed on to */
    uint64_t passed_id;
    bool is_met; /* INVITING: it could be spoken to */
    uint64_t next_ns;
    enum peer_invited invited; /* what it said last */
};

struct admin_changes {
    const struct config *config;
    const struct group *group;
    struct peers *peers;
    struct gateways *gateways;
    struct loop *loop;
    struct admin_changes_hooks hooks;
    struct admin_change list[ADMIN_CHANGES];
    uint64_t last_id;
    bool is_any;
    struct loop_timer timer;
};

void admin_changes_init(struct admin_changes *changes, const struct admin_changes_options *options);

/* A gateway of this node asks. */
void admin_changes_ask(struct admin_changes *changes, const struct reads_origin *origin,
                       const struct msg_change *msg);
/* CHANGE, CHANGE_ANSWER or INVITE_ANSWER; the body is consumed or refused. */
void admin_changes_on_message(struct admin_changes *changes, struct peer *from,
                              enum peer_message number, struct unpack *body);
/* The connection to or from it is lost, and with it perhaps the answer. */
void admin_changes_lose_peer(struct admin_changes *changes, const struct peer *peer);
/* At the end of a turn. */
void admin_changes_serve(struct admin_changes *changes);

#endif
