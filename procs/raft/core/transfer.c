/* transfer.c - handing leadership over (thesis 3.10).
 *
 *   1. No proposals are taken and no lease is held from the beginning on (M5, L6).
 *   2. When the target has the whole log on its disk: TIMEOUT_NOW. The transfer's round is the
 *      floor below which answers earn no lease.
 *   3. Over after T: the floor is raised above the transfer's round and goes out with every APPEND,
 *      so that whoever grants a new lease knows that the old TIMEOUT_NOW is void (L7; vote.c rule
 *      6).
 *   4. A leader that has not been able to write or to apply for T hands over; if that leads to
 *      nothing within another T it steps down, for there may be others than the one it chose (E8).
 */
#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

/* The one with the longest log; of several not the one that was tried last, which may be unfit in
 * ways that do not show here. */
static struct raft_peer *raft_transfer_best(struct raft *raft)
{
    struct raft_peer *best = NULL;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        if (peer->voter && peer->state == RAFT_PEER_REPLICATE && raft_lease_is_active(raft, peer) &&
            (!best || peer->match > best->match ||
             (peer->match == best->match && best->id == raft->transfer.last)))
            best = peer;
    }
    return best;
}

enum raft_refusal raft_transfer_begin(struct raft *raft, uint64_t to)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_REFUSED_NOT_LEADER;
    if (raft->transfer.to != RAFT_NONE)
        return RAFT_REFUSED_TRANSFERRING;
    struct raft_peer *peer = to == RAFT_NONE ? raft_transfer_best(raft) : raft_peer_find(raft, to);
    if (!peer || !peer->voter)
        return RAFT_REFUSED_INVALID;
    if (peer->state != RAFT_PEER_REPLICATE || !raft_lease_is_active(raft, peer))
        return RAFT_REFUSED_BEHIND;
    raft_role_lose_lease(raft);
    raft->transfer.to = raft->transfer.last = peer->id;
    raft->transfer.deadline_ns = raft->now_ns + raft->options.election_timeout_ns;
    raft->transfer.sent = false;
    return RAFT_TAKEN;
}

void raft_transfer_end(struct raft *raft, enum raft_transfer_result result)
{
    if (raft->transfer.to == RAFT_NONE)
        return;
    raft->transfer.to = RAFT_NONE;
    raft->update->transfer = result;
    if (raft->role != RAFT_LEADER)
        return;
    raft->round = raft->round > raft->round_floor ? raft->round : raft->round_floor;
    if (!RAFT_MUTANT(TRANSFER_UNENDING))
        raft_role_lose_lease(raft);
    raft->hand_over_after_ns = raft->now_ns + raft->options.election_timeout_ns;
}

void raft_transfer_serve(struct raft *raft)
{
    if (raft->transfer.to == RAFT_NONE)
        return;
    struct raft_peer *peer = raft_peer_find(raft, raft->transfer.to);
    if (!peer || !peer->voter || raft->now_ns >= raft->transfer.deadline_ns) {
        raft_transfer_end(raft, RAFT_TRANSFER_FAILED);
        return;
    }
    if (raft->transfer.sent || peer->match < raft->log.last_index)
        return;
    struct raft_message message = {.kind = RAFT_MESSAGE_TIMEOUT_NOW, .to = peer->id};
    message.timeout_now.round = raft->round_floor;
    raft_send(raft, &message, RAFT_NONE);
    raft->transfer.sent = true;
}

/* Since when has this leader not been able to write or to apply? */
static uint64_t raft_transfer_unfit_since(const struct raft *raft)
{
    uint64_t since = raft_write_oldest_ns(raft);
    if (!raft->workers_ok && raft->workers_since_ns < since)
        since = raft->workers_since_ns;
    return since < raft->lead_since_ns ? raft->lead_since_ns : since;
}

void raft_transfer_hand_over(struct raft *raft)
{
    if (raft->peer_count == 0 || raft_conf_is_sole_voter(raft) || RAFT_MUTANT(NO_HAND_OVER))
        return; /* nobody could do better */
    uint64_t timeout = raft->options.election_timeout_ns;
    uint64_t since = raft_transfer_unfit_since(raft);
    if (since != RAFT_NEVER && raft->now_ns >= since + 2 * timeout) {
        raft_role_follow(raft, raft->term, RAFT_NONE);
        return;
    }
    if (since == RAFT_NEVER || raft->now_ns < since + timeout || raft->transfer.to != RAFT_NONE ||
        raft->now_ns < raft->hand_over_after_ns)
        return;
    if (raft_transfer_begin(raft, RAFT_NONE) != RAFT_TAKEN)
        raft->hand_over_after_ns = raft->now_ns + timeout;
}
