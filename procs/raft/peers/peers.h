/* peers.h - the raft processes of the other nodes: connections, who is who, messages in and out.
 *
 * Each node listens at raftBinding and dials those it has something to say to: the members of its
 * cluster, and for a while whoever speaks to it. A connection goes one way (peer_frame.h), so two
 * nodes that talk have two. Everything said in one turn of the loop leaves as one frame with
 * peers_flush. Everything below is for the loop's thread.
 *
 * A peer is known by the name of its node. Where it is: where it said last that it is, else where
 * the configuration says, else where the list of members says; what fails is followed by the next.
 *
 * Strangers: nothing is believed, and no more than a HELLO's size kept, of a connection before its
 * first frame has proved knowledge of instanceSecret (and TLS its certificate). There are at most
 * PEERS_STRANGERS of them, for at most PEERS_HELLO_MS. What is wrong is counted by kind, logged at
 * most every PEERS_LOG_MS per kind, and ends the connection.
 *
 * A slow peer: PEER_QUEUE_BYTES wait for it, then peer_begin refuses; when it takes nothing for
 * PEER_SILENCE_MS its connection is given up with all that waits. A peer that is gone is dialed
 * again and again, at most about once a second, and at once when it is heard.
 */
#ifndef INSI_RAFT_PEERS_H
#define INSI_RAFT_PEERS_H

#include "base/config.h"
#include "ipc/loop.h"
#include "procs/raft/peers/peer_message.h"

#define PEERS_MAX 192 /* configured nodes, members, and a few who just come by */
#define PEERS_STRANGERS 32
#define PEERS_HELLO_MS 5000
#define PEERS_LOG_MS 10000
#define PEERS_LINGER_MS 30000        /* so long who is no member is spoken to after it spoke */
#define PEER_QUEUE_BYTES (24u << 20) /* one message may be larger */
#define PEER_FRAME_BYTES (1u << 20)  /* a frame beyond this is closed */
#define PEER_STRANGER_BYTES 4096     /* the largest HELLO */

struct peers;
struct peer;

struct peer_info {
    char name[LIMIT_NODE_ID_BYTES];
    uint64_t id; /* raft id; 0: it has not been met yet */
    uint8_t cluster[WAL_CLUSTER_BYTES];
    uint64_t start_id; /* of its process */
    char raft_address[MEMBER_ADDRESS_BYTES], http_address[MEMBER_ADDRESS_BYTES]; /* "": not met */
    bool is_up;        /* it can be spoken to */
    bool is_heard;     /* it speaks to us: its connection is there */
    uint64_t heard_ns; /* its last frame; 0: none */
};

enum peer_fault {
    PEER_FAULT_LENGTH,    /* too short or too long */
    PEER_FAULT_VERSION,   /* another protocol */
    PEER_FAULT_FORGED,    /* not made with our secret */
    PEER_FAULT_REPLAYED,  /* of another connection, or out of order */
    PEER_FAULT_MALFORMED, /* authentic, and makes no sense */
    PEER_FAULT_FOREIGN,   /* a member's message from a node of another cluster */
    PEER_FAULT_IDENTITY,  /* not the node that was dialed, or one of our own name */
    PEER_FAULT_TLS,       /* no certificate, or the wrong one */
    PEER_FAULT_SILENT,    /* said nothing in time */
    PEER_FAULT_CROWD,     /* too many strangers, or too many peers */
    PEER_FAULT_REFUSED    /* the core refused the message (peers_note_refused) */
};
#define PEER_FAULTS 11

struct peers_hooks { /* none may free peers */
    /* It can be spoken to now, or not any more. What was said and not yet heard is lost. */
    void (*up)(void *arg, struct peer *peer);
    void (*down)(void *arg, struct peer *peer);
    /* Its connection to us is there, or anew: what it said before that may be lost. */
    void (*heard)(void *arg, struct peer *peer);
    /* One message; the handler consumes the body to its end or refuses it, which ends the
     * connection. Bytes are borrowed until it returns. */
    void (*message)(void *arg, struct peer *from, enum peer_message number, struct unpack *body);
    void *arg;
};

struct peers_options {
    const struct config *config; /* not kept */
    const char *node;            /* this node's id; outlives peers */
    uint64_t raft_id, start_id;
    uint8_t cluster[WAL_CLUSTER_BYTES];
    struct peers_hooks hooks;
};

/* E_INVALID: certificates cannot be used, or raftBinding is no address; logged. */
int peers_new(struct peers **out, const struct peers_options *options, struct loop *loop);
/* Begins to listen. That a port is taken is logged, and it is tried again every second. */
void peers_listen(struct peers *peers);
void peers_free(struct peers **peers);

/* SIGHUP: connections made from now on use the new certificates. E_INVALID: the old ones stay. */
int peers_reload(struct peers *peers, const struct config *config);

void peers_set_cluster(struct peers *peers, const uint8_t cluster[WAL_CLUSTER_BYTES]);
/* These are spoken to; the others only as long as they speak. */
void peers_set_members(struct peers *peers, const struct members *members);
/* All nodes of the configuration are spoken to, or only the members again. */
void peers_seek(struct peers *peers, bool all);

/* At the end of a turn: what was said leaves. */
void peers_flush(struct peers *peers);
bool peers_are_idle(const struct peers *peers); /* the kernel has all that was said */

/* ---- one peer ---------------------------------------------------------------------------------
 */

struct peer *peers_by_id(const struct peers *peers, uint64_t raft_id);
struct peer *peers_by_name(const struct peers *peers, struct slice name);
struct peer *peers_next(const struct peers *peers, const struct peer *peer); /* NULL: the first */

/* The peer of this name, made if need be, and dialed at this address ("" for where it is known to
 * be) until it has been silent for so long. NULL: there are too many. */
struct peer *peers_meet(struct peers *peers, struct slice name, const char *address,
                        uint64_t wanted_ms);

const struct peer_info *peer_info(const struct peer *peer);

/* Starts one message: write its elements and end with peer_end, or give it up with peer_cancel.
 * E_PEER_DOWN (also for NULL), E_BUSY: nothing was begun. */
int peer_begin(struct peer *peer, enum peer_message number, struct pack **pack);
void peer_end(struct peer *peer);
void peer_cancel(struct peer *peer);
/* Defines peer_say_<message>, beside the message's pack and decode: all of the above in one. */
#define PEER_SAY(message, number, pack_message, type, what)                                        \
    int peer_say_##message(struct peer *peer, type what)                                           \
    {                                                                                              \
        struct pack *pack;                                                                         \
        int error = peer_begin(peer, number, &pack);                                               \
        if (error)                                                                                 \
            return error;                                                                          \
        pack_message(pack, what);                                                                  \
        peer_end(peer);                                                                            \
        return 0;                                                                                  \
    }

size_t peer_queued_bytes(const struct peer *peer);

/* ---- what was counted ---------------------------------------------------------------------------
 */

const char *peer_fault_name(enum peer_fault fault);
uint64_t peers_faults(const struct peers *peers, enum peer_fault fault);
void peers_note_refused(struct peers *peers, const struct peer *from);
uint64_t peers_frames_sent(const struct peers *peers);

#endif
