/* The layout of keys and values, and the walks over them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "shm/map.h"

static char folder[64];
static struct map *map;
static MDB_txn *txn;
static MDB_dbi values, apikeys;

static const struct scope scope = {"0123456789abcde"};
static const struct scope before = {"0123456789abcdd"}, behind = {"0123456789abcdf"};
static const struct scope highest = {
    {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}};

static void open_map(void)
{
    strcpy(folder, "/tmp/insi-keys-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    values = map_database(map, MAP_VALUES_DB);
    apikeys = map_database(map, MAP_APIKEYS);
}

static void close_map(void)
{
    map_write_abort(map);
    map_close(&map);
    path_remove_tree(folder);
}

TestSuite(keys, .init = open_map, .fini = close_map, .timeout = 30);

static void put_raw(MDB_dbi database, const void *key, size_t key_len, const void *value,
                    size_t len)
{
    MDB_val k = {key_len, (void *)key}, v = {len, (void *)value};
    cr_assert_eq(mdb_put(txn, database, &k, &v, 0), 0);
}

static void put_in(const struct scope *where, struct slice key, const char *text, uint64_t index)
{
    uint8_t bytes[KEY_SCOPED_BYTES], stored[64];
    struct slice value = slice_text(text);
    bytes_put_u64(stored, index);
    memcpy(stored + 8, value.data, value.len);
    put_raw(values, bytes, key_scoped(bytes, where, key), stored, 8 + value.len);
}

static void put(const char *key)
{
    put_in(&scope, slice_text(key), key, 1);
}

/* ---- values ---- */

Test(keys, a_value_comes_back_with_the_index_of_its_write)
{
    struct value_view view;
    put_in(&scope, slice_text("key"), "value", 1ull << 40);
    put_in(&scope, slice_text("empty"), "", 7);
    cr_assert_eq(value_get(txn, values, &scope, slice_text("key"), &view), 0);
    cr_assert(slice_equal(view.data, slice_text("value")));
    cr_assert_eq(view.index, 1ull << 40);
    cr_assert_eq(value_get(txn, values, &scope, slice_text("empty"), &view), 0);
    cr_assert_eq(view.data.len, 0);
    cr_assert_eq(view.index, 7);
}

Test(keys, a_value_is_found_in_its_own_scope_only)
{
    struct value_view view;
    put("key");
    cr_assert_eq(value_get(txn, values, &before, slice_text("key"), &view), E_NOT_FOUND);
    cr_assert_eq(value_get(txn, values, &behind, slice_text("key"), &view), E_NOT_FOUND);
    cr_assert_eq(value_get(txn, values, &scope, slice_text("ke"), &view), E_NOT_FOUND);
    cr_assert_eq(value_get(txn, values, &scope, slice_text("key2"), &view), E_NOT_FOUND);
}

Test(keys, keys_that_cannot_be_stored_are_not_found)
{
    char longest[LIMIT_KEY_BYTES + 1];
    struct value_view view;
    memset(longest, 'k', sizeof(longest));
    put_in(&scope, slice_of(longest, LIMIT_KEY_BYTES), "v", 1);
    cr_assert_eq(value_get(txn, values, &scope, slice_of(longest, LIMIT_KEY_BYTES), &view), 0);
    cr_assert_eq(value_get(txn, values, &scope, slice_of(longest, sizeof(longest)), &view),
                 E_NOT_FOUND);
    cr_assert_eq(value_get(txn, values, &scope, slice_of(NULL, 0), &view), E_NOT_FOUND);
}

Test(keys, a_record_too_short_to_be_a_value_is_corrupt)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    struct value_view view;
    put_raw(values, bytes, key_scoped(bytes, &scope, slice_text("short")), "1234567", 7);
    cr_assert_eq(value_get(txn, values, &scope, slice_text("short"), &view), E_CORRUPT);
}

/* ---- scans: what was visited, as one text ---- */

struct visit {
    char text[512];
    unsigned left;
    unsigned calls;
};

static bool visit_one(struct slice key, const struct value_view *value, void *arg)
{
    struct visit *visit = arg;
    size_t at = strlen(visit->text);
    cr_assert_lt(at + key.len + 2, sizeof(visit->text));
    memcpy(visit->text + at, key.data, key.len);
    visit->text[at + key.len] = ' ';
    cr_assert_gt(value->index, 0);
    visit->calls++;
    return --visit->left > 0;
}

static struct visit scan_bytes(struct slice prefix, struct slice after, uint64_t offset,
                               unsigned limit)
{
    struct visit visit = {.left = limit};
    cr_assert_eq(value_scan(txn, values, &scope, prefix, after, offset, visit_one, &visit), 0);
    return visit;
}

static const char *scan(const char *prefix, const char *after, uint64_t offset, unsigned limit)
{
    static struct visit visit;
    visit = scan_bytes(slice_text(prefix), slice_text(after), offset, limit);
    return visit.text;
}

