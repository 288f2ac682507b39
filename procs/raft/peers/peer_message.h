/* peer_message.h - what the raft processes of the nodes say to each other, and how it is encoded:
 * the list of messages, those with which a connection begins, and the core's.
 *
 * A message is a msgpack array [number, elements...] in a frame of its own length within the frame
 * that is authenticated (peer_frame.h). Encoders and decoders stand side by side, in files by
 * subject (peer_append.h, peer_cluster.h, snapshots/peer_snapshot.h); decoders are strict
 * (ipc/pack.h), and what they give is borrowed from the frame. The sender, its cluster and its
 * addresses are known from the connection, so no message repeats them. A change here raises
 * PEER_VERSION.
 */
#ifndef INSI_RAFT_PEER_MESSAGE_H
#define INSI_RAFT_PEER_MESSAGE_H

#include "ipc/pack.h"
#include "procs/raft/members.h"
#include "procs/raft/peers/peer_frame.h"

/* X(name, number, elements, who) - ANYBODY: also from a node of no cluster or of another one;
 * MEMBER: only from one of this node's cluster. */
#define PEER_MESSAGE_LIST(X)                                                                       \
    X(HELLO, 1, 5, ANYBODY)                                                                        \
    X(WELCOME, 2, 4, ANYBODY)                                                                      \
    X(VOTE, 10, 8, MEMBER)                                                                         \
    X(VOTE_REPLY, 11, 4, MEMBER)                                                                   \
    X(APPEND, 12, 10, MEMBER)                                                                      \
    X(APPEND_REPLY, 13, 9, MEMBER)                                                                 \
    X(TIMEOUT_NOW, 14, 2, MEMBER)                                                                  \
    X(READ, 15, 2, MEMBER)                                                                         \
    X(READ_REPLY, 16, 3, MEMBER)                                                                   \
    X(FORWARD, 20, 2, MEMBER)                                                                      \
    X(FORWARD_REFUSED, 21, 3, MEMBER)                                                              \
    X(DISK, 22, 1, MEMBER)                                                                         \
    X(FORWARD_AGAIN, 23, 0, MEMBER)                                                                \
    X(JOIN, 30, 1, ANYBODY)                                                                        \
    X(JOIN_ANSWER, 31, 4, ANYBODY)                                                                 \
    X(INVITE, 32, 0, ANYBODY)                                                                      \
    X(INVITE_ANSWER, 33, 1, ANYBODY)                                                               \
    X(STATUS_ASK, 40, 1, MEMBER)                                                                   \
    X(STATUS_ANSWER, 41, 4, MEMBER)                                                                \
    X(CHANGE, 42, 4, MEMBER)                                                                       \
    X(CHANGE_ANSWER, 43, 3, MEMBER)                                                                \
    X(CLOCK_ASK, 50, 1, MEMBER)                                                                    \
    X(CLOCK_ANSWER, 51, 2, MEMBER)                                                                 \
    X(SNAPSHOT_OFFER, 60, 3, MEMBER)                                                               \
    X(SNAPSHOT_CHUNK, 61, 3, MEMBER)                                                               \
    X(SNAPSHOT_ACK, 62, 2, MEMBER)                                                                 \
    X(SNAPSHOT_ABORT, 63, 2, MEMBER)                                                               \
    X(SNAPSHOT_WANTED, 64, 1, MEMBER)                                                              \
    X(STATE_HASH, 65, 3, MEMBER)                                                                   \
    X(STATE_DIFFERS, 66, 3, MEMBER)

enum peer_message {
#define X(name, number, elements, who) PEER_##name = number,
    PEER_MESSAGE_LIST(X)
#undef X
};

const char *peer_message_name(int number);    /* "APPEND"; "?" for an unknown number */
int peer_message_elements(int number);        /* -1 for an unknown number */
bool peer_message_is_for_members(int number); /* MEMBER in the list */

/* Within a frame a message stands as a msgpack bin. Appends the beginning of one: pack its elements
 * behind it, then end it. begin: what out->len was before. */
void peer_message_begin(struct buf *out, struct pack *pack, enum peer_message number);
void peer_message_end(struct buf *out, size_t begin);
/* The one message of a frame that may hold no other: the body is at its first element. E_INVALID
 * and the like. */
int peer_message_single(struct slice messages, enum peer_message number, struct unpack *body);

/* Pieces that more than one message has; what does not fit refuses the body. */
struct slice peer_take_text(struct unpack *body, size_t max); /* of at most so many bytes, no NUL */
void peer_take_fixed(struct unpack *body, uint8_t *out, size_t len); /* exactly so many */
uint64_t peer_take_below(struct unpack *body, uint64_t bound);

/* ---- connections ------------------------------------------------------------------------------
 */

struct peer_hello { /* also WELCOME, without the nonce */
    uint8_t nonce[PEER_NONCE_BYTES];
    uint64_t start_id;                       /* of the process */
    struct slice name;                       /* node id of the configuration; not empty, no NUL */
    struct slice raft_address, http_address; /* "host:port" where others reach it */
};
void peer_hello_pack(struct pack *pack, const struct peer_hello *hello);
int peer_hello_decode(struct peer_hello *hello, struct unpack *body);
void peer_welcome_pack(struct pack *pack, const struct peer_hello *hello);
int peer_welcome_decode(struct peer_hello *hello, struct unpack *body);

/* ---- the core's messages (core/raft.h) but for APPEND, which is in peer_append.h ---------------
 */

/* The number under which a kind travels. */
enum peer_message peer_raft_number(enum raft_message_kind kind);
void peer_raft_pack(struct pack *pack, const struct raft_message *message);
/* from and to are not touched. */
int peer_raft_decode(struct raft_message *message, enum peer_message number, struct unpack *body);

#endif
