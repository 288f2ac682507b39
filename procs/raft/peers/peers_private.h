/* peers_private.h - the state behind peers.h; shared by peers.c (who is who), peer_out.c (what we
 * dial) and peer_in.c (who dials us). */
#ifndef INSI_RAFT_PEERS_PRIVATE_H
#define INSI_RAFT_PEERS_PRIVATE_H

#include "base/pace.h"
#include "base/rng.h"
#include "ipc/helper.h"
#include "procs/raft/peers/peer_socket.h"
#include "procs/raft/peers/peer_tls.h"
#include "procs/raft/peers/peers.h"

#define PEER_PLACES                                                                                \
    3 /* where it said, where the configuration says, where the members' list says */

enum peer_line {
    PEER_LINE_IDLE,      /* not connected; the timer says when to try */
    PEER_LINE_RESOLVING, /* the helper looks its name up */
    PEER_LINE_DIALING,
    PEER_LINE_SHAKING,
    PEER_LINE_GREETED,  /* waits for the greeting */
    PEER_LINE_WELCOMED, /* HELLO was sent, waits for WELCOME */
    PEER_LINE_OPEN
};

struct peer_chunk { /* sealed frames on their way */
    struct peer_chunk *next;
    uint8_t *data;
    size_t len, sent;
};

struct peer_lookup { /* of a host name */
    struct helper_job job;
    struct peer *peer; /* NULL: it is not there any more */
    char address[MEMBER_ADDRESS_BYTES];
    struct peer_sockaddrs found;
    int error;
};

struct peer_out {
    enum peer_line line;
    struct peer_socket socket;
    struct loop_timer timer;
    char address[MEMBER_ADDRESS_BYTES]; /* that is dialed */
    struct peer_sockaddrs found;
    unsigned tries; /* of this outage: which place, which of its addresses */
    unsigned delay_ms;
    uint64_t since_ns; /* of this line */
    bool is_told;      /* of this outage was logged */
    struct peer_lookup *lookup;
    uint8_t own_nonce[PEER_NONCE_BYTES], nonce[PEER_NONCE_BYTES]; /* nonce: the listener's */
    uint64_t number;                                              /* of the last frame */
    struct buf in;                                                /* greeting, WELCOME */
    struct buf open;                                              /* the frame being filled */
    struct pack pack;
    size_t message_at; /* in open */
    bool in_message;
    struct peer_chunk *first, *last;
    size_t chunk_bytes;  /* not yet sent */
    uint64_t blocked_ns; /* since when nothing goes out; 0: it does */
};

struct inbound {
    struct peers *peers;
    struct inbound *next, *previous;
    struct peer_socket socket;
    struct sockaddr_storage from;
    struct peer *peer; /* NULL: a stranger */
    struct loop_timer timer;
    uint8_t nonce[PEER_NONCE_BYTES];
    uint64_t number; /* of the last frame */
    struct buf in;
    bool is_over;  /* to be freed when the stack has left it */
    bool is_used;  /* on the stack */
    bool has_more; /* in its buffers, for which no descriptor wakes us */
    bool is_due;   /* to be asked for it */
};

struct peer {
    struct peers *peers;
    struct peer *next;
    struct peer_info info;
    char places[PEER_PLACES][MEMBER_ADDRESS_BYTES]; /* [0] is not used: info.raft_address */
    char domain[PEER_HOST_BYTES];                   /* clientDomain, "" when not configured */
    bool is_configured, is_member;
    uint64_t wanted_until_ns;
    struct peer_out out;
    struct inbound *in; /* NULL: it does not speak to us */
};

struct peers_listener {
    struct peers *peers;
    int fd;
};

struct peers {
    struct peers_hooks hooks;
    struct loop *loop;
    struct helper *helper; /* NULL: no name was looked up yet */
    const char *node;
    uint64_t raft_id, start_id;
    uint8_t cluster[WAL_CLUSTER_BYTES];
    char binding[MEMBER_ADDRESS_BYTES], http_address[MEMBER_ADDRESS_BYTES];
    struct hash_key *key;
    struct peer_tls *tls; /* NULL: plain TCP */
    struct rng rng;
    bool seeks;
    bool sweeps; /* those who came by and are gone, at the end of this turn */
    struct peer *list;
    unsigned count;
    struct peers_listener listeners[PEER_SOCKADDRS];
    unsigned listener_count;
    struct loop_timer listen_timer; /* to listen, or to accept, again */
    bool is_told;                   /* that it cannot listen */
    struct inbound *inbounds;       /* newest first */
    unsigned strangers;
    bool has_more; /* some inbound has */
    struct {
        uint64_t count, logged_count;
        struct pace pace; /* of lines */
    } faults[PEER_FAULTS];
    uint64_t frames_sent;
};

/* peers.c */
bool peer_is_wanted(const struct peer *peer);
void peer_reconsider(struct peer *peer); /* dials, hangs up, or drops it */
/* who: a name or an address */
void peers_note_fault(struct peers *peers, enum peer_fault fault, const char *who,
                      const char *detail);
/* The peer that says so; NULL: it cannot be one. from: where its connection comes from. */
struct peer *peers_introduce(struct peers *peers, const struct peer_head *head,
                             const struct peer_hello *hello, const struct sockaddr_storage *from);
void peers_fill_hello(const struct peers *peers, struct peer_hello *hello);
void peers_fill_head(const struct peers *peers, struct peer_head *head);

/* peer_out.c */
void peer_out_init(struct peer *peer);
void peer_out_fini(struct peer *peer);
void peer_out_dial(struct peer *peer); /* when idle: now */
void peer_out_hang_up(struct peer *peer, const char *reason);
void peer_out_set_timer(struct peer *peer); /* for what its line waits for */
void peer_out_watch(struct peer *peer);     /* its socket, as that wants to be */

/* peer_send.c */
#define PEER_OUT_KEEP_BYTES (64u << 10) /* of the open frame's buffer, while idle */
struct pack *peer_out_start(struct peer *peer, enum peer_message number);
void peer_out_flush(struct peer *peer);
bool peer_out_is_idle(const struct peer *peer);

/* peer_in.c */
void peer_in_listen(struct peers *peers);
void peer_in_close_all(struct peers *peers);
void peer_in_close(struct inbound *inbound);
void peer_in_go_on(struct peers *peers); /* those that have more */

#endif
