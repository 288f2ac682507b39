/* apply.c - how fast the storage worker applies SETs and atomic adds from the log, without links
 * around it: decode, session, map, state hash, commit. Prints one line per batch size.
 *
 * Arguments: folder (made, and removed at the end), keys, commands of a kind per batch size.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/rng.h"
#include "procs/storage/storage.h"
#include "procs/worker/applier.h"

#define SESSION 0x1234567890abcdefull
#define WINDOW 64 /* how far the floor follows behind, as with so many clients */
#define VALUE_BYTES 64

/* ---- allocations, counted ---- */

static uint64_t allocation_count;

/* Of this process and its libraries, on glibc's own names. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
    allocation_count++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocation_count++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    allocation_count++;
    return __libc_realloc(old, size);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)

/* ---- the run ---- */

static struct storage storage;
static struct applier applier;
static struct buf bytes;
static struct rng rng;
static uint64_t next_sequence = 1;

static void apply(const struct command *command)
{
    struct session_result result;
    struct msg_apply entry = {.index = applier.last_index + 1,
                              .stamp_ms = 1,
                              .session = SESSION,
                              .sequence = next_sequence};

    entry.floor = next_sequence > WINDOW ? next_sequence - WINDOW : 1;
    next_sequence++;
    buf_clear(&bytes);
    CHECK(command_encode(&bytes, command) == 0);
    entry.command = buf_slice(&bytes);
    CHECK(applier_apply(&applier, &entry, &result) == 0 && result.error == 0);
}

static void set(uint64_t number)
{
    static const struct scope scope = {"a scope, random"};
    char key[24], value[VALUE_BYTES];

    snprintf(key, sizeof(key), "%016llx", (unsigned long long)number * 0x9e3779b97f4a7c15ull);
    memset(value, 'v', sizeof(value));
    apply(&(struct command){.operation = COMMAND_VALUE_SET,
                            .scope = scope,
                            .key = slice_of(key, 16),
                            .value = slice_of(value, sizeof(value))});
}

static void run(unsigned batch, uint64_t keys, uint64_t sets)
{
    uint64_t allocations = allocation_count, start_ns = clock_boot_ns();

    for (uint64_t i = 0; i < sets; i++) {
        set(rng_below(&rng, keys));
        if ((i + 1) % batch == 0)
            CHECK(applier_commit(&applier) == 0);
    }
    CHECK(applier_commit(&applier) == 0);
    double seconds = (double)(clock_boot_ns() - start_ns) / 1e9;
    printf("batch %4u: %9.0f SETs/s, %6.2f us each, %.4f allocations each\n", batch,
           (double)sets / seconds, seconds / (double)sets * 1e6,
           (double)(allocation_count - allocations) / (double)sets);
}

static void run_adds(unsigned batch, uint64_t keys, uint64_t adds)
{
    static const struct scope scope = {"a scope, random"};
    uint64_t start_ns = clock_boot_ns();
    char key[24];

    for (uint64_t i = 0; i < adds; i++) {
        snprintf(key, sizeof(key), "counter %u", (unsigned)rng_below(&rng, keys));
        apply(&(struct command){
            .operation = COMMAND_ATOMIC_ADD, .scope = scope, .key = slice_text(key), .delta = 1});
        if ((i + 1) % batch == 0)
            CHECK(applier_commit(&applier) == 0);
    }
    CHECK(applier_commit(&applier) == 0);
    double seconds = (double)(clock_boot_ns() - start_ns) / 1e9;
    printf("batch %4u: %9.0f atomic adds/s\n", batch, (double)adds / seconds);
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {.proc = PROC_STORAGE,
                                            .map_kind = MAP_VALUES,
                                            .load = storage_load,
                                            .apply = storage_apply,
                                            .arg = &storage};
    static const unsigned batches[] = {1, 16, 128, 1024};
    struct map *map;

    if (argc != 4) {
        fprintf(stderr, "usage: %s <folder> <keys> <sets>\n", argv[0]);
        return 2;
    }
    uint64_t keys = strtoull(argv[2], NULL, 10), sets = strtoull(argv[3], NULL, 10);
    rng_init(&rng, 1);
    buf_init(&bytes, 4096);
    CHECK(keys > 0 && map_open_writer(&map, argv[1], MAP_VALUES) == 0);
    CHECK(applier_open(&applier, map, &kind) == 0);
    apply(&(struct command){.operation = COMMAND_SESSION_OPEN});
    for (uint64_t i = 0; i < keys; i++) {
        set(i);
        if (i % 1024 == 0)
            CHECK(applier_commit(&applier) == 0);
    }
    CHECK(applier_commit(&applier) == 0);
    for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        run(batches[i], keys, sets);
    for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        run_adds(batches[i], keys, sets);
    applier_close(&applier);
    map_close(&map);
    return path_remove_tree(argv[1]) == 0 ? 0 : 1;
}
