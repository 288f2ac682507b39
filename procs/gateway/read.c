/* read.c - see read.h. The waiting reads form one list in order of arrival. */
#include "procs/gateway/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"

#define READ_NEVER UINT64_MAX
#define READ_OPEN_TRIES 4 /* of a map that is replaced meanwhile */

enum read_state {
    READ_WAITS_FOR_MAP,
    READ_WAITS_TO_ASK,
    READ_WAITS_FOR_ANSWER,
    READ_WAITS_FOR_WORKER,
    READ_STATE_COUNT
};

struct reads {
    const struct board *board;
    struct read_wire wire;
    enum map_kind kind;
    enum proc worker;
    char folder[PATH_BYTES];

    struct map *map; /* NULL: not there yet */
    uint64_t generation;
    int open_error; /* of the last try, so that it is logged once */

    struct read_wait *first, *last;
    unsigned counts[READ_STATE_COUNT];
    uint64_t late_ns; /* no deadline is earlier */

    /* raft */
    bool raft_is_up, leader_is_known;
    uint64_t questions;
    uint64_t retry_ns; /* 0: no question to repeat */

    /* the worker */
    bool worker_is_up;
    bool is_awaiting;        /* it will say APPLIED_AT ... */
    uint64_t awaited_index;  /* ... until it has reached this */
    uint64_t wanted_index;   /* the highest of those who wait */
    uint64_t await_retry_ns; /* 0: nothing to repeat */
};

/* ---- the map ---------------------------------------------------------------------------------
 */

static bool reads_open_map(struct reads *reads)
{
    uint64_t generation = board_read_generation(reads->board, reads->worker);
    if (reads->map != NULL && reads->generation == generation)
        return true;
    map_close(&reads->map);
    reads->generation = generation;
    if (generation == 0)
        return false;
    int error = map_open_reader(&reads->map, reads->folder, reads->kind);
    if (error != 0 && error != E_NOT_FOUND && error != reads->open_error)
        LOG_ERROR("map_open_failed", LOG_STR("folder", reads->folder),
                  LOG_STR("error", error_name(error)));
    reads->open_error = error;
    return error == 0;
}

/* Opens the map and reads how far its worker is: an index that is good for this very map, because
 * a worker that replaces its map first takes the index back and then raises the generation. */
static bool reads_open_at(struct reads *reads, uint64_t *applied_index)
{
    for (unsigned tries = 0; tries < READ_OPEN_TRIES; tries++) {
        if (!reads_open_map(reads))
            return false;
        *applied_index = board_read_applied(reads->board, reads->worker);
        if (board_read_generation(reads->board, reads->worker) == reads->generation)
            return true;
    }
    return false;
}

static int reads_look(struct reads *reads, uint64_t index, read_look_fn *look, void *arg)
{
    MDB_txn *txn = NULL;
    uint64_t applied_index;
    if (!reads_open_at(reads, &applied_index) || applied_index < index)
        return E_BUSY;
    int error = map_read_begin(reads->map, &txn);
    if (error != 0)
        return error;
    error = look(reads->map, txn, arg);
    map_read_end(reads->map);
    return error;
}

/* ---- the rule --------------------------------------------------------------------------------
 */

static bool reads_lease_holds(const struct reads *reads, const struct board_lease *lease)
{
    return lease->lease_end_ns == BOARD_LEASE_FOREVER ||
           (lease->lease_end_ns != 0 && reads->wire.now_ns(reads->wire.arg) < lease->lease_end_ns);
}

static int reads_by_lease(struct reads *reads, read_look_fn *look, void *arg)
{
    struct board_lease before, after;
    if (board_read_lease(reads->board, &before) != 0 || !reads_lease_holds(reads, &before))
        return E_BUSY;
    uint64_t shown_index = board_read_shown(reads->board, reads->worker);
    uint64_t index = before.commit_index > shown_index ? before.commit_index : shown_index;
    int error = reads_look(reads, index, look, arg);
    if (error != 0)
        return error;
    if (board_read_lease(reads->board, &after) != 0 || after.epoch != before.epoch ||
        after.term != before.term || !reads_lease_holds(reads, &after))
        return E_BUSY;
    return 0;
}

