/* transfer.h - a sender and a receiver of snapshots in one loop, each with a folder of its own.
 * What they say goes through the codecs and a queue that the test can cut, hold and damage. */
#ifndef INSI_TESTS_UNIT_RAFT_TRANSFER_H
#define INSI_TESTS_UNIT_RAFT_TRANSFER_H

#include <criterion/criterion.h>

#include "base/clock.h"
#include "procs/raft/snapshots/snapshot_receive.h"
#include "procs/raft/snapshots/snapshot_send.h"

#define TRANSFER_CLUSTER "cluster of tests"
#define TRANSFER_SENDER 101ull
#define TRANSFER_QUEUE 4096

struct transfer_message {
    enum peer_message number;
    bool to_receiver;
    struct buf bytes;
};

struct transfer {
    char folder[64]; /* of both */
    char from[80], to[80];
    struct loop *loop;
    struct helper *helper; /* of the sender */
    struct snapshot *snapshot;
    struct snapshot_send *send;
    struct snapshot_receive receive;
    uint64_t transfers; /* how many were begun */
    uint64_t term;

    struct transfer_message queue[TRANSFER_QUEUE]; /* what is under way */
    unsigned head, count;

    /* faults */
    unsigned cut_at;     /* the connection is lost instead of this message, 1, 2, ...; 0: never */
    unsigned damage_at;  /* a bit of this chunk is another one; 0: none */
    unsigned busy_every; /* each n-th try of the sender finds no room; 0: none */
    unsigned hold_at;    /* nothing is delivered behind this chunk; 0: all is */
    bool holds;          /* nothing is delivered */
    int judgement;       /* of the receiver about offers */

    /* what has happened */
    unsigned delivered, chunks, acks, aborts, offers;
    uint64_t chunk_bytes;
    uint64_t first_position; /* of the first chunk of this transfer */
    unsigned sent, failed;
    int error, aborted; /* the last ones */
    unsigned received;
    uint64_t received_index, received_from, received_term;
    int refused; /* by the receiver or sender, of what was delivered */
};

extern struct transfer transfer;

/* Makes a snapshot with files of these sizes in the sender's folder. */
void transfer_init(uint64_t index, const uint64_t bytes[PROC_WORKER_COUNT]);
void transfer_fini(void);
/* Another one in its place, with other contents. */
void transfer_make(uint64_t index, const uint64_t bytes[PROC_WORKER_COUNT]);

void transfer_begin(void);            /* the sender begins */
void transfer_restart_receiver(void); /* as after a kill: what is in memory is gone */
void transfer_cut(void);              /* the connection is lost now */
void transfer_deliver(bool to_receiver, enum peer_message number, const struct buf *bytes);

/* The receiver's folder holds the sender's snapshot, and nothing else. */
void transfer_expect_equal(void);
void transfer_path(char out[SNAPSHOT_PATH_BYTES], bool of_receiver, const char *name,
                   unsigned part);

void transfer_turn(unsigned ms);
#define TRANSFER_WAIT(condition)                                                                   \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 20000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            transfer_turn(1);                                                                      \
        }                                                                                          \
    } while (0)

#endif
