/* doomed.c - see doomed.h. */
#include "procs/worker/doomed.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "shm/map_error.h"

#define DOOMED_RECORD_BYTES 32
#define DOOMED_PENDING_FIRST 8

struct doomed_record {
    uint64_t index, stamp_ms, steps;
    bool is_empty;
};

/* ---- records ---- */

static int doomed_decode(const MDB_val *stored, struct doomed_record *record)
{
    const uint8_t *bytes = stored->mv_data;

    if (stored->mv_size != DOOMED_RECORD_BYTES)
        return E_CORRUPT;
    record->index = bytes_get_u64(bytes);
    record->stamp_ms = bytes_get_u64(bytes + 8);
    record->steps = bytes_get_u64(bytes + 16);
    record->is_empty = bytes_get_u64(bytes + 24) != 0;
    return 0;
}

/* E_NOT_FOUND when the scope is not doomed. */
static int doomed_get(const struct doomed *doomed, MDB_txn *txn, const struct scope *scope,
                      struct doomed_record *record)
{
    MDB_val key = {SCOPE_BYTES, (void *)scope->id}, stored;

    int error = mdb_get(txn, doomed->scopes, &key, &stored);
    if (error == MDB_NOTFOUND)
        return E_NOT_FOUND;
    return error != 0 ? map_error_unless_done("get", error) : doomed_decode(&stored, record);
}

static int doomed_put(const struct doomed *doomed, MDB_txn *txn, const struct scope *scope,
                      const struct doomed_record *record)
{
    uint8_t bytes[DOOMED_RECORD_BYTES];
    MDB_val key = {SCOPE_BYTES, (void *)scope->id}, stored = {sizeof(bytes), bytes};

    bytes_put_u64(bytes, record->index);
    bytes_put_u64(bytes + 8, record->stamp_ms);
    bytes_put_u64(bytes + 16, record->steps);
    bytes_put_u64(bytes + 24, record->is_empty ? 1 : 0);
    return map_error_unless_done("put", mdb_put(txn, doomed->scopes, &key, &stored, 0));
}

/* ---- what is pending ---- */

static void doomed_push(struct doomed *doomed, const struct scope *scope, uint64_t steps)
{
    if (doomed->pending_count == doomed->pending_capacity) {
        doomed->pending_capacity =
            doomed->pending_capacity > 0 ? 2 * doomed->pending_capacity : DOOMED_PENDING_FIRST;
        doomed->pending =
            mem_resize(doomed->pending, doomed->pending_capacity * sizeof(doomed->pending[0]));
    }
    doomed->pending[doomed->pending_count++] =
        (struct doomed_pending){.scope = *scope, .steps = steps};
}

static struct doomed_pending *doomed_find_pending(const struct doomed *doomed,
                                                  const struct scope *scope)
{
    for (size_t i = 0; i < doomed->pending_count; i++) {
        if (memcmp(&doomed->pending[i].scope, scope, sizeof(*scope)) == 0)
            return &doomed->pending[i];
    }
    return NULL;
}

static void doomed_remove_pending(struct doomed *doomed, struct doomed_pending *pending)
{
    size_t at = (size_t)(pending - doomed->pending);

    doomed->pending_count--;
    memmove(pending, pending + 1, (doomed->pending_count - at) * sizeof(*pending));
}

static int doomed_load_pending(struct doomed *doomed, MDB_cursor *cursor)
{
    struct doomed_record record;
    struct scope scope;
    MDB_val key, stored;

    int found = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
    while (found == 0) {
        if (key.mv_size != SCOPE_BYTES || doomed_decode(&stored, &record) != 0)
            return E_CORRUPT;
        memcpy(scope.id, key.mv_data, SCOPE_BYTES);
        if (!record.is_empty)
            doomed_push(doomed, &scope, record.steps);
        found = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
    }
    return found == MDB_NOTFOUND ? 0 : map_error_unless_done("cursor", found);
}

