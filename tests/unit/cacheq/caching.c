#include "caching.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"

struct cacheq cacheq;
struct applier applier;
uint64_t next_index, now_ms, last_index;
char last_detail[256];

const struct scope scope = {"0123456789abcde"}, other_scope = {"0123456789abcdf"};

static char folder[64];
static struct map *map;
static struct buf encoded;
static uint64_t sequences[2], floors[2]; /* of A and B */

static const struct worker_kind kind = {.proc = PROC_CACHEQ,
                                        .map_kind = MAP_VOLATILE,
                                        .load = cacheq_load,
                                        .store = cacheq_store,
                                        .apply = cacheq_apply,
                                        .arg = &cacheq};

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void open_all(void)
{
    cr_assert_eq(map_open_writer(&map, folder, MAP_VOLATILE), 0);
    cr_assert_eq(applier_open(&applier, map, &kind), 0);
    next_index = applier.last_index + 1;
}

static void close_all(void)
{
    applier_close(&applier);
    cacheq_free(&cacheq);
    map_close(&map);
}

static unsigned number_of(uint64_t session)
{
    return session == SESSION_A ? 0 : 1;
}

void caching_init(void)
{
    strcpy(folder, "/tmp/insi-cacheq-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
    buf_init(&encoded, LIMIT_ENTRY_BYTES);
    open_all();
    now_ms = 100000;
    sequences[0] = sequences[1] = 0;
    floors[0] = floors[1] = 1;
    cr_assert_eq(apply_as(SESSION_A, &(struct command){.operation = COMMAND_SESSION_OPEN}), 0);
    cr_assert_eq(apply_as(SESSION_B, &(struct command){.operation = COMMAND_SESSION_OPEN}), 0);
}

void caching_fini(void)
{
    close_all();
    buf_fini(&encoded);
    path_remove_tree(folder);
}

void caching_restart(void)
{
    close_all();
    open_all();
}

void caching_commit(void)
{
    cr_assert_eq(applier_commit(&applier), 0);
}

void caching_move(void)
{
    char next[64], path[96];
    cr_assert_eq(applier_settle(&applier), 0);
    strcpy(next, "/tmp/insi-cacheq-XXXXXX");
    cr_assert_not_null(mkdtemp(next));
    cr_assert_eq(map_file(path, sizeof(path), next, MAP_VOLATILE), 0);
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(map_copy(map, fd), 0);
    close(fd);
    close_all();
    path_remove_tree(folder);
    snprintf(folder, sizeof(folder), "%s", next);
    open_all();
}

/* ---- applying ---- */

int apply_again(uint64_t session, uint64_t sequence, const struct command *command)
{
    struct session_result result;
    buf_clear(&encoded);
    cr_assert_eq(command_encode(&encoded, command), 0);
    const struct msg_apply entry = {.index = next_index++,
                                    .term = 1,
                                    .stamp_ms = now_ms,
                                    .session = session,
                                    .sequence = sequence,
                                    .floor = session != 0 ? floors[number_of(session)] : 0,
                                    .command = buf_slice(&encoded)};
    cr_assert_eq(applier_apply(&applier, &entry, &result), 0);
    size_t len = result.detail.len < sizeof(last_detail) ? result.detail.len : 0;
    memset(last_detail, 0, sizeof(last_detail));
    if (len > 0)
        memcpy(last_detail, result.detail.data, len);
    last_index = result.index;
    return result.error;
}

int apply(const struct command *command)
{
    return apply_again(0, 0, command);
}

int apply_as(uint64_t session, const struct command *command)
{
    return apply_again(session, ++sequences[number_of(session)], command);
}

uint64_t last_sequence(uint64_t session)
{
    return sequences[number_of(session)];
}

void answered(uint64_t session, uint64_t sequence)
{
    floors[number_of(session)] = sequence + 1;
}

static struct command of(enum command_operation operation, const char *key)
{
    return (struct command){.operation = operation, .scope = scope, .key = slice_text(key)};
}

/* ---- cache ---- */

static int write_entry(enum command_operation operation, const char *key, const char *value,
                       const char *expected, uint64_t ttl_ms, uint64_t limit_bytes)
{
    struct command command = of(operation, key);
    command.value = slice_text(value);
    command.expected = slice_text(expected);
    command.ttl_ms = ttl_ms;
    command.limit_bytes = limit_bytes;
    return apply(&command);
}

int set(const char *key, const char *value, uint64_t ttl_ms)
{
    return write_entry(COMMAND_CACHE_SET, key, value, "", ttl_ms, LIMIT_NONE);
}

int set_within(const char *key, const char *value, uint64_t ttl_ms, uint64_t limit_bytes)
{
    return write_entry(COMMAND_CACHE_SET, key, value, "", ttl_ms, limit_bytes);
}

int setnx(const char *key, const char *value, uint64_t ttl_ms)
{
    return write_entry(COMMAND_CACHE_SETNX, key, value, "", ttl_ms, LIMIT_NONE);
}

int cas(const char *key, const char *expected, const char *value, uint64_t ttl_ms)
{
    return write_entry(COMMAND_CACHE_CAS, key, value, expected, ttl_ms, LIMIT_NONE);
}

int cache_del(const char *key)
{
    struct command command = of(COMMAND_CACHE_DELETE, key);
    return apply(&command);
}

int expire(void)
{
    return apply(&(struct command){.operation = COMMAND_CACHE_EXPIRE});
}

/* ---- reading ---- */

static char text[4096];
static struct cache_view cached;

static bool read_entry(const char *key)
{
    MDB_txn *txn;
    caching_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    int error = cache_get(txn, cacheq.cache, &scope, slice_text(key), now_ms, &cached);
    cr_assert(error == 0 || error == E_NOT_FOUND);
    if (error == 0) {
        cr_assert_lt(cached.data.len, sizeof(text));
        memcpy(text, cached.data.data, cached.data.len);
        text[cached.data.len] = '\0';
    }
    map_write_abort(map);
    return error == 0;
}

const char *get(const char *key)
{
    return read_entry(key) ? text : NULL;
}

uint64_t ttl_left(const char *key)
{
    return read_entry(key) ? cached.deadline_ms - now_ms : 0;
}

static uint64_t to_pass;

static bool pass_over(struct slice key, void *arg)
{
    (void)key;
    (void)arg;
    return true;
}

static bool list_one(struct slice key, const struct value_view *value, void *arg)
{
    size_t len = strlen(text);
    (void)arg;
    cr_assert_eq(value->index, 0);
    if (to_pass > 0) {
        to_pass--;
        return true;
    }
    snprintf(text + len, sizeof(text) - len, "%s%.*s", len > 0 ? "," : "", (int)key.len,
             (const char *)key.data);
    return true;
}

const char *list(const char *prefix, const char *after, uint64_t offset)
{
    MDB_txn *txn;
    caching_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    text[0] = '\0';
    to_pass = offset;
    cr_assert_eq(cache_scan(txn, cacheq.cache, &scope, slice_text(prefix), slice_text(after),
                            now_ms, list_one, pass_over, NULL),
                 0);
    map_write_abort(map);
    return text;
}

/* ---- queues ---- */

int queue_new(const char *key)
{
    struct command command = of(COMMAND_QUEUE_NEW, key);
    command.limit_bytes = LIMIT_NONE;
    return apply(&command);
}

int queue_delete(const char *key)
{
    struct command command = of(COMMAND_QUEUE_DELETE, key);
    return apply(&command);
}

int push(const char *key, const char *item)
{
    return push_within(key, item, LIMIT_NONE);
}

int push_within(const char *key, const char *item, uint64_t limit_bytes)
{
    struct command command = of(COMMAND_QUEUE_PUSH, key);
    command.value = slice_text(item);
    command.limit_bytes = limit_bytes;
    return apply(&command);
}

int pop(const char *key)
{
    struct command command = of(COMMAND_QUEUE_POP, key);
    return apply(&command);
}

uint64_t begin_to_wait(uint64_t session, const char *key, uint64_t wait_ms)
{
    struct command command = of(COMMAND_QUEUE_POP, key);
    command.wait_ms = wait_ms;
    cr_assert_eq(apply_as(session, &command), E_QUEUE_WAITING);
    return last_sequence(session);
}

int cancel(uint64_t session, uint64_t sequence)
{
    return apply_as(session,
                    &(struct command){.operation = COMMAND_QUEUE_POP_CANCEL, .sequence = sequence});
}

int renew(uint64_t session)
{
    return apply_as(session, &(struct command){.operation = COMMAND_QUEUE_WAIT_RENEW});
}

int purge_queues(void)
{
    return apply(&(struct command){.operation = COMMAND_QUEUE_PURGE});
}

int purge_scope(const struct scope *where, uint64_t step)
{
    return apply(
        &(struct command){.operation = COMMAND_SCOPE_PURGE, .scope = *where, .step = step});
}

static int read_queue(MDB_txn *txn, const char *key, struct queue_view *queue)
{
    return queue_get(txn, cacheq.queues, &scope, slice_text(key), queue);
}

int64_t length(const char *key)
{
    struct queue_view queue;
    MDB_txn *txn;
    caching_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    int error = read_queue(txn, key, &queue);
    map_write_abort(map);
    cr_assert(error == 0 || error == E_QUEUE_NOT_FOUND);
    return error == 0 ? (int64_t)(queue.tail - queue.head) : -1;
}

const char *peek(const char *key)
{
    struct queue_view queue;
    struct value_view item;
    MDB_txn *txn;
    caching_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(read_queue(txn, key, &queue), 0);
    int error = queue_peek(txn, cacheq.items, &queue, &item);
    cr_assert(error == 0 || error == E_QUEUE_EMPTY);
    if (error == 0)
        snprintf(text, sizeof(text), "%.*s", (int)item.data.len, (const char *)item.data.data);
    map_write_abort(map);
    return error == 0 ? text : NULL;
}

/* ---- results of others ---- */

const char *finals(void)
{
    size_t len = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < applier.final_count; i++) {
        struct session_result result;
        uint64_t session, sequence;
        applier_final(&applier, i, &session, &sequence, &result);
        cr_assert_eq(result.index, next_index - 1);
        len += (size_t)snprintf(
            text + len, sizeof(text) - len, "%s%c:%llu%s%.*s", i > 0 ? "," : "",
            session == SESSION_A ? 'a' : 'b', (unsigned long long)sequence,
            result.error != 0 ? "!" : "=", result.error != 0 ? 64 : (int)result.detail.len,
            result.error != 0 ? error_name(result.error) : (const char *)result.detail.data);
    }
    return text;
}

int remembered(uint64_t session, uint64_t sequence)
{
    struct session_result result;
    caching_commit();
    cr_assert_eq(applier_recall(&applier, session, sequence, &result), 0);
    memset(last_detail, 0, sizeof(last_detail));
    if (result.detail.len > 0 && result.detail.len < sizeof(last_detail))
        memcpy(last_detail, result.detail.data, result.detail.len);
    last_index = result.index;
    return result.error;
}

/* ---- counting ---- */

uint64_t count(MDB_dbi database)
{
    MDB_stat stat;
    MDB_txn *txn;
    caching_commit();
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(mdb_stat(txn, database, &stat), 0);
    map_write_abort(map);
    return stat.ms_entries;
}

void expect_nothing_left(void)
{
    cr_assert_eq(count(cacheq.queues), 0);
    cr_assert_eq(count(cacheq.items), 0);
    cr_assert_eq(count(cacheq.waiters), 0);
    cr_assert_eq(count(cacheq.waiting), 0);
    cr_assert_eq(count(cacheq.deleted), 0);
    cr_assert_eq(cacheq.deleted_count, 0);
    cr_assert_eq(cacheq.session_count, 0);
}
