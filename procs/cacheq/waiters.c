/* waiters.c - pops that wait for an item, in the order of the log, whatever gateway they came to.
 *
 * A waiter is live while its deadline lies behind the stamp, its session's lease does, and its
 * result is not final. The lease of a session runs QUEUE_WAIT_LEASE_MS from its last pop that began
 * to wait and its last QUEUE_WAIT_RENEW: what a gateway that died was waiting for soon swallows
 * nothing any more. Each waiter is in two databases: in the order of its queue, and by its session.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "shm/map_error.h"

#define WAITER_BYTES 24
#define WAITING_HEAD_BYTES 8
#define WAITING_KEY_BYTES 16
#define WAITING_SESSIONS_FIRST 16

struct waiter {
    uint64_t queue_id, number;
    uint64_t session, sequence;
    uint64_t deadline_ms;
};

static MDB_val waiting_key(uint8_t bytes[WAITING_KEY_BYTES], uint64_t session, uint64_t sequence)
{
    bytes_put_key_u64(bytes, session);
    bytes_put_key_u64(bytes + 8, sequence);
    return (MDB_val){WAITING_KEY_BYTES, bytes};
}

/* ---- sessions with waiters: in memory as in the map ---- */

static struct waiting_session *waiting_find(const struct cacheq *cacheq, uint64_t session)
{
    for (unsigned i = 0; i < cacheq->session_count; i++) {
        if (cacheq->sessions[i].session == session)
            return &cacheq->sessions[i];
    }
    return NULL;
}

static void waiting_remember(struct cacheq *cacheq, uint64_t session, uint64_t renewed_ms)
{
    struct waiting_session *known = waiting_find(cacheq, session);

    if (known != NULL) {
        known->renewed_ms = renewed_ms;
        return;
    }
    if (cacheq->session_count == cacheq->session_capacity)
        cacheq->sessions = mem_grow(cacheq->sessions, &cacheq->session_capacity,
                                    sizeof(cacheq->sessions[0]), WAITING_SESSIONS_FIRST);
    cacheq->sessions[cacheq->session_count++] = (struct waiting_session){session, renewed_ms};
}

static int waiting_renew(struct cacheq *cacheq, MDB_txn *txn, uint64_t session, uint64_t stamp_ms)
{
    uint8_t key_bytes[WAITING_HEAD_BYTES], bytes[8];
    MDB_val key = {sizeof(key_bytes), key_bytes}, stored = {sizeof(bytes), bytes};

    waiting_remember(cacheq, session, stamp_ms);
    bytes_put_key_u64(key_bytes, session);
    bytes_put_u64(bytes, stamp_ms);
    return map_error_unless_done("put", mdb_put(txn, cacheq->waiting, &key, &stored, 0));
}

/* After one of its waiters went: with the last one the session goes, too. */
static int waiting_forget_if_idle(struct cacheq *cacheq, MDB_txn *txn, uint64_t session)
{
    uint8_t bytes[WAITING_KEY_BYTES];
    MDB_val key = waiting_key(bytes, session, 0), stored;

    int error = cacheq_seek(txn, cacheq->waiting, MDB_SET_RANGE, &key, &stored);
    bool has_more = error == 0 && bytes_get_key_u64(key.mv_data) == session;
    if (has_more || (error != 0 && error != E_NOT_FOUND))
        return error;
    struct waiting_session *known = waiting_find(cacheq, session);
    CHECK(known != NULL);
    *known = cacheq->sessions[--cacheq->session_count];
    MDB_val head = {WAITING_HEAD_BYTES, bytes};
    return map_error_unless_done("del", mdb_del(txn, cacheq->waiting, &head, NULL));
}

int waiters_load(struct cacheq *cacheq, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, stored;

    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, cacheq->waiting, &cursor));
    if (error != 0)
        return error;
    int found = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
    while (found == 0) {
        if (key.mv_size == WAITING_HEAD_BYTES && stored.mv_size == 8)
            waiting_remember(cacheq, bytes_get_key_u64(key.mv_data), bytes_get_u64(stored.mv_data));
        found = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return found == MDB_NOTFOUND ? 0 : map_error_unless_done("cursor", found);
}