int doomed_load(struct doomed *doomed, const struct map *map, MDB_txn *txn,
                doomed_remove_fn *remove, void *arg)
{
    MDB_cursor *cursor;

    *doomed =
        (struct doomed){.scopes = map_database(map, MAP_DOOMED), .remove = remove, .arg = arg};
    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, doomed->scopes, &cursor));
    if (error != 0)
        return error;
    error = doomed_load_pending(doomed, cursor);
    mdb_cursor_close(cursor);
    return error;
}

void doomed_free(struct doomed *doomed)
{
    free(doomed->pending);
    *doomed = (struct doomed){0};
}

/* ---- commands ---- */

int doomed_check(struct doomed *doomed, MDB_txn *txn, const struct scope *scope)
{
    struct doomed_record record;

    if (!doomed->has_asked || memcmp(&doomed->asked, scope, sizeof(*scope)) != 0) {
        int error = doomed_get(doomed, txn, scope, &record);
        if (error != 0 && error != E_NOT_FOUND)
            return error;
        doomed->has_asked = true;
        doomed->asked = *scope;
        doomed->asked_is_doomed = error == 0;
    }
    return doomed->asked_is_doomed ? E_SCOPE_GONE : 0;
}

int doomed_add(struct doomed *doomed, MDB_txn *txn, const struct scope *scope, uint64_t index,
               uint64_t stamp_ms)
{
    const struct doomed_record fresh = {.index = index, .stamp_ms = stamp_ms};
    struct doomed_record old;

    doomed->has_asked = false;
    int error = doomed_get(doomed, txn, scope, &old);
    if (error != E_NOT_FOUND)
        return error; /* doomed already, by another key to it: nothing was written since */
    error = doomed_put(doomed, txn, scope, &fresh);
    if (error == 0)
        doomed_push(doomed, scope, 0);
    return error;
}

static bool doomed_is_in(const MDB_val *key, const struct scope *scope)
{
    return key->mv_size >= SCOPE_BYTES && memcmp(key->mv_data, scope->id, SCOPE_BYTES) == 0;
}

/* Looks for the next key each time instead of stepping on from a deleted one: LMDB's cursors had
 * their bugs there, and a step is short. */
static int doomed_remove_some(MDB_cursor *cursor, const struct scope *scope,
                              struct doomed_step *step, bool *is_empty)
{
    while (!doomed_step_is_over(step)) {
        MDB_val key = {SCOPE_BYTES, (void *)scope->id}, stored;
        int found = mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE);
        *is_empty = found == MDB_NOTFOUND || (found == 0 && !doomed_is_in(&key, scope));
        if (*is_empty)
            return 0;
        if (found != 0)
            return map_error_unless_done("cursor", found);
        step->bytes += key.mv_size + stored.mv_size;
        int error = map_error_unless_done("cursor_del", mdb_cursor_del(cursor, 0));
        if (error != 0)
            return error;
        step->removed++;
    }
    return 0;
}

int doomed_remove_keys(MDB_txn *txn, MDB_dbi database, const struct scope *scope,
                       struct doomed_step *step, bool *is_empty)
{
    MDB_cursor *cursor;

    *is_empty = false;
    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, database, &cursor));
    if (error != 0)
        return error;
    error = doomed_remove_some(cursor, scope, step, is_empty);
    mdb_cursor_close(cursor);
    return error;
}

static int doomed_do_step(struct doomed *doomed, MDB_txn *txn, const struct scope *scope,
                          struct doomed_record *record, unsigned *removed)
{
    struct doomed_pending *pending = doomed_find_pending(doomed, scope);
    struct doomed_step step = {0};

    CHECK(pending != NULL);
    int error = doomed->remove(doomed->arg, txn, scope, &step, &record->is_empty);
    if (error != 0)
        return error;
    *removed = step.removed;
    record->steps++;
    pending->steps = record->steps;
    if (record->is_empty)
        doomed_remove_pending(doomed, pending);
    return doomed_put(doomed, txn, scope, record);
}

int doomed_purge(struct doomed *doomed, MDB_txn *txn, const struct scope *scope, uint64_t step,
                 unsigned *removed)
{
    struct doomed_record record = {0};

    *removed = 0;
    int error = doomed_get(doomed, txn, scope, &record);
    if (error != 0 || record.is_empty || record.steps != step)
        return error;
    return doomed_do_step(doomed, txn, scope, &record, removed);
}
