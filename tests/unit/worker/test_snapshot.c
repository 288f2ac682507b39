/* A map copied while its writer goes on, and a copy taken back: what it holds, and what damage, a
 * full disk and impatience come to. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "procs/worker/snapshot_copy.h"
#include "procs/worker/snapshot_load.h"
#include "procs/worker/store.h"

static char folder[64], values[80], file[96];
static struct map *map;
static uint64_t next_index;
static unsigned errors_logged;

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)line;
    (void)arg;
    errors_logged += level == LOG_LEVEL_ERROR;
}

static void start(void)
{
    strcpy(folder, "/tmp/insi-snapshot-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(values, sizeof(values), "%s/values", folder);
    snprintf(file, sizeof(file), "%s/storage.mdb", folder);
    log_set_hook(swallow_log, NULL);
    cr_assert_eq(map_open_writer(&map, values, MAP_VALUES), 0);
    next_index = 1;
}

static void stop(void)
{
    map_close(&map);
    path_remove_tree(folder);
}

TestSuite(snapshot, .init = start, .fini = stop, .timeout = 120);

/* Every key says at which index it was written last. */
static void put(struct map *to, unsigned first, unsigned count, size_t bytes)
{
    MDB_txn *txn;
    char key[32], *value = mem_alloc(bytes + 32);
    cr_assert_eq(map_write_begin(to, &txn), 0);
    for (unsigned i = first; i < first + count; i++) {
        memset(value, 'v', bytes + 32);
        int len = snprintf(key, sizeof(key), "key %08u", i);
        snprintf(value, bytes + 32, "%lu", next_index);
        MDB_val where = {(size_t)len, key}, what = {bytes + 32, value};
        cr_assert_eq(mdb_put(txn, map_database(to, MAP_VALUES_DB), &where, &what, 0), 0);
    }
    cr_assert_eq(map_meta_put(to, txn, "state_hash", next_index * 3), 0);
    cr_assert_eq(map_write_commit(to, next_index++), 0);
    free(value);
}

static uint64_t written_at(struct map *in, unsigned number)
{
    MDB_txn *txn;
    char key[32];
    int len = snprintf(key, sizeof(key), "key %08u", number);
    MDB_val where = {(size_t)len, key}, what;
    cr_assert_eq(map_write_begin(in, &txn), 0);
    int error = mdb_get(txn, map_database(in, MAP_VALUES_DB), &where, &what);
    uint64_t index = error == 0 ? strtoull(what.mv_data, NULL, 10) : 0;
    map_write_abort(in);
    return index;
}

static struct snapshot_copy copy;

static void copy_all(void)
{
    cr_assert_eq(snapshot_copy_begin(&copy, map, file, 0), 0);
    snapshot_copy_run(&copy);
    cr_assert_eq(copy.error, 0);
}

/* ---- copying ---- */

static void *run_copy(void *arg)
{
    snapshot_copy_run(arg);
    return NULL;
}

Test(snapshot, a_copy_is_the_map_of_its_beginning_whatever_is_written_meanwhile)
{
    pthread_t thread;
    put(map, 0, 20000, 300);
    put(map, 0, 100, 300);
    uint64_t index = map_applied_index(map);
    cr_assert_eq(snapshot_copy_begin(&copy, map, file, 0), 0);
    put(map, 0, 5000, 300); /* LMDB has begun, and nobody has read from it yet */
    cr_assert_eq(pthread_create(&thread, NULL, run_copy, &copy), 0);
    for (unsigned i = 0; i < 50; i++)
        put(map, i * 100, 1000, 300);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(copy.error, 0);

    char taken[STORE_PATH_BYTES];
    struct map *other;
    cr_assert_eq(store_stage(values, MAP_VALUES, taken), 0);
    struct snapshot_load load = {.bytes = copy.bytes};
    memcpy(load.sum, copy.sum, sizeof(load.sum));
    snprintf(load.path, sizeof(load.path), "%s", file);
    snprintf(load.copy, sizeof(load.copy), "%s", taken);
    snapshot_load_run(&load);
    cr_assert_eq(load.error, 0);
    cr_assert_eq(store_open_staged(&other, values, MAP_VALUES), 0);
    cr_assert_eq(map_applied_index(other), index);
    cr_assert(!map_is_fresh(other));
    for (unsigned i = 0; i < 20000; i++)
        cr_assert_eq(written_at(other, i), i < 100 ? index : 1, "key %u", i);
    cr_assert_gt(written_at(map, 0), index);
    map_close(&other);
}

