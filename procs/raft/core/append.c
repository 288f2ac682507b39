/* append.c - replication, the leader's side (thesis 3.5, 10.2).
 *
 *   1. Handlers only note what is due; raft_append_flush at the end of the step sends it, so a step
 *      sends each peer what there is in as few messages as possible.
 *   2. An APPEND with entries goes out before they are on this node's disk; this node counts for
 *      commit only with what is (10.2.1; P2, P3).
 *   3. Only an entry of this term commits by counting; older ones commit with it (3.6.2; G3).
 *   4. Announced to others is only what this node's workers have applied (I3), at once.
 *   5. An answer that is old or out of order changes nothing: matches only grow.
 */
#include "base/check.h"
#include "base/error.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/quorum.h"
#include "procs/raft/core/state.h"

void raft_append_wake_all(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count; i++)
        raft->peers[i].must_send = true;
    raft->heartbeat_deadline_ns = raft->now_ns + raft->options.heartbeat_ns;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void raft_append_send(struct raft *raft, struct raft_peer *peer, uint64_t prev,
                             uint32_t count)
{
    if (!raft->round_begun) {
        raft->round++;
        raft->round_begun = true;
    }
    struct raft_message message = {.kind = RAFT_MESSAGE_APPEND, .to = peer->id};
    message.append.prev_index = prev;
    message.append.prev_term = raft_log_term(&raft->log, prev);
    message.append.count = count;
    message.append.last_term = raft_log_term(&raft->log, prev + count);
    message.append.commit = raft->announced_index;
    message.append.match = peer->match;
    message.append.round = raft->round;
    message.append.sent_ns = raft->now_ns;
    message.append.round_floor = raft->round_floor;
    raft_send(raft, &message, RAFT_NONE);
    peer->must_send = false;
}

/* Sends the next entries, as many as one message takes. */
static void raft_append_send_entries(struct raft *raft, struct raft_peer *peer)
{
    uint32_t count = 0, bytes = 0;
    while (count < raft->options.append_entries && peer->next + count <= raft->log.last_index) {
        uint32_t size = raft_log_bytes(&raft->log, peer->next + count);
        if (count > 0 && (uint64_t)bytes + size > raft->options.append_bytes)
            break;
        bytes += size;
        count++;
    }
    raft_append_send(raft, peer, peer->next - 1, count);
    if (peer->state == RAFT_PEER_PROBE) {
        peer->probe_sent = true;
        return;
    }
    raft_peer_flight_add(raft, peer, peer->next + count - 1, bytes);
    peer->next += count;
}

static void raft_append_flush_entries(struct raft *raft, struct raft_peer *peer)
{
    if (peer->state == RAFT_PEER_PROBE && !peer->probe_sent && peer->next <= raft->log.last_index)
        raft_append_send_entries(raft, peer);
    while (peer->state == RAFT_PEER_REPLICATE && peer->next <= raft->log.last_index &&
           raft_peer_has_room(raft, peer))
        raft_append_send_entries(raft, peer);
}

/* What it needs is cut off. A snapshot is for those who answer, and a failed one is not repeated
 * before the next heartbeat. */
static void raft_append_flush_snapshot(struct raft *raft, struct raft_peer *peer)
{
    if (peer->state == RAFT_PEER_REPLICATE)
        raft_peer_probe(raft, peer, peer->next);
    if (peer->state == RAFT_PEER_PROBE && !peer->probe_sent && raft_lease_is_active(raft, peer))
        raft_snap_want(raft, peer);
}

static void raft_append_flush_peer(struct raft *raft, struct raft_peer *peer)
{
    uint64_t base = raft->log.base_index;
    if (peer->next <= base)
        raft_append_flush_snapshot(raft, peer);
    else
        raft_append_flush_entries(raft, peer);
    if (!peer->must_send)
        return;
    bool cut_off = peer->next <= base || peer->state == RAFT_PEER_SNAPSHOT;
    raft_append_send(raft, peer, cut_off ? base : peer->next - 1, 0);
}

void raft_append_flush(struct raft *raft)
{
    if (raft->now_ns >= raft->heartbeat_deadline_ns)
        raft_append_wake_all(raft);
    if (raft->now_ns >= raft->probe_deadline_ns) {
        for (uint32_t i = 0; i < raft->peer_count; i++)
            raft->peers[i].probe_sent = false; /* its answer is lost, or long under way */
        raft->probe_deadline_ns = raft->now_ns + raft->options.heartbeat_ns;
    }
    for (uint32_t i = 0; i < raft->peer_count; i++)
        raft_append_flush_peer(raft, &raft->peers[i]);
}

/* ---- commit -----------------------------------------------------------------------------------
 */

