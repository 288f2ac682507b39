/* peer_nodes.h - several nodes' peers in one loop of one test process, and strangers who knock at
 * their doors with bytes of their own making. */
#ifndef INSI_TESTS_UNIT_RAFT_PEER_NODES_H
#define INSI_TESTS_UNIT_RAFT_PEER_NODES_H

#include <criterion/criterion.h>

#include "base/clock.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"

#define NODES_MAX 4
#define NODE_MESSAGES 4096 /* that are remembered */

struct node_message {
    char from[LIMIT_NODE_ID_BYTES];
    enum peer_message number;
    uint64_t value; /* of messages of one number */
    size_t bytes;   /* of FORWARD's entry */
};

struct node {
    char name[16];
    unsigned port;
    struct config config;
    struct peers *peers;
    unsigned ups, downs, heards;
    struct node_message messages[NODE_MESSAGES];
    unsigned message_count;
    enum peer_message refuses; /* bodies of this number */
};

struct nodes {
    struct loop *loop;
    unsigned count;
    struct node list[NODES_MAX];
    char folder[64]; /* for certificates, "" */
};

extern struct nodes nodes;

/* So many nodes in one configuration, with ports that are free. extra: more lines for it, NULL. */
void nodes_init(unsigned count, const char *extra);
void nodes_fini(void);

/* Opens the peers of node i under the raft id 100 + i and a cluster of "c" or, with cluster NULL,
 * none. */
void node_open(unsigned i, const char *cluster);
void node_open_as(unsigned i, const char *cluster, uint64_t raft_id, const char *secret);
void node_close(unsigned i);

struct peer *node_peer(unsigned i, unsigned other);
bool node_is_up(unsigned i, unsigned other);                  /* i can speak to other */
void node_say(unsigned i, unsigned other, uint64_t value);    /* STATUS_ASK */
void node_say_join(unsigned i, unsigned other, bool value);   /* JOIN */
int node_say_bytes(unsigned i, unsigned other, size_t bytes); /* FORWARD */
unsigned node_heard(unsigned i, uint64_t value);              /* STATUS_ASKs of this value */

void nodes_turn(unsigned ms);
#define NODES_WAIT(condition)                                                                      \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 20000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            nodes_turn(1);                                                                         \
        }                                                                                          \
    } while (0)

/* ---- strangers --------------------------------------------------------------------------------
 */

int stranger_dial(unsigned i);                                   /* a descriptor */
void stranger_greeting(int fd, uint8_t nonce[PEER_NONCE_BYTES]); /* reads it */
void stranger_send(int fd, const void *data, size_t len);
bool stranger_is_cut(int fd); /* the node has closed the connection */
/* A HELLO as node "name" would make it, sealed with this secret. */
void stranger_hello(struct buf *out, const char *secret, const char *name, uint64_t raft_id,
                    const uint8_t nonce[PEER_NONCE_BYTES]);
/* Any frame: head is filled in by the caller, messages are bytes. */
void stranger_frame(struct buf *out, const char *secret, const struct peer_head *head,
                    struct slice messages);

#endif
