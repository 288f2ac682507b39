/* Cache, counters and queues over HTTP, with workers that are played: which command a request
 * becomes, what a result becomes, and what a read of cacheq's map waits for. */
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "ipc/command.h"
#include "ipc/entry.h"
#include "procs/gateway/calls/page.h"
#include "shm/volatile.h"
#include "tests/unit/gateway/fake_node.h"

#define BASE "/db/api/v1"

static struct fake fake;

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(services, .fini = stop);

/* An entry of the cache, straight into the map, as of the fake's index. */
static void put_entry(const struct scope *scope, const char *key, const char *value,
                      uint64_t deadline_ms)
{
    uint8_t name[KEY_SCOPED_BYTES], stored[CACHE_HEAD_BYTES + 64];
    const struct slice text = slice_text(value);
    MDB_txn *txn;
    bytes_put_u64(stored, cache_due(deadline_ms, fake.index));
    cr_assert_leq(text.len, sizeof(stored) - CACHE_HEAD_BYTES);
    memcpy(stored + CACHE_HEAD_BYTES, text.data, text.len);
    MDB_val where = {key_scoped(name, scope, slice_text(key)), name};
    MDB_val what = {CACHE_HEAD_BYTES + text.len, stored};
    cr_assert_eq(map_write_begin(fake.volatile_map, &txn), 0);
    cr_assert_eq(mdb_put(txn, map_database(fake.volatile_map, MAP_CACHE), &where, &what, 0), 0);
    cr_assert_eq(map_write_commit(fake.volatile_map, fake.index), 0);
}

/* So many of them that are gone: "k0000000" and on. */
static void put_gone(const struct scope *scope, unsigned count)
{
    uint8_t name[KEY_SCOPED_BYTES], stored[CACHE_HEAD_BYTES];
    MDB_txn *txn;
    bytes_put_u64(stored, cache_due(1, fake.index));
    cr_assert_eq(map_write_begin(fake.volatile_map, &txn), 0);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%07u", i);
        MDB_val where = {key_scoped(name, scope, slice_text(key)), name};
        MDB_val what = {CACHE_HEAD_BYTES, stored};
        cr_assert_eq(mdb_put(txn, map_database(fake.volatile_map, MAP_CACHE), &where, &what, 0), 0);
    }
    cr_assert_eq(map_write_commit(fake.volatile_map, fake.index), 0);
}

static struct scope root_scope(void)
{
    struct scope scope;
    token_root_scope(slice_text("the root's own prefix"), &scope);
    return scope;
}

static uint64_t now_ms(void)
{
    return board_cluster_time_ms(fake.board);
}

static int begin(const char *method, const char *target, const char *token, const char *body)
{
    char bytes[4096];
    int fd = client_connect(&fake);
    client_send(fd, bytes, client_format(bytes, sizeof(bytes), method, target, token, body));
    return fd;
}

static struct answer finish(int fd)
{
    struct answer answer;
    cr_assert(client_read(&fake, fd, &answer, true));
    close(fd);
    return answer;
}

static void expect_get(const char *target, const char *token, int status, const char *error_type)
{
    struct answer answer = client_call(&fake, "GET", target, token, NULL);
    cr_expect_eq(answer.status, status, "%s: %d %s", target, answer.status, answer.body);
    answer_expect(&answer, status, error_type);
    answer_fini(&answer);
}

/* ---- which command it becomes ---- */

static struct buf kept; /* what the command borrows from */

static void open_session(void)
{
    struct answer answer =
        client_call(&fake, "POST", BASE "/set", fake_root(), "{\"key\":\"k\",\"value\":\"v\"}");
    answer_expect(&answer, 200, NULL);
    answer_fini(&answer);
}

static void start_with_session(const char *settings)
{
    fake_start(&fake, settings);
    open_session();
    buf_init(&kept, 1 << 20);
}

/* The first that is held and opens no session: that may come a second time, after LEADER. */
static const struct buf *held_write(void)
{
    for (unsigned i = 0; i < fake.held_count; i++) {
        struct entry entry;
        struct command command;
        cr_assert_eq(entry_decode(&entry, buf_slice(&fake.held[i])), 0);
        cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
        if (command.operation != COMMAND_SESSION_OPEN)
            return &fake.held[i];
    }
    return NULL;
}

/* It is taken and never applied. */
static struct command asked_for(const char *path, const char *body, enum proc worker)
{
    struct entry entry;
    struct command command;
    fake.mode = FAKE_HOLD;
    int fd = begin("POST", path, fake_root(), body);
    FAKE_WAIT(&fake, held_write() != NULL);
    buf_clear(&kept);
    buf_append(&kept, held_write()->data, held_write()->len);
    for (unsigned i = 0; i < fake.held_count; i++)
        buf_fini(&fake.held[i]);
    fake.held_count = 0;
    cr_assert_eq(entry_decode(&entry, buf_slice(&kept)), 0);
    cr_assert_eq(entry.part_count, 1);
    cr_assert_eq(entry.parts[0].worker, worker);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    const struct scope scope = root_scope();
    cr_assert_arr_eq(command.scope.id, scope.id, SCOPE_BYTES);
    close(fd);
    return command;
}

