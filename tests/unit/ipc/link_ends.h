/* link_ends.h - what the tests of links share: real ends that count what happens to them, driven by
 * hand (no loop, so a test decides who takes a turn), and a raw peer that can say anything. */
#ifndef INSI_TESTS_UNIT_IPC_LINK_ENDS_H
#define INSI_TESTS_UNIT_IPC_LINK_ENDS_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/gateway_raft.h"
#include "ipc/link.h"

#define NODE "node0"

struct end {
    struct link *link;
    enum proc self;
    unsigned ups, downs, batch_ends;
    struct link_peer peer; /* of the last up */
    /* numbers received: READ_INDEX at raft, REFUSE (its sequence) at a gateway */
    uint64_t count, first, last;
    bool has_gap;         /* since the last up */
    uint64_t entry_bytes; /* of the last PROPOSE */
    uint8_t entry_sum;
    unsigned echoes; /* answer so many READ_INDEX with a REFUSE of the same number */
};

/* A folder for the sockets, its path in ends_dir; removed with what the test left open by
 * ends_fini. */
extern char ends_dir[64];
void ends_init(void);
void ends_fini(void);

void end_open(struct end *end, enum proc self, uint64_t start_id);
void end_open_as(struct end *end, enum proc self, const char *node, uint64_t start_id);
void end_close(struct end *end);
int end_send(struct end *end, uint64_t number);

/* One turn of every open end: drain what is ready within the time, then flush. */
void ends_turn(int timeout_ms);

/* Takes turns until the condition holds; fails the test after 15 seconds. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 15000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            ends_turn(5);                                                                          \
        }                                                                                          \
    } while (0)

/* Log lines since ends_init that contain the text. */
unsigned ends_logged(const char *text);

/* ---- a peer that is a socket and nothing else: it poses as gateway 0 for a raft end ---- */

struct raw {
    int fd;
    bool is_open;
    uint64_t own_nonce, peer_nonce; /* peer_nonce: from the end's hello */
    struct buf in;                  /* received and not yet looked at */
    struct buf last;                /* the last batch received */
};

struct raw_hello { /* what raw_good_hello fills in right */
    uint64_t version, proc, index;
    const char *node;
    uint64_t start_id;
};
struct raw_hello raw_good_hello(void);

/* The number of the end's present connection; 0: none. */
uint32_t end_connection(const struct end *end);

struct sockaddr_un raw_address(void);
void raw_connect(struct raw *raw); /* dials, and waits for the end's hello */
void raw_close(struct raw *raw);
bool raw_receive(struct raw *raw);                        /* false: no whole batch is there now */
void raw_send_bytes(struct raw *raw, struct slice bytes); /* as they are */
void raw_send(struct raw *raw, struct slice batch);       /* behind its length */
void raw_send_hello(struct raw *raw, uint64_t nonce, const struct raw_hello *hello);
void raw_send_number(struct raw *raw, uint64_t sender_nonce, uint64_t receiver_nonce,
                     uint64_t number);
/* A batch of one or two frames with these bytes, under the right nonces. */
void raw_send_frame(struct raw *raw, struct slice frame);
void raw_send_frames(struct raw *raw, struct slice first, struct slice second);
/* connect and a good hello, up to the end's being up */
void raw_meet(struct raw *raw, struct end *end, uint64_t nonce);

#endif