uint64_t waiters_lease_end_ms(const struct cacheq *cacheq)
{
    uint64_t end_ms = UINT64_MAX;

    for (unsigned i = 0; i < cacheq->session_count; i++) {
        uint64_t own_ms = cacheq->sessions[i].renewed_ms + QUEUE_WAIT_LEASE_MS;
        end_ms = own_ms < end_ms ? own_ms : end_ms;
    }
    return end_ms;
}

/* ---- waiters ---- */

static bool waiter_is_live(const struct cacheq *cacheq, const struct worker_turn *turn,
                           const struct waiter *waiter)
{
    const struct waiting_session *session = waiting_find(cacheq, waiter->session);

    return waiter->deadline_ms > turn->stamp_ms && session != NULL &&
           session->renewed_ms + QUEUE_WAIT_LEASE_MS > turn->stamp_ms &&
           worker_turn_waits(turn, waiter->session, waiter->sequence);
}

int waiters_add(struct cacheq *cacheq, const struct worker_turn *turn,
                const struct command *command, struct queue_view *queue)
{
    uint8_t part_bytes[QUEUE_PART_BYTES], bytes[WAITER_BYTES], key_bytes[WAITING_KEY_BYTES];
    uint8_t place[QUEUE_PART_BYTES + KEY_SCOPED_BYTES];
    MDB_val where = queue_part_key(part_bytes, queue->id, queue->next_waiter);
    MDB_val stored = {sizeof(bytes), bytes};
    MDB_val by_session = waiting_key(key_bytes, turn->session, turn->sequence);

    bytes_put_u64(bytes, turn->session);
    bytes_put_u64(bytes + 8, turn->sequence);
    bytes_put_u64(bytes + 16, turn->stamp_ms + command->wait_ms);
    int error =
        map_error_unless_done("put", mdb_put(turn->txn, cacheq->waiters, &where, &stored, 0));
    if (error != 0)
        return error;
    memcpy(place, part_bytes, sizeof(part_bytes));
    stored = (MDB_val){sizeof(part_bytes) +
                           key_scoped(place + sizeof(part_bytes), &command->scope, command->key),
                       place};
    error =
        map_error_unless_done("put", mdb_put(turn->txn, cacheq->waiting, &by_session, &stored, 0));
    if (error != 0)
        return error;
    queue->waiters++;
    queue->next_waiter++;
    return waiting_renew(cacheq, turn->txn, turn->session, turn->stamp_ms);
}

/* The first of a queue. E_QUEUE_EMPTY: there is none. */
static int waiters_first(const struct cacheq *cacheq, MDB_txn *txn, uint64_t queue_id,
                         struct waiter *out)
{
    uint8_t bytes[QUEUE_PART_BYTES];
    MDB_val key = queue_part_key(bytes, queue_id, 0), stored;

    int error = cacheq_seek(txn, cacheq->waiters, MDB_SET_RANGE, &key, &stored);
    if (error == E_NOT_FOUND || (error == 0 && bytes_get_key_u64(key.mv_data) != queue_id))
        return E_QUEUE_EMPTY;
    if (error != 0)
        return error;
    if (key.mv_size != QUEUE_PART_BYTES || stored.mv_size != WAITER_BYTES)
        return E_CORRUPT;
    const uint8_t *record = stored.mv_data;
    *out = (struct waiter){queue_id, bytes_get_key_u64((const uint8_t *)key.mv_data + 8),
                           bytes_get_u64(record), bytes_get_u64(record + 8),
                           bytes_get_u64(record + 16)};
    return 0;
}

/* Both records; the queue's is the caller's. */
static int waiters_remove(struct cacheq *cacheq, MDB_txn *txn, const struct waiter *waiter)
{
    uint8_t part_bytes[QUEUE_PART_BYTES], key_bytes[WAITING_KEY_BYTES];
    MDB_val where = queue_part_key(part_bytes, waiter->queue_id, waiter->number);
    MDB_val by_session = waiting_key(key_bytes, waiter->session, waiter->sequence);

    int error = map_error_unless_done("del", mdb_del(txn, cacheq->waiters, &where, NULL));
    if (error == 0)
        error = map_error_unless_done("del", mdb_del(txn, cacheq->waiting, &by_session, NULL));
    return error != 0 ? error : waiting_forget_if_idle(cacheq, txn, waiter->session);
}