static void put_letters(void)
{
    static const char *const keys[] = {"a", "aa", "ab", "abc", "abd", "b", "ba", "c"};
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        put(keys[i]);
    put_in(&before, slice_text("ab"), "not ours", 1);
    put_in(&behind, slice_text("ab"), "not ours", 1);
}

Test(keys, a_scan_walks_the_prefix_in_byte_order)
{
    put_letters();
    cr_assert_str_eq(scan("", "", 0, 100), "a aa ab abc abd b ba c ");
    cr_assert_str_eq(scan("a", "", 0, 100), "a aa ab abc abd ");
    cr_assert_str_eq(scan("ab", "", 0, 100), "ab abc abd ");
    cr_assert_str_eq(scan("abc", "", 0, 100), "abc ");
    cr_assert_str_eq(scan("abcd", "", 0, 100), "");
    cr_assert_str_eq(scan("c", "", 0, 100), "c ");
    cr_assert_str_eq(scan("d", "", 0, 100), "");
}

Test(keys, after_names_the_last_key_that_was_had)
{
    put_letters();
    cr_assert_str_eq(scan("a", "ab", 0, 100), "abc abd ");
    cr_assert_str_eq(scan("a", "abb", 0, 100), "abc abd "); /* no such key */
    cr_assert_str_eq(scan("a", "abd", 0, 100), "");
    cr_assert_str_eq(scan("ab", "a", 0, 100), "ab abc abd "); /* before the prefix begins */
    cr_assert_str_eq(scan("ab", "ab", 0, 100), "abc abd ");
    cr_assert_str_eq(scan("ab", "b", 0, 100), ""); /* behind its end */
    cr_assert_str_eq(scan("", "c", 0, 100), "");
}

Test(keys, offset_passes_keys_over_and_the_visitor_ends_the_walk)
{
    put_letters();
    cr_assert_str_eq(scan("a", "", 2, 100), "ab abc abd ");
    cr_assert_str_eq(scan("a", "", 5, 100), "");
    cr_assert_str_eq(scan("a", "", UINT64_MAX, 100), "");
    cr_assert_str_eq(scan("a", "", 1, 2), "aa ab ");
    cr_assert_str_eq(scan("a", "aa", 1, 1), "abc ");
    struct visit visit = scan_bytes(slice_text(""), slice_text(""), 0, 1);
    cr_assert_eq(visit.calls, 1);
}

Test(keys, prefixes_of_the_highest_bytes_have_an_end_too)
{
    static const uint8_t ff[4] = {255, 255, 255, 255};
    put("a");
    put_in(&scope, slice_of(ff, 1), "1", 1);
    put_in(&scope, slice_of(ff, 3), "3", 1);
    put_in(&behind, slice_of(ff, 4), "not ours", 1);
    cr_assert_eq(scan_bytes(slice_of(ff, 1), slice_of(NULL, 0), 0, 10).calls, 2);
    cr_assert_eq(scan_bytes(slice_of(ff, 2), slice_of(NULL, 0), 0, 10).calls, 1);
    cr_assert_eq(scan_bytes(slice_of(ff, 4), slice_of(NULL, 0), 0, 10).calls, 0);
    cr_assert_eq(scan_bytes(slice_of(ff, 1), slice_of(ff, 1), 0, 10).calls, 1);
    cr_assert_eq(scan_bytes(slice_of(ff, 1), slice_of(ff, 3), 0, 10).calls, 0);
}

Test(keys, the_highest_scope_ends_where_the_map_ends)
{
    struct visit visit = {.left = 10};
    put("a");
    put_in(&highest, slice_text("z"), "z", 1);
    cr_assert_eq(value_scan(txn, values, &highest, slice_of(NULL, 0), slice_of(NULL, 0), 0,
                            visit_one, &visit),
                 0);
    cr_assert_str_eq(visit.text, "z ");
}

Test(keys, no_prefix_and_no_after_of_any_length_leaves_the_scope_or_the_buffer)
{
    static char longest[2000];
    memset(longest, 'k', sizeof(longest));
    put_in(&scope, slice_of(longest, LIMIT_KEY_BYTES), "v", 1);
    put("l");
    cr_assert_eq(scan_bytes(slice_of(longest, LIMIT_KEY_BYTES), slice_of(NULL, 0), 0, 9).calls, 1);
    cr_assert_eq(scan_bytes(slice_of(longest, sizeof(longest)), slice_of(NULL, 0), 0, 9).calls, 0);
    cr_assert_eq(scan_bytes(slice_text(""), slice_of(longest, sizeof(longest)), 0, 9).calls, 1);
    cr_assert_eq(scan_bytes(slice_text("k"), slice_of(longest, sizeof(longest)), 0, 9).calls, 0);
}

Test(keys, a_scan_that_meets_a_corrupt_record_says_so)
{
    uint8_t bytes[KEY_SCOPED_BYTES];
    struct visit visit = {.left = 10};
    put("a");
    put_raw(values, bytes, key_scoped(bytes, &scope, slice_text("b")), "", 0);
    cr_assert_eq(
        value_scan(txn, values, &scope, slice_text(""), slice_text(""), 0, visit_one, &visit),
        E_CORRUPT);
}