Test(snapshot, a_copy_holds_no_free_pages)
{
    struct stat before, after;
    put(map, 0, 10000, 300);
    copy_all();
    cr_assert_eq(stat(file, &before), 0);
    unlink(file);
    for (unsigned i = 0; i < 20; i++)
        put(map, 0, 10000, 300);
    copy_all();
    cr_assert_eq(stat(file, &after), 0);
    cr_assert_lt(after.st_size, before.st_size * 6 / 5);
    cr_assert_eq((uint64_t)after.st_size, copy.bytes);
    cr_assert_eq(after.st_mode & 0777, 0600);
}

Test(snapshot, an_empty_map_can_be_copied)
{
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_write_commit(map, 5), 0);
    copy_all();
    cr_assert_gt(copy.bytes, 0);
}

Test(snapshot, a_copy_that_is_not_wanted_any_more_leaves_nothing)
{
    put(map, 0, 20000, 300);
    cr_assert_eq(snapshot_copy_begin(&copy, map, file, 0), 0);
    snapshot_copy_cancel(&copy);
    snapshot_copy_run(&copy);
    cr_assert_eq(copy.error, E_CLOSED);
    cr_assert_neq(access(file, F_OK), 0);
    copy_all(); /* and the next one is whole */
}

Test(snapshot, without_room_no_copy_is_begun)
{
    put(map, 0, 1000, 300);
    cr_assert_eq(snapshot_copy_begin(&copy, map, file, 1ull << 62), E_STORAGE_FULL);
    cr_assert_neq(access(file, F_OK), 0);
}

Test(snapshot, a_file_that_is_there_already_is_left_alone)
{
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "mine", 4), 4);
    close(fd);
    put(map, 0, 1000, 300);
    cr_assert_eq(snapshot_copy_begin(&copy, map, file, 0), E_IO);
    cr_assert_eq(access(file, F_OK), 0);
}

/* ---- taking it back ---- */

static struct snapshot_load load;

static void prepare_load(void)
{
    memset(&load, 0, sizeof(load));
    load.bytes = copy.bytes;
    memcpy(load.sum, copy.sum, sizeof(load.sum));
    snprintf(load.path, sizeof(load.path), "%s", file);
    snprintf(load.copy, sizeof(load.copy), "%s/copy", folder);
}

static void expect_no_copy(int error)
{
    cr_assert_eq(load.error, error, "%s", error_name(load.error));
    cr_assert_neq(access(load.copy, F_OK), 0);
}

static void flip(off_t at)
{
    uint8_t byte;
    int fd = open(file, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(snapshot, a_flipped_bit_anywhere_is_found_out)
{
    put(map, 0, 200, 100);
    copy_all();
    for (off_t at = 0; at < (off_t)copy.bytes; at += 997) {
        flip(at);
        prepare_load();
        snapshot_load_run(&load);
        expect_no_copy(E_CORRUPT);
        flip(at);
    }
    prepare_load();
    snapshot_load_run(&load);
    cr_assert_eq(load.error, 0);
    cr_assert_eq(access(file, F_OK), 0, "the snapshot itself stays");
}

Test(snapshot, a_file_that_is_short_or_long_is_found_out)
{
    put(map, 0, 200, 100);
    copy_all();
    cr_assert_eq(truncate(file, (off_t)copy.bytes - 4096), 0);
    prepare_load();
    snapshot_load_run(&load);
    expect_no_copy(E_CORRUPT);
    cr_assert_eq(truncate(file, (off_t)copy.bytes + 4096), 0);
    prepare_load();
    snapshot_load_run(&load);
    expect_no_copy(E_CORRUPT);
    cr_assert_eq(errors_logged, 2);
}

/* Only raft knows whether it should be there. */
Test(snapshot, a_file_that_is_gone_is_no_error_of_the_worker)
{
    put(map, 0, 200, 100);
    copy_all();
    unlink(file);
    prepare_load();
    snapshot_load_run(&load);
    expect_no_copy(E_NOT_FOUND);
    cr_assert_eq(errors_logged, 0);
}

Test(snapshot, without_room_nothing_is_loaded)
{
    put(map, 0, 200, 100);
    copy_all();
    prepare_load();
    load.reserve_bytes = 1ull << 62;
    snapshot_load_run(&load);
    expect_no_copy(E_STORAGE_FULL);
}

Test(snapshot, a_load_that_is_not_wanted_any_more_leaves_nothing)
{
    put(map, 0, 20000, 300);
    copy_all();
    prepare_load();
    snapshot_load_cancel(&load);
    snapshot_load_run(&load);
    expect_no_copy(E_CLOSED);
}