int read_now(struct reads *reads, enum read_mode mode, uint64_t index, read_look_fn *look,
             void *arg)
{
    if (mode == READ_LINEARIZABLE)
        return reads_by_lease(reads, look, arg);
    return reads_look(reads, mode == READ_AT_INDEX ? index : 0, look, arg);
}

/* ---- waiting ---------------------------------------------------------------------------------
 */

static void reads_set_state(struct reads *reads, struct read_wait *wait, enum read_state state)
{
    reads->counts[wait->state]--;
    reads->counts[state]++;
    wait->state = (uint8_t)state;
}

static enum read_state read_first_state(enum read_mode mode)
{
    return mode == READ_STALE      ? READ_WAITS_FOR_MAP
           : mode == READ_AT_INDEX ? READ_WAITS_FOR_WORKER
                                   : READ_WAITS_TO_ASK;
}

int read_wait_begin(struct reads *reads, struct read_wait *wait, enum read_mode mode,
                    uint64_t index)
{
    CHECK(!wait->is_waiting);
    if (reads_waiting(reads) >= READ_WAITS_MAX)
        return E_BUSY;
    wait->is_waiting = true;
    wait->mode = mode;
    wait->state = (uint8_t)read_first_state(mode);
    wait->index = index;
    if (mode == READ_AT_INDEX && index > reads->wanted_index)
        reads->wanted_index = index;
    reads->counts[wait->state]++;
    wait->next = NULL;
    wait->previous = reads->last;
    if (reads->last != NULL)
        reads->last->next = wait;
    else
        reads->first = wait;
    reads->last = wait;
    if (wait->deadline_ns < reads->late_ns)
        reads->late_ns = wait->deadline_ns;
    return 0;
}

void read_wait_end(struct reads *reads, struct read_wait *wait)
{
    if (!wait->is_waiting)
        return;
    wait->is_waiting = false;
    reads->counts[wait->state]--;
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else
        reads->first = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    else
        reads->last = wait->previous;
}

/* Wakes every wait that ready says so of. A wake may begin new waits, which go to the end of the
 * list and are not looked at now, and may end its own only. */
static void reads_wake(struct reads *reads, bool (*ready)(struct reads *, struct read_wait *),
                       int error)
{
    struct read_wait *last = reads->last;
    for (struct read_wait *wait = reads->first, *next = NULL; wait != NULL; wait = next) {
        bool is_last = wait == last;
        next = wait->next;
        if (ready(reads, wait)) {
            enum read_mode mode = wait->state == READ_WAITS_FOR_WORKER ? READ_AT_INDEX : wait->mode;
            read_wait_end(reads, wait);
            wait->wake(wait->arg, error, mode, wait->index);
        }
        if (is_last)
            return;
    }
}

static int reads_look_at_nothing(struct map *map, MDB_txn *txn, void *arg)
{
    (void)map;
    (void)txn;
    (void)arg;
    return 0;
}

static bool read_has_map(struct reads *reads, struct read_wait *wait)
{
    (void)reads;
    return wait->state == READ_WAITS_FOR_MAP;
}

static bool read_has_index(struct reads *reads, struct read_wait *wait)
{
    return wait->state == READ_WAITS_FOR_WORKER &&
           wait->index <= board_read_applied(reads->board, reads->worker);
}

static bool read_may_try(struct reads *reads, struct read_wait *wait)
{
    (void)reads;
    return wait->state == READ_WAITS_TO_ASK;
}

static bool read_is_late(struct reads *reads, struct read_wait *wait)
{
    return wait->deadline_ns <= reads->wire.now_ns(reads->wire.arg);
}

static bool reads_wait_for_worker(const struct reads *reads)
{
    return reads->counts[READ_WAITS_FOR_MAP] + reads->counts[READ_WAITS_FOR_WORKER] > 0;
}

