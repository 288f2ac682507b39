/* The folder of snapshots: manifests as bytes, and what a start makes of what it finds. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/snapshots/snapshot_store.h"

static char folder[64];
static struct snapshot_list list;
static const uint8_t cluster[WAL_CLUSTER_BYTES] = "the cluster";

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void setup(void)
{
    strcpy(folder, "/tmp/insi-store-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
}

static void teardown(void)
{
    snapshot_list_fini(&list);
    path_remove_tree(folder);
}

TestSuite(snapshot_store, .init = setup, .fini = teardown, .timeout = 30);

/* A new one each time: nothing in it depends on what was in memory. */
static struct snapshot *snapshot_of(uint64_t index)
{
    struct snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    *snapshot = (struct snapshot){
        .index = index, .term = 4, .stamp_ms = 1700000000000, .config_index = index - 1};
    memcpy(snapshot->cluster, cluster, sizeof(cluster));
    snapshot->members.count = 2;
    for (uint64_t i = 0; i < 2; i++)
        snapshot->members.list[i] = (struct member){.id = 7 + i,
                                                    .voter = i == 0,
                                                    .name = "node",
                                                    .raft_address = "host:1",
                                                    .http_address = "host:2"};
    return snapshot;
}

static void write_part(const char *name, struct snapshot *snapshot, unsigned part)
{
    char path[SNAPSHOT_PATH_BYTES], bytes[64];
    snprintf(bytes, sizeof(bytes), "part %u of %lu", part, snapshot->index);
    snapshot_part_path(path, folder, name, 0, SNAPSHOT_PROC(part));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_eq(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    close(fd);
    snapshot->parts[part].bytes = strlen(bytes);
    snapshot->parts[part].state_hash = 100 + part;
    hash_sha256(slice_text(bytes), snapshot->parts[part].sum);
}

static void make(uint64_t index)
{
    struct snapshot *snapshot = snapshot_of(index);
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_MAKING, 100, 0), 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        write_part(SNAPSHOT_MAKING, snapshot, i);
    cr_assert_eq(snapshot_store_finish(folder, SNAPSHOT_MAKING, snapshot), 0);
    free(snapshot);
}

static int reopen(void)
{
    snapshot_list_fini(&list);
    return snapshot_store_open(folder, cluster, &list);
}

static bool exists(const char *name)
{
    char path[SNAPSHOT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void path_in(char out[SNAPSHOT_PATH_BYTES], const char *name)
{
    snprintf(out, SNAPSHOT_PATH_BYTES, "%s/%s", folder, name);
}

/* ---- manifests ---- */

Test(snapshot_store, a_manifest_says_what_was_written)
{
    struct snapshot *written = snapshot_of(10), read;
    struct buf bytes;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        written->parts[i].bytes = 1ull << (20 + i);
        written->parts[i].state_hash = UINT64_MAX - i;
        memset(written->parts[i].sum, (int)i + 1, SHA256_BYTES);
    }
    buf_init(&bytes, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&bytes, written);
    cr_assert_eq(snapshot_decode(&read, buf_slice(&bytes)), 0);
    cr_assert_eq(read.index, 10);
    cr_assert_eq(read.term, 4);
    cr_assert_eq(read.stamp_ms, 1700000000000);
    cr_assert_eq(read.config_index, 9);
    cr_assert_arr_eq(read.cluster, cluster, sizeof(cluster));
    cr_assert_eq(read.members.count, 2);
    cr_assert_str_eq(read.members.list[1].raft_address, "host:1");
    cr_assert_eq(snapshot_bytes(&read), 7ull << 20);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        cr_assert_eq(read.parts[i].state_hash, UINT64_MAX - i);
        cr_assert_arr_eq(read.parts[i].sum, written->parts[i].sum, SHA256_BYTES);
    }
    buf_fini(&bytes);
    free(written);
}

Test(snapshot_store, a_manifest_cut_anywhere_or_with_any_bit_changed_is_refused)
{
    struct snapshot *snapshot = snapshot_of(10), read;
    struct buf bytes;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        snapshot->parts[i].bytes = 5;
    buf_init(&bytes, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&bytes, snapshot);
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_eq(snapshot_decode(&read, slice_of(bytes.data, len)), E_CORRUPT);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(snapshot_decode(&read, buf_slice(&bytes)), E_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(snapshot_decode(&read, buf_slice(&bytes)), 0);
    buf_fini(&bytes);
    free(snapshot);
}

Test(snapshot_store, a_manifest_of_a_later_version_is_told_from_a_damaged_one)
{
    struct snapshot *snapshot = snapshot_of(10), read;
    struct buf bytes;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        snapshot->parts[i].bytes = 5;
    buf_init(&bytes, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&bytes, snapshot);
    bytes.data[8]++;
    size_t summed = bytes.len - SHA256_BYTES;
    hash_sha256(slice_of(bytes.data, summed), bytes.data + summed);
    cr_assert_eq(snapshot_decode(&read, buf_slice(&bytes)), E_VERSION);
    buf_fini(&bytes);
    free(snapshot);
}

Test(snapshot_store, a_position_lies_in_one_file)
{
    struct snapshot *snapshot = snapshot_of(10);
    uint64_t offset;
    snapshot->parts[0].bytes = 10;
    snapshot->parts[1].bytes = 1;
    snapshot->parts[2].bytes = 5;
    static const struct {
        uint64_t position, offset;
        unsigned part;
    } places[] = {{0, 0, 0}, {9, 9, 0}, {10, 0, 1}, {11, 0, 2}, {15, 4, 2}, {16, 0, 3}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        cr_assert_eq(snapshot_part_at(snapshot, places[i].position, &offset), places[i].part);
        cr_assert_eq(offset, places[i].offset);
    }
    free(snapshot);
}

/* ---- the folder ---- */

Test(snapshot_store, what_was_made_is_found_newest_first)
{
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 0);
    make(10);
    make(1000);
    make(200);
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 3);
    cr_assert_eq(list.items[0]->index, 1000);
    cr_assert_eq(list.items[1]->index, 200);
    cr_assert_eq(list.items[2]->index, 10);
    cr_assert_eq(list.damaged, 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        cr_assert_eq(snapshot_store_verify(folder, NULL, list.items[0], SNAPSHOT_PROC(i)), 0);
}

