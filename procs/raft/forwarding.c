/* forwarding.c - see forwarding.h. */
#include "procs/raft/forwarding.h"

#include "base/error.h"
#include "ipc/entry.h"

/* ---- what gateways are told -------------------------------------------------------------------
 */

static bool forwarding_reaches_leader(const struct forwarding *forwarding)
{
    if (forwarding->group->is_stopping || forwarding->group->leader == RAFT_NONE)
        return false;
    if (forwarding->group->leader == forwarding->group->raft_id)
        return true;
    const struct peer *peer = peers_by_id(forwarding->peers, forwarding->group->leader);
    return peer && peer_info(peer)->is_up;
}

void forwarding_tell(const struct forwarding *forwarding)
{
    gateways_set_leader(forwarding->gateways, forwarding->group->term,
                        forwarding_reaches_leader(forwarding));
}

void forwarding_tell_again(const struct forwarding *forwarding)
{
    gateways_set_leader(forwarding->gateways, forwarding->group->term, false);
    forwarding_tell(forwarding);
}

/* ---- the follower -----------------------------------------------------------------------------
 */

void forwarding_pass_on(const struct forwarding *forwarding, const struct proposal_origin *origin,
                        struct slice entry)
{
    const struct peer_forward forward = {forwarding->group->term, entry};
    struct peer *leader = peers_by_id(forwarding->peers, forwarding->group->leader);
    int error = peer_say_forward(leader, &forward);
    if (error)
        gateways_refuse(forwarding->gateways, origin, error == E_BUSY ? E_BUSY : E_NO_LEADER);
}

static void forwarding_on_refused(const struct forwarding *forwarding, struct unpack *body)
{
    struct peer_forward_refused refused;
    if (peer_forward_refused_decode(&refused, body) != 0)
        return;
    const struct msg_refuse refuse = {refused.session, refused.sequence, refused.error};
    gateways_refuse_session(forwarding->gateways, &refuse);
}

/* ---- the leader -------------------------------------------------------------------------------
 */

static void forwarding_refuse_peer(const struct forwarding *forwarding,
                                   const struct proposal_origin *origin, int error)
{
    const struct peer_forward_refused refused = {origin->session, origin->sequence,
                                                 (uint64_t)error};
    /* if it is not there: its gateway proposes it again when the connection is back */
    (void)peer_say_forward_refused(peers_by_id(forwarding->peers, origin->node), &refused);
}

void forwarding_refuse(const struct forwarding *forwarding, const struct proposal_origin *origin,
                       int error)
{
    if (origin->gateway == PROPOSAL_OF_PEER)
        forwarding_refuse_peer(forwarding, origin, error);
    else
        gateways_refuse(forwarding->gateways, origin, error);
}

static void forwarding_on_forward(const struct forwarding *forwarding, const struct peer *from,
                                  struct unpack *body)
{
    struct peer_forward forward;
    struct entry entry;
    if (peer_forward_decode(&forward, body) != 0)
        return;
    if (entry_decode(&entry, forward.entry) != 0 || entry.session == 0) {
        unpack_refuse(body); /* its raft process has looked at it, too */
        return;
    }
    const struct proposal_origin origin = {.gateway = PROPOSAL_OF_PEER,
                                           .node = peer_info(from)->id,
                                           .session = entry.session,
                                           .sequence = entry.sequence};
    if (!group_leads(forwarding->group) || forwarding->group->term != forward.term)
        forwarding_refuse(forwarding, &origin, E_NO_LEADER);
    else
        forwarding->take(forwarding->arg, &origin, forward.entry);
}

void forwarding_lead_on(const struct forwarding *forwarding)
{
    const struct members *members = &forwarding->group->members;
    forwarding_tell_again(forwarding);
    for (uint32_t i = 0; i < members->count; i++)
        (void)peer_say_forward_again(peers_by_id(forwarding->peers, members->list[i].id));
}

static void forwarding_on_again(const struct forwarding *forwarding, const struct peer *from,
                                struct unpack *body)
{
    if (unpack_end(body) == 0 && peer_info(from)->id == forwarding->group->leader)
        forwarding_tell_again(forwarding);
}

void forwarding_on_message(const struct forwarding *forwarding, struct peer *from,
                           enum peer_message number, struct unpack *body)
{
    switch (number) {
    case PEER_FORWARD:
        forwarding_on_forward(forwarding, from, body);
        break;
    case PEER_FORWARD_REFUSED:
        forwarding_on_refused(forwarding, body);
        break;
    default:
        forwarding_on_again(forwarding, from, body);
    }
}