/* Looks how far the map has come, if somebody waits for that. */
static void reads_check_map(struct reads *reads)
{
    uint64_t applied_index;
    if (!reads_wait_for_worker(reads) || !reads_open_at(reads, &applied_index))
        return;
    reads_wake(reads, read_has_map, 0);
    reads_wake(reads, read_has_index, 0);
}

static uint64_t reads_retry_time(const struct reads *reads)
{
    return reads->wire.now_ns(reads->wire.arg) + READ_RETRY_MS * NS_PER_MS;
}

/* ---- raft ------------------------------------------------------------------------------------
 */

/* Whether the lease of this node lets reads be tried at once. */
static bool reads_has_lease(struct reads *reads)
{
    return reads_by_lease(reads, reads_look_at_nothing, NULL) == 0;
}

void reads_on_leader(struct reads *reads, bool is_known)
{
    reads->raft_is_up = true;
    reads->leader_is_known = is_known;
    reads->retry_ns = 0;
    if (is_known && reads->counts[READ_WAITS_TO_ASK] > 0 && reads_has_lease(reads))
        reads_wake(reads, read_may_try, 0);
}

void reads_on_raft_down(struct reads *reads)
{
    reads->raft_is_up = false;
    reads->leader_is_known = false;
    reads->retry_ns = 0;
    for (struct read_wait *wait = reads->first; wait != NULL; wait = wait->next) {
        if (wait->state == READ_WAITS_FOR_ANSWER)
            reads_set_state(reads, wait, READ_WAITS_TO_ASK);
    }
}

void reads_on_answer(struct reads *reads, uint64_t question, int error, uint64_t index)
{
    bool is_answered = false;
    for (struct read_wait *wait = reads->first; wait != NULL; wait = wait->next) {
        if (wait->state != READ_WAITS_FOR_ANSWER || wait->question > question)
            continue;
        if (error == 0) {
            /* Also those of earlier questions: this index was taken later still. */
            wait->index = index;
            reads_set_state(reads, wait, READ_WAITS_FOR_WORKER);
            is_answered = true;
        } else if (wait->question == question) {
            reads_set_state(reads, wait, READ_WAITS_TO_ASK);
            reads->retry_ns = reads_retry_time(reads);
        }
    }
    if (!is_answered)
        return;
    if (index > reads->wanted_index)
        reads->wanted_index = index;
    reads_check_map(reads);
}

static void reads_ask(struct reads *reads)
{
    if (reads->counts[READ_WAITS_TO_ASK] == 0 || !reads->leader_is_known || reads->retry_ns != 0)
        return;
    uint64_t question = reads->questions + 1;
    if (reads->wire.ask(reads->wire.arg, question) != 0) {
        reads->retry_ns = reads_retry_time(reads);
        return;
    }
    reads->questions = question;
    for (struct read_wait *wait = reads->first; wait != NULL; wait = wait->next) {
        if (wait->state == READ_WAITS_TO_ASK) {
            wait->question = question;
            reads_set_state(reads, wait, READ_WAITS_FOR_ANSWER);
        }
    }
}

/* ---- the worker ------------------------------------------------------------------------------
 */

void reads_on_worker_up(struct reads *reads)
{
    reads->worker_is_up = true;
    reads->is_awaiting = false; /* whatever was asked of it is forgotten */
    reads->await_retry_ns = 0;
    reads_check_map(reads);
}

void reads_on_worker_down(struct reads *reads)
{
    reads->worker_is_up = false;
}

/* Whoever still waits, although the worker has said enough, waits for a map that cannot be opened:
 * that is tried again after a moment. */
void reads_on_applied(struct reads *reads, uint64_t index)
{
    if (index >= reads->awaited_index)
        reads->is_awaiting = false;
    reads_check_map(reads);
    if (!reads->is_awaiting && reads_wait_for_worker(reads) && index >= reads->wanted_index)
        reads->await_retry_ns = reads_retry_time(reads);
}

