/* publish.c - how fast the events worker applies publishes and what it costs to find who gets them,
 * without sockets around it: with nobody subscribed, with many subscriptions that the events are
 * not for, and with many that they are for; and how fast those that were away are caught up.
 *
 * Arguments: folder (made, and removed at the end; on tmpfs to mean anything), subscriptions,
 * events.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/path.h"
#include "ipc/link_private.h"
#include "procs/events/events.h"
#include "procs/worker/applier.h"

#define DATA_BYTES 200
#define BATCH 64
#define SUBSCRIBERS 1000 /* of one topic */

static const struct scope scope = {"a scope, random"};
static struct events events;
static struct applier applier;
static struct map *map;
static struct buf bytes;
static struct link gateway; /* without a socket: what is queued is thrown away */
static uint64_t sent_bytes, next_connection = 1;

static void publish(const char *topic)
{
    static char data[DATA_BYTES];
    const struct command command = {.operation = COMMAND_EVENT_PUBLISH,
                                    .scope = scope,
                                    .key = slice_text(topic),
                                    .value = slice_of(data, sizeof(data))};
    struct session_result result;
    struct msg_apply entry = {.index = applier.last_index + 1, .stamp_ms = 1000};

    memset(data, '7', sizeof(data));
    buf_clear(&bytes);
    CHECK(command_encode(&bytes, &command) == 0);
    entry.command = buf_slice(&bytes);
    CHECK(applier_apply(&applier, &entry, &result) == 0 && result.error == 0);
}

static void throw_away(void)
{
    for (unsigned i = 0; i < gateway.ready_count; i++) {
        sent_bytes += gateway.ready[i].len;
        buf_fini(&gateway.ready[i]);
    }
    sent_bytes += gateway.batch.len;
    gateway.ready_count = 0;
    gateway.ready_bytes = 0;
    buf_clear(&gateway.batch);
    feed_credit(&events.feeds[0], 0, UINT64_MAX);
}

static void turn(void)
{
    MDB_txn *txn;

    CHECK(applier_commit(&applier) == 0);
    CHECK(map_write_begin(map, &txn) == 0);
    CHECK(events_run_live(&events, txn, applier.last_index) == 0);
    CHECK(events_run_sweeps(&events, txn) == 0);
    map_write_abort(map);
    throw_away();
}

static void subscribe(const char *topic, bool from_now, uint64_t after)
{
    const struct msg_subscribe msg = {.connection = next_connection++,
                                      .scope = scope,
                                      .topic = slice_text(topic),
                                      .from_now = from_now,
                                      .after = after,
                                      .window = UINT64_MAX};

    CHECK(feed_subscribe(&events.feeds[0], &events.ring, &msg, applier.last_index) == 0);
}

static void tell(const char *what, uint64_t count, uint64_t start_ns)
{
    uint64_t ns = clock_boot_ns() - start_ns;

    printf("%-46s %9" PRIu64 " in %7.1f ms: %10.0f/s, %6.0f ns each\n", what, count,
           (double)ns / NS_PER_MS, (double)count * NS_PER_S / (double)ns,
           (double)ns / (double)count);
}

static void publish_all(const char *what, const char *topic, unsigned count, unsigned listeners)
{
    uint64_t start_ns = clock_boot_ns();

    for (unsigned i = 0; i < count; i++) {
        publish(topic);
        if (i % BATCH == BATCH - 1)
            turn();
    }
    turn();
    tell(what, count, start_ns);
    if (listeners > 0)
        tell("  deliveries", (uint64_t)count * listeners, start_ns);
}

static void match_only(const char *what, unsigned count)
{
    struct subscription_list found = {0};
    uint64_t start_ns = clock_boot_ns();

    for (unsigned i = 0; i < count; i++) {
        char topic[32];
        int len = snprintf(topic, sizeof(topic), "elsewhere/%u/x", i);
        topics_match(&events.feeds[0].topics, &scope, slice_of(topic, (size_t)len), &found);
    }
    CHECK(found.count == 0);
    tell(what, count, start_ns);
}

static void subscribe_many(unsigned count)
{
    uint64_t start_ns = clock_boot_ns();

    for (unsigned i = 0; i < count; i++) {
        char topic[32];
        snprintf(topic, sizeof(topic), i % 2 == 0 ? "topic/%u" : "prefix/%u/*", i);
        subscribe(topic, true, 0);
        if (i % 1024 == 0)
            throw_away();
    }
    tell("subscribe", count, start_ns);
}

static void resume_all(uint64_t after)
{
    uint64_t start_ns = clock_boot_ns(), retained = applier.last_index - after;

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        subscribe("one", false, after);
    while (events_have_sweeps(&events))
        turn();
    tell("1,000 that were away: deliveries", retained * SUBSCRIBERS, start_ns);
}

static void tell_memory(const char *folder)
{
    char path[4096];
    struct stat info;

    CHECK(map_file(path, sizeof(path), folder, MAP_EVENTS) == 0 && stat(path, &info) == 0);
    printf("the map takes %.1f MiB, what it retains counts %.1f MiB\n",
           (double)info.st_blocks * 512 / (1 << 20), (double)events.ring.bytes / (1 << 20));
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {.proc = PROC_EVENTS,
                                            .map_kind = MAP_EVENTS,
                                            .load = events_load,
                                            .store = events_store,
                                            .apply = events_apply,
                                            .arg = &events};

    CHECK(argc == 4);
    unsigned subscriptions = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    events_init(&events);
    events.retention_bytes = 64u << 20;
    buf_init(&bytes, 1u << 20);
    buf_init(&gateway.batch, LIMIT_MESSAGE_BYTES);
    gateway.is_up = true;
    CHECK(map_open_writer(&map, argv[1], MAP_EVENTS) == 0);
    CHECK(applier_open(&applier, map, &kind) == 0);
    feed_begin(&events.feeds[0], &gateway, 0);

    publish_all("publish, nobody listens", "one", count, 0);
    match_only("match, nobody listens", count);
    subscribe_many(subscriptions);
    match_only("match, for none of them", count);
    publish_all("publish, for none of them", "one", count, 0);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        subscribe("one", true, 0);
    publish_all("publish, for 1,000 of them", "one", count, SUBSCRIBERS);
    resume_all(applier.last_index - (count < 100000 ? count : 100000) / 10);
    printf("sent to the gateway: %.1f MiB\n", (double)sent_bytes / (1 << 20));
    tell_memory(argv[1]);
    applier_close(&applier);
    map_close(&map);
    return path_remove_tree(argv[1]);
}
