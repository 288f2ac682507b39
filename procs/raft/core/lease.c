/* lease.c - what a leader may conclude from the answers of its peers.
 *
 * Every APPEND carries the leader's round and the time it was sent; every answer returns both.
 * Lease (I7, L1; thesis 6.4.1): who answered will vote for nobody else within T of receiving,
 * which is after sending. So the lease ends T, less the drift margin, after the sending of the
 * newest message that a majority of the current voters answered. Only rounds from round_floor on
 * count: it is raised when the lease is given up (before a transfer, a change of voters), so that
 * old answers earn no new one (L6, L7, L9). A leader that is not a voter any more has no lease: the
 * last voter may elect itself at once. Nothing is served before the term's first entry is applied:
 * until then the maps may lack what earlier terms have acknowledged (G4).
 */
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/quorum.h"
#include "procs/raft/core/state.h"

/* The value of each current voter, this node's own first if it is one. */
typedef uint64_t raft_lease_value_fn(const struct raft *raft, const struct raft_peer *peer);

static uint64_t raft_lease_quorum(const struct raft *raft, raft_lease_value_fn *value, uint64_t own)
{
    uint64_t values[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    if (raft_conf_is_voter(raft, raft->self))
        values[count++] = own;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].voter || (RAFT_MUTANT(LEASE_BY_LEARNERS) && !raft->peers[i].leaving))
            values[count++] = value(raft, &raft->peers[i]);
    return raft_quorum_value(values, count);
}

static uint64_t raft_lease_sent(const struct raft *raft, const struct raft_peer *peer)
{
    if (RAFT_MUTANT(LEASE_FROM_RECEIVE))
        return peer->heard_ns;
    return peer->acked_round >= raft->round_floor || RAFT_MUTANT(LEASE_OVER_TRANSFER)
               ? peer->acked_sent_ns
               : 0;
}

static uint64_t raft_lease_round(const struct raft *raft, const struct raft_peer *peer)
{
    (void)raft;
    return peer->acked_round;
}

static uint64_t raft_lease_heard(const struct raft *raft, const struct raft_peer *peer)
{
    (void)raft;
    return peer->heard_ns;
}

bool raft_lease_ready(const struct raft *raft)
{
    return raft->role == RAFT_LEADER &&
           (raft->commit_index >= raft->term_first_index || RAFT_MUTANT(READ_BEFORE_NOOP));
}

/* The maps show all that any client may have been told of. Not so while a worker is rebuilt:
 * clients of this node may know of all that it had applied, announced or not. */
static bool raft_lease_is_applied(const struct raft *raft)
{
    return (raft_lease_ready(raft) && raft->applied_index >= raft->term_first_index &&
            raft->applied_index >= raft->announced_index &&
            raft->applied_index >= raft->applied_floor) ||
           RAFT_MUTANT(LEASE_BEFORE_NOOP);
}

uint64_t raft_lease_end(const struct raft *raft)
{
    if (raft->role != RAFT_LEADER || !raft_lease_is_applied(raft))
        return 0;
    if (!raft_conf_is_voter(raft, raft->self) && !RAFT_MUTANT(LEASE_OF_REMOVED))
        return 0;
    if (raft->transfer.to != RAFT_NONE && !RAFT_MUTANT(LEASE_OVER_TRANSFER))
        return 0;
    if (raft_conf_is_sole_voter(raft))
        return RAFT_LEASE_FOREVER;
    if (raft->options.reads == RAFT_READS_INDEX)
        return 0;
    uint64_t sent = raft_lease_quorum(raft, raft_lease_sent, raft->now_ns);
    uint64_t timeout = raft->options.election_timeout_ns;
    uint32_t drift = RAFT_MUTANT(LEASE_WITHOUT_MARGIN) ? 0 : raft->options.drift_percent;
    uint64_t end = sent + timeout - timeout / 100 * drift;
    return sent > 0 && end > raft->now_ns ? end : 0;
}

uint64_t raft_lease_confirmed_round(const struct raft *raft)
{
    return raft_lease_quorum(raft, raft_lease_round, UINT64_MAX);
}

uint64_t raft_lease_quorum_heard_ns(const struct raft *raft)
{
    return raft_lease_quorum(raft, raft_lease_heard, raft->now_ns);
}

bool raft_lease_is_active(const struct raft *raft, const struct raft_peer *peer)
{
    return raft->now_ns < peer->heard_ns + raft->options.election_timeout_ns;
}

uint32_t raft_lease_active_voters(const struct raft *raft, const struct raft_config *config)
{
    uint32_t active = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        const struct raft_member *member = &config->members[i];
        const struct raft_peer *peer = raft_peer_find(raft, member->id);
        if (member->voter &&
            (member->id == raft->self || (peer && raft_lease_is_active(raft, peer))))
            active++;
    }
    return active;
}
