/* forwarding.h - proposals of a follower's gateways, passed on to the leader.
 *
 *   1. A follower keeps nothing: it passes on what its gateways propose, and their workers answer
 *      when it was applied. Whenever something may have been lost on the way (the connection to the
 *      leader, in either direction, or the leader itself) the gateways are told to propose again
 *      all that is open; workers apply each proposal once.
 *   2. What is passed on names the term that it is meant for, and is refused in any other (M6).
 *   3. A refusal goes back to the node it came from, which finds the gateway by its session.
 *
 * It keeps nothing; all that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_FORWARDING_H
#define INSI_RAFT_FORWARDING_H

#include "procs/raft/gateways.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"

struct forwarding {
    const struct group *group;
    struct peers *peers;
    struct gateways *gateways;
    /* At the leader: another node's gateway proposes this; its bytes are borrowed. */
    void (*take)(void *arg, const struct proposal_origin *origin, struct slice entry);
    void *arg;
};

/* At a follower, of one of its gateways: to the leader, or refused. */
void forwarding_pass_on(const struct forwarding *forwarding, const struct proposal_origin *origin,
                        struct slice entry);
/* To the gateway that it came from, here or at another node. */
void forwarding_refuse(const struct forwarding *forwarding, const struct proposal_origin *origin,
                       int error);
/* FORWARD, FORWARD_REFUSED or FORWARD_AGAIN; the body is consumed or refused. */
void forwarding_on_message(const struct forwarding *forwarding, struct peer *from,
                           enum peer_message number, struct unpack *body);

/* The gateways here are told whether their proposals reach a leader; again: and that all that is
 * open may have been lost. */
void forwarding_tell(const struct forwarding *forwarding);
void forwarding_tell_again(const struct forwarding *forwarding);
/* Proposals were refused while leadership was to be handed over, and it was not: all nodes'
 * gateways are told. */
void forwarding_lead_on(const struct forwarding *forwarding);

#endif
