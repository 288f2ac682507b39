/* check.c - does a message make sense, and does the state still do?
 *
 * A message comes from an authenticated peer, but from outside all the same: nonsense is refused
 * before anything is touched. What the state must satisfy after every step is asserted, in release
 * builds, too.
 */
#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

static bool raft_check_append(const struct raft_message *message)
{
    uint64_t prev = message->append.prev_index, term = message->append.prev_term;
    if ((prev == 0) != (term == 0) || term > message->term)
        return false;
    if (prev > UINT64_MAX / 2 || (message->append.count > 0 && !message->append.entries))
        return false;
    for (uint32_t i = 0; i < message->append.count; i++) {
        const struct raft_entry *entry = &message->append.entries[i];
        if (entry->term == 0 || entry->term < term || entry->term > message->term)
            return false;
        if (entry->config && !raft_conf_is_valid(entry->config))
            return false;
        term = entry->term;
    }
    return true;
}

static bool raft_check_vote(const struct raft_message *message)
{
    if ((message->vote.last_index == 0) != (message->vote.last_term == 0) ||
        message->vote.last_term > message->term)
        return false;
    if (message->vote.transfer &&
        (message->vote.pre || message->vote.transfer_term >= message->term))
        return false;
    return message->vote.asked_term == message->term + (message->vote.pre ? 1 : 0);
}

bool raft_check_message(const struct raft *raft, const struct raft_message *message)
{
    if (message->from == RAFT_NONE || message->from == raft->self || message->to != raft->self ||
        message->term > UINT64_MAX / 2)
        return false;
    switch (message->kind) {
    case RAFT_MESSAGE_VOTE:
        return raft_check_vote(message);
    case RAFT_MESSAGE_APPEND:
        return message->term > 0 && raft_check_append(message);
    case RAFT_MESSAGE_VOTE_REPLY:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_READ:
    case RAFT_MESSAGE_READ_REPLY:
        return true;
    }
    return false; /* a kind of a later version */
}

static void raft_check_peers(const struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        CHECK(peer->match <= raft->log.last_index);
        CHECK(peer->match < peer->next || peer->state == RAFT_PEER_SNAPSHOT);
        CHECK(peer->next <= raft->log.last_index + 1);
        CHECK(peer->acked_round <= raft->round);
        CHECK(!peer->must_send);
        CHECK(!peer->voter || !peer->leaving);
    }
}

void raft_check_state(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    CHECK(log->base_index <= raft->commit_index && raft->commit_index <= log->last_index);
    CHECK(raft->durable_index <= log->last_index);
    CHECK(raft->apply_index <= raft->commit_index);
    CHECK(raft->installing || raft->apply_index <= raft->durable_index ||
          RAFT_MUTANT(APPLY_UNDURABLE) || RAFT_MUTANT(PERSISTED_ABA));
    CHECK(raft->announced_index <= raft->commit_index);
    CHECK(raft_log_last_term(log) <= raft->term);
    CHECK(raft->snapshot_index >= log->base_index || raft->installing);
    CHECK(raft->write_durable <= raft->write_last && raft->term_write <= raft->write_last);
    CHECK(raft_conf(raft)->index <= log->last_index);
    if (raft->role == RAFT_LEADER) {
        CHECK(raft->vote == raft->self && raft->leader == raft->self);
        CHECK(raft->term_write <= raft->write_durable);
        CHECK(raft->term_first_index <= log->last_index);
        CHECK(!raft->installing);
        raft_check_peers(raft);
    } else {
        CHECK(raft->peer_count == 0 && raft->transfer.to == RAFT_NONE);
        CHECK(raft->leader != raft->self);
        CHECK(raft->role != RAFT_CANDIDATE || raft->vote == raft->self);
    }
    for (uint32_t i = 0; i < raft->parked_count; i++)
        CHECK(raft->parked[i].write > raft->write_durable &&
              raft->parked[i].write <= raft->write_last);
}
