/* peer_snapshot.h - messages about snapshots and state hashes (docs/snapshots.md).
 *
 *   sender                      receiver
 *   OFFER transfer, manifest ->
 *                            <- ACK transfer, position      so much is here: go on from there
 *   CHUNK transfer, position ->
 *                            <- ACK transfer, position      so much is written
 *   ...
 *                            <- ACK transfer, all of it     it is complete, verified, and in place
 *
 * Either side ends a transfer with ABORT. A position counts through the files of a snapshot, one
 * after the other in the order of the workers; a chunk lies within one file. There is no sum per
 * chunk: frames are authenticated, and each file has a SHA-256 in the manifest.
 *
 * Of each message: pack and decode, and peer_say_<message>, as in peer_cluster.h.
 */
#ifndef INSI_RAFT_PEER_SNAPSHOT_H
#define INSI_RAFT_PEER_SNAPSHOT_H

#include "procs/raft/peers/peer_message.h"
#include "procs/raft/snapshots/snapshot_store.h"

struct peer; /* peers.h */

#define PEER_SNAPSHOT_CHUNK_BYTES (1u << 20) /* the largest one that is taken */

struct peer_snapshot_offer {
    uint64_t transfer;     /* number of the sender's choice */
    uint64_t term;         /* in which the sender leads */
    struct slice manifest; /* snapshot_decode */
};
void peer_snapshot_offer_pack(struct pack *pack, const struct peer_snapshot_offer *offer);
int peer_snapshot_offer_decode(struct peer_snapshot_offer *offer, struct unpack *body);
int peer_say_snapshot_offer(struct peer *peer, const struct peer_snapshot_offer *offer);

struct peer_snapshot_chunk {
    uint64_t transfer;
    uint64_t position;
    struct slice bytes; /* not empty */
};
void peer_snapshot_chunk_pack(struct pack *pack, const struct peer_snapshot_chunk *chunk);
int peer_snapshot_chunk_decode(struct peer_snapshot_chunk *chunk, struct unpack *body);
int peer_say_snapshot_chunk(struct peer *peer, const struct peer_snapshot_chunk *chunk);

struct peer_snapshot_ack {
    uint64_t transfer;
    uint64_t position;
};
void peer_snapshot_ack_pack(struct pack *pack, const struct peer_snapshot_ack *ack);
int peer_snapshot_ack_decode(struct peer_snapshot_ack *ack, struct unpack *body);
int peer_say_snapshot_ack(struct peer *peer, const struct peer_snapshot_ack *ack);

struct peer_snapshot_abort {
    uint64_t transfer;
    uint64_t error;
};
void peer_snapshot_abort_pack(struct pack *pack, const struct peer_snapshot_abort *abort);
int peer_snapshot_abort_decode(struct peer_snapshot_abort *abort, struct unpack *body);
int peer_say_snapshot_abort(struct peer *peer, const struct peer_snapshot_abort *abort);

/* "What I have does not lead to my log's beginning: send me a snapshot of this index or later." */
void peer_snapshot_wanted_pack(struct pack *pack, uint64_t index);
int peer_snapshot_wanted_decode(uint64_t *index, struct unpack *body);
int peer_say_snapshot_wanted(struct peer *peer, uint64_t index);

/* STATE_HASH: a follower tells the leader a worker's hash at a checkpoint. STATE_DIFFERS: the
 * leader tells it that this is not what the majority has there. */
struct peer_state_hash {
    enum proc worker;
    uint64_t index; /* a multiple of RAFT_CHECKPOINT */
    uint64_t hash;
};
void peer_state_hash_pack(struct pack *pack, const struct peer_state_hash *state);
int peer_state_hash_decode(struct peer_state_hash *state, struct unpack *body);
int peer_say_state_hash(struct peer *peer, const struct peer_state_hash *state);
int peer_say_state_differs(struct peer *peer, const struct peer_state_hash *state);

#endif
