/* joining.h - how a node that hears of no leader finds its cluster, founds one, or learns that it
 * is kept out (docs/peers.md). Who lets it in is at the other end: admission.h.
 *
 *   1. Who hears of no leader asks all it can reach what it is (JOIN), again and again: who is new
 *      at once, who has a log after two election timeouts.
 *   2. A new default leader founds a cluster when all configured nodes have said that they are in
 *      none, or after JOINING_FOUND_NS for those that say nothing; not when anybody is in one.
 *   3. Who was removed while it was away is told so, and stays out. Invited by an operator it
 *      begins anew, as another node.
 *
 * The driver tells it of every new leader and what peers do and say; what follows for the node as a
 * whole it leaves to the driver (joining_hooks). All that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_JOINING_H
#define INSI_RAFT_JOINING_H

#include "base/config.h"
#include "base/pace.h"
#include "ipc/loop.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"
#include "shm/board.h"

struct joining_hooks {
    /* This node alone is to be a cluster. */
    void (*found)(void *arg);
    /* It was let into this one. */
    void (*enter)(void *arg, const uint8_t cluster[WAL_CLUSTER_BYTES]);
    /* What gateways are to say while there is no leader. */
    void (*stand)(void *arg, enum board_standing standing);
    /* It throws its log away and begins anew, at the end of this turn. */
    void (*begin_anew)(void *arg);
    void *arg;
};

struct joining_options {
    const struct config *config;
    const char *node; /* this node's id */
    const struct group *group;
    struct peers *peers;
    struct loop *loop;
    bool has_log;
    struct joining_hooks hooks;
};

struct joining {
    const struct config *config;
    const char *node;
    const struct group *group;
    struct peers *peers;
    struct loop *loop;
    struct joining_hooks hooks;
    struct loop_timer timer;
    bool seeks;               /* all configured nodes are to be spoken to: the driver's to see to */
    bool may_found;           /* this node founds a cluster unless there is one */
    uint64_t found_ns;        /* when it does, whoever has not answered */
    uint64_t none_mask;       /* configured nodes, by their place, that are in no cluster either */
    bool was_member;          /* a config with this node in it was committed, or may have been */
    enum peer_verdict said;   /* REMOVED, FOREIGN, NAME_TAKEN, FULL: the last one that was heard */
    struct pace said_pace;    /* of lines on that */
    struct pace foreign_pace; /* of lines on peers of another cluster */
};

void joining_init(struct joining *joining, const struct joining_options *options);
/* At the start, with the links open. may_found: a cluster, if there is none. */
void joining_begin(struct joining *joining, bool may_found);

/* The group has another leader, or none. */
void joining_on_leader(struct joining *joining);
/* A config with this node in it is committed, or in a snapshot. */
void joining_note_member(struct joining *joining);

/* A peer can be spoken to; it speaks on a new connection. */
void joining_on_up(struct joining *joining, struct peer *peer);
void joining_on_heard(struct joining *joining, const struct peer *peer);
/* JOIN_ANSWER or INVITE; the body is consumed or refused. */
void joining_on_message(struct joining *joining, struct peer *from, enum peer_message number,
                        struct unpack *body);

#endif
