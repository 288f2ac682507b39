/* ring.c - see ring.h. */
#include "shm/ring.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "shm/map_error.h"

#define RING_HEAD_BYTES (8 + SCOPE_BYTES + 8)
#define RING_KEY_BYTES 8

static const char ring_meta_bytes[] = "ring_bytes";
static const char ring_meta_dropped[] = "ring_dropped";

/* ---- records ---- */

static int ring_event_of(const MDB_val *key, const MDB_val *stored, struct ring_event *out)
{
    const uint8_t *bytes = stored->mv_data;

    if (key->mv_size != RING_KEY_BYTES || stored->mv_size < RING_HEAD_BYTES)
        return E_CORRUPT;
    uint64_t topic_len = bytes_get_u64(bytes + 8 + SCOPE_BYTES);
    size_t room = stored->mv_size - RING_HEAD_BYTES;
    if (topic_len == 0 || topic_len > room)
        return E_CORRUPT;
    out->index = bytes_get_key_u64(key->mv_data);
    out->stamp_ms = bytes_get_u64(bytes);
    memcpy(out->scope.id, bytes + 8, SCOPE_BYTES);
    out->topic = slice_of(bytes + RING_HEAD_BYTES, topic_len);
    out->data = slice_of(bytes + RING_HEAD_BYTES + topic_len, room - topic_len);
    return 0;
}

static uint64_t ring_event_bytes(size_t topic_len, size_t data_len)
{
    return RING_EVENT_BYTES + (uint64_t)topic_len + data_len;
}

/* ---- loading and storing ---- */

int ring_load(struct ring *ring, const struct map *map, MDB_txn *txn)
{
    *ring = (struct ring){.events = map_database(map, MAP_RING)};
    int error = map_meta_get(map, txn, ring_meta_bytes, &ring->bytes);
    return error != 0 ? error : map_meta_get(map, txn, ring_meta_dropped, &ring->dropped_index);
}

int ring_store(const struct ring *ring, const struct map *map, MDB_txn *txn)
{
    int error = map_meta_put(map, txn, ring_meta_bytes, ring->bytes);
    return error != 0 ? error : map_meta_put(map, txn, ring_meta_dropped, ring->dropped_index);
}

/* ---- writing ---- */

int ring_append(struct ring *ring, MDB_txn *txn, const struct ring_event *event)
{
    uint8_t key_bytes[RING_KEY_BYTES];
    MDB_val key = {sizeof(key_bytes), key_bytes};
    MDB_val stored = {RING_HEAD_BYTES + event->topic.len + event->data.len, NULL};

    bytes_put_key_u64(key_bytes, event->index);
    int error = mdb_put(txn, ring->events, &key, &stored, MDB_RESERVE | MDB_APPEND);
    if (error == MDB_KEYEXIST) /* something lies behind it */
        return E_CORRUPT;
    if (error != 0)
        return map_error_unless_done("put", error);
    uint8_t *bytes = stored.mv_data;
    bytes_put_u64(bytes, event->stamp_ms);
    memcpy(bytes + 8, event->scope.id, SCOPE_BYTES);
    bytes_put_u64(bytes + 8 + SCOPE_BYTES, event->topic.len);
    memcpy(bytes + RING_HEAD_BYTES, event->topic.data, event->topic.len);
    if (event->data.len > 0)
        memcpy(bytes + RING_HEAD_BYTES + event->topic.len, event->data.data, event->data.len);
    ring->bytes += ring_event_bytes(event->topic.len, event->data.len);
    return 0;
}

/* The event under the cursor. */
static int ring_take(struct ring *ring, MDB_cursor *cursor, const struct ring_event *event)
{
    uint64_t bytes = ring_event_bytes(event->topic.len, event->data.len);

    if (bytes > ring->bytes)
        return E_CORRUPT;
    ring->bytes -= bytes;
    return map_error_unless_done("cursor_del", mdb_cursor_del(cursor, 0));
}

/* Looks for the first one each time: see procs/worker/doomed.c. */
static int ring_drop_some(struct ring *ring, MDB_cursor *cursor, uint64_t limit_bytes,
                          uint64_t last_index, unsigned limit_events, ring_visit_fn *visit,
                          void *arg)
{
    for (unsigned i = 0; i < limit_events && ring->bytes > limit_bytes; i++) {
        struct ring_event event = {0};
        MDB_val key, stored;
        int found = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
        if (found == MDB_NOTFOUND)
            return E_CORRUPT; /* it is said to hold bytes */
        int error = found != 0 ? map_error_unless_done("cursor", found)
                               : ring_event_of(&key, &stored, &event);
        if (error != 0)
            return error;
        if (event.index > last_index)
            return 0;
        error = visit(&event, arg);
        if (error != 0)
            return error;
        ring->dropped_index = event.index;
        error = ring_take(ring, cursor, &event);
        if (error != 0)
            return error;
    }
    return 0;
}

int ring_drop(struct ring *ring, MDB_txn *txn, uint64_t limit_bytes, uint64_t last_index,
              unsigned limit_events, ring_visit_fn *visit, void *arg)
{
    MDB_cursor *cursor;

    if (ring->bytes <= limit_bytes)
        return 0;
    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, ring->events, &cursor));
    if (error != 0)
        return error;
    error = ring_drop_some(ring, cursor, limit_bytes, last_index, limit_events, visit, arg);
    mdb_cursor_close(cursor);
    return error;
}

int ring_remove(struct ring *ring, MDB_txn *txn, uint64_t index)
{
    uint8_t key_bytes[RING_KEY_BYTES];
    MDB_val key = {sizeof(key_bytes), key_bytes}, stored;
    struct ring_event event;
    MDB_cursor *cursor;

    bytes_put_key_u64(key_bytes, index);
    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, ring->events, &cursor));
    if (error != 0)
        return error;
    int found = mdb_cursor_get(cursor, &key, &stored, MDB_SET_KEY);
    if (found == 0)
        error = ring_event_of(&key, &stored, &event);
    if (found == 0 && error == 0)
        error = ring_take(ring, cursor, &event);
    mdb_cursor_close(cursor);
    return found == 0 || found == MDB_NOTFOUND ? error : map_error_unless_done("cursor", found);
}

/* ---- reading ---- */

static int ring_walk(MDB_cursor *cursor, MDB_val *key, ring_visit_fn *visit, void *arg)
{
    MDB_val stored;

    int found = mdb_cursor_get(cursor, key, &stored, MDB_SET_RANGE);
    while (found == 0) {
        struct ring_event event;
        int error = ring_event_of(key, &stored, &event);
        if (error == 0)
            error = visit(&event, arg);
        if (error != 0)
            return error == E_CLOSED ? 0 : error;
        found = mdb_cursor_get(cursor, key, &stored, MDB_NEXT);
    }
    return found == MDB_NOTFOUND ? 0 : map_error_unless_done("cursor", found);
}

int ring_scan(const struct ring *ring, MDB_txn *txn, uint64_t after, ring_visit_fn *visit,
              void *arg)
{
    uint8_t key_bytes[RING_KEY_BYTES];
    MDB_val key = {sizeof(key_bytes), key_bytes};
    MDB_cursor *cursor;

    if (after == UINT64_MAX)
        return 0;
    bytes_put_key_u64(key_bytes, after + 1);
    int error = map_error_unless_done("cursor", mdb_cursor_open(txn, ring->events, &cursor));
    if (error != 0)
        return error;
    error = ring_walk(cursor, &key, visit, arg);
    mdb_cursor_close(cursor);
    return error;
}
