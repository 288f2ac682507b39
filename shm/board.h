/* board.h - one small shared page per node: what every process of the node may know without asking.
 *
 * The supervisor creates the file (<shmDir>/insi-.../board) before it starts a worker; it outlives
 * every worker. One writer per field: the raft process writes the lease record and the clock, each
 * state worker its own slot. Fields that belong together are guarded by a sequence lock whose words
 * are C11 atomics; a reader that meets a writer stopped half way gives up after a few tries
 * (E_BUSY) and asks raft instead.
 *
 * Lease rule (I6, I7): a gateway loads the record, reads the map, loads the record again, and
 * serves the value only if epoch and term are the same and boot time is still below lease_end_ns.
 */
#ifndef INSI_SHM_BOARD_H
#define INSI_SHM_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/proc.h"

#define BOARD_VERSION 3
#define BOARD_LEASE_FOREVER UINT64_MAX /* a group of one voter: nobody else can ever lead */

enum board_role {
    BOARD_ROLE_STARTING,
    BOARD_ROLE_FOLLOWER,
    BOARD_ROLE_CANDIDATE,
    BOARD_ROLE_LEADER
};

enum board_standing {                         /* of this node in its cluster */
                      BOARD_STANDING_MEMBER,  /* or about to found one */
                      BOARD_STANDING_WAITING, /* of no cluster yet: it asks the configured nodes to
                                                 let it join */
                      BOARD_STANDING_REMOVED, /* was a member; stays out until an operator has it
                                                 join again */
                      BOARD_STANDING_FOREIGN, /* its data are of another cluster than those of its
                                                 peers */
};

struct board_lease { /* written by raft as one record */
    uint64_t epoch;  /* raised by every start of the raft process, before anything else */
    uint64_t term;
    uint64_t lease_end_ns;            /* boot time; 0 = no lease */
    uint64_t commit_index;            /* highest index announced as committed */
    uint32_t role;                    /* enum board_role */
    uint32_t standing;                /* enum board_standing: why there is no leader here */
    char leader[LIMIT_NODE_ID_BYTES]; /* "" when unknown */
};

struct board_worker { /* written by one state worker */
    /* All of this worker's entries up to it are in the map: written after their transaction
     * committed, with release order. Readers go by it. A worker that throws its map away, or puts
     * another in its place, first takes the index back (to 0), then does so, then raises the
     * generation, and only then shows how far the new map is. */
    uint64_t applied_index;
    /* 0: no map since the node started, what lies there may be damaged: nobody reads it. Raised
     * when there is one, and when its file was replaced: readers reopen. */
    uint64_t generation;
    /* The highest applied index there ever was: clients may have been told of everything up to it.
     * Kept by board_write_applied, and never taken back. */
    uint64_t shown_index;
};

struct board;

/* Supervisor: makes the file anew (mode 0600), zeroed but for version and size. E_IO. */
int board_create(const char *path);

/* Everybody else. writable: raft and the state workers; gateways map it read-only. E_IO, E_VERSION.
 */
int board_open(struct board **out, const char *path, bool writable);
void board_close(struct board **board);

/* raft only */
uint64_t
board_raise_epoch(struct board *board); /* also zeroes the lease, role = STARTING; the new epoch */
void board_write_lease(struct board *board, const struct board_lease *lease); /* full record */
void board_drop_lease(
    struct board *board); /* lease_end_ns = 0, then a full fence (before a vote, a transfer) */
void board_write_clock_offset(struct board *board,
                              int64_t offset_ms); /* cluster time - boot time */

/* state workers only */
void board_write_applied(struct board *board, enum proc worker, uint64_t index);
void board_raise_generation(struct board *board, enum proc worker);

/* anybody */
int board_read_lease(const struct board *board,
                     struct board_lease *out); /* E_BUSY: give up, ask raft */
uint64_t board_read_applied(const struct board *board, enum proc worker);
uint64_t board_read_shown(const struct board *board, enum proc worker);
uint64_t board_read_generation(const struct board *board, enum proc worker);
/* Now, in cluster time; boot time until raft has set it. Within one process it never goes back,
 * when the offset is made smaller it stands still. */
uint64_t board_cluster_time_ms(const struct board *board);
bool board_has_cluster_time(const struct board *board);
int64_t board_clock_offset_ms(const struct board *board);

#endif