Test(services, times_travel_in_milliseconds_rounded_up_and_the_limit_with_them)
{
    static const struct {
        const char *ttl;
        uint64_t ms;
    } cases[] = {{"60", 60000}, {"0.25", 250},    {"0.0001", 1}, {"1e-9", 1},
                 {"0.3", 300},  {"1.0011", 1002}, {"2.3", 2300}, {"90", 90000}};
    start_with_session("cache: {defaultTTL: 7s, maxTTL: 90s, maxBytes: 12345678}\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"key\":\"k\",\"value\":\"v\",\"ttl\":%s}", cases[i].ttl);
        struct command command = asked_for(BASE "/cache/set", body, PROC_CACHEQ);
        cr_assert_eq(command.operation, COMMAND_CACHE_SET);
        cr_assert_eq(command.ttl_ms, cases[i].ms, "%s: %llu", cases[i].ttl,
                     (unsigned long long)command.ttl_ms);
        cr_assert_eq(command.limit_bytes, 12345678);
    }
    struct command command =
        asked_for(BASE "/cache/setnx", "{\"key\":\"k\",\"value\":\"v\"}", PROC_CACHEQ);
    cr_assert_eq(command.operation, COMMAND_CACHE_SETNX);
    cr_assert_eq(command.ttl_ms, 7000);
    buf_fini(&kept);
}

Test(services, a_time_beyond_the_limit_is_refused_and_exactly_the_limit_is_not)
{
    start_with_session("cache: {maxTTL: 1100ms}\n");
    struct command command =
        asked_for(BASE "/cache/set", "{\"key\":\"k\",\"value\":\"v\",\"ttl\":1.1}", PROC_CACHEQ);
    cr_assert_eq(command.ttl_ms, 1100);
    struct answer answer = client_call(&fake, "POST", BASE "/cache/set", fake_root(),
                                       "{\"key\":\"k\",\"value\":\"v\",\"ttl\":1.101}");
    answer_expect(&answer, 400, "TTL_TOO_LONG");
    cr_assert_not_null(strstr(answer.body, "cache.maxTTL is 1.1 seconds"), "%s", answer.body);
    answer_fini(&answer);
    buf_fini(&kept);
}

Test(services, counters_are_the_storage_workers_and_queues_cacheqs)
{
    start_with_session(NULL);
    struct command command =
        asked_for(BASE "/atomic/add", "{\"key\":\"n\",\"delta\":-3}", PROC_STORAGE);
    cr_assert(command.operation == COMMAND_ATOMIC_ADD && command.delta == -3);
    command = asked_for(BASE "/atomic/new", "{\"key\":\"n\",\"overwrite\":true}", PROC_STORAGE);
    cr_assert(command.operation == COMMAND_ATOMIC_NEW && command.overwrite);
    command = asked_for(BASE "/queue/push", "{\"key\":\"q\",\"value\":\"item\"}", PROC_CACHEQ);
    cr_assert(command.operation == COMMAND_QUEUE_PUSH &&
              slice_equal(command.value, slice_text("item")));
    command = asked_for(BASE "/queue/pop", "{\"key\":\"q\"}", PROC_CACHEQ);
    cr_assert(command.operation == COMMAND_QUEUE_POP && command.wait_ms == 0);
    buf_fini(&kept);
}

/* ---- reads of cacheq's map ---- */

Test(services, an_entry_is_read_until_its_deadline_in_cluster_time)
{
    const struct scope scope = root_scope();
    fake_start(&fake, NULL);
    put_entry(&scope, "long", "there", now_ms() + 60000);
    put_entry(&scope, "short", "there", now_ms() + 300);
    put_entry(&scope, "over", "there", now_ms());
    struct answer answer = client_call(&fake, "GET", BASE "/cache/get?key=long", fake_root(), NULL);
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer_text(&answer, "data"), "there");
    double left = json_number_value(json_object_get(answer.json, "ttl"));
    cr_assert(left > 50 && left <= 60, "%s", answer.body);
    answer_fini(&answer);
    expect_get(BASE "/cache/get?key=over", fake_root(), 404, "NOT_FOUND");
    expect_get(BASE "/cache/get?key=short", fake_root(), 200, NULL);
    fake_pass_ms(&fake, 310);
    expect_get(BASE "/cache/get?key=short", fake_root(), 404, "NOT_FOUND");
}

