/* change.c - changing the members (thesis 4), at the leader.
 *
 *   1. One at a time: the next when the last is committed, and an entry of the leader's own term is
 *      (4.1, and the erratum of 2015; M1). So any two majorities of neighbouring configs meet.
 *   2. In effect when appended (4.1). When voters change the lease is given up first (I7, L9).
 *   3. A new node is a learner until it has caught up: a round of catching up took less than an
 *      election timeout, and it lacks few entries (4.2.1; M3). The leader then promotes it.
 *   4. A change is refused when the voters that answer now would be no majority of the new ones.
 *   5. A leader that was removed leads until that is committed, without counting itself, then hands
 *      over and goes (4.2.2; M4).
 */
#include <string.h>

#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/quorum.h"
#include "procs/raft/core/state.h"

static void raft_change_insert(struct raft_config *config, uint64_t id)
{
    uint32_t at = config->count;
    while (at > 0 && config->members[at - 1].id > id)
        at--;
    memmove(&config->members[at + 1], &config->members[at],
            (config->count - at) * sizeof(config->members[0]));
    config->members[at] = (struct raft_member){.id = id, .voter = false};
    config->count++;
}

static void raft_change_erase(struct raft_config *config, uint32_t at)
{
    config->count--;
    memmove(&config->members[at], &config->members[at + 1],
            (config->count - at) * sizeof(config->members[0]));
}

static bool raft_change_is_caught_up(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->state == RAFT_PEER_REPLICATE && peer->caught_up &&
           raft_lease_is_active(raft, peer) &&
           peer->match + raft->options.promote_lag >= raft->log.last_index;
}

/* Makes *config the changed one; *voters: is it other voters than before? */
static enum raft_refusal raft_change_make(const struct raft *raft, enum raft_change_kind kind,
                                          uint64_t id, struct raft_config *config, bool *voters)
{
    const struct raft_member *found = raft_conf_find(config, id);
    uint32_t at = found ? (uint32_t)(found - config->members) : 0;
    *voters = false;
    switch (kind) {
    case RAFT_CHANGE_ADD:
        if (found || id == RAFT_NONE || config->count == RAFT_MEMBERS_MAX)
            return RAFT_REFUSED_INVALID;
        raft_change_insert(config, id);
        return RAFT_TAKEN;
    case RAFT_CHANGE_PROMOTE: {
        const struct raft_peer *peer = raft_peer_find(raft, id);
        if (!found || found->voter || !peer)
            return RAFT_REFUSED_INVALID;
        if (!raft_change_is_caught_up(raft, peer))
            return RAFT_REFUSED_BEHIND;
        config->members[at].voter = *voters = true;
        return RAFT_TAKEN;
    }
    case RAFT_CHANGE_REMOVE:
        if (!found || (found->voter && raft_conf_voters(config) == 1))
            return RAFT_REFUSED_INVALID;
        *voters = found->voter;
        raft_change_erase(config, at);
        return RAFT_TAKEN;
    case RAFT_CHANGE_RENEW:
        return found ? RAFT_TAKEN : RAFT_REFUSED_INVALID;
    }
    return RAFT_REFUSED_INVALID;
}

static enum raft_refusal raft_change_begin(struct raft *raft, enum raft_change_kind kind,
                                           uint64_t id)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_REFUSED_NOT_LEADER;
    if (raft->transfer.to != RAFT_NONE)
        return RAFT_REFUSED_TRANSFERRING;
    if (raft->commit_index < raft->term_first_index && !RAFT_MUTANT(CONF_BEFORE_COMMIT))
        return RAFT_REFUSED_NOT_READY;
    if (!raft_conf_is_committed(raft) && !RAFT_MUTANT(CONF_TWO_AT_ONCE))
        return RAFT_REFUSED_BUSY;
    struct raft_config config = raft_conf(raft)->config;
    bool voters;
    enum raft_refusal refusal = raft_change_make(raft, kind, id, &config, &voters);
    if (refusal != RAFT_TAKEN)
        return refusal;
    if (voters &&
        raft_lease_active_voters(raft, &config) < raft_majority(raft_conf_voters(&config)))
        return RAFT_REFUSED_QUORUM;
    if (voters)
        raft_role_lose_lease(raft);
    raft_write_local(raft, RAFT_APPEND_CONFIG, 1, NULL);
    raft_conf_append(raft, raft->log.last_index, &config);
    raft_peer_sync(raft);
    return RAFT_TAKEN;
}

void raft_change_on_event(struct raft *raft, enum raft_change_kind kind, uint64_t id)
{
    raft->update->refusal = raft_change_begin(raft, kind, id);
}

static void raft_change_promote(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (!peer->voter && !peer->leaving && raft_change_is_caught_up(raft, peer) &&
            raft_change_begin(raft, RAFT_CHANGE_PROMOTE, peer->id) == RAFT_TAKEN)
            return;
    }
}

/* Its last duty was to announce the config without it. */
static void raft_change_leave(struct raft *raft)
{
    if (raft->announced_index < raft_conf(raft)->index || raft->transfer.to != RAFT_NONE)
        return;
    if (raft->hand_over_after_ns > raft->now_ns || /* tried, in vain */
        raft_transfer_begin(raft, RAFT_NONE) != RAFT_TAKEN)
        raft_role_follow(raft, raft->term, RAFT_NONE);
}

void raft_change_serve(struct raft *raft)
{
    if (!raft_conf_is_voter(raft, raft->self))
        raft_change_leave(raft);
    else if (!raft->options.manual_promotion && raft->update->append_kind == RAFT_APPEND_NONE)
        raft_change_promote(raft);
}
