/* cacheq.c - how fast the cacheq worker applies the log, without links around it, and what memory
 * the map takes: entries set, pushes and pops, many entries that expire at once, a long queue.
 *
 * Arguments: folder (made, and removed at the end; on tmpfs to mean anything), cache entries, items
 * of the long queue.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/rng.h"
#include "procs/cacheq/cacheq.h"
#include "procs/worker/applier.h"

#define SESSION 0x1234567890abcdefull
#define WINDOW 64 /* how far the floor follows behind, as with so many clients */
#define VALUE_BYTES 100
#define BATCH 64

static const struct scope scope = {"a scope, random"};
static struct cacheq cacheq;
static struct applier applier;
static struct buf bytes;
static struct rng rng;
static uint64_t next_sequence = 1, stamp_ms = 1000;
static char map_path[4096];

static void apply(const struct command *command)
{
    struct session_result result;
    struct msg_apply entry = {.index = applier.last_index + 1,
                              .stamp_ms = stamp_ms,
                              .session = SESSION,
                              .sequence = next_sequence};

    entry.floor = next_sequence > WINDOW ? next_sequence - WINDOW : 1;
    next_sequence++;
    buf_clear(&bytes);
    CHECK(command_encode(&bytes, command) == 0);
    entry.command = buf_slice(&bytes);
    CHECK(applier_apply(&applier, &entry, &result) == 0 && result.error == 0);
}

static void commit(void)
{
    CHECK(applier_commit(&applier) == 0);
}

static void set(uint64_t number, uint64_t ttl_ms)
{
    char key[24], value[VALUE_BYTES];

    snprintf(key, sizeof(key), "%016" PRIx64, (uint64_t)(number * 0x9e3779b97f4a7c15));
    memset(value, 'v', sizeof(value));
    apply(&(struct command){.operation = COMMAND_CACHE_SET,
                            .scope = scope,
                            .key = slice_of(key, 16),
                            .value = slice_of(value, sizeof(value)),
                            .ttl_ms = ttl_ms,
                            .limit_bytes = UINT64_MAX});
}

static void queue(enum command_operation operation, const char *key)
{
    static const char item[VALUE_BYTES] = "item";
    struct command command = {
        .operation = operation, .scope = scope, .key = slice_text(key), .limit_bytes = UINT64_MAX};

    if (operation == COMMAND_QUEUE_PUSH)
        command.value = slice_of(item, sizeof(item));
    apply(&command);
}

/* Of this thread on a processor: nothing here waits, and a machine that is shared would otherwise
 * be measured along. */
static uint64_t now_ns(void)
{
    struct timespec time;

    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1e9;
}

static void print_memory(const char *what)
{
    struct stat status;

    CHECK(stat(map_path, &status) == 0);
    printf("%s: the map takes %.1f MiB\n", what, (double)status.st_blocks * 512 / (1 << 20));
}

static void run_sets(unsigned batch, uint64_t entries, uint64_t sets)
{
    uint64_t start_ns = now_ns();

    for (uint64_t i = 0; i < sets; i++) {
        set(rng_below(&rng, entries), 60000 + rng_below(&rng, 60000));
        if ((i + 1) % batch == 0)
            commit();
    }
    commit();
    printf("batch %4u: %9.0f cache SETs/s\n", batch, (double)sets / seconds_since(start_ns));
}

static void run_pairs(unsigned batch, uint64_t pairs)
{
    uint64_t start_ns = now_ns();

    for (uint64_t i = 0; i < pairs; i++) {
        queue(COMMAND_QUEUE_PUSH, "pairs");
        queue(COMMAND_QUEUE_POP, "pairs");
        if ((i + 1) % batch == 0)
            commit();
    }
    commit();
    printf("batch %4u: %9.0f pushes with their pops/s\n", batch,
           (double)pairs / seconds_since(start_ns));
}

static void run_fill(uint64_t entries, bool is_one_ttl)
{
    for (uint64_t i = 0; i < entries; i++) {
        set(i, is_one_ttl ? 60000 : 30000 + rng_below(&rng, 30000));
        if ((i + 1) % BATCH == 0) {
            commit();
            stamp_ms++;
        }
    }
    commit();
}

