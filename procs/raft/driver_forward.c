/* driver_forward.c - proposals of a follower's gateways, passed on to the leader.
 *
 *   1. A follower keeps nothing: it passes on what its gateways propose, and their workers answer
 *      when it was applied. Whenever something may have been lost on the way (the connection to the
 *      leader, in either direction, or the leader itself) the gateways are told to propose again
 *      all that is open; workers apply each proposal once.
 *   2. What is passed on names the term that it is meant for, and is refused in any other (M6).
 *   3. A refusal goes back to the node it came from, which finds the gateway by its session.
 */
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/entry.h"
#include "procs/raft/driver_private.h"

/* ---- what gateways are told -------------------------------------------------------------------
 */

static bool driver_reaches_leader(const struct driver *driver)
{
    if (driver->group.is_stopping || driver->group.leader == RAFT_NONE)
        return false;
    if (driver->group.leader == driver->group.raft_id)
        return true;
    const struct peer *peer = peers_by_id(driver->peers, driver->group.leader);
    return peer && peer_info(peer)->is_up;
}

void driver_tell_gateways(struct driver *driver)
{
    gateways_set_leader(&driver->gateways, driver->group.term, driver_reaches_leader(driver));
}

void driver_tell_gateways_again(struct driver *driver)
{
    gateways_set_leader(&driver->gateways, driver->group.term, false);
    driver_tell_gateways(driver);
}

/* ---- the follower -----------------------------------------------------------------------------
 */

void driver_pass_on(struct driver *driver, const struct proposal_origin *origin, struct slice entry)
{
    const struct peer_forward forward = {driver->group.term, entry};
    struct peer *leader = peers_by_id(driver->peers, driver->group.leader);
    struct pack *pack;
    int error = leader ? peer_begin(leader, PEER_FORWARD, &pack) : E_PEER_DOWN;
    if (error) {
        gateways_refuse(&driver->gateways, origin, error == E_BUSY ? E_BUSY : E_NO_LEADER);
        return;
    }
    peer_forward_pack(pack, &forward);
    peer_end(leader);
}

static void driver_on_forward_refused(struct driver *driver, struct unpack *body)
{
    struct peer_forward_refused refused;
    if (peer_forward_refused_decode(&refused, body) != 0)
        return;
    const struct msg_refuse refuse = {refused.session, refused.sequence, refused.error};
    gateways_refuse_session(&driver->gateways, &refuse);
}

/* ---- the leader -------------------------------------------------------------------------------
 */

static void driver_refuse_peer(struct driver *driver, const struct proposal_origin *origin,
                               int error)
{
    const struct peer_forward_refused refused = {origin->session, origin->sequence,
                                                 (uint64_t)error};
    struct peer *peer = peers_by_id(driver->peers, origin->node);
    struct pack *pack;
    if (!peer || peer_begin(peer, PEER_FORWARD_REFUSED, &pack) != 0)
        return; /* its gateway proposes it again when the connection is back */
    peer_forward_refused_pack(pack, &refused);
    peer_end(peer);
}

void driver_refuse(struct driver *driver, const struct proposal_origin *origin, int error)
{
    if (origin->gateway == PROPOSAL_OF_PEER)
        driver_refuse_peer(driver, origin, error);
    else
        gateways_refuse(&driver->gateways, origin, error);
}

static void driver_on_forward(struct driver *driver, const struct peer *from, struct unpack *body)
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
    if (!group_leads(&driver->group) || driver->group.term != forward.term)
        driver_refuse(driver, &origin, E_NO_LEADER);
    else
        driver_take_proposal(driver, &origin, forward.entry);
}

/* Proposals were refused while leadership was to be handed over, and it was not. */
void driver_lead_on(struct driver *driver)
{
    struct pack *pack;
    driver_tell_gateways_again(driver);
    for (uint32_t i = 0; i < driver->group.members.count; i++) {
        struct peer *peer = peers_by_id(driver->peers, driver->group.members.list[i].id);
        if (peer && peer_begin(peer, PEER_FORWARD_AGAIN, &pack) == 0)
            peer_end(peer);
    }
}

static void driver_on_forward_again(struct driver *driver, const struct peer *from,
                                    struct unpack *body)
{
    if (unpack_end(body) == 0 && peer_info(from)->id == driver->group.leader)
        driver_tell_gateways_again(driver);
}

/* ---- full disks -------------------------------------------------------------------------------
 *
 * A leader takes nothing while a voter that answers has no room for it: a majority of full disks
 * would stop them all, and worse than by refusing. One that is gone holds nobody up. */

static void driver_on_disk(struct driver *driver, const struct peer *from, struct unpack *body)
{
    bool is_full;
    if (peer_disk_decode(&is_full, body) != 0)
        return;
    driver_note_full(driver, peer_info(from)->id, is_full);
}

void driver_note_full(struct driver *driver, uint64_t id, bool is_full)
{
    uint32_t at = 0;
    while (at < driver->full_count && driver->full[at] != id)
        at++;
    if (is_full && at == driver->full_count && at < RAFT_MEMBERS_MAX)
        driver->full[driver->full_count++] = id;
    else if (!is_full && at < driver->full_count)
        driver->full[at] = driver->full[--driver->full_count];
}

bool driver_others_are_full(const struct driver *driver)
{
    for (uint32_t i = 0; i < driver->full_count; i++) {
        const struct member *member = members_find(&driver->group.members, driver->full[i]);
        if (member && member->voter && group_is_active(&driver->group, member->id))
            return true;
    }
    return false;
}

void driver_say_disk(struct driver *driver, struct peer *leader)
{
    bool is_full = driver_is_full(driver, 0);
    struct pack *pack;
    if ((!is_full && !driver->said_full) || peer_begin(leader, PEER_DISK, &pack) != 0)
        return;
    peer_disk_pack(pack, is_full);
    peer_end(leader);
    driver->said_full = is_full;
}

void driver_forward_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                               struct unpack *body)
{
    switch (number) {
    case PEER_FORWARD:
        driver_on_forward(driver, from, body);
        break;
    case PEER_FORWARD_REFUSED:
        driver_on_forward_refused(driver, body);
        break;
    case PEER_FORWARD_AGAIN:
        driver_on_forward_again(driver, from, body);
        break;
    case PEER_DISK:
        driver_on_disk(driver, from, body);
        break;
    default:
        unpack_refuse(body);
    }
}
