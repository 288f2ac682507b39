/* keys.c - the key and value layouts of the maps, and the walks over them.
 *
 * Pure functions over a transaction; they own nothing. What a map holds was written
 * by this node's own workers, so a record of the wrong shape is corruption, not bad input.
 */
#include "shm/keys.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "shm/map_error.h"

#define KEYS_INDEX_BYTES 8
#define KEYS_NUMBER_BYTES 8
#define KEYS_APIKEY_BYTES (SCOPE_BYTES + 16)

size_t key_scoped(uint8_t out[KEY_SCOPED_BYTES], const struct scope *scope, struct slice key)
{
    CHECK(key.len <= LIMIT_KEY_BYTES);
    memcpy(out, scope->id, SCOPE_BYTES);
    if (key.len > 0)
        memcpy(out + SCOPE_BYTES, key.data, key.len);
    return SCOPE_BYTES + key.len;
}

/* --- values ------------------------------------------------------------------------------------
 */

static int value_view_of(const MDB_val *stored, struct value_view *out)
{
    if (stored->mv_size < KEYS_INDEX_BYTES)
        return E_CORRUPT;
    out->index = bytes_get_u64(stored->mv_data);
    out->data = slice_of((const uint8_t *)stored->mv_data + KEYS_INDEX_BYTES,
                         stored->mv_size - KEYS_INDEX_BYTES);
    return 0;
}

int key_find(MDB_txn *txn, MDB_dbi database, const struct scope *scope, struct slice key,
             MDB_val *stored)
{
    uint8_t bytes[KEY_SCOPED_BYTES];

    if (key.len == 0 || key.len > LIMIT_KEY_BYTES)
        return E_NOT_FOUND;
    MDB_val wanted = {key_scoped(bytes, scope, key), bytes};
    return map_error_of(mdb_get(txn, database, &wanted, stored));
}

int value_get(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice key,
              struct value_view *out)
{
    MDB_val stored;

    int error = key_find(txn, values, scope, key, &stored);
    return error != 0 ? error : value_view_of(&stored, out);
}

static bool key_starts_with(const MDB_val *key, const uint8_t *prefix, size_t prefix_len)
{
    return key->mv_size >= prefix_len && memcmp(key->mv_data, prefix, prefix_len) == 0;
}

/* The order of LMDB: bytes, then length. */
static int slice_order(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* From where the cursor stands to the end of the prefix, or of the visitor's patience. No upper
 * bound is computed: a prefix of 0xff bytes has none. */
static int key_walk(MDB_cursor *cursor, MDB_val *key, MDB_val *stored, const MDB_val *prefix,
                    key_visit_fn *visit, void *arg)
{
    int error = 0;

    while (error == 0 && key_starts_with(key, prefix->mv_data, prefix->mv_size)) {
        error =
            visit(slice_of((const uint8_t *)key->mv_data + SCOPE_BYTES, key->mv_size - SCOPE_BYTES),
                  stored, arg);
        if (error == 0)
            error = map_error_of(mdb_cursor_get(cursor, key, stored, MDB_NEXT));
    }
    return error == E_CLOSED ? 0 : error;
}

int key_scan(MDB_txn *txn, MDB_dbi database, const struct scope *scope, struct slice prefix,
             struct slice after, key_visit_fn *visit, void *arg)
{
    uint8_t prefix_bytes[KEY_SCOPED_BYTES], start_bytes[KEY_SCOPED_BYTES];
    MDB_cursor *cursor;
    MDB_val stored;

    /* No key is as long, so nothing starts with such a prefix or follows such a key within it. */
    if (prefix.len > LIMIT_KEY_BYTES)
        return 0;
    if (after.len > LIMIT_KEY_BYTES)
        after.len = LIMIT_KEY_BYTES;
    const MDB_val scoped_prefix = {key_scoped(prefix_bytes, scope, prefix), prefix_bytes};
    bool resumes = after.len > 0 && slice_order(after, prefix) >= 0;
    MDB_val start = {key_scoped(start_bytes, scope, resumes ? after : prefix), start_bytes};
    MDB_val key = start;

    int error = map_error_of(mdb_cursor_open(txn, database, &cursor));
    if (error != 0)
        return error;
    error = map_error_of(mdb_cursor_get(cursor, &key, &stored, MDB_SET_RANGE));
    if (error == 0 && resumes && key.mv_size == start.mv_size &&
        memcmp(key.mv_data, start_bytes, key.mv_size) == 0)
        error = map_error_of(mdb_cursor_get(cursor, &key, &stored, MDB_NEXT));
    if (error == 0)
        error = key_walk(cursor, &key, &stored, &scoped_prefix, visit, arg);
    mdb_cursor_close(cursor);
    return error == E_NOT_FOUND ? 0 : error;
}

struct value_walk {
    uint64_t offset;
    value_visit_fn *visit;
    void *arg;
};

static int value_walk_visit(struct slice key, const MDB_val *stored, void *arg)
{
    struct value_walk *walk = arg;
    struct value_view view;

    if (walk->offset > 0) {
        walk->offset--;
        return 0;
    }
    int error = value_view_of(stored, &view);
    if (error != 0)
        return error;
    return walk->visit(key, &view, walk->arg) ? 0 : E_CLOSED;
}

int value_scan(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice prefix,
               struct slice after, uint64_t offset, value_visit_fn *visit, void *arg)
{
    struct value_walk walk = {.offset = offset, .visit = visit, .arg = arg};

    return key_scan(txn, values, scope, prefix, after, value_walk_visit, &walk);
}

int value_put(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice key,
              const struct value_view *value, bool only_new)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    MDB_val where = {key_scoped(bytes, scope, key), bytes};
    MDB_val stored = {KEYS_INDEX_BYTES + value->data.len, NULL};

    int error =
        mdb_put(txn, values, &where, &stored, MDB_RESERVE | (only_new ? MDB_NOOVERWRITE : 0));
    if (error == MDB_KEYEXIST)
        return E_EXISTS;
    if (error != 0)
        return map_error_unless_done("put", error);
    bytes_put_u64(stored.mv_data, value->index);
    if (value->data.len > 0)
        memcpy((uint8_t *)stored.mv_data + KEYS_INDEX_BYTES, value->data.data, value->data.len);
    return 0;
}

