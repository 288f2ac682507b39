/* vote.c - elections (thesis 3.4, 3.6.1, 9.6), both sides.
 *
 *   1. A pre-vote asks how a vote would go and changes nothing at the voter: not term, vote, timer
 *      or promise (9.6; E1, E2). Only who would win stands for election.
 *   2. A vote goes to a candidate whose log is at least as up to date, once per term, and is on the
 *      disk before the answer leaves (3.4, 3.6.1; P1). The candidate's own counts likewise.
 *   3. Within T of hearing a leader a voter ignores everybody else's request, and does not take
 *      over the term (4.2.3; E4, L8): the leader's lease rests on that. But it listens to the
 *      leader that it heard: who asks has stepped down (E3).
 *   4. A leader ignores requests altogether; who is stuck at a higher term says so in its answers
 *      to APPENDs, and the leader steps down once (E5).
 *   5. After a restart nobody gets a vote for T and the drift margin, for a promise may have been
 *      forgotten (I7, L5).
 *   6. A transfer's request passes 3 and 4, because the leader gave up its lease for it. It names
 *      the leader's term and the transfer's round; a voter that has since heard from that leader
 *      with a higher floor knows that the transfer was given up, and rule 3 holds (L6, L7).
 *   7. A candidate outside the voter's config may get the vote (4.2.2; E6), and a learner may give
 *      one: either's config may be old. Counted are the current voters' votes alone.
 */
#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/quorum.h"
#include "procs/raft/core/state.h"

/* ---- the candidate ----------------------------------------------------------------------------
 */

static void raft_vote_ask(struct raft *raft, bool pre, const struct raft_message *timeout_now)
{
    const struct raft_config *config = &raft_conf(raft)->config;
    for (uint32_t i = 0; i < config->count; i++) {
        if (!config->members[i].voter || config->members[i].id == raft->self)
            continue;
        struct raft_message message = {.kind = RAFT_MESSAGE_VOTE, .to = config->members[i].id};
        message.vote.pre = pre;
        message.vote.asked_term = pre ? raft->term + 1 : raft->term;
        message.vote.last_index = raft->log.last_index;
        message.vote.last_term = raft_log_last_term(&raft->log);
        if (timeout_now) {
            message.vote.transfer = true;
            message.vote.transfer_term = timeout_now->term;
            message.vote.transfer_round = timeout_now->timeout_now.round;
        }
        raft_send(raft, &message, RAFT_NONE);
    }
}

static bool raft_vote_is_noted(const struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->vote_count; i++)
        if (raft->votes[i].id == id)
            return true;
    return false;
}

static void raft_vote_note(struct raft *raft, uint64_t id, bool granted)
{
    if (raft->vote_count == RAFT_MEMBERS_MAX || !raft_conf_is_voter(raft, id) ||
        raft_vote_is_noted(raft, id))
        return;
    raft->votes[raft->vote_count].id = id;
    raft->votes[raft->vote_count].granted = granted;
    raft->vote_count++;
}

static uint32_t raft_vote_tally(const struct raft *raft, bool granted)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->vote_count; i++)
        count += raft->votes[i].granted == granted && raft_conf_is_voter(raft, raft->votes[i].id);
    return count;
}

/* A new leader appends an entry of its term at once: until one is committed it does not know what
 * is (3.6.2, 6.4; G4). In a log without any config that entry is the config, so that it is in the
 * log for all who come later. */
static void raft_vote_win(struct raft *raft)
{
    raft_role_leader(raft);
    const struct raft_conf *conf = raft_conf(raft);
    if (conf->index == 0) {
        struct raft_config config = conf->config;
        raft_write_local(raft, RAFT_APPEND_CONFIG, 1, NULL);
        raft_conf_append(raft, raft->log.last_index, &config);
    } else {
        raft_write_local(raft, RAFT_APPEND_EMPTY, 1, NULL);
    }
    raft_peer_sync(raft);
    for (uint32_t i = 0; i < raft->peer_count; i++)
        raft->peers[i].next = raft->term_first_index;
}

static void raft_vote_elect(struct raft *raft, const struct raft_message *timeout_now)
{
    raft_role_candidate(raft);
    raft_vote_ask(raft, false, timeout_now);
}

static void raft_vote_count(struct raft *raft)
{
    uint32_t majority = raft_majority(raft_conf_voters(&raft_conf(raft)->config));
    bool won = raft_vote_tally(raft, true) >= majority;
    bool lost = raft_vote_tally(raft, false) >= majority;
    if (raft->role == RAFT_PRE_CANDIDATE && won)
        raft_vote_elect(raft, NULL);
    else if (raft->role == RAFT_CANDIDATE && won)
        raft_vote_win(raft);
    else if (lost)
        raft->role = RAFT_FOLLOWER; /* its timer runs already */
}

void raft_vote_stand(struct raft *raft)
{
    if (raft_conf_is_sole_voter(raft)) {
        raft_vote_elect(raft, NULL);
        return;
    }
    raft_role_pre_candidate(raft);
    raft_vote_note(raft, raft->self, true);
    raft_vote_ask(raft, true, NULL);
}

