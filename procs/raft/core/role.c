/* role.c - becoming follower, candidate, leader: fields and flags only. What follows from it (a
 * leader's first entry, its peers, the reads that die) is done by vote.c and step.c.
 */
#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

#define ROLE_SPREADS 3

/* T to 1.5 T of silence (thesis 3.4, 9.3). A node whose workers are down waits T longer: it would
 * have to hand over at once (E8). */
void raft_role_restart_timer(struct raft *raft)
{
    uint64_t timeout = raft->options.election_timeout_ns;
    raft->election_deadline_ns = raft->now_ns + timeout + rng_below(&raft->rng, timeout / 2 + 1) +
                                 (raft->workers_ok ? 0 : timeout);
}

/* After an election that nobody won. No promise is at stake, so not a whole timeout; but who asks
 * for real votes gives them more time, because a new try makes the answers to the last one void.
 * Each election that is lost spreads the next tries more, up to two timeouts: where messages take
 * long, candidates else collide again and again. */
void raft_role_retry_soon(struct raft *raft)
{
    uint64_t timeout = raft->options.election_timeout_ns;
    uint32_t lost = raft->elections_lost < ROLE_SPREADS ? raft->elections_lost : ROLE_SPREADS;
    raft->election_deadline_ns = raft->now_ns +
                                 (raft->role == RAFT_CANDIDATE ? timeout / 2 : timeout / 4) +
                                 rng_below(&raft->rng, timeout / 2 * (1 + lost) + 1);
}

/* There is a leader. */
void raft_role_elected(struct raft *raft)
{
    raft->stands = false;
    raft->elections_lost = 0;
}

void raft_role_lose_lease(struct raft *raft)
{
    raft->update->drop_lease = true;
    raft->round_floor = raft->round + 1;
}

void raft_role_follow(struct raft *raft, uint64_t term, uint64_t leader)
{
    CHECK(term >= raft->term);
    if (term > raft->term) {
        raft_write_hard_state(raft, term, RAFT_NONE);
        raft_send_forget(raft);
    }
    if (raft->role == RAFT_LEADER && !RAFT_MUTANT(LEASE_OVER_VOTE))
        raft->update->drop_lease = true;
    bool stood = raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
    bool led = raft->role == RAFT_LEADER;
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    if (led)
        raft_role_restart_timer(raft);
    else if (stood) /* for a term that is over; nobody was heard who leads the new one */
        raft_role_retry_soon(raft);
}

void raft_role_pre_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    raft->role = RAFT_PRE_CANDIDATE;
    raft->leader = RAFT_NONE;
    raft->vote_count = 0;
    raft_role_retry_soon(raft);
}

void raft_role_candidate(struct raft *raft)
{
    CHECK(raft->role != RAFT_LEADER);
    raft->elections_lost += raft->stands; /* the last one, or it would not stand again */
    raft->stands = true;
    raft->role = RAFT_CANDIDATE;
    raft->leader = RAFT_NONE;
    raft->vote_count = 0;
    raft_send_forget(raft);
    raft_write_hard_state(raft, raft->term + 1, raft->self);
    raft_role_retry_soon(raft);
}

void raft_role_leader(struct raft *raft)
{
    CHECK(raft->role == RAFT_CANDIDATE && raft->vote == raft->self);
    raft->role = RAFT_LEADER;
    raft->leader = raft->self;
    raft_role_elected(raft);
    raft->round = 0;
    raft->round_floor = 1;
    raft->read_round = 0;
    raft->term_first_index = raft->log.last_index + 1;
    raft->heartbeat_deadline_ns = raft->probe_deadline_ns = raft->now_ns;
    raft->hand_over_after_ns = 0;
    raft->lead_since_ns = raft->now_ns;
    raft->uncommitted_bytes = 0;
    for (uint64_t i = raft->commit_index + 1; i <= raft->log.last_index; i++)
        raft->uncommitted_bytes += raft_log_bytes(&raft->log, i);
}
