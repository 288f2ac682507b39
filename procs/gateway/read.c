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
    uint64_t applied_index; /* of this log, as the last look saw it */
    int open_error;         /* of the last try, so that it is logged once */

    struct read_wait *first, *last;
    unsigned counts[READ_STATE_COUNT];
    uint64_t questions;
    uint64_t retry_ns; /* 0: no question to repeat */
    bool leader_is_known;
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
    int error = map_open_reader(&reads->map, reads->folder, reads->kind);
    if (error != 0 && error != E_NOT_FOUND && error != reads->open_error)
        LOG_ERROR("map_open_failed", LOG_STR("folder", reads->folder),
                  LOG_STR("error", error_name(error)));
    reads->open_error = error;
    return error == 0;
}

/* The index of the state that the transaction sees. The board lags it by an instant, and says less
 * when the worker does not yet know whether its state is this log's: an index of another log, or of
 * a log that has lost its end, means nothing. */
static int reads_applied(struct reads *reads, MDB_txn *txn)
{
    uint64_t known = board_read_applied(reads->board, reads->worker);
    int error = map_read_applied(reads->map, txn, &reads->applied_index);
    if (error == 0 && known < reads->applied_index)
        reads->applied_index = known;
    return error;
}

static int reads_look(struct reads *reads, uint64_t index, read_look_fn *look, void *arg)
{
    MDB_txn *txn = NULL;
    if (!reads_open_map(reads))
        return E_BUSY;
    int error = map_read_begin(reads->map, &txn);
    if (error != 0)
        return error;
    error = reads_applied(reads, txn);
    if (error == 0)
        error = reads->applied_index >= index ? look(reads->map, txn, arg) : E_BUSY;
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
    int error = reads_look(reads, before.commit_index, look, arg);
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

int read_wait_begin(struct reads *reads, struct read_wait *wait, enum read_mode mode)
{
    CHECK(!wait->is_waiting);
    if (reads_waiting(reads) >= READ_WAITS_MAX)
        return E_BUSY;
    wait->is_waiting = true;
    wait->mode = mode;
    wait->state = mode == READ_STALE ? READ_WAITS_FOR_MAP : READ_WAITS_TO_ASK;
    reads->counts[wait->state]++;
    wait->next = NULL;
    wait->previous = reads->last;
    if (reads->last != NULL)
        reads->last->next = wait;
    else
        reads->first = wait;
    reads->last = wait;
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
    return wait->state == READ_WAITS_FOR_WORKER && wait->index <= reads->applied_index;
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

/* Looks how far the map has come, if somebody waits for that. */
static void reads_check_map(struct reads *reads)
{
    if (reads->counts[READ_WAITS_FOR_MAP] + reads->counts[READ_WAITS_FOR_WORKER] == 0)
        return;
    if (reads_look(reads, 0, reads_look_at_nothing, NULL) != 0)
        return;
    reads_wake(reads, read_has_map, 0);
    reads_wake(reads, read_has_index, 0);
}

/* Whether the lease of this node lets reads be tried at once. */
static bool reads_has_lease(struct reads *reads)
{
    return reads_by_lease(reads, reads_look_at_nothing, NULL) == 0;
}

void reads_on_leader(struct reads *reads, bool is_known)
{
    reads->leader_is_known = is_known;
    reads->retry_ns = 0;
    if (is_known && reads->counts[READ_WAITS_TO_ASK] > 0 && reads_has_lease(reads))
        reads_wake(reads, read_may_try, 0);
}

void reads_on_raft_down(struct reads *reads)
{
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
            reads->retry_ns = reads->wire.now_ns(reads->wire.arg) + READ_RETRY_MS * NS_PER_MS;
        }
    }
    if (is_answered)
        reads_check_map(reads);
}

void reads_on_worker(struct reads *reads)
{
    reads_check_map(reads);
}

void reads_flush(struct reads *reads)
{
    if (reads->counts[READ_WAITS_TO_ASK] == 0 || !reads->leader_is_known || reads->retry_ns != 0)
        return;
    uint64_t question = reads->questions + 1;
    if (reads->wire.ask(reads->wire.arg, question) != 0) {
        reads->retry_ns = reads->wire.now_ns(reads->wire.arg) + READ_RETRY_MS * NS_PER_MS;
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

void reads_tick(struct reads *reads)
{
    if (reads->retry_ns != 0 && reads->retry_ns <= reads->wire.now_ns(reads->wire.arg))
        reads->retry_ns = 0; /* the flush at the end of this turn asks again */
    reads_check_map(reads);
    reads_wake(reads, read_is_late, E_NO_LEADER);
}

uint64_t reads_due_ns(const struct reads *reads)
{
    if (reads->first == NULL)
        return READ_NEVER;
    uint64_t due_ns = reads->first->deadline_ns;
    uint64_t now_ns = reads->wire.now_ns(reads->wire.arg);
    uint64_t again_ns = READ_NEVER;
    if (reads->counts[READ_WAITS_FOR_WORKER] > 0)
        again_ns =
            now_ns + (reads->map != NULL ? READ_RECHECK_US * 1000ull : READ_RETRY_MS * NS_PER_MS);
    else if (reads->counts[READ_WAITS_FOR_MAP] > 0)
        again_ns = now_ns + READ_RETRY_MS * NS_PER_MS;
    if (reads->retry_ns != 0 && reads->retry_ns < again_ns)
        again_ns = reads->retry_ns;
    return again_ns < due_ns ? again_ns : due_ns;
}

unsigned reads_waiting(const struct reads *reads)
{
    unsigned count = 0;
    for (unsigned i = 0; i < READ_STATE_COUNT; i++)
        count += reads->counts[i];
    return count;
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
