/* peer_frame.h - what travels between the raft processes of two nodes, as bytes (docs/peers.md).
 *
 * A connection goes one way: the node that dialed it speaks, the node that listens answers once.
 *
 *   1. listener -> dialer   a greeting: version and a nonce drawn for this connection
 *   2. dialer -> listener   frame 1: HELLO, which brings a nonce of the dialer's
 *   3. listener -> dialer   frame 1: WELCOME
 *   4. dialer -> listener   frames 2, 3, 4, ...: messages
 *
 * A frame names the nonce of whoever receives it, its number and its direction, and ends with an
 * HMAC-SHA256 of everything in it. So a frame that was recorded fits no other connection, no other
 * place in this one, and not the way back. Nothing in a frame is believed before its HMAC is.
 * All numbers little-endian. Pure.
 */
#ifndef INSI_RAFT_PEER_FRAME_H
#define INSI_RAFT_PEER_FRAME_H

#include "base/buf.h"
#include "base/hash.h"
#include "procs/raft/wal/wal_format.h"

#define PEER_VERSION 1
#define PEER_GROUP 0 /* one Raft group per cluster today */
#define PEER_NONCE_BYTES 16
#define PEER_GREETING_BYTES 32
#define PEER_LENGTH_BYTES 8 /* how many bytes follow, and the CRC32C of that */
#define PEER_HEAD_BYTES 72  /* behind the length */
#define PEER_BEFORE_BYTES (PEER_LENGTH_BYTES + PEER_HEAD_BYTES)
#define PEER_FRAME_MIN (PEER_HEAD_BYTES + SHA256_BYTES)

enum peer_direction { PEER_SPOKEN = 1, PEER_ANSWERED = 2 };

struct peer_head {
    enum peer_direction direction;
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* the sender's; zeros: of none yet */
    uint64_t sender;                    /* raft ids; the receiver's 0: not known yet */
    uint64_t receiver;
    uint8_t nonce[PEER_NONCE_BYTES]; /* the receiver's */
    uint64_t number;                 /* 1, 2, 3, ... */
};

/* What the frames of a cluster are authenticated with; the caller frees it. */
struct hash_key *peer_frame_key(const char *instance_secret);

void peer_encode_greeting(uint8_t out[PEER_GREETING_BYTES], const uint8_t nonce[PEER_NONCE_BYTES]);
/* E_INVALID: not one of ours. E_VERSION: of another version, which is in *version. */
int peer_decode_greeting(const uint8_t bytes[PEER_GREETING_BYTES], uint8_t nonce[PEER_NONCE_BYTES],
                         uint32_t *version);

/* A frame is built in place: room in front, messages, seal. */
void peer_frame_begin(struct buf *out); /* out is empty */
void peer_frame_seal(struct buf *out, struct hash_key *key, const struct peer_head *head);

/* The length in front of a frame: E_INVALID when it is damaged, or none can be so long. It has a
 * checksum of its own, because whoever believed a damaged one would wait for the rest for ever. */
int peer_frame_length(const uint8_t bytes[PEER_LENGTH_BYTES], uint32_t *out);

/* frame: without its length. E_TRUNCATED, E_VERSION (of protocol or group), E_DENIED: not made with
 * this key. The messages are borrowed from the frame. */
int peer_frame_open(struct slice frame, struct hash_key *key, struct peer_head *head,
                    struct slice *messages);

#endif