/* All of them are due: the steps that the leader would propose. */
static void run_expiry(uint64_t entries)
{
    uint64_t steps = 0, start_ns = now_ns();
    double longest = 0;

    stamp_ms += 200000;
    while (cacheq.earliest_ms != UINT64_MAX) {
        uint64_t step_ns = now_ns();
        apply(&(struct command){.operation = COMMAND_CACHE_EXPIRE});
        commit();
        double seconds = seconds_since(step_ns);
        longest = seconds > longest ? seconds : longest;
        steps++;
    }
    printf("%" PRIu64 " expired: %" PRIu64 " steps, %.2f s together, the longest %.2f ms\n",
           entries, steps, seconds_since(start_ns), longest * 1e3);
}

static void run_part(const char *what, enum command_operation operation, uint64_t count)
{
    uint64_t start_ns = now_ns();

    for (uint64_t i = 0; i < count; i++) {
        queue(operation, "long");
        if ((i + 1) % BATCH == 0)
            commit();
    }
    commit();
    printf("%s: %.2f us each\n", what, seconds_since(start_ns) / (double)count * 1e6);
}

static void run_long_queue(uint64_t items)
{
    uint64_t part = items / 10 > 0 ? items / 10 : 1;

    queue(COMMAND_QUEUE_NEW, "long");
    run_part("the first tenth of the pushes", COMMAND_QUEUE_PUSH, part);
    if (items > 2 * part)
        run_part("eight tenths", COMMAND_QUEUE_PUSH, items - 2 * part);
    run_part("the last tenth", COMMAND_QUEUE_PUSH, part);
    print_memory("the long queue");
    run_part("the first pops", COMMAND_QUEUE_POP, part);
    uint64_t steps = 0, start_ns = now_ns();
    queue(COMMAND_QUEUE_DELETE, "long");
    commit();
    printf("deleting: %.2f ms\n", seconds_since(start_ns) * 1e3);
    start_ns = now_ns();
    for (; cacheq.deleted_count > 0; steps++) {
        apply(&(struct command){.operation = COMMAND_QUEUE_PURGE});
        commit();
    }
    printf("purged in %" PRIu64 " steps, %.2f ms each\n", steps,
           steps > 0 ? seconds_since(start_ns) / (double)steps * 1e3 : 0.0);
}

static void run_all(uint64_t entries, uint64_t items)
{
    static const unsigned batches[] = {1, 16, 128, 1024};

    apply(&(struct command){.operation = COMMAND_SESSION_OPEN});
    run_fill(entries, true);
    print_memory("cache entries with one time to live");
    run_expiry(entries);
    run_fill(entries, false);
    print_memory("cache entries with many");
    queue(COMMAND_QUEUE_NEW, "pairs");
    for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
        run_sets(batches[i], entries, 300000);
        run_pairs(batches[i], 300000);
    }
    run_expiry(entries);
    run_long_queue(items);
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {.proc = PROC_CACHEQ,
                                            .map_kind = MAP_VOLATILE,
                                            .load = cacheq_load,
                                            .store = cacheq_store,
                                            .apply = cacheq_apply,
                                            .arg = &cacheq};
    struct map *map;

    if (argc != 4) {
        fprintf(stderr, "usage: %s <folder> <cache entries> <items of the long queue>\n", argv[0]);
        return 2;
    }
    rng_init(&rng, 1);
    buf_init(&bytes, 4096);
    CHECK(map_open_writer(&map, argv[1], MAP_VOLATILE) == 0);
    CHECK(map_file(map_path, sizeof(map_path), argv[1], MAP_VOLATILE) == 0);
    CHECK(applier_open(&applier, map, &kind) == 0);
    run_all(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    applier_close(&applier);
    cacheq_free(&cacheq);
    map_close(&map);
    return path_remove_tree(argv[1]) == 0 ? 0 : 1;
}
