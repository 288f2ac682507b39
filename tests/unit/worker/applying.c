#include "applying.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/path.h"

char applying_folder[64];
struct applier applier;
unsigned applied_count, stored_count;
uint64_t next_index;

static struct map *map;
static struct buf command_bytes;
static char detail[200 << 10];

static int apply_next_to_nothing(void *arg, const struct worker_turn *turn, struct command *command,
                                 struct worker_result *result)
{
    (void)arg;
    cr_assert_not_null(turn->txn);
    applied_count++;
    if (command->operation != COMMAND_VALUE_BUMP)
        return 0;
    uint64_t len = (uint64_t)llabs(command->delta);
    cr_assert_leq(len, sizeof(detail));
    memset(detail, (int)('a' + turn->index % 26), len);
    result->detail = slice_of(detail, len);
    result->error = command->delta < 0 ? E_CONFLICT : 0;
    return 0;
}

static int store_nothing(void *arg, const struct map *into, MDB_txn *txn)
{
    (void)arg;
    cr_assert(into == map && txn != NULL);
    stored_count++;
    return 0;
}

static const struct worker_kind kind = {.proc = PROC_STORAGE,
                                        .map_kind = MAP_VALUES,
                                        .apply = apply_next_to_nothing,
                                        .store = store_nothing};

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void open_applier(void)
{
    cr_assert_eq(map_open_writer(&map, applying_folder, MAP_VALUES), 0);
    cr_assert_eq(applier_open(&applier, map, &kind), 0);
    next_index = applier.last_index + 1;
}

static void close_applier(void)
{
    applier_close(&applier);
    map_close(&map);
}

void applying_init(void)
{
    strcpy(applying_folder, "/tmp/insi-apply-XXXXXX");
    cr_assert_not_null(mkdtemp(applying_folder));
    log_set_hook(swallow_log, NULL);
    buf_init(&command_bytes, 1 << 20);
    applied_count = stored_count = 0;
    open_applier();
}

void applying_fini(void)
{
    close_applier();
    buf_fini(&command_bytes);
    path_remove_tree(applying_folder);
}

void restart(void)
{
    close_applier();
    open_applier();
}

void applying_close(void)
{
    close_applier();
}

void applying_reopen(void)
{
    open_applier();
}

void commit(void)
{
    cr_assert_eq(applier_commit(&applier), 0);
    cr_assert_null(applier.txn);
}

static struct slice encode(const struct command *command)
{
    buf_clear(&command_bytes);
    cr_assert_eq(command_encode(&command_bytes, command), 0);
    return buf_slice(&command_bytes);
}

struct slice command_set(void)
{
    return encode(&(struct command){
        .operation = COMMAND_VALUE_SET, .key = slice_text("key"), .value = slice_text("value")});
}

struct slice command_bump(int64_t delta)
{
    return encode(&(struct command){
        .operation = COMMAND_VALUE_BUMP, .key = slice_text("key"), .delta = delta});
}

struct session_result apply_bytes(uint64_t session, uint64_t sequence, uint64_t floor,
                                  struct slice command)
{
    struct session_result result;
    const struct msg_apply entry = {.index = next_index++,
                                    .term = 1,
                                    .stamp_ms = 1000,
                                    .session = session,
                                    .sequence = sequence,
                                    .floor = floor,
                                    .command = command};
    cr_assert_eq(applier_apply(&applier, &entry, &result), 0);
    return result;
}

struct session_result apply_open(uint64_t session, uint64_t sequence, uint64_t floor)
{
    return apply_bytes(session, sequence, floor,
                       encode(&(struct command){.operation = COMMAND_SESSION_OPEN}));
}

struct session_result open_session(uint64_t session, uint64_t sequence)
{
    return apply_open(session, sequence, sequence);
}

struct session_result set(uint64_t session, uint64_t sequence, uint64_t floor)
{
    return apply_bytes(session, sequence, floor, command_set());
}

struct session_result bump(uint64_t session, uint64_t sequence, uint64_t floor, int64_t delta)
{
    return apply_bytes(session, sequence, floor, command_bump(delta));
}

unsigned count_records(uint64_t session, unsigned *all)
{
    unsigned count = 0, total = 0;
    MDB_cursor *cursor;
    MDB_txn *txn;
    MDB_val key, value;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(mdb_cursor_open(txn, map_database(map, MAP_SESSIONS), &cursor), 0);
    for (int found = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); found == 0;
         found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        total++;
        if (bytes_get_key_u64(key.mv_data) == session)
            count++;
    }
    mdb_cursor_close(cursor);
    map_write_abort(map);
    if (all != NULL)
        *all = total;
    return count;
}

void expect_result(struct session_result result, uint64_t index, int error)
{
    cr_assert_eq(result.error, error, "%s, not %s", error_name(result.error), error_name(error));
    cr_assert_eq(result.index, index, "%llu, not %llu", (unsigned long long)result.index,
                 (unsigned long long)index);
}

void expect_here(struct session_result result, int error)
{
    expect_result(result, next_index - 1, error);
}