/* --- atomics -----------------------------------------------------------------------------------
 */

int atomic_get(MDB_txn *txn, MDB_dbi atomics, const struct scope *scope, struct slice key,
               struct atomic_view *out)
{
    struct value_view view;

    int error = value_get(txn, atomics, scope, key, &view);
    if (error != 0)
        return error;
    if (view.data.len != KEYS_NUMBER_BYTES)
        return E_CORRUPT;
    out->value = (int64_t)bytes_get_u64(view.data.data);
    out->index = view.index;
    return 0;
}

int atomic_put(MDB_txn *txn, MDB_dbi atomics, const struct scope *scope, struct slice key,
               const struct atomic_view *atomic)
{
    uint8_t bytes[KEYS_NUMBER_BYTES];
    const struct value_view view = {slice_of(bytes, sizeof(bytes)), atomic->index};

    bytes_put_u64(bytes, (uint64_t)atomic->value);
    return value_put(txn, atomics, scope, key, &view, false);
}

/* --- API keys ----------------------------------------------------------------------------------
 */

static int apikey_view_of(const MDB_val *stored, struct apikey_view *out)
{
    const uint8_t *bytes = stored->mv_data;

    if (stored->mv_size < KEYS_APIKEY_BYTES)
        return E_CORRUPT;
    memcpy(out->scope.id, bytes, SCOPE_BYTES);
    out->created_ms = bytes_get_u64(bytes + SCOPE_BYTES);
    out->index = bytes_get_u64(bytes + SCOPE_BYTES + 8);
    out->name = slice_of(bytes + KEYS_APIKEY_BYTES, stored->mv_size - KEYS_APIKEY_BYTES);
    return 0;
}

int apikey_put(MDB_txn *txn, MDB_dbi apikeys, const uint8_t hash[SHA256_BYTES],
               const struct apikey_view *key)
{
    uint8_t bytes[KEYS_APIKEY_BYTES + LIMIT_APIKEY_NAME_BYTES];
    MDB_val where = {SHA256_BYTES, (void *)hash};
    MDB_val stored = {KEYS_APIKEY_BYTES + key->name.len, bytes};

    CHECK(key->name.len <= LIMIT_APIKEY_NAME_BYTES);
    memcpy(bytes, key->scope.id, SCOPE_BYTES);
    bytes_put_u64(bytes + SCOPE_BYTES, key->created_ms);
    bytes_put_u64(bytes + SCOPE_BYTES + 8, key->index);
    if (key->name.len > 0)
        memcpy(bytes + KEYS_APIKEY_BYTES, key->name.data, key->name.len);
    int error = mdb_put(txn, apikeys, &where, &stored, MDB_NOOVERWRITE);
    return error == MDB_KEYEXIST ? E_EXISTS : map_error_unless_done("put", error);
}

int apikey_find(MDB_txn *txn, MDB_dbi apikeys, const uint8_t hash[SHA256_BYTES],
                struct apikey_view *out)
{
    MDB_val key = {SHA256_BYTES, (void *)hash};
    MDB_val stored;

    int error = map_error_of(mdb_get(txn, apikeys, &key, &stored));
    return error != 0 ? error : apikey_view_of(&stored, out);
}

int apikey_scan(MDB_txn *txn, MDB_dbi apikeys, apikey_visit_fn *visit, void *arg)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val stored;
    bool more = true;

    int error = map_error_of(mdb_cursor_open(txn, apikeys, &cursor));
    if (error != 0)
        return error;
    error = map_error_of(mdb_cursor_get(cursor, &key, &stored, MDB_FIRST));
    while (error == 0 && more) {
        struct apikey_view view;
        error = apikey_view_of(&stored, &view);
        if (error == 0)
            more = visit(&view, arg);
        if (error == 0 && more)
            error = map_error_of(mdb_cursor_get(cursor, &key, &stored, MDB_NEXT));
    }
    mdb_cursor_close(cursor);
    return error == E_NOT_FOUND ? 0 : error;
}
