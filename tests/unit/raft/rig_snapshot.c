/* rig_snapshot.c - the rig's workers and snapshots: a file holds what was applied, and how far. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "tests/unit/raft/rig.h"

/* Of the state, and of nothing else. */
uint64_t rig_state_hash(const struct rig_worker *worker)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < worker->count; i++)
        hash = hash * 31 + worker->applied[i].crc + worker->applied[i].index;
    return hash;
}

static void rig_copy_path(char out[RAFT_PATH_BYTES], struct slice path)
{
    cr_assert_lt(path.len, RAFT_PATH_BYTES);
    memcpy(out, path.data, path.len);
    out[path.len] = '\0';
}

static void rig_fail_part(struct rig_worker *worker, int error)
{
    const struct msg_snapshot_made made = {.index = worker->asked_index, .error = (uint64_t)error};
    cr_assert_eq(msg_snapshot_made_send(worker->link, &made), 0);
}

void rig_make_part(struct rig_worker *worker)
{
    uint8_t sum[SHA256_BYTES];
    struct buf file;
    int fd = open(worker->asked_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) { /* it was asked by an insi-raft that is gone */
        rig_fail_part(worker, E_IO);
        return;
    }
    buf_init(&file, 1 << 30);
    buf_append(&file, &worker->applied_index, sizeof(worker->applied_index));
    buf_append(&file, worker->applied, worker->count * sizeof(worker->applied[0]));
    cr_assert_eq(write(fd, file.data, file.len), (ssize_t)file.len);
    close(fd);
    hash_sha256(buf_slice(&file), sum);
    const struct msg_snapshot_made made = {.index = worker->asked_index,
                                           .bytes = file.len,
                                           .sum = slice_of(sum, sizeof(sum)),
                                           .state_hash = rig_state_hash(worker)};
    cr_assert_eq(msg_snapshot_made_send(worker->link, &made), 0);
    buf_fini(&file);
}

void rig_on_make(struct rig_worker *worker, struct unpack *body)
{
    struct msg_snapshot_make make;
    cr_assert_eq(msg_snapshot_make_decode(&make, body), 0);
    worker->asked++;
    worker->asked_index = make.index;
    rig_copy_path(worker->asked_path, make.path);
    if (worker->holds || worker->part_error != 0) {
        rig_fail_part(worker, worker->holds ? E_BUSY : worker->part_error);
        return;
    }
    cr_assert_eq(worker->applied_index, make.index, "asked for another state than this one");
    cr_assert_eq(worker->pending, 0);
    if (!worker->keeps_parts)
        rig_make_part(worker);
}

void rig_on_drop(struct rig_worker *worker, struct unpack *body)
{
    struct msg_snapshot_drop drop;
    cr_assert_eq(msg_snapshot_drop_decode(&drop, body), 0);
    worker->dropped++;
}

static int rig_read_file(struct rig_worker *worker)
{
    uint8_t sum[SHA256_BYTES];
    struct stat info;
    int fd = open(worker->load.path, O_RDONLY);
    if (fd < 0)
        return E_NOT_FOUND;
    cr_assert_eq(fstat(fd, &info), 0);
    uint8_t *bytes = mem_alloc((size_t)info.st_size + 1);
    cr_assert_eq(read(fd, bytes, (size_t)info.st_size), info.st_size);
    close(fd);
    hash_sha256(slice_of(bytes, (size_t)info.st_size), sum);
    bool is_right = memcmp(sum, worker->load.sum, sizeof(sum)) == 0;
    if (is_right) {
        size_t size = (size_t)info.st_size - sizeof(worker->applied_index);
        cr_assert_eq((uint64_t)info.st_size, worker->load.bytes);
        memcpy(&worker->applied_index, bytes, sizeof(worker->applied_index));
        worker->count = worker->room = size / sizeof(worker->applied[0]);
        free(worker->applied);
        worker->applied = mem_copy(bytes + sizeof(worker->applied_index), size + 1);
        cr_assert_eq(rig_state_hash(worker), worker->load.state_hash);
        memcpy(worker->lineage, rig.lineage, sizeof(worker->lineage));
    }
    free(bytes);
    return is_right ? 0 : E_CORRUPT;
}

void rig_load(struct rig_worker *worker)
{
    int error = worker->load_error != 0 ? worker->load_error : rig_read_file(worker);
    const struct msg_snapshot_loaded loaded = {worker->load_index, (uint64_t)error};
    cr_assert_eq(msg_snapshot_loaded_send(worker->link, &loaded), 0);
    if (error != 0)
        return;
    cr_assert_eq(worker->applied_index, worker->load_index);
    worker->loaded++;
    rig_resume(worker);
}

void rig_on_load(struct rig_worker *worker, struct unpack *body)
{
    struct msg_snapshot_load load;
    cr_assert_eq(msg_snapshot_load_decode(&load, body), 0);
    worker->pending = 0;
    worker->load_index = load.index;
    worker->load.bytes = load.bytes;
    worker->load.state_hash = load.state_hash;
    memcpy(worker->load.sum, load.sum.data, sizeof(worker->load.sum));
    rig_copy_path(worker->load.path, load.path);
    if (!worker->keeps_loads)
        rig_load(worker);
}
