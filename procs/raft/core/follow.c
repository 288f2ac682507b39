/* follow.c - replication, the follower's side (thesis 3.5).
 *
 *   1. An APPEND fits when the entry before its first one has the same term here. What is at or
 *      below the commit index always fits: a leader's log holds it (leader completeness).
 *   2. The log is cut only at the first entry whose term differs, never because a message is short
 *      or old (G1); never at or below the commit index.
 *   3. commit = min(announced, last entry that this message showed to be the leader's) (G5).
 *   4. "ok" names what is on the disk. When nothing new is to be written the answer leaves at once,
 *      so that a slow disk does not look like a dead node; what is still on its way to the disk is
 *      answered once more by a parked answer.
 *   5. Hearing a leader is a promise: no vote for anybody else within T (3.8 of this core's rules
 *      in docs/raft.md; thesis 4.2.3, 6.4.1).
 */
#include "base/check.h"
#include "base/error.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

void raft_follow_hear(struct raft *raft, uint64_t leader, uint64_t term, uint64_t round_floor)
{
    CHECK(raft->role != RAFT_LEADER || term > raft->term);
    raft_role_follow(raft, term, leader);
    raft_role_elected(raft);
    raft_role_restart_timer(raft);
    if (raft->promise.term != term || raft->promise.round_floor < round_floor)
        raft->promise.round_floor = round_floor;
    raft->promise.term = term;
    raft->promise.to = leader;
    raft->promise.until_ns = raft->now_ns + raft->options.election_timeout_ns;
}

static struct raft_message raft_follow_reply(const struct raft_message *message)
{
    struct raft_message reply = {.kind = RAFT_MESSAGE_APPEND_REPLY, .to = message->from};
    reply.append_reply.prev_index = message->append.prev_index;
    reply.append_reply.round = message->append.round;
    reply.append_reply.sent_ns = message->append.sent_ns;
    return reply;
}

static void raft_follow_reject(struct raft *raft, const struct raft_message *message)
{
    struct raft_message reply = raft_follow_reply(message);
    uint64_t prev = message->append.prev_index;
    reply.append_reply.hint_index =
        raft_log_find_term_at_most(&raft->log, prev > 0 ? prev - 1 : 0, message->append.prev_term);
    reply.append_reply.hint_term = raft_log_term(&raft->log, reply.append_reply.hint_index);
    raft_send(raft, &reply, RAFT_NONE);
}

/* The number of the message's first entry that is not in the log as it is; its count when all are.
 * *damage when that entry would override a committed one. */
static uint32_t raft_follow_first_new(const struct raft *raft, const struct raft_message *message,
                                      bool *damage)
{
    for (uint32_t i = 0; i < message->append.count; i++) {
        uint64_t index = message->append.prev_index + 1 + i;
        if (index <= raft->log.base_index)
            continue;
        if (index > raft->log.last_index)
            return i;
        if (raft_log_term(&raft->log, index) == message->append.entries[i].term)
            continue;
        if (RAFT_MUTANT(KEEP_CONFLICT))
            continue;
        *damage = index <= raft->commit_index;
        return i;
    }
    return message->append.count;
}

static void raft_follow_answer(struct raft *raft, const struct raft_message *message,
                               uint64_t matched, bool wrote)
{
    struct raft_message reply = raft_follow_reply(message);
    reply.append_reply.ok = true;
    reply.append_reply.match = matched;
    if (matched > raft->durable_index && (wrote || !raft_send_acks(raft, matched))) {
        raft_send(raft, &reply, raft_write_of(raft, matched));
        if (wrote)
            return;
    }
    if (reply.append_reply.match > raft->durable_index)
        reply.append_reply.match = raft->durable_index;
    raft_send(raft, &reply, RAFT_NONE);
}

static bool raft_follow_fits(const struct raft *raft, const struct raft_message *message)
{
    uint64_t prev = message->append.prev_index;
    return prev <= raft->commit_index ||
           (prev <= raft->log.last_index &&
            raft_log_term(&raft->log, prev) == message->append.prev_term);
}

static void raft_follow_append(struct raft *raft, const struct raft_message *message)
{
    uint64_t prev = message->append.prev_index, matched = prev + message->append.count;
    bool damage = false;
    uint32_t skip = raft_follow_first_new(raft, message, &damage);
    if (damage) {
        raft->damage = RAFT_DAMAGE_CONFLICT;
        return;
    }
    bool wrote = skip < message->append.count;
    if (RAFT_MUTANT(TRUNCATE_SHORT) && !wrote && matched < raft->log.last_index &&
        message->append.count > 0) {
        skip = message->append.count - 1;
        wrote = matched > raft->log.base_index;
    }
    if (wrote)
        raft_write_received(raft, prev + 1 + skip, message->append.entries + skip,
                            message->append.count - skip, skip);
    uint64_t shown = RAFT_MUTANT(COMMIT_UNMATCHED) ? raft->log.last_index : matched;
    uint64_t commit = message->append.commit < shown ? message->append.commit : shown;
    if (commit > raft->commit_index)
        raft->commit_index = commit;
    if (commit > raft->announced_index)
        raft->announced_index = commit;
    if (matched < raft->commit_index) /* what is committed is in every later leader's log */
        matched = raft->commit_index;
    raft_follow_answer(raft, message, matched, wrote);
}

/* Tells a former leader of the new term. It may lead that one, too, so this must not look like an
 * answer to one of its rounds there: no round, and nothing about the log. */
static void raft_follow_on_old_term(struct raft *raft, const struct raft_message *message)
{
    struct raft_message reply = raft_follow_reply(message);
    reply.append_reply.busy = true;
    if (!RAFT_MUTANT(ANSWER_TO_OLD_TERM))
        reply.append_reply.round = reply.append_reply.sent_ns = 0;
    raft_send(raft, &reply, RAFT_NONE);
}

int raft_follow_on_append(struct raft *raft, const struct raft_message *message)
{
    if (message->term < raft->term) {
        raft_follow_on_old_term(raft, message);
        return 0;
    }
    if (raft->role == RAFT_LEADER && message->term == raft->term)
        return E_INVALID; /* two leaders of one term */
    raft_follow_hear(raft, message->from, message->term, message->append.round_floor);
    if (raft->installing && !RAFT_MUTANT(ACK_WHILE_INSTALLING)) {
        struct raft_message reply = raft_follow_reply(message);
        reply.append_reply.busy = true;
        raft_send(raft, &reply, RAFT_NONE);
    } else if (message->append.match > raft->durable_index) {
        raft->damage = RAFT_DAMAGE_LOST_ENTRIES; /* it was acknowledged from here (G5) */
    } else if (raft_follow_fits(raft, message)) {
        raft_follow_append(raft, message);
    } else {
        raft_follow_reject(raft, message);
    }
    return 0;
}
