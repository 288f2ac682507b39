/* sessions_records.c - sessions in the map: the records of sessions.h, read at the start and
 * written with each transaction. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "ipc/pack.h"
#include "procs/worker/sessions_private.h"
#include "shm/map_error.h"

#define SESSION_KEY_BYTES 8
#define GROUP_KEY_BYTES 16
#define HEAD_BYTES 16
#define PENDING_KEEP_BYTES (16u << 10)
#define GROUPS_FIRST 8

static MDB_dbi records_database(const struct sessions *sessions)
{
    return map_database(sessions->map, MAP_SESSIONS);
}

static MDB_val records_key(uint8_t bytes[GROUP_KEY_BYTES], uint64_t id, uint64_t first_index)
{
    bytes_put_key_u64(bytes, id);
    bytes_put_key_u64(bytes + SESSION_KEY_BYTES, first_index);
    return (MDB_val){GROUP_KEY_BYTES, bytes};
}

/* ---- results in a record ---- */

void session_encode(struct session *session, uint64_t sequence, const struct session_result *result)
{
    struct session_group *group = &session->pending_group;
    struct pack pack;

    pack_init(&pack, &session->pending);
    if (session->pending.len == 0) {
        *group = (struct session_group){.first_index = result->index, .last_sequence = sequence};
        session->pending_base = session->floor;
        pack_u64(&pack, session->pending_base);
    }
    if (sequence > group->last_sequence)
        group->last_sequence = sequence;
    pack_u64(&pack, sequence - session->pending_base);
    pack_u64(&pack, result->index - group->first_index);
    pack_u64(&pack, (uint64_t)result->error);
    pack_bytes(&pack, result->detail);
    CHECK(pack_result(&pack) == 0);
}

struct group_reader {
    struct unpack unpack;
    uint64_t base, first_index;
};

static void group_read_begin(struct group_reader *reader, struct slice bytes, uint64_t first_index)
{
    unpack_init(&reader->unpack, bytes);
    reader->base = unpack_u64(&reader->unpack);
    reader->first_index = first_index;
}

/* False after the last one, or when the record is corrupt: unpack_end tells. */
static bool group_read_next(struct group_reader *reader, uint64_t *sequence,
                            struct session_result *result)
{
    struct unpack *unpack = &reader->unpack;

    if (!unpack_more(unpack))
        return false;
    *sequence = reader->base + unpack_u64(unpack);
    result->index = reader->first_index + unpack_u64(unpack);
    result->error = (int)unpack_error_code(unpack);
    result->detail = unpack_bytes(unpack);
    return unpack->error == 0;
}

/* ---- details ---- */

/* The record that holds what was applied at this index: the last one that begins at or before it.
 */