/* The final result, if there is still somebody to have it. */
static bool waiters_tell(const struct worker_turn *turn, const struct waiter *waiter, int error,
                         struct slice detail)
{
    return worker_turn_finish(turn, waiter->session, waiter->sequence, error, detail) == 0;
}

int waiters_feed(struct cacheq *cacheq, const struct worker_turn *turn, struct queue_view *queue,
                 const struct slice *item, bool *is_fed)
{
    *is_fed = false;
    while (queue->waiters > 0 && !*is_fed) {
        struct waiter waiter = {0};
        int error = waiters_first(cacheq, turn->txn, queue->id, &waiter);
        if (error != 0)
            return error == E_QUEUE_EMPTY ? E_CORRUPT : error;
        bool is_live = waiter_is_live(cacheq, turn, &waiter);
        if (is_live && item == NULL)
            return 0;
        error = waiters_remove(cacheq, turn->txn, &waiter);
        if (error != 0)
            return error;
        queue->waiters--;
        if (is_live)
            *is_fed = waiters_tell(turn, &waiter, 0, *item);
        else
            (void)waiters_tell(turn, &waiter, E_QUEUE_EMPTY, slice_of(NULL, 0));
    }
    return 0;
}

int waiters_turn_away(struct cacheq *cacheq, const struct worker_turn *turn, uint64_t queue_id,
                      unsigned limit, unsigned *removed)
{
    while (*removed < limit) {
        struct waiter waiter = {0};
        int error = waiters_first(cacheq, turn->txn, queue_id, &waiter);
        if (error == 0)
            error = waiters_remove(cacheq, turn->txn, &waiter);
        if (error != 0)
            return error == E_QUEUE_EMPTY ? 0 : error;
        (void)waiters_tell(turn, &waiter, E_QUEUE_NOT_FOUND, slice_of(NULL, 0));
        ++*removed;
    }
    return 0;
}

/* ---- by session ---- */

/* The queue's record counts one less; a queue that was deleted has none any more. */
static int waiters_leave_queue(struct cacheq *cacheq, MDB_txn *txn, uint64_t queue_id,
                               const uint8_t *scoped_key, size_t scoped_key_len)
{
    struct queue_view queue;
    struct scope scope;

    if (scoped_key_len <= SCOPE_BYTES || scoped_key_len > KEY_SCOPED_BYTES)
        return E_CORRUPT;
    memcpy(scope.id, scoped_key, SCOPE_BYTES);
    const struct slice key = slice_of(scoped_key + SCOPE_BYTES, scoped_key_len - SCOPE_BYTES);
    int error = queue_get(txn, cacheq->queues, &scope, key, &queue);
    if (error == E_QUEUE_NOT_FOUND || (error == 0 && queue.id != queue_id))
        return 0;
    if (error != 0)
        return error;
    if (queue.waiters == 0)
        return E_CORRUPT;
    queue.waiters--;
    return queues_put(cacheq, txn, &scope, key, &queue);
}

/* Ends the wait of a record of the database "waiting": E_QUEUE_EMPTY. */
static int waiters_end(struct cacheq *cacheq, const struct worker_turn *turn, const MDB_val *key,
                       const MDB_val *stored)
{
    uint8_t place[QUEUE_PART_BYTES + KEY_SCOPED_BYTES];

    if (key->mv_size != WAITING_KEY_BYTES || stored->mv_size <= QUEUE_PART_BYTES ||
        stored->mv_size > sizeof(place))
        return E_CORRUPT;
    memcpy(place, stored->mv_data, stored->mv_size);
    size_t key_len = stored->mv_size - QUEUE_PART_BYTES;
    const struct waiter waiter = {
        .queue_id = bytes_get_key_u64(place),
        .number = bytes_get_key_u64(place + 8),
        .session = bytes_get_key_u64(key->mv_data),
        .sequence = bytes_get_key_u64((const uint8_t *)key->mv_data + 8),
    };
    int error = waiters_remove(cacheq, turn->txn, &waiter);
    if (error == 0)
        error = waiters_leave_queue(cacheq, turn->txn, waiter.queue_id, place + QUEUE_PART_BYTES,
                                    key_len);
    if (error == 0)
        (void)waiters_tell(turn, &waiter, E_QUEUE_EMPTY, slice_of(NULL, 0));
    return error;
}