Test(services, without_a_lease_one_question_serves_the_token_and_the_entry)
{
    char token[TOKEN_APIKEY_BYTES];
    uint8_t hash[SHA256_BYTES];
    struct apikey_view key;
    MDB_txn *txn;
    fake_start(&fake, NULL);
    fake_add_key(&fake, "tenant", token);
    token_apikey_hash(slice_text(token), hash);
    cr_assert_eq(map_write_begin(fake.map, &txn), 0);
    cr_assert_eq(apikey_find(txn, map_database(fake.map, MAP_APIKEYS), hash, &key), 0);
    const struct scope scope = key.scope;
    map_write_abort(fake.map);
    put_entry(&scope, "key", "mine", now_ms() + 60000);
    fake_set_lease(&fake, false);
    unsigned before = fake.questions;
    expect_get(BASE "/cache/get?key=key", token, 200, NULL);
    cr_assert_eq(fake.questions, before + 1);
    expect_get(BASE "/cache/get?key=key", fake_root(), 404, "NOT_FOUND"); /* another scope */
    expect_get(BASE "/cache/get?key=key", "insi_nobodys", 401, "AUTHENTICATION_FAILED");
}

Test(services, an_entry_waits_for_cacheq_also_when_storage_is_there_already)
{
    char token[TOKEN_APIKEY_BYTES];
    fake_start(&fake, NULL);
    fake.cacheq_is_behind = true;
    fake_add_key(&fake, "tenant", token);
    fake_set_lease(&fake, false);
    const char *const tokens[] = {token, fake_root()};
    for (unsigned i = 0; i < 2; i++) {
        fake.cacheq_is_behind = true;
        fake.index++;
        board_write_applied(fake.board, PROC_STORAGE, fake.index);
        uint64_t index = fake.index; /* more may come: the gateway opens its session */
        int fd = begin("GET", BASE "/queue/length?key=q", tokens[i], NULL);
        FAKE_WAIT(&fake, fake.awaited_there >= index);
        fake.cacheq_is_behind = false;
        fake_reach_cacheq(&fake);
        struct answer answer = finish(fd);
        answer_expect(&answer, 404, "QUEUE_NOT_FOUND");
        answer_fini(&answer);
    }
}

Test(services, a_stale_read_waits_for_nothing)
{
    const struct scope scope = root_scope();
    fake_start(&fake, NULL);
    put_entry(&scope, "key", "there", now_ms() + 60000);
    fake.cacheq_is_behind = true;
    fake.index += 10;
    fake_set_lease(&fake, false);
    fake_say_leader(&fake, false);
    expect_get(BASE "/cache/get?key=key&consistency=stale", fake_root(), 200, NULL);
    expect_get(BASE "/queue/peek?key=q&consistency=stale", fake_root(), 404, "QUEUE_NOT_FOUND");
}

Test(services, a_node_is_ready_only_when_cacheq_is)
{
    fake_start(&fake, NULL);
    expect_get("/readyz", NULL, 200, NULL);
    fake.cacheq_is_behind = true;
    fake.index++;
    board_write_applied(fake.board, PROC_STORAGE, fake.index);
    fake_set_lease(&fake, true);
    expect_get("/readyz", NULL, 503, "NO_LEADER");
    fake.cacheq_is_behind = false;
    fake_reach_cacheq(&fake);
    expect_get("/readyz", NULL, 200, NULL);
}

static void expect_page(const char *query, const char *body)
{
    char target[128];
    snprintf(target, sizeof(target), BASE "/cache/iterate/prefix?%s", query);
    struct answer answer = client_call(&fake, "GET", target, fake_root(), NULL);
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer.body, body);
    answer_fini(&answer);
}

Test(services, a_page_passes_over_so_many_entries_that_are_gone_and_no_more)
{
    const struct scope scope = root_scope();
    char last[32], query[64], page[96];
    fake_start(&fake, NULL);
    put_entry(&scope, "a", "v", now_ms() + 60000);
    put_gone(&scope, PAGE_GONE_MAX + 5);
    put_entry(&scope, "z", "v", now_ms() + 60000);
    snprintf(last, sizeof(last), "k%07u", PAGE_GONE_MAX - 1);
    snprintf(query, sizeof(query), "after=%s", last);
    snprintf(page, sizeof(page), "{\"data\":[],\"next\":\"%s\"}", last);
    expect_page("prefix=k", page);
    expect_page(query, "{\"data\":[\"z\"]}");
    snprintf(page, sizeof(page), "{\"data\":[\"a\"],\"next\":\"%s\"}", last);
    expect_page("limit=1", page); /* full, and whether more follow is not known */
    expect_page("", page);
    expect_page("prefix=z", "{\"data\":[\"z\"]}");
    expect_page("offset=2", "{\"data\":[]}"); /* an offset may cost more */
}
