#include "storing.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/path.h"

struct storage storage;
struct applier applier;
uint64_t next_index;
char last_detail[64];

const struct scope scope = {"0123456789abcde"}, other_scope = {"0123456789abcdf"};

static char folder[64];
static struct map *map;
static struct buf encoded;

static const struct worker_kind kind = {.proc = PROC_STORAGE,
                                        .map_kind = MAP_VALUES,
                                        .load = storage_load,
                                        .apply = storage_apply,
                                        .arg = &storage};

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void open_all(void)
{
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), 0);
    cr_assert_eq(applier_open(&applier, map, &kind), 0);
    next_index = applier.last_index + 1;
}

static void close_all(void)
{
    applier_close(&applier);
    storage_free(&storage);
    map_close(&map);
}

void storing_init(void)
{
    strcpy(folder, "/tmp/insi-storage-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
    buf_init(&encoded, LIMIT_ENTRY_BYTES);
    open_all();
}

void storing_fini(void)
{
    close_all();
    buf_fini(&encoded);
    path_remove_tree(folder);
}

void storing_restart(void)
{
    close_all();
    open_all();
}

void storing_commit(void)
{
    cr_assert_eq(applier_commit(&applier), 0);
}

int apply_encoded(struct slice bytes)
{
    struct session_result result;
    const struct msg_apply entry = {
        .index = next_index, .term = 1, .stamp_ms = 5000 + next_index, .command = bytes};
    next_index++;
    cr_assert_eq(applier_apply(&applier, &entry, &result), 0);
    cr_assert_lt(result.detail.len, sizeof(last_detail));
    memset(last_detail, 0, sizeof(last_detail));
    if (result.detail.len > 0)
        memcpy(last_detail, result.detail.data, result.detail.len);
    return result.error;
}

int apply(const struct command *command)
{
    buf_clear(&encoded);
    cr_assert_eq(command_encode(&encoded, command), 0);
    return apply_encoded(buf_slice(&encoded));
}

int set_in(const struct scope *where, struct slice key, struct slice value)
{
    return apply(&(struct command){
        .operation = COMMAND_VALUE_SET, .scope = *where, .key = key, .value = value});
}

int set(const char *key, const char *value)
{
    return set_in(&scope, slice_text(key), slice_text(value));
}

int delete (const char *key)
{
    return apply(&(struct command){
        .operation = COMMAND_VALUE_DELETE, .scope = scope, .key = slice_text(key)});
}

int setnx(const char *key, const char *value)
{
    return apply(&(struct command){.operation = COMMAND_VALUE_SETNX,
                                   .scope = scope,
                                   .key = slice_text(key),
                                   .value = slice_text(value)});
}

int cas(const char *key, const char *expected, const char *value)
{
    return apply(&(struct command){.operation = COMMAND_VALUE_CAS,
                                   .scope = scope,
                                   .key = slice_text(key),
                                   .value = slice_text(value),
                                   .expected = slice_text(expected)});
}

int bump(const char *key, int64_t delta)
{
    return apply(&(struct command){
        .operation = COMMAND_VALUE_BUMP, .scope = scope, .key = slice_text(key), .delta = delta});
}

const char *get(const char *key, uint64_t *index)
{
    static char text[4096];
    struct value_view view;
    MDB_txn *txn;
    storing_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    int error = value_get(txn, storage.values, &scope, slice_text(key), &view);
    if (error == 0) {
        cr_assert_lt(view.data.len, sizeof(text));
        memcpy(text, view.data.data, view.data.len);
        text[view.data.len] = '\0';
        if (index != NULL)
            *index = view.index;
    }
    map_write_abort(map);
    cr_assert(error == 0 || error == E_NOT_FOUND);
    return error == 0 ? text : NULL;
}

static bool count_one(struct slice key, const struct value_view *value, void *arg)
{
    (void)key;
    (void)value;
    (*(unsigned *)arg)++;
    return true;
}

unsigned count_keys(const struct scope *where)
{
    unsigned count = 0;
    MDB_txn *txn;
    storing_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(value_scan(txn, storage.values, where, slice_of(NULL, 0), slice_of(NULL, 0), 0,
                            count_one, &count),
                 0);
    map_write_abort(map);
    return count;
}