/* ---- API keys ---- */

static void put_apikey(uint8_t first, const char *name)
{
    uint8_t hash[SHA256_BYTES] = {first}, record[SCOPE_BYTES + 16 + 32];
    struct slice text = slice_text(name);
    memcpy(record, scope.id, SCOPE_BYTES);
    bytes_put_u64(record + SCOPE_BYTES, 1700000000000);
    bytes_put_u64(record + SCOPE_BYTES + 8, first);
    memcpy(record + SCOPE_BYTES + 16, text.data, text.len);
    put_raw(apikeys, hash, sizeof(hash), record, SCOPE_BYTES + 16 + text.len);
}

static bool visit_apikey(const struct apikey_view *key, void *arg)
{
    struct visit *visit = arg;
    strncat(visit->text, key->name.data, key->name.len);
    return --visit->left > 0;
}

Test(keys, what_is_put_is_stored_as_the_layout_says)
{
    static const uint8_t hash[SHA256_BYTES] = {7};
    const struct value_view value = {.data = slice_text("data"), .index = 0x0102};
    const struct value_view newer = {.data = slice_text(""), .index = 0x0103};
    const struct apikey_view key = {scope, 3, 4, slice_text("shop")};
    uint8_t name[KEY_SCOPED_BYTES], record[SCOPE_BYTES + 16 + 4] = {0};
    MDB_val where = {key_scoped(name, &scope, slice_text("k")), name}, stored;
    cr_assert_eq(value_put(txn, values, &scope, slice_text("k"), &value, true), 0);
    cr_assert_eq(mdb_get(txn, values, &where, &stored), 0);
    cr_assert_eq(stored.mv_size, 12);
    cr_assert_eq(memcmp(stored.mv_data, "\2\1\0\0\0\0\0\0data", 12), 0);
    cr_assert_eq(value_put(txn, values, &scope, slice_text("k"), &newer, true), E_EXISTS);
    cr_assert_eq(mdb_get(txn, values, &where, &stored), 0);
    cr_assert_eq(stored.mv_size, 12, "what is there stays");
    cr_assert_eq(value_put(txn, values, &scope, slice_text("k"), &newer, false), 0);
    cr_assert_eq(mdb_get(txn, values, &where, &stored), 0);
    cr_assert_eq(memcmp(stored.mv_data, "\3\1\0\0\0\0\0\0", stored.mv_size), 0);

    where = (MDB_val){sizeof(hash), (void *)hash};
    memcpy(record, scope.id, SCOPE_BYTES);
    record[SCOPE_BYTES] = 3;
    record[SCOPE_BYTES + 8] = 4;
    memcpy(record + SCOPE_BYTES + 16, key.name.data, key.name.len);
    cr_assert_eq(apikey_put(txn, apikeys, hash, &key), 0);
    cr_assert_eq(mdb_get(txn, apikeys, &where, &stored), 0);
    cr_assert_eq(stored.mv_size, sizeof(record));
    cr_assert_eq(memcmp(stored.mv_data, record, sizeof(record)), 0);
    cr_assert_eq(apikey_put(txn, apikeys, hash, &key), E_EXISTS);
}

Test(keys, api_keys_are_found_by_their_hash)
{
    uint8_t hash[SHA256_BYTES] = {2}, other[SHA256_BYTES] = {2, 1};
    struct apikey_view view;
    put_apikey(1, "one");
    put_apikey(2, "two");
    cr_assert_eq(apikey_find(txn, apikeys, hash, &view), 0);
    cr_assert_arr_eq(view.scope.id, scope.id, SCOPE_BYTES);
    cr_assert_eq(view.created_ms, 1700000000000);
    cr_assert_eq(view.index, 2);
    cr_assert(slice_equal(view.name, slice_text("two")));
    cr_assert_eq(apikey_find(txn, apikeys, other, &view), E_NOT_FOUND);
}

Test(keys, api_keys_are_listed_until_the_visitor_has_enough)
{
    struct visit visit = {.left = 10};
    cr_assert_eq(apikey_scan(txn, apikeys, visit_apikey, &visit), 0);
    cr_assert_str_eq(visit.text, "");
    put_apikey(3, "three");
    put_apikey(1, "one");
    cr_assert_eq(apikey_scan(txn, apikeys, visit_apikey, &visit), 0);
    cr_assert_str_eq(visit.text, "onethree");
    visit = (struct visit){.left = 1};
    cr_assert_eq(apikey_scan(txn, apikeys, visit_apikey, &visit), 0);
    cr_assert_str_eq(visit.text, "one");
}

Test(keys, an_api_key_s_record_without_its_head_is_corrupt)
{
    uint8_t hash[SHA256_BYTES] = {9};
    struct apikey_view view;
    struct visit visit = {.left = 10};
    put_raw(apikeys, hash, sizeof(hash), "too short", 9);
    cr_assert_eq(apikey_find(txn, apikeys, hash, &view), E_CORRUPT);
    cr_assert_eq(apikey_scan(txn, apikeys, visit_apikey, &visit), E_CORRUPT);
}
