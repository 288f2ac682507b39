/* read.c - read indexes (thesis 6.4), both sides.
 *
 * The leader answers with its commit index at the time of the question, once an entry of its own
 * term is committed, and when it knows that it still led after the question came: by its lease,
 * or by a majority's answers to a round that began later (L10, G4). Questions that come while such
 * a round is under way share the next one. A follower passes questions on under a nonce; nonces
 * count up, from a random start, so that none comes twice, not in another life either (L10). The
 * answer to a nonce is good for all questions that were there when it was sent: for a READ that was
 * repeated the first answer will do, or a slow leader would never be heard. Questions die with the
 * term and the leader, and after an election timeout: their owner asks anew.
 */
#include <string.h>

#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

static struct raft_question *raft_read_add(struct raft *raft, uint64_t from, uint64_t id)
{
    if (raft->question_count == RAFT_READS_MAX)
        return NULL;
    struct raft_question *question = &raft->questions[raft->question_count++];
    *question = (struct raft_question){
        .id = id,
        .from = from,
        .until_ns = raft->now_ns + raft->options.election_timeout_ns,
    };
    return question;
}

void raft_read_on_question(struct raft *raft, uint64_t id)
{
    if (raft->leader == RAFT_NONE)
        raft->update->refusal = RAFT_REFUSED_NOT_LEADER;
    else if (!raft_read_add(raft, raft->self, id))
        raft->update->refusal = RAFT_REFUSED_BUSY;
}

void raft_read_on_message(struct raft *raft, const struct raft_message *message)
{
    if (raft->role == RAFT_LEADER && message->term == raft->term)
        raft_read_add(raft, message->from, message->read.id); /* too many: it asks again */
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void raft_read_answer(struct raft *raft, const struct raft_question *question,
                             uint64_t index, bool refused)
{
    if (question->from == raft->self) {
        raft->reads[raft->read_count++] =
            (struct raft_read){.id = question->id, .index = index, .refused = refused};
    } else if (!refused) {
        struct raft_message reply = {.kind = RAFT_MESSAGE_READ_REPLY, .to = question->from};
        reply.read_reply.id = question->id;
        reply.read_reply.index = index;
        raft_send(raft, &reply, RAFT_NONE);
    }
}

void raft_read_refuse_all(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->question_count; i++)
        raft_read_answer(raft, &raft->questions[i], 0, true);
    raft->question_count = 0;
}

void raft_read_on_reply(struct raft *raft, const struct raft_message *message)
{
    if (raft->role == RAFT_LEADER || message->term != raft->term || message->from != raft->leader)
        return;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < raft->question_count; i++) {
        struct raft_question *question = &raft->questions[i];
        uint64_t id = message->read_reply.id;
        if (question->nonce != 0 && question->nonce <= id && id <= raft->read_nonce)
            raft_read_answer(raft, question, message->read_reply.index, false);
        else
            raft->questions[kept++] = *question;
    }
    raft->question_count = kept;
}

/* ---- at the end of a step ---------------------------------------------------------------------
 */

static void raft_read_expire(struct raft *raft)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < raft->question_count; i++) {
        if (raft->now_ns >= raft->questions[i].until_ns)
            raft_read_answer(raft, &raft->questions[i], 0, true);
        else
            raft->questions[kept++] = raft->questions[i];
    }
    raft->question_count = kept;
}

/* Questions without a round join the one that this step begins, unless one is under way. */
static void raft_read_join_round(struct raft *raft, uint64_t confirmed)
{
    bool waiting = false;
    for (uint32_t i = 0; i < raft->question_count; i++)
        waiting |= raft->questions[i].round == 0;
    if (!waiting || raft->read_round > confirmed)
        return;
    raft->read_round = raft->round + 1;
    if (RAFT_MUTANT(READ_OLD_ROUND) && raft->round > 0)
        raft->read_round = raft->round;
    for (uint32_t i = 0; i < raft->question_count; i++) {
        if (raft->questions[i].round != 0)
            continue;
        raft->questions[i].round = raft->read_round;
        raft->questions[i].index = raft->commit_index;
    }
    raft_append_wake_all(raft);
}

static void raft_read_lead(struct raft *raft)
{
    if (!raft_lease_ready(raft))
        return;
    bool leased = raft_lease_end(raft) > raft->now_ns;
    uint64_t confirmed = raft_lease_confirmed_round(raft);
    if (!leased)
        raft_read_join_round(raft, confirmed);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < raft->question_count; i++) {
        struct raft_question *question = &raft->questions[i];
        if (leased)
            raft_read_answer(raft, question, raft->commit_index, false);
        else if (question->round != 0 && question->round <= confirmed)
            raft_read_answer(raft, question, question->index, false);
        else
            raft->questions[kept++] = *question;
    }
    raft->question_count = kept;
}

static void raft_read_pass_on(struct raft *raft)
{
    bool retry = raft->now_ns >= raft->read_retry_ns;
    bool ask = false;
    for (uint32_t i = 0; i < raft->question_count; i++) {
        struct raft_question *question = &raft->questions[i];
        ask |= question->nonce == 0 || retry;
        if (question->nonce == 0)
            question->nonce = raft->read_nonce + 1;
    }
    if (!ask)
        return;
    raft->read_retry_ns = raft->now_ns + raft->options.heartbeat_ns;
    struct raft_message message = {.kind = RAFT_MESSAGE_READ, .to = raft->leader};
    message.read.id = ++raft->read_nonce;
    raft_send(raft, &message, RAFT_NONE);
}

void raft_read_serve(struct raft *raft)
{
    raft_read_expire(raft);
    if (raft->question_count == 0)
        return;
    if (raft->role == RAFT_LEADER)
        raft_read_lead(raft);
    else if (raft->leader != RAFT_NONE)
        raft_read_pass_on(raft);
}
