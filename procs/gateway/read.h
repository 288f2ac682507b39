/* read.h - reading the map, and when what was read may be told to a client.
 *
 * THE RULE. A linearizable read shows every write that anybody was told of before the read was
 * asked for. This gateway serves it in one of two ways.
 *
 *   By lease, on the leader, without a message. In this order:
 *     1. load the lease record L from the board: the lease must hold now (boot time below its end,
 *        or a lease without end: a group of one voter); load the highest index S that the worker
 *        has ever shown;
 *     2. the map's generation on the board must be the one that was opened, else it is opened anew;
 *        load the worker's applied index A from the board; the generation must still be the same;
 *     3. A must have reached L.commit_index and S;
 *     4. begin a read transaction; read; end it;
 *     5. load the record again: epoch and term must be L's, and the lease must hold now (I6: a
 *        process may be stopped for any time between two instructions).
 *   While the lease held, nobody else led, so every write told of before step 1 went through this
 *   node, and this node's workers had applied it before anybody was told (I3). The indexes in step
 * 3 add nothing as long as a worker's state only grows; they are there for the worker that throws
 *   its state away and builds it anew. L.commit_index alone would not do: results are told when a
 *   worker has applied, before raft has heard of it and announces it; and while a new state grows
 *   the lease may be gone and come back between steps 1 and 5. The board shows an index only after
 * everything up to it was committed to the map of that generation, so a transaction that begins
 * after step 2 sees at least that. (The index within the map would say less: it is not stored for
 * entries of other workers.)
 *
 *   By read index, everywhere else: ask raft after the read was asked for, wait until the worker's
 *   applied index has reached the answer, and go on with step 2. All reads of a turn share one
 *   question; an answer serves every read that was waiting when its question was sent.
 *
 * A stale read (?consistency=stale) is steps 2 and 4.
 *
 * What lies in another worker's map than the token's takes a read of each, one after the other, by
 * the same answer of raft: an index that was taken after the read was asked for is good for both.
 *
 * What cannot be answered now waits: for the map to appear (its worker is starting), for a leader,
 * for an answer, for the worker to catch up (it says when: WAIT_APPLIED). There is no timer but the
 * deadline, and a short one after a refusal. At its deadline a read ends with E_NO_LEADER.
 */
#ifndef INSI_GATEWAY_READ_H
#define INSI_GATEWAY_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/board.h"
#include "shm/map.h"

#define READ_WAITS_MAX 16384
#define READ_RETRY_MS 25 /* a question that was refused, a map that could not be opened */

enum read_mode {
    READ_STALE,
    READ_LINEARIZABLE, /* by lease */
    READ_AT_INDEX      /* by read index: what a wait ends with */
};

/* Looks at the map within a transaction that ends when it returns. Whatever it took from there has
 * to be copied, and nothing may be told before read_now has returned 0. 0, E_IO, E_CORRUPT. */
typedef int read_look_fn(struct map *map, MDB_txn *txn, void *arg);

/* Called once, unless the wait is ended before. 0: look again now, in this mode and with this
 * index, within this call. E_NO_LEADER: the deadline has passed. */
typedef void read_wake_fn(void *arg, int error, enum read_mode mode, uint64_t index);

struct read_wait { /* embedded by its owner, zeroed before first use */
    struct read_wait *next, *previous;
    read_wake_fn *wake;
    void *arg;
    uint64_t deadline_ns;
    /* of read.c */
    bool is_waiting;
    enum read_mode mode;
    uint8_t state;
    uint64_t question; /* its number */
    uint64_t index;    /* the answer */
};

struct read_wire {
    int (*ask)(void *arg, uint64_t question); /* READ_INDEX to raft; 0, E_PEER_DOWN, E_BUSY */
    int (*await)(void *arg, uint64_t index);  /* WAIT_APPLIED to the worker; likewise */
    uint64_t (*now_ns)(void *arg);
    void *arg;
};

struct reads;

/* The board is borrowed. folder and kind: the map; worker: who writes it. */
struct reads *reads_new(const struct board *board, const char *folder, enum map_kind kind,
                        enum proc worker, const struct read_wire *wire);
void reads_free(struct reads **reads); /* wakes nobody */

/* 0: look was called, and what it saw may be told. E_BUSY: not now; wait. E_IO, E_CORRUPT. index:
 * of READ_AT_INDEX. */
int read_now(struct reads *reads, enum read_mode mode, uint64_t index, read_look_fn *look,
             void *arg);

/* wake, arg and deadline_ns are set by the caller; mode: READ_STALE (for the map to appear),
 * READ_LINEARIZABLE, or READ_AT_INDEX for what has its index from another worker's reads already
 * (index; else ignored). E_BUSY: too many wait already. */
int read_wait_begin(struct reads *reads, struct read_wait *wait, enum read_mode mode,
                    uint64_t index);
void read_wait_end(struct reads *reads, struct read_wait *wait); /* also when it does not wait */

/* What a wait that has ended without success waited for last, in words for people; and what a write
 * waits for. */
const char *read_wait_obstacle(const struct reads *reads, const struct read_wait *wait);
const char *reads_obstacle(const struct reads *reads);
bool reads_leader_is_known(const struct reads *reads);

void reads_on_leader(struct reads *reads, bool is_known);
void reads_on_raft_down(struct reads *reads);
void reads_on_answer(struct reads *reads, uint64_t question, int error, uint64_t index);
void reads_on_worker_up(struct reads *reads);
void reads_on_worker_down(struct reads *reads);
void reads_on_applied(struct reads *reads, uint64_t index); /* APPLIED_AT */

void reads_flush(struct reads *reads); /* at the end of a turn: asks raft and the worker */
void reads_tick(struct reads *reads);
uint64_t reads_due_ns(const struct reads *reads); /* when to tick next; UINT64_MAX: never */
unsigned reads_waiting(const struct reads *reads);

#endif
