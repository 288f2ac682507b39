/* snap.c - snapshots (thesis 5): bookkeeping; their bytes are the driver's.
 *
 *   1. The log is cut only behind what a durable snapshot covers, and only when the driver says so:
 *      it keeps an older snapshot and the log from there (N1).
 *   2. A received snapshot that ends at an entry of this log (same index, same term) shows that the
 *      log up to there is committed: it is kept, suffix and all (5.1; N2).
 *   3. Else the log conflicts or ends earlier: nothing in it is needed, and it begins anew behind
 *      the snapshot. Until that is on the disk this node acknowledges nothing and does not stand
 *      for election (N3, N4).
 */
#include "base/check.h"
#include "base/error.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

void raft_snap_on_made(struct raft *raft, uint64_t index, uint64_t floor_index)
{
    CHECK(floor_index <= index && index <= raft->apply_index);
    if (index > raft->snapshot_index)
        raft->snapshot_index = index;
    if (floor_index <= raft->log.base_index)
        return;
    raft_log_compact(&raft->log, floor_index);
    raft_conf_compact(raft, floor_index);
}

void raft_snap_want(struct raft *raft, struct raft_peer *peer)
{
    peer->state = RAFT_PEER_SNAPSHOT;
    if (peer->leaving)
        return;
    CHECK(raft->update->snapshot_peer_count < RAFT_MEMBERS_MAX);
    raft->snapshot_peers[raft->update->snapshot_peer_count++] = peer->id;
}

void raft_snap_on_sent(struct raft *raft, const struct raft_event *event)
{
    struct raft_peer *peer = raft_peer_find(raft, event->snapshot_sent.peer);
    if (raft->role != RAFT_LEADER || !peer || peer->state != RAFT_PEER_SNAPSHOT)
        return;
    if (event->snapshot_sent.ok) {
        raft_peer_probe(raft, peer, event->snapshot_sent.index + 1);
        if (peer->next > raft->log.last_index + 1)
            peer->next = raft->log.last_index + 1;
    } else {
        raft_peer_probe(raft, peer, peer->match + 1);
    }
    peer->probe_sent = true; /* go on with the next heartbeat */
}

static void raft_snap_install(struct raft *raft, const struct raft_event *event)
{
    uint64_t index = event->snapshot_received.index, term = event->snapshot_received.term;
    raft_send_forget(raft);
    for (uint32_t i = raft->writes_head; i < raft->writes_count; i++)
        raft->writes[i].last_index = 0;
    if (RAFT_MUTANT(SNAPSHOT_KEEPS_CONFLICT) && index > raft->log.base_index &&
        index < raft->log.last_index) {
        raft_log_compact(&raft->log, index);
        raft->log.base_term = term;
    } else {
        raft_log_reset(&raft->log, index, term);
    }
    raft_conf_reset(raft, event->snapshot_received.config_index, event->snapshot_received.config);
    raft->durable_index = index;
    raft->commit_index = index;
    raft->installing = true;
    raft->update->install = true;
    raft->update->install_index = index;
    raft->update->install_term = term;
}

int raft_snap_on_received(struct raft *raft, const struct raft_event *event)
{
    uint64_t leader = event->snapshot_received.from, term = event->snapshot_received.leader_term;
    uint64_t index = event->snapshot_received.index;
    if (leader == RAFT_NONE || leader == raft->self || index == 0 ||
        event->snapshot_received.term == 0 || event->snapshot_received.term > term ||
        event->snapshot_received.config_index > index ||
        !raft_conf_is_valid(event->snapshot_received.config) ||
        (raft->role == RAFT_LEADER && term == raft->term))
        return E_INVALID;
    if (term >= raft->term)
        raft_follow_hear(raft, leader, term, 0);
    bool covered = raft_log_term(&raft->log, index) == event->snapshot_received.term &&
                   !RAFT_MUTANT(SNAPSHOT_DROPS_SUFFIX);
    bool old = term < raft->term || index <= raft->commit_index || raft->installing;
    if (!old && covered)
        raft->commit_index = raft->announced_index = index;
    if (!old && !covered && raft->damage == RAFT_DAMAGE_NONE)
        raft_snap_install(raft, event);
    else
        raft->update->snapshot_ignored = true;
    return 0;
}

void raft_snap_on_installed(struct raft *raft, uint64_t index)
{
    CHECK(raft->installing && index == raft->log.base_index);
    raft->installing = false;
    raft->announced_index = index;
    if (index > raft->snapshot_index)
        raft->snapshot_index = index;
    if (raft->leader == RAFT_NONE || raft->leader == raft->self)
        return;
    struct raft_message reply = {.kind = RAFT_MESSAGE_APPEND_REPLY, .to = raft->leader};
    reply.append_reply.ok = true;
    reply.append_reply.match = index;
    raft_send(raft, &reply, RAFT_NONE);
}
