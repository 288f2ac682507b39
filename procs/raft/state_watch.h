/* state_watch.h - sees to it that the nodes' states agree (docs/snapshots.md). The comparison
 * itself is state_check.h.
 *
 * Every node tells the leader its workers' hashes at checkpoints. Who differs from the majority
 * throws that worker's state and its own snapshots away, and makes the state anew from its log; if
 * that does not reach back far enough it asks for a snapshot.
 *
 * All that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_STATE_WATCH_H
#define INSI_RAFT_STATE_WATCH_H

#include "base/pace.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peers.h"
#include "procs/raft/snapshots/snapshots.h"
#include "procs/raft/state_check.h"

struct state_watch_options {
    const struct group *group;
    struct peers *peers;
    struct apply *apply;
    struct snapshots *snapshots;
    struct loop *loop;
};

struct state_watch {
    const struct group *group;
    struct peers *peers;
    struct apply *apply;
    struct snapshots *snapshots;
    struct loop *loop;
    struct state_check *check;
    uint64_t term;    /* in which it compares; 0: this node does not lead */
    struct pace pace; /* of lines on states that differ */
};

void state_watch_init(struct state_watch *watch, const struct state_watch_options *options);
void state_watch_fini(struct state_watch *watch);

/* A worker of this node has reached a checkpoint. */
void state_watch_on_checkpoint(struct state_watch *watch, enum proc worker, uint64_t index,
                               uint64_t hash);
/* STATE_HASH or STATE_DIFFERS; the body is consumed or refused. */
void state_watch_on_message(struct state_watch *watch, struct peer *from, enum peer_message number,
                            struct unpack *body);
/* In each turn: what another term's leader was told does not count. */
void state_watch_turn(struct state_watch *watch);

#endif
