/* peer_snapshot.c - see peer_snapshot.h. */
#include "procs/raft/snapshots/peer_snapshot.h"

#include "base/error.h"
#include "ipc/raft_worker.h"
#include "procs/raft/peers/peers.h"

/* ---- transfers --------------------------------------------------------------------------------
 */

void peer_snapshot_offer_pack(struct pack *pack, const struct peer_snapshot_offer *offer)
{
    pack_u64(pack, offer->transfer);
    pack_u64(pack, offer->term);
    pack_bytes(pack, offer->manifest);
}

int peer_snapshot_offer_decode(struct peer_snapshot_offer *offer, struct unpack *body)
{
    offer->transfer = unpack_u64(body);
    offer->term = unpack_u64(body);
    offer->manifest = unpack_bytes(body);
    if (offer->manifest.len == 0 || offer->manifest.len > SNAPSHOT_MANIFEST_BYTES ||
        offer->term == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

PEER_SAY(snapshot_offer, PEER_SNAPSHOT_OFFER, peer_snapshot_offer_pack,
         const struct peer_snapshot_offer *, offer)

void peer_snapshot_chunk_pack(struct pack *pack, const struct peer_snapshot_chunk *chunk)
{
    pack_u64(pack, chunk->transfer);
    pack_u64(pack, chunk->position);
    pack_bytes(pack, chunk->bytes);
}

int peer_snapshot_chunk_decode(struct peer_snapshot_chunk *chunk, struct unpack *body)
{
    chunk->transfer = unpack_u64(body);
    chunk->position = unpack_u64(body);
    chunk->bytes = unpack_bytes(body);
    if (chunk->bytes.len == 0 || chunk->bytes.len > PEER_SNAPSHOT_CHUNK_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

PEER_SAY(snapshot_chunk, PEER_SNAPSHOT_CHUNK, peer_snapshot_chunk_pack,
         const struct peer_snapshot_chunk *, chunk)

void peer_snapshot_ack_pack(struct pack *pack, const struct peer_snapshot_ack *ack)
{
    pack_u64(pack, ack->transfer);
    pack_u64(pack, ack->position);
}

int peer_snapshot_ack_decode(struct peer_snapshot_ack *ack, struct unpack *body)
{
    ack->transfer = unpack_u64(body);
    ack->position = unpack_u64(body);
    return unpack_end(body);
}

PEER_SAY(snapshot_ack, PEER_SNAPSHOT_ACK, peer_snapshot_ack_pack, const struct peer_snapshot_ack *,
         ack)

void peer_snapshot_abort_pack(struct pack *pack, const struct peer_snapshot_abort *abort)
{
    pack_u64(pack, abort->transfer);
    pack_u64(pack, abort->error);
}

int peer_snapshot_abort_decode(struct peer_snapshot_abort *abort, struct unpack *body)
{
    abort->transfer = unpack_u64(body);
    abort->error = unpack_error_code(body);
    if (abort->error == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

PEER_SAY(snapshot_abort, PEER_SNAPSHOT_ABORT, peer_snapshot_abort_pack,
         const struct peer_snapshot_abort *, abort)

void peer_snapshot_wanted_pack(struct pack *pack, uint64_t index)
{
    pack_u64(pack, index);
}

int peer_snapshot_wanted_decode(uint64_t *index, struct unpack *body)
{
    *index = unpack_u64(body);
    return unpack_end(body);
}

PEER_SAY(snapshot_wanted, PEER_SNAPSHOT_WANTED, peer_snapshot_wanted_pack, uint64_t, index)

/* ---- state hashes -----------------------------------------------------------------------------
 */

void peer_state_hash_pack(struct pack *pack, const struct peer_state_hash *state)
{
    pack_u64(pack, PROC_WORKER_SLOT(state->worker));
    pack_u64(pack, state->index);
    pack_u64(pack, state->hash);
}

int peer_state_hash_decode(struct peer_state_hash *state, struct unpack *body)
{
    uint64_t slot = unpack_u64(body);
    state->index = unpack_u64(body);
    state->hash = unpack_u64(body);
    if (slot >= PROC_WORKER_COUNT || state->index == 0 || state->index % RAFT_CHECKPOINT != 0)
        unpack_refuse(body);
    else
        state->worker = (enum proc)(PROC_FIRST_WORKER + (int)slot);
    return unpack_end(body);
}

PEER_SAY(state_hash, PEER_STATE_HASH, peer_state_hash_pack, const struct peer_state_hash *, state)

PEER_SAY(state_differs, PEER_STATE_DIFFERS, peer_state_hash_pack, const struct peer_state_hash *,
         state)
