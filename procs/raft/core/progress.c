/* progress.c - what a leader knows of each peer: where its log fits, what is under way to it.
 *
 *   PROBE: one APPEND at a time until one fits. REPLICATE: as many as the window holds, without
 *   waiting. SNAPSHOT: nothing but heartbeats until the peer has what the log still holds.
 */
#include "procs/raft/core/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct raft_peer *raft_peer_find(const struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].id == id)
            return &raft->peers[i];
    return NULL;
}

static void raft_peer_clear_window(struct raft_peer *peer)
{
    peer->window_head = peer->window_count = peer->window_bytes = 0;
}

static void raft_peer_remove(struct raft *raft, uint32_t at)
{
    free(raft->peers[at].window);
    raft->peer_count--;
    memmove(raft->peers + at, raft->peers + at + 1,
            (raft->peer_count - at) * sizeof(raft->peers[0]));
}

/* There is room for all members and as many on their way out; the latter give way. */
static void raft_peer_make_room(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->peer_count && raft->peer_count == RAFT_PEERS_MAX; i++)
        if (raft->peers[i].leaving)
            raft_peer_remove(raft, i);
    CHECK(raft->peer_count < RAFT_PEERS_MAX);
}

static void raft_peer_add(struct raft *raft, uint64_t id)
{
    raft_peer_make_room(raft);
    struct raft_peer *peer = &raft->peers[raft->peer_count++];
    *peer = (struct raft_peer){
        .id = id,
        .next = raft->log.last_index + 1,
        .heard_ns = raft->now_ns, /* so much patience it is given */
        .catch_up_index = raft->log.last_index,
        .catch_up_since_ns = raft->now_ns,
        .window = mem_alloc(raft->options.window_messages * sizeof(struct raft_flight)),
        .must_send = true,
    };
}

/* A removed peer stays for two election timeouts, so that it may learn of its removal. */
void raft_peer_sync(struct raft *raft)
{
    const struct raft_config *config = &raft_conf(raft)->config;
    for (uint32_t i = 0; i < config->count; i++) {
        uint64_t id = config->members[i].id;
        if (id == raft->self)
            continue;
        if (!raft_peer_find(raft, id))
            raft_peer_add(raft, id);
        struct raft_peer *peer = raft_peer_find(raft, id);
        peer->voter = config->members[i].voter;
        peer->leaving = false;
    }
    for (uint32_t i = raft->peer_count; i-- > 0;) {
        struct raft_peer *peer = &raft->peers[i];
        if (raft_conf_find(config, peer->id))
            continue;
        peer->voter = false;
        if (!peer->leaving) {
            peer->leaving = true;
            peer->leaving_until_ns = raft->now_ns + 2 * raft->options.election_timeout_ns;
        }
        if (raft->now_ns >= peer->leaving_until_ns)
            raft_peer_remove(raft, i);
    }
}

void raft_peer_forget_all(struct raft *raft)
{
    while (raft->peer_count > 0)
        raft_peer_remove(raft, raft->peer_count - 1);
}

void raft_peer_probe(const struct raft *raft, struct raft_peer *peer, uint64_t next)
{
    peer->state = RAFT_PEER_PROBE;
    peer->reset_round = raft->round;
    peer->next = next > peer->match ? next : peer->match + 1;
    peer->probe_sent = false;
    raft_peer_clear_window(peer);
}

void raft_peer_replicate(struct raft_peer *peer)
{
    peer->state = RAFT_PEER_REPLICATE;
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    raft_peer_clear_window(peer);
}

void raft_peer_flight_add(struct raft *raft, struct raft_peer *peer, uint64_t last, uint32_t bytes)
{
    uint32_t room = raft->options.window_messages;
    CHECK(peer->window_count < room);
    peer->window[(peer->window_head + peer->window_count++) % room] =
        (struct raft_flight){.last_index = last, .bytes = bytes};
    peer->window_bytes += bytes;
}

void raft_peer_flight_done(struct raft *raft, struct raft_peer *peer, uint64_t match)
{
    while (peer->window_count > 0 && peer->window[peer->window_head].last_index <= match) {
        peer->window_bytes -= peer->window[peer->window_head].bytes;
        peer->window_head = (peer->window_head + 1) % raft->options.window_messages;
        peer->window_count--;
    }
}

bool raft_peer_has_room(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->window_count < raft->options.window_messages &&
           (peer->window_count == 0 || peer->window_bytes < raft->options.window_bytes);
}

/* Catching up goes in rounds: each replicates what was in the log when it began. A learner whose
 * round took less than an election timeout is fast enough to be a voter (thesis 4.2.1). */
void raft_peer_catch_up(struct raft *raft, struct raft_peer *peer)
{
    if (peer->match < peer->catch_up_index)
        return;
    peer->caught_up = raft->now_ns - peer->catch_up_since_ns < raft->options.election_timeout_ns;
    peer->catch_up_index = raft->log.last_index;
    peer->catch_up_since_ns = raft->now_ns;
}

uint32_t raft_peers(const struct raft *raft, uint64_t now_ns,
                    struct raft_peer_status out[RAFT_MEMBERS_MAX])
{
    const struct raft_config *config = &raft_conf(raft)->config;
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        uint64_t id = config->members[i].id;
        if (id == raft->self)
            continue;
        struct raft_peer_status *status = &out[count++];
        *status = (struct raft_peer_status){.id = id, .voter = config->members[i].voter};
        const struct raft_peer *peer = raft_peer_find(raft, id);
        if (!peer)
            continue;
        status->active = now_ns < peer->heard_ns + raft->options.election_timeout_ns;
        status->snapshot = peer->state == RAFT_PEER_SNAPSHOT;
        status->match_index = peer->match;
    }
    return count;
}