Test(snapshot_store, what_was_being_made_is_thrown_away_and_what_was_being_received_stays)
{
    struct snapshot *snapshot = snapshot_of(10);
    make(5);
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_MAKING, 0, 0), 0);
    write_part(SNAPSHOT_MAKING, snapshot, 0);
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_INCOMING, 0, 0), 0);
    write_part(SNAPSHOT_INCOMING, snapshot, 0);
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 1);
    cr_assert(!exists(SNAPSHOT_MAKING));
    cr_assert(exists(SNAPSHOT_INCOMING "/storage.mdb"));
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_INCOMING, 0, 0), 0);
    cr_assert(!exists(SNAPSHOT_INCOMING "/storage.mdb"), "begun anew");
    free(snapshot);
}

Test(snapshot_store, one_without_manifest_or_with_a_file_cut_is_kept_as_damaged)
{
    char path[SNAPSHOT_PATH_BYTES];
    make(10);
    make(20);
    make(30);
    path_in(path, "10/manifest");
    cr_assert_eq(unlink(path), 0);
    path_in(path, "20/cacheq.mdb");
    cr_assert_eq(truncate(path, 3), 0);
    for (unsigned i = 0; i < 2; i++) { /* also when it is looked at again */
        cr_assert_eq(reopen(), 0);
        cr_assert_eq(list.count, 1);
        cr_assert_eq(list.items[0]->index, 30);
        cr_assert_eq(list.damaged, 2);
        cr_assert(exists("10.damaged") && exists("20.damaged"));
        cr_assert(!exists("10") && !exists("20"));
    }
    cr_assert_eq(snapshot_store_remove_damaged(folder), 0);
    cr_assert(!exists("10.damaged") && !exists("20.damaged") && exists("30"));
}

Test(snapshot_store, one_in_the_folder_of_another_is_damaged)
{
    char from[SNAPSHOT_PATH_BYTES], to[SNAPSHOT_PATH_BYTES];
    make(10);
    path_in(from, "10");
    path_in(to, "11");
    cr_assert_eq(rename(from, to), 0);
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 0);
    cr_assert_eq(list.damaged, 1);
}

Test(snapshot_store, a_changed_byte_is_found_by_the_sum)
{
    char path[SNAPSHOT_PATH_BYTES];
    make(10);
    cr_assert_eq(reopen(), 0);
    path_in(path, "10/storage.mdb");
    int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "P", 1, 0), 1);
    close(fd);
    cr_assert_eq(snapshot_store_verify(folder, NULL, list.items[0], PROC_STORAGE), E_CORRUPT);
    cr_assert_eq(snapshot_store_verify(folder, NULL, list.items[0], PROC_CACHEQ), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(snapshot_store_verify(folder, NULL, list.items[0], PROC_STORAGE), E_CORRUPT);
}

Test(snapshot_store, a_snapshot_of_another_cluster_is_refused_and_left_alone)
{
    static const uint8_t other[WAL_CLUSTER_BYTES] = "another one";
    make(10);
    snapshot_list_fini(&list);
    cr_assert_eq(snapshot_store_open(folder, other, &list), E_FOREIGN);
    cr_assert(exists("10/manifest"));
}

Test(snapshot_store, a_removal_that_was_interrupted_is_finished_at_the_next_start)
{
    char from[SNAPSHOT_PATH_BYTES], to[SNAPSHOT_PATH_BYTES];
    make(10);
    make(20);
    cr_assert_eq(snapshot_store_remove(folder, 10), 0);
    cr_assert(!exists("10") && !exists("removed"));
    cr_assert_eq(snapshot_store_remove(folder, 10), 0, "once more does no harm");
    make(30);
    path_in(from, "30");
    path_in(to, "removed");
    cr_assert_eq(rename(from, to), 0); /* killed between the two steps */
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 1);
    cr_assert(!exists("removed"));
}

Test(snapshot_store, names_that_are_no_indexes_are_left_alone)
{
    static const char *const names[] = {"0", "01", "1x", "-5", "99999999999999999999999", "notes"};
    char path[SNAPSHOT_PATH_BYTES];
    cr_assert_eq(reopen(), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        path_in(path, names[i]);
        cr_assert_eq(mkdir(path, 0700), 0);
    }
    cr_assert_eq(reopen(), 0);
    cr_assert_eq(list.count, 0);
    cr_assert_eq(list.damaged, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_assert(exists(names[i]));
}

Test(snapshot_store, there_must_be_room_for_it_and_for_the_reserve)
{
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_MAKING, 1ull << 50, 0), E_STORAGE_FULL);
    cr_assert_eq(snapshot_store_begin(folder, SNAPSHOT_MAKING, 1, 1ull << 50), E_STORAGE_FULL);
    cr_assert(!exists(SNAPSHOT_MAKING));
}