static const struct session_group *session_group_of(const struct session *session, uint64_t index)
{
    unsigned low = session->group_start, high = session->group_end;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (session->groups[middle].first_index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low > session->group_start ? &session->groups[low - 1] : NULL;
}

/* A sequence may be there twice: waiting, and at a higher index with its final result. */
static int session_copy_detail(struct sessions *sessions, struct slice bytes, uint64_t first_index,
                               uint64_t sequence, uint64_t index)
{
    struct group_reader reader;
    struct session_result result;
    uint64_t found;

    group_read_begin(&reader, bytes, first_index);
    while (group_read_next(&reader, &found, &result)) {
        if (found != sequence || result.index != index)
            continue;
        buf_clear(&sessions->detail);
        CHECK(buf_append(&sessions->detail, result.detail.data, result.detail.len) == 0);
        return 0;
    }
    return E_CORRUPT;
}

int session_read_detail(struct sessions *sessions, const struct session *session, MDB_txn *txn,
                        uint64_t sequence, uint64_t index)
{
    uint8_t bytes[GROUP_KEY_BYTES];
    MDB_val stored;

    if (session->pending.len > 0 && index >= session->pending_group.first_index)
        return session_copy_detail(sessions, buf_slice(&session->pending),
                                   session->pending_group.first_index, sequence, index);
    const struct session_group *group = session_group_of(session, index);
    if (group == NULL)
        return E_CORRUPT;
    MDB_val key = records_key(bytes, session->id, group->first_index);
    int error =
        map_error_unless_done("get", mdb_get(txn, records_database(sessions), &key, &stored));
    return error != 0 ? error
                      : session_copy_detail(sessions, slice_of(stored.mv_data, stored.mv_size),
                                            group->first_index, sequence, index);
}

/* ---- writing ---- */

/* Keeps the array's live part from wandering off: it moves back once half of it is dead. */
static void session_add_group(struct session *session, struct session_group group)
{
    if (session->group_start > 0 && session->group_end == session->group_capacity &&
        session->group_start >= session->group_capacity / 2) {
        memmove(session->groups, session->groups + session->group_start,
                (session->group_end - session->group_start) * sizeof(group));
        session->group_end -= session->group_start;
        session->group_start = 0;
    }
    if (session->group_end == session->group_capacity)
        session->groups =
            mem_grow(session->groups, &session->group_capacity, sizeof(group), GROUPS_FIRST);
    session->groups[session->group_end++] = group;
}

static int session_delete_group(const struct sessions *sessions, const struct session *session,
                                MDB_txn *txn, uint64_t first_index)
{
    uint8_t bytes[GROUP_KEY_BYTES];
    MDB_val key = records_key(bytes, session->id, first_index);

    return map_error_unless_done("del", mdb_del(txn, records_database(sessions), &key, NULL));
}

/* Only from the front: one that waits there for a straggler keeps at most a window of others. */
static int session_drop_passed_groups(const struct sessions *sessions, struct session *session,
                                      MDB_txn *txn)
{
    while (session->group_start < session->group_end) {
        const struct session_group *group = &session->groups[session->group_start];
        if (group->last_sequence >= session->floor)
            return 0;
        int error = session_delete_group(sessions, session, txn, group->first_index);
        if (error != 0)
            return error;
        session->group_start++;
    }
    session->group_start = session->group_end = 0;
    return 0;
}

static int session_store_pending(const struct sessions *sessions, struct session *session,
                                 MDB_txn *txn)
{
    uint8_t bytes[GROUP_KEY_BYTES];
    int error = 0;

    if (session->pending.len > 0 && session->pending_group.last_sequence >= session->floor) {
        MDB_val key = records_key(bytes, session->id, session->pending_group.first_index);
        MDB_val value = {session->pending.len, session->pending.data};
        error =
            map_error_unless_done("put", mdb_put(txn, records_database(sessions), &key, &value, 0));
        if (error == 0)
            session_add_group(session, session->pending_group);
    }
    buf_clear(&session->pending);
    buf_shrink(&session->pending, PENDING_KEEP_BYTES);
    return error;
}

static int session_store_head(const struct sessions *sessions, const struct session *session,
                              MDB_txn *txn)
{
    uint8_t key_bytes[SESSION_KEY_BYTES], bytes[HEAD_BYTES];
    MDB_val key = {sizeof(key_bytes), key_bytes}, value = {sizeof(bytes), bytes};

    bytes_put_key_u64(key_bytes, session->id);
    bytes_put_u64(bytes, session->floor);
    bytes_put_u64(bytes + 8, session->last_used);
    return map_error_unless_done("put", mdb_put(txn, records_database(sessions), &key, &value, 0));
}

int sessions_store(struct sessions *sessions, MDB_txn *txn)
{
    int error = 0;

    while (sessions->dirty != NULL && error == 0) {
        struct session *session = sessions->dirty;
        error = session_store_head(sessions, session, txn);
        if (error == 0)
            error = session_store_pending(sessions, session, txn);
        if (error == 0)
            error = session_drop_passed_groups(sessions, session, txn);
        sessions->dirty = session->next_dirty;
        session->is_dirty = false;
    }
    return error;
}

int session_erase(const struct sessions *sessions, const struct session *session, MDB_txn *txn)
{
    uint8_t bytes[SESSION_KEY_BYTES];
    MDB_val key = {sizeof(bytes), bytes};

    for (unsigned i = session->group_start; i < session->group_end; i++) {
        int error = session_delete_group(sessions, session, txn, session->groups[i].first_index);
        if (error != 0)
            return error;
    }
    bytes_put_key_u64(bytes, session->id);
    int error = mdb_del(txn, records_database(sessions), &key, NULL);
    /* opened in this very transaction: nothing is stored yet */
    return error == MDB_NOTFOUND && session->is_dirty ? 0 : map_error_unless_done("del", error);
}

/* ---- reading ---- */

static int sessions_load_head(struct sessions *sessions, uint64_t id, const MDB_val *value,
                              struct session **out)
{
    const uint8_t *bytes = value->mv_data;

    if (value->mv_size != HEAD_BYTES || sessions->count == LIMIT_SESSIONS || id == 0)
        return E_CORRUPT;
    *out = sessions_add(sessions, id);
    (*out)->floor = bytes_get_u64(bytes);
    (*out)->last_used = bytes_get_u64(bytes + 8);
    return 0;
}

static int session_load_group(struct session *session, uint64_t first_index, const MDB_val *value)
{
    struct session_group group = {.first_index = first_index};
    struct group_reader reader;
    struct session_result result;
    uint64_t sequence;

    group_read_begin(&reader, slice_of(value->mv_data, value->mv_size), first_index);
    while (group_read_next(&reader, &sequence, &result)) {
        if (sequence > group.last_sequence)
            group.last_sequence = sequence;
        if (sequence < session->floor)
            continue; /* passed since */
        if (sequence - session->floor >= LIMIT_SESSION_WINDOW)
            return E_CORRUPT;
        *session_slot_for(session, sequence) =
            session_slot(result.index, result.error, result.detail.len > 0);
    }
    session_add_group(session, group);
    return unpack_end(&reader.unpack) == 0 ? 0 : E_CORRUPT;
}

/* The head of a session comes before its results: the shorter key is the lesser one. */
static int sessions_load_record(struct sessions *sessions, const MDB_val *key, const MDB_val *value,
                                struct session **current)
{
    const uint8_t *bytes = key->mv_data;

    if (key->mv_size == SESSION_KEY_BYTES)
        return sessions_load_head(sessions, bytes_get_key_u64(bytes), value, current);
    if (key->mv_size != GROUP_KEY_BYTES || *current == NULL ||
        (*current)->id != bytes_get_key_u64(bytes))
        return E_CORRUPT;
    return session_load_group(*current, bytes_get_key_u64(bytes + SESSION_KEY_BYTES), value);
}

static int sessions_load_all(struct sessions *sessions, MDB_txn *txn)
{
    struct session *current = NULL;
    MDB_cursor *cursor;
    MDB_val key, value;

    int error =
        map_error_unless_done("cursor", mdb_cursor_open(txn, records_database(sessions), &cursor));
    if (error != 0)
        return error;
    int found = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (found == 0 && error == 0) {
        error = sessions_load_record(sessions, &key, &value, &current);
        found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (error == 0 && found != MDB_NOTFOUND)
        error = map_error_unless_done("cursor", found);
    return error;
}

static int sessions_compare_use(const void *a, const void *b)
{
    const struct session *const *left = (const struct session *const *)a;
    const struct session *const *right = (const struct session *const *)b;

    return ((*left)->last_used > (*right)->last_used) - ((*left)->last_used < (*right)->last_used);
}

static void sessions_sort_by_use(struct sessions *sessions)
{
    struct session **order = mem_alloc(LIMIT_SESSIONS * sizeof(struct session *));
    unsigned count = 0;

    for (struct session *session = sessions->oldest; session != NULL; session = session->newer)
        order[count++] = session;
    qsort((void *)order, count, sizeof(struct session *), sessions_compare_use);
    for (unsigned i = 0; i < count; i++)
        sessions_make_newest(sessions, order[i]);
    free((void *)order);
}

int sessions_load(struct sessions **out, const struct map *map, MDB_txn *txn)
{
    struct sessions *sessions = mem_alloc(sizeof(*sessions));

    sessions->map = map;
    buf_init(&sessions->detail, LIMIT_MESSAGE_BYTES);
    int error = sessions_load_all(sessions, txn);
    if (error == 0)
        sessions_sort_by_use(sessions);
    else
        sessions_free(&sessions);
    *out = sessions;
    return error;
}
