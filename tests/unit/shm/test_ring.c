/* The ring of retained events: order, what is dropped and when, and records that cannot be. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "shm/ring.h"

static char folder[64];
static struct map *map;
static MDB_txn *txn;
static struct ring ring;
static const struct scope scope = {"0123456789abcde"};
static char seen[4096]; /* "index:topic=data@stamp " of each event that was shown */

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void begin(void)
{
    cr_assert_eq(map_open_writer(&map, folder, MAP_EVENTS), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(ring_load(&ring, map, txn), 0);
}

static void open_map(void)
{
    strcpy(folder, "/tmp/insi-ring-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
    begin();
}

static void close_map(void)
{
    map_write_abort(map);
    map_close(&map);
    path_remove_tree(folder);
}

TestSuite(ring, .init = open_map, .fini = close_map, .timeout = 60);

static int append(uint64_t index, const char *topic, const char *data)
{
    const struct ring_event event = {.index = index,
                                     .stamp_ms = 1000 + index,
                                     .scope = scope,
                                     .topic = slice_text(topic),
                                     .data = slice_text(data)};
    return ring_append(&ring, txn, &event);
}

static int show(const struct ring_event *event, void *arg)
{
    size_t len = strlen(seen);
    cr_assert_eq(memcmp(&event->scope, &scope, sizeof(scope)), 0);
    snprintf(seen + len, sizeof(seen) - len, "%d:%.*s=%.*s@%d ", (int)event->index,
             (int)event->topic.len, (const char *)event->topic.data, (int)event->data.len,
             (const char *)event->data.data, (int)event->stamp_ms);
    int *left = arg;
    return left != NULL && --*left == 0 ? E_CLOSED : 0;
}

static const char *scan(uint64_t after)
{
    seen[0] = '\0';
    cr_assert_eq(ring_scan(&ring, txn, after, show, NULL), 0);
    return seen;
}

static const char *drop(uint64_t limit_bytes, uint64_t last_index, unsigned limit_events)
{
    seen[0] = '\0';
    cr_assert_eq(ring_drop(&ring, txn, limit_bytes, last_index, limit_events, show, NULL), 0);
    return seen;
}

Test(ring, events_come_in_index_order_from_behind_an_index)
{
    cr_assert_eq(append(3, "a", "1"), 0);
    cr_assert_eq(append(4, "topic", "{}"), 0);
    cr_assert_eq(append(300, "b", ""), 0);
    cr_assert_str_eq(scan(0), "3:a=1@1003 4:topic={}@1004 300:b=@1300 ");
    cr_assert_str_eq(scan(3), "4:topic={}@1004 300:b=@1300 ");
    cr_assert_str_eq(scan(250), "300:b=@1300 ");
    cr_assert_str_eq(scan(300), "");
    cr_assert_str_eq(scan(UINT64_MAX), "");
}

Test(ring, a_visitor_that_has_enough_ends_the_walk)
{
    int left = 2;
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(append(i, "t", "1"), 0);
    cr_assert_eq(ring_scan(&ring, txn, 0, show, &left), 0);
    cr_assert_str_eq(seen, "1:t=1@1001 2:t=1@1002 ");
}

Test(ring, the_oldest_go_first_and_only_as_many_as_needed)
{
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(append(10 * i, "t", "1"), 0);
    uint64_t each = RING_EVENT_BYTES + 2;
    cr_assert_eq(ring.bytes, 5 * each);
    cr_assert_str_eq(drop(5 * each, 50, 100), "");
    cr_assert_eq(ring.dropped_index, 0);
    cr_assert_str_eq(drop(4 * each - 1, 50, 100), "10:t=1@1010 20:t=1@1020 ");
    cr_assert_eq(ring.dropped_index, 20);
    cr_assert_eq(ring.bytes, 3 * each);
    cr_assert_str_eq(scan(0), "30:t=1@1030 40:t=1@1040 50:t=1@1050 ");
}

Test(ring, what_is_too_new_and_what_is_too_much_at_once_stays)
{
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(append(i, "t", "1"), 0);
    cr_assert_str_eq(drop(0, 5, 1), "1:t=1@1001 ");
    cr_assert_str_eq(drop(0, 3, 100), "2:t=1@1002 3:t=1@1003 ");
    cr_assert_eq(ring.dropped_index, 3);
    cr_assert_str_eq(drop(0, 5, 100), "4:t=1@1004 5:t=1@1005 ");
    cr_assert_eq(ring.bytes, 0);
    cr_assert_str_eq(drop(0, 5, 100), "");
}

Test(ring, what_counts_is_stored_with_the_events)
{
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(append(i, "t", "1"), 0);
    drop(0, 2, 100);
    uint64_t bytes = ring.bytes;
    cr_assert_eq(ring_store(&ring, map, txn), 0);
    cr_assert_eq(map_write_commit(map, 5), 0);
    map_close(&map);
    begin();
    cr_assert_eq(ring.bytes, bytes);
    cr_assert_eq(ring.dropped_index, 2);
    cr_assert_str_eq(scan(0), "3:t=1@1003 4:t=1@1004 5:t=1@1005 ");
}

Test(ring, one_that_is_removed_leaves_no_trace)
{
    for (uint64_t i = 1; i <= 3; i++)
        cr_assert_eq(append(i, "t", "1"), 0);
    cr_assert_eq(ring_remove(&ring, txn, 2), 0);
    cr_assert_eq(ring_remove(&ring, txn, 2), 0);
    cr_assert_eq(ring_remove(&ring, txn, 77), 0);
    cr_assert_str_eq(scan(0), "1:t=1@1001 3:t=1@1003 ");
    cr_assert_eq(ring.bytes, 2 * ((uint64_t)RING_EVENT_BYTES + 2));
    cr_assert_eq(ring.dropped_index, 0);
}

Test(ring, an_event_of_any_size_comes_back_whole)
{
    static char data[(1 << 20) + 1];
    memset(data, 'x', sizeof(data) - 1);
    cr_assert_eq(append(1, "t", data), 0);
    cr_assert_eq(append(2, "t", "1"), 0);
    MDB_val key, stored;
    MDB_cursor *cursor;
    cr_assert_eq(mdb_cursor_open(txn, ring.events, &cursor), 0);
    cr_assert_eq(mdb_cursor_get(cursor, &key, &stored, MDB_FIRST), 0);
    cr_assert_eq(stored.mv_size, 8 + SCOPE_BYTES + 8 + 1 + sizeof(data) - 1);
    mdb_cursor_close(cursor);
    cr_assert_eq(ring.bytes, 2 * (uint64_t)RING_EVENT_BYTES + 1 + sizeof(data) - 1 + 2);
    cr_assert_eq(ring_remove(&ring, txn, 1), 0);
    cr_assert_str_eq(scan(0), "2:t=1@1002 ");
}

Test(ring, an_index_that_is_not_the_highest_is_corruption)
{
    cr_assert_eq(append(5, "t", "1"), 0);
    cr_assert_eq(append(5, "t", "1"), E_CORRUPT);
    cr_assert_eq(append(4, "t", "1"), E_CORRUPT);
}

static void put_raw(uint64_t index, const void *bytes, size_t len)
{
    uint8_t key_bytes[8];
    MDB_val key = {sizeof(key_bytes), key_bytes}, stored = {len, (void *)bytes};
    bytes_put_key_u64(key_bytes, index);
    cr_assert_eq(mdb_put(txn, ring.events, &key, &stored, 0), 0);
}

Test(ring, a_record_of_the_wrong_shape_is_corruption)
{
    uint8_t bytes[8 + SCOPE_BYTES + 8 + 4] = {0};
    put_raw(1, bytes, 8 + SCOPE_BYTES + 7);
    cr_assert_eq(ring_scan(&ring, txn, 0, show, NULL), E_CORRUPT);
    put_raw(1, bytes, sizeof(bytes)); /* no topic */
    cr_assert_eq(ring_scan(&ring, txn, 0, show, NULL), E_CORRUPT);
    bytes_put_u64(bytes + 8 + SCOPE_BYTES, 5); /* longer than the record */
    put_raw(1, bytes, sizeof(bytes));
    cr_assert_eq(ring_scan(&ring, txn, 0, show, NULL), E_CORRUPT);
    ring.bytes = 1000;
    cr_assert_eq(ring_drop(&ring, txn, 0, 10, 10, show, NULL), E_CORRUPT);
    cr_assert_eq(ring_remove(&ring, txn, 1), E_CORRUPT);
}

Test(ring, bytes_that_no_event_accounts_for_are_corruption)
{
    ring.bytes = 10;
    cr_assert_eq(ring_drop(&ring, txn, 0, 10, 10, show, NULL), E_CORRUPT);
    cr_assert_eq(append(1, "t", "1"), 0);
    ring.bytes = 1;
    cr_assert_eq(ring_drop(&ring, txn, 0, 10, 10, show, NULL), E_CORRUPT);
}