/* A command cannot give itself a result. */
int waiters_cancel(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                   struct worker_result *result)
{
    uint8_t bytes[WAITING_KEY_BYTES];
    MDB_val key = waiting_key(bytes, turn->session, command->sequence), stored;

    if (turn->session == 0 || command->sequence == turn->sequence) {
        result->error = E_BAD_COMMAND;
        return 0;
    }
    int found = mdb_get(turn->txn, cacheq->waiting, &key, &stored);
    if (found == 0)
        return waiters_end(cacheq, turn, &key, &stored);
    if (found != MDB_NOTFOUND)
        return map_error_unless_done("get", found);
    if (worker_turn_finish(turn, turn->session, command->sequence, E_QUEUE_EMPTY,
                           slice_of(NULL, 0)) != 0)
        result->error = E_NOT_FOUND;
    return 0;
}

int waiters_renew(struct cacheq *cacheq, const struct worker_turn *turn, struct command *command,
                  struct worker_result *result)
{
    (void)command;
    if (turn->session == 0) {
        result->error = E_BAD_COMMAND;
        return 0;
    }
    if (waiting_find(cacheq, turn->session) == NULL)
        return 0;
    return waiting_renew(cacheq, turn->txn, turn->session, turn->stamp_ms);
}

/* The first record of a session, at or behind this one, whose lease is over; E_NOT_FOUND. */
static int waiters_find_dead(const struct worker_turn *turn, MDB_cursor *cursor, MDB_val *key,
                             MDB_val *stored)
{
    uint8_t bytes[WAITING_HEAD_BYTES];

    *key = (MDB_val){0, NULL};
    int found = mdb_cursor_get(cursor, key, stored, MDB_FIRST);
    while (found == 0) {
        if (key->mv_size != WAITING_HEAD_BYTES || stored->mv_size != 8)
            return E_CORRUPT;
        uint64_t session = bytes_get_key_u64(key->mv_data);
        if (bytes_get_u64(stored->mv_data) + QUEUE_WAIT_LEASE_MS <= turn->stamp_ms) {
            found = mdb_cursor_get(cursor, key, stored, MDB_NEXT);
            return found == 0 && bytes_get_key_u64(key->mv_data) == session ? 0 : E_CORRUPT;
        }
        if (session == UINT64_MAX)
            return E_NOT_FOUND;
        bytes_put_key_u64(bytes, session + 1);
        *key = (MDB_val){sizeof(bytes), bytes};
        found = mdb_cursor_get(cursor, key, stored, MDB_SET_RANGE);
    }
    return found == MDB_NOTFOUND ? E_NOT_FOUND : map_error_unless_done("cursor", found);
}

int waiters_drop_dead(struct cacheq *cacheq, const struct worker_turn *turn, unsigned limit,
                      unsigned *removed)
{
    while (*removed < limit && waiters_lease_end_ms(cacheq) <= turn->stamp_ms) {
        MDB_cursor *cursor;
        MDB_val key, stored;
        int error =
            map_error_unless_done("cursor", mdb_cursor_open(turn->txn, cacheq->waiting, &cursor));
        if (error != 0)
            return error;
        error = waiters_find_dead(turn, cursor, &key, &stored);
        mdb_cursor_close(cursor);
        if (error == 0)
            error = waiters_end(cacheq, turn, &key, &stored);
        if (error != 0)
            return error == E_NOT_FOUND ? 0 : error;
        ++*removed;
    }
    return 0;
}