/* A candidate's own vote counts when it is on the disk; the others hear of it only then. */
void raft_vote_on_persisted(struct raft *raft)
{
    if (raft->role != RAFT_CANDIDATE || raft->write_durable < raft->term_write ||
        raft_vote_is_noted(raft, raft->self))
        return;
    raft_role_retry_soon(raft);
    raft_vote_note(raft, raft->self, true);
    raft_vote_count(raft);
}

void raft_vote_on_reply(struct raft *raft, const struct raft_message *message)
{
    bool pre = message->vote_reply.pre;
    bool mine =
        pre ? raft->role == RAFT_PRE_CANDIDATE && message->vote_reply.asked_term == raft->term + 1
            : raft->role == RAFT_CANDIDATE && message->vote_reply.asked_term == raft->term;
    if (RAFT_MUTANT(PREVOTE_COUNTS) && raft->role == RAFT_CANDIDATE)
        mine = message->vote_reply.asked_term == raft->term;
    if (!mine)
        return;
    raft_vote_note(raft, message->from, message->vote_reply.granted);
    raft_vote_count(raft);
}

/* Not while entries or a snapshot are still on their way to the disk (P5): the leader handed over
 * to a log that was complete. Nor without workers: leaders without them would hand over to each
 * other for ever (E8). */
void raft_vote_on_timeout_now(struct raft *raft, const struct raft_message *message)
{
    bool current = message->term == raft->term && raft->role == RAFT_FOLLOWER &&
                   raft->leader == message->from && raft->promise.term == message->term &&
                   raft->promise.round_floor <= message->timeout_now.round;
    bool able = raft_conf_is_voter(raft, raft->self) && !raft->installing && !raft->stopping &&
                raft->damage == RAFT_DAMAGE_NONE && raft->now_ns >= raft->grace_until_ns &&
                raft->durable_index == raft->log.last_index && raft->workers_ok;
    if (current && able)
        raft_vote_elect(raft, message);
}

/* ---- the voter --------------------------------------------------------------------------------
 */

static bool raft_vote_is_up_to_date(const struct raft *raft, const struct raft_message *message)
{
    uint64_t last_term = raft_log_last_term(&raft->log);
    if (RAFT_MUTANT(VOTE_SHORT_LOG))
        return message->vote.last_term >= last_term;
    return message->vote.last_term > last_term ||
           (message->vote.last_term == last_term &&
            message->vote.last_index >= raft->log.last_index);
}

/* Rule 6. */
static bool raft_vote_is_transfer(const struct raft *raft, const struct raft_message *message)
{
    if (!message->vote.transfer)
        return false;
    bool leads = raft->role == RAFT_LEADER;
    uint64_t term = leads ? raft->term : raft->promise.term;
    uint64_t floor = leads ? raft->round_floor : raft->promise.round_floor;
    return term < message->vote.transfer_term ||
           (term == message->vote.transfer_term &&
            (floor <= message->vote.transfer_round || RAFT_MUTANT(TRANSFER_UNENDING)));
}

/* Rules 3 to 6: may this request be looked at at all? */
static bool raft_vote_may_listen(const struct raft *raft, const struct raft_message *message)
{
    if (raft->damage != RAFT_DAMAGE_NONE || raft->now_ns < raft->grace_until_ns)
        return false;
    if (raft_vote_is_transfer(raft, message) || RAFT_MUTANT(VOTE_UNDER_PROMISE))
        return true;
    if (raft->role == RAFT_LEADER)
        return RAFT_MUTANT(LEASE_OVER_VOTE);
    return raft->now_ns >= raft->promise.until_ns || raft->promise.to == message->from;
}

static void raft_vote_answer(struct raft *raft, const struct raft_message *message, bool granted)
{
    struct raft_message reply = {.kind = RAFT_MESSAGE_VOTE_REPLY, .to = message->from};
    reply.vote_reply.pre = message->vote.pre;
    reply.vote_reply.asked_term = message->vote.asked_term;
    reply.vote_reply.granted = granted;
    raft_send(raft, &reply, RAFT_NONE);
}

static void raft_vote_on_pre_vote(struct raft *raft, const struct raft_message *message)
{
    bool granted = raft_vote_may_listen(raft, message) && message->vote.asked_term > raft->term &&
                   raft_vote_is_up_to_date(raft, message);
    raft_vote_answer(raft, message, granted);
}

void raft_vote_on_request(struct raft *raft, const struct raft_message *message)
{
    if (message->vote.pre) {
        raft_vote_on_pre_vote(raft, message);
        return;
    }
    if (message->term < raft->term) { /* tells the candidate of the new term */
        raft_vote_answer(raft, message, false);
        return;
    }
    if (!raft_vote_may_listen(raft, message))
        return;
    if (message->term > raft->term)
        raft_role_follow(raft, message->term, RAFT_NONE);
    bool free = raft->vote == RAFT_NONE || raft->vote == message->from ||
                (RAFT_MUTANT(VOTE_TWICE) && raft->role == RAFT_FOLLOWER);
    bool granted = free && raft_vote_is_up_to_date(raft, message);
    if (granted) {
        raft_write_hard_state(raft, raft->term, message->from);
        raft_role_restart_timer(raft); /* E2: else it would stand against its own choice */
    }
    raft_vote_answer(raft, message, granted);
}