static uint64_t raft_append_decided(const struct raft *raft)
{
    uint64_t matches[RAFT_PEERS_MAX + 1];
    uint32_t count = 0;
    if (raft_conf_is_voter(raft, raft->self))
        matches[count++] =
            RAFT_MUTANT(SELF_BEFORE_FSYNC) ? raft->log.last_index : raft->durable_index;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].voter || (RAFT_MUTANT(COMMIT_BY_LEARNERS) && !raft->peers[i].leaving))
            matches[count++] = raft->peers[i].match;
    return raft_quorum_value(matches, count);
}

void raft_append_advance_commit(struct raft *raft)
{
    uint64_t decided = raft_append_decided(raft);
    if (decided <= raft->commit_index)
        return;
    if (raft_log_term(&raft->log, decided) != raft->term && !RAFT_MUTANT(COMMIT_OLD_TERM))
        return;
    for (uint64_t i = raft->commit_index + 1; i <= decided; i++)
        raft->uncommitted_bytes -= raft_log_bytes(&raft->log, i);
    raft->commit_index = decided;
}

/* ---- proposals --------------------------------------------------------------------------------
 */

static enum raft_refusal raft_append_refusal(const struct raft *raft,
                                             const struct raft_event *event)
{
    if (raft->role != RAFT_LEADER)
        return RAFT_REFUSED_NOT_LEADER;
    if (event->propose.term != 0 && event->propose.term != raft->term)
        return RAFT_REFUSED_STALE_TERM;
    if (raft->transfer.to != RAFT_NONE)
        return RAFT_REFUSED_TRANSFERRING;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < event->propose.count; i++)
        bytes += event->propose.bytes[i];
    if (raft->uncommitted_bytes > 0 &&
        raft->uncommitted_bytes + bytes > raft->options.uncommitted_bytes)
        return RAFT_REFUSED_BUSY;
    return RAFT_TAKEN;
}

void raft_append_on_propose(struct raft *raft, const struct raft_event *event)
{
    CHECK(event->propose.count > 0 && event->propose.bytes);
    raft->update->refusal = raft_append_refusal(raft, event);
    if (raft->update->refusal == RAFT_TAKEN)
        raft_write_local(raft, RAFT_APPEND_PROPOSED, event->propose.count, event->propose.bytes);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void raft_append_on_ok(struct raft *raft, struct raft_peer *peer, uint64_t match)
{
    if (match > peer->match)
        peer->match = match;
    raft_peer_flight_done(raft, peer, peer->match);
    bool fits = peer->state == RAFT_PEER_PROBE ||
                (peer->state == RAFT_PEER_SNAPSHOT && peer->match >= raft->log.base_index);
    if (fits) {
        if (peer->state == RAFT_PEER_SNAPSHOT)
            peer->next = peer->match + 1;
        raft_peer_replicate(peer);
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    if (!peer->voter)
        raft_peer_catch_up(raft, peer);
}

/* Fast backtracking (thesis 3.5, etcd's refinement): the follower names the largest index that may
 * fit by its terms, the leader goes on to the largest that may fit by its own. A follower whose log
 * holds k wrong terms costs k round trips, whatever their length. */
static void raft_append_on_reject(struct raft *raft, struct raft_peer *peer,
                                  const struct raft_message *message)
{
    uint64_t prev = message->append_reply.prev_index;
    if (peer->state == RAFT_PEER_SNAPSHOT || prev <= peer->match)
        return; /* nothing new, or out of order */
    if (message->append_reply.round <= peer->reset_round)
        return; /* to an APPEND from before next was set back: else each lost or late APPEND would
                   have all that follow it sent again, once for each of their refusals */
    if (peer->state == RAFT_PEER_PROBE && prev != peer->next - 1)
        return;
    uint64_t limit = message->append_reply.hint_index;
    if (limit >= prev)
        limit = prev - 1;
    uint64_t fit =
        limit < raft->log.base_index
            ? limit /* cut off: a snapshot */
            : raft_log_find_term_at_most(&raft->log, limit, message->append_reply.hint_term);
    raft_peer_probe(raft, peer, fit + 1);
}

int raft_append_on_reply(struct raft *raft, const struct raft_message *message)
{
    struct raft_peer *peer = raft_peer_find(raft, message->from);
    if (raft->role != RAFT_LEADER || message->term != raft->term || !peer)
        return 0;
    if (message->append_reply.match > raft->log.last_index ||
        message->append_reply.round > raft->round || message->append_reply.sent_ns > raft->now_ns)
        return E_INVALID; /* answers what was never sent */
    peer->heard_ns = raft->now_ns;
    if (message->append_reply.round > peer->acked_round) {
        peer->acked_round = message->append_reply.round;
        peer->acked_sent_ns = message->append_reply.sent_ns;
    }
    if (message->append_reply.busy)
        return 0;
    if (message->append_reply.ok)
        raft_append_on_ok(raft, peer, message->append_reply.match);
    else
        raft_append_on_reject(raft, peer, message);
    return 0;
}