static void reads_await(struct reads *reads)
{
    if (reads->counts[READ_WAITS_FOR_WORKER] == 0)
        reads->wanted_index = 0;
    if (!reads_wait_for_worker(reads) || !reads->worker_is_up || reads->await_retry_ns != 0 ||
        (reads->is_awaiting && reads->wanted_index <= reads->awaited_index))
        return;
    if (reads->wire.await(reads->wire.arg, reads->wanted_index) != 0) {
        reads->await_retry_ns = reads_retry_time(reads);
        return;
    }
    reads->is_awaiting = true;
    reads->awaited_index = reads->wanted_index;
}

/* ---- turns -----------------------------------------------------------------------------------
 */

void reads_flush(struct reads *reads)
{
    reads_ask(reads);
    reads_await(reads);
}

static void reads_end_late(struct reads *reads)
{
    reads_wake(reads, read_is_late, E_NO_LEADER);
    reads->late_ns = READ_NEVER;
    for (const struct read_wait *wait = reads->first; wait != NULL; wait = wait->next) {
        if (wait->deadline_ns < reads->late_ns)
            reads->late_ns = wait->deadline_ns;
    }
}

/* What is repeated leaves with the flush at the end of this turn. */
void reads_tick(struct reads *reads)
{
    uint64_t now_ns = reads->wire.now_ns(reads->wire.arg);
    if (reads->retry_ns <= now_ns)
        reads->retry_ns = 0;
    if (reads->await_retry_ns <= now_ns)
        reads->await_retry_ns = 0;
    if (reads->late_ns <= now_ns)
        reads_end_late(reads);
}

uint64_t reads_due_ns(const struct reads *reads)
{
    if (reads->first == NULL)
        return READ_NEVER;
    uint64_t due_ns = reads->late_ns;
    if (reads->retry_ns != 0 && reads->retry_ns < due_ns)
        due_ns = reads->retry_ns;
    if (reads->await_retry_ns != 0 && reads->await_retry_ns < due_ns)
        due_ns = reads->await_retry_ns;
    return due_ns;
}

unsigned reads_waiting(const struct reads *reads)
{
    unsigned count = 0;
    for (unsigned i = 0; i < READ_STATE_COUNT; i++)
        count += reads->counts[i];
    return count;
}

/* ---- why nothing came of it ------------------------------------------------------------------
 */

const char *reads_obstacle(const struct reads *reads)
{
    struct board_lease lease;
    if (!reads->raft_is_up)
        return "this node's raft process is starting";
    if (reads->leader_is_known)
        return "the leader could not confirm that it leads";
    if (board_read_lease(reads->board, &lease) == 0 && lease.standing == BOARD_STANDING_WAITING)
        return "this node is of no cluster yet and waits to be let in";
    return "no leader is known";
}

const char *read_wait_obstacle(const struct reads *reads, const struct read_wait *wait)
{
    switch ((enum read_state)wait->state) {
    case READ_WAITS_FOR_MAP:
        return "the process that keeps this node's data is starting";
    case READ_WAITS_FOR_WORKER:
        return "this node's data lag behind the leader's";
    default:
        return reads_obstacle(reads);
    }
}

bool reads_leader_is_known(const struct reads *reads)
{
    return reads->leader_is_known;
}

/* ---- life ------------------------------------------------------------------------------------
 */

struct reads *reads_new(const struct board *board, const char *folder, enum map_kind kind,
                        enum proc worker, const struct read_wire *wire)
{
    struct reads *reads = mem_alloc(sizeof(*reads));
    reads->board = board;
    reads->wire = *wire;
    reads->kind = kind;
    reads->worker = worker;
    reads->late_ns = READ_NEVER;
    int len = snprintf(reads->folder, sizeof(reads->folder), "%s", folder);
    CHECK(len > 0 && (size_t)len < sizeof(reads->folder));
    return reads;
}

void reads_free(struct reads **reads)
{
    if (*reads == NULL)
        return;
    map_close(&(*reads)->map);
    free(*reads);
    *reads = NULL;
}
