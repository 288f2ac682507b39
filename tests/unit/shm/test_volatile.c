/* Reading cache entries and queues, and records that cannot be. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "shm/map.h"
#include "shm/volatile.h"

static char folder[64];
static struct map *map;
static MDB_txn *txn;
static const struct scope scope = {"0123456789abcde"};

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void open_map(void)
{
    strcpy(folder, "/tmp/insi-volatile-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
    cr_assert_eq(map_open_writer(&map, folder, MAP_VOLATILE), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
}

static void close_map(void)
{
    map_write_abort(map);
    map_close(&map);
    path_remove_tree(folder);
}

TestSuite(volatile_map, .init = open_map, .fini = close_map, .timeout = 30);

static void put(enum map_database database, MDB_val key, const void *bytes, size_t len)
{
    MDB_val value = {len, (void *)bytes};
    cr_assert_eq(mdb_put(txn, map_database(map, database), &key, &value, 0), 0);
}

static void put_scoped(enum map_database database, const char *key, const void *bytes, size_t len)
{
    uint8_t key_bytes[KEY_SCOPED_BYTES];
    put(database, (MDB_val){key_scoped(key_bytes, &scope, slice_text(key)), key_bytes}, bytes, len);
}

static int get(const char *key, uint64_t now_ms, struct cache_view *view)
{
    return cache_get(txn, map_database(map, MAP_CACHE), &scope, slice_text(key), now_ms, view);
}

Test(volatile_map, an_entry_is_found_before_its_deadline_only)
{
    uint8_t bytes[CACHE_HEAD_BYTES + 5] = "........value";
    struct cache_view view;
    bytes_put_u64(bytes, cache_due(1000, 0x70007));
    put_scoped(MAP_CACHE, "k", bytes, sizeof(bytes));
    cr_assert_eq(get("k", 999, &view), 0);
    cr_assert_eq(view.due, cache_due(1000, 7));
    cr_assert_eq(view.deadline_ms, 1000);
    cr_assert(slice_equal(view.data, slice_text("value")));
    cr_assert_eq(get("k", 1000, &view), E_NOT_FOUND);
    cr_assert_eq(get("", 0, &view), E_NOT_FOUND);
    char long_key[LIMIT_KEY_BYTES + 2];
    memset(long_key, 'k', sizeof(long_key));
    long_key[sizeof(long_key) - 1] = '\0';
    cr_assert_eq(get(long_key, 0, &view), E_NOT_FOUND);
}

Test(volatile_map, what_is_due_at_the_same_time_is_in_the_order_of_the_log)
{
    cr_assert_lt(cache_due(1000, 7), cache_due(1000, 8));
    cr_assert_lt(cache_due(1000, 8), cache_due(1001, 7));
    cr_assert_eq(cache_due_deadline_ms(cache_due(1000, UINT64_MAX)), 1000);
    /* beyond all time there is none later */
    cr_assert_eq(cache_due_deadline_ms(cache_due(UINT64_MAX, 0)), UINT64_MAX >> 16);
}

static bool count_one(struct slice key, const struct value_view *value, void *arg)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
    return true;
}

static bool pass_over(struct slice key, void *arg)
{
    (void)key;
    (void)arg;
    return true;
}

Test(volatile_map, an_entry_without_a_head_is_corrupt)
{
    struct cache_view view;
    unsigned count = 0;
    put_scoped(MAP_CACHE, "k", "short", 5);
    cr_assert_eq(get("k", 0, &view), E_CORRUPT);
    cr_assert_eq(cache_scan(txn, map_database(map, MAP_CACHE), &scope, slice_of(NULL, 0),
                            slice_of(NULL, 0), 0, count_one, pass_over, &count),
                 E_CORRUPT);
    cr_assert_eq(count, 0);
}

static int find_queue(const char *key, struct queue_view *queue)
{
    return queue_get(txn, map_database(map, MAP_QUEUES), &scope, slice_text(key), queue);
}

static void put_queue(const char *key, uint64_t head, uint64_t tail)
{
    uint8_t bytes[QUEUE_RECORD_BYTES] = {0};
    bytes_put_u64(bytes, 42);
    bytes_put_u64(bytes + 8, head);
    bytes_put_u64(bytes + 16, tail);
    put_scoped(MAP_QUEUES, key, bytes, sizeof(bytes));
}

Test(volatile_map, the_first_item_of_a_queue_is_at_its_head)
{
    uint8_t key_bytes[QUEUE_PART_BYTES];
    struct queue_view queue;
    struct value_view item;
    put_queue("q", 3, 5);
    cr_assert_eq(find_queue("q", &queue), 0);
    cr_assert_eq(queue.tail - queue.head, 2);
    cr_assert_eq(queue_peek(txn, map_database(map, MAP_ITEMS), &queue, &item), E_CORRUPT,
                 "an item that has to be there");
    put(MAP_ITEMS, queue_part_key(key_bytes, 42, 3), "\5\0\0\0\0\0\0\0item", 12);
    cr_assert_eq(queue_peek(txn, map_database(map, MAP_ITEMS), &queue, &item), 0);
    cr_assert_eq(item.index, 5);
    cr_assert(slice_equal(item.data, slice_text("item")));
    put_queue("empty", 5, 5);
    cr_assert_eq(find_queue("empty", &queue), 0);
    cr_assert_eq(queue_peek(txn, map_database(map, MAP_ITEMS), &queue, &item), E_QUEUE_EMPTY);
}

Test(volatile_map, queues_that_cannot_be_are_corrupt)
{
    struct queue_view queue;
    cr_assert_eq(find_queue("q", &queue), E_QUEUE_NOT_FOUND);
    cr_assert_eq(find_queue("", &queue), E_QUEUE_NOT_FOUND);
    put_queue("backwards", 5, 4);
    cr_assert_eq(find_queue("backwards", &queue), E_CORRUPT);
    put_scoped(MAP_QUEUES, "short", "short", 5);
    cr_assert_eq(find_queue("short", &queue), E_CORRUPT);
}
