/* admin_status.h - who belongs to the cluster and how far they are, for operators.
 *
 * The leader knows; a follower asks it, and says what it knows by itself when no answer comes in
 * time, or when ADMIN_STATUS_ASKS questions are open already. All that it is given is borrowed for
 * life.
 */
#ifndef INSI_RAFT_ADMIN_STATUS_H
#define INSI_RAFT_ADMIN_STATUS_H

#include "ipc/loop.h"
#include "procs/raft/apply.h"
#include "procs/raft/gateways.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"

#define ADMIN_STATUS_ASKS 64 /* of gateways, at the leader */

struct admin_status_options {
    const struct group *group;
    const struct peers *peers;
    const struct apply *apply;
    struct gateways *gateways; /* are answered */
    struct loop *loop;
};

struct admin_status_ask {
    uint64_t id; /* 0: free */
    uint64_t due_ns;
    struct reads_origin origin;
};

struct admin_status {
    const struct group *group;
    const struct peers *peers;
    const struct apply *apply;
    struct gateways *gateways;
    struct loop *loop;
    struct admin_status_ask asks[ADMIN_STATUS_ASKS];
    uint64_t last_id;
    struct loop_timer timer;
};

void admin_status_init(struct admin_status *admin, const struct admin_status_options *options);

/* A gateway of this node asks. */
void admin_status_ask(struct admin_status *admin, const struct reads_origin *origin);
/* STATUS_ASK or STATUS_ANSWER; the body is consumed or refused. */
void admin_status_on_message(struct admin_status *admin, struct peer *from,
                             enum peer_message number, struct unpack *body);

#endif
