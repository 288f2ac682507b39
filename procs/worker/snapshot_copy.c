/* snapshot_copy.c - see snapshot_copy.h. */
#include "procs/worker/snapshot_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "ipc/helper.h"

#define COPY_PIPE_BYTES (1 << 20)
#define COPY_READ_BYTES (256u << 10)
#define COPY_REST 2 /* a third of the time is the copying's: running writes keep the rest */

static int copy_failed(const struct snapshot_copy *copy, const char *what, int error)
{
    LOG_WARN("snapshot_copy_failed", LOG_STR("path", copy->path), LOG_STR("call", what),
             LOG_STR("error", error_text(error)), LOG_STR("reason", log_errno_text(errno)));
    return error;
}

/* ---- beginning ---- */

static void *copy_read_map(void *arg)
{
    struct snapshot_copy *copy = arg;

    atomic_store(&copy->thread_id, (pid_t)syscall(SYS_gettid));
    copy->map_error = map_copy(copy->map, copy->pipe_write);
    close(copy->pipe_write); /* the end, for the reader */
    return NULL;
}

static int copy_check_room(const struct snapshot_copy *copy, struct map *map,
                           uint64_t reserve_bytes)
{
    char folder[PATH_MAX];
    uint64_t bytes = 0;
    MDB_txn *txn;

    int error = map_write_begin(map, &txn);
    if (error != 0)
        return error;
    error = map_data_bytes(map, txn, &bytes);
    map_write_abort(map);
    if (error != 0)
        return error;
    snprintf(folder, sizeof(folder), "%s", copy->path);
    error = spool_check_room(dirname(folder), bytes, reserve_bytes);
    return error != 0 ? copy_failed(copy, "statvfs", error) : 0;
}

/* Returns when LMDB's first bytes are there: its transaction was begun before. Nobody can commit
 * meanwhile, for the owner waits here. */
static int copy_start_thread(struct snapshot_copy *copy)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return copy_failed(copy, "pipe", E_IO);
    copy->pipe_read = ends[0];
    copy->pipe_write = ends[1];
    (void)fcntl(copy->pipe_write, F_SETPIPE_SZ, COPY_PIPE_BYTES); /* less is only slower */
    CHECK(pthread_create(&copy->thread, NULL, copy_read_map, copy) == 0);
    struct pollfd first = {.fd = copy->pipe_read, .events = POLLIN};
    while (poll(&first, 1, -1) < 0)
        CHECK(errno == EINTR);
    helper_make_stand_back(
        atomic_load(&copy->thread_id)); /* only now: the owner has waited for it */
    return 0;
}

int snapshot_copy_begin(struct snapshot_copy *copy, struct map *map, const char *path,
                        uint64_t reserve_bytes)
{
    const struct spool_options options = {
        .path = path, .rest = COPY_REST, .reserve_bytes = reserve_bytes};

    copy->map = map;
    atomic_store(&copy->is_cancelled, false);
    copy->map_error = 0;
    snprintf(copy->path, sizeof(copy->path), "%s", path);
    int error = copy_check_room(copy, map, reserve_bytes);
    if (error != 0)
        return error;
    error = spool_open(&copy->spool, &options);
    if (error != 0)
        return copy_failed(copy, "open", error);
    error = copy_start_thread(copy);
    if (error != 0) {
        spool_close(&copy->spool);
        unlink(copy->path);
    }
    return error;
}

/* ---- copying ---- */

static int copy_take(struct snapshot_copy *copy, struct hash_sum *sum, const void *data, size_t len)
{
    if (atomic_load(&copy->is_cancelled))
        return E_CLOSED;
    hash_sum_add(sum, data, len);
    int error = spool_write(&copy->spool, data, len);
    return error != 0 ? copy_failed(copy, "write", error) : 0;
}

/* Reads to the end also when nothing is written any more: LMDB's thread is not to be stopped in the
 * middle. */
static int copy_drain(struct snapshot_copy *copy, struct hash_sum *sum)
{
    uint8_t *bytes = mem_alloc(COPY_READ_BYTES);
    int error = 0;
    ssize_t got;

    while ((got = read(copy->pipe_read, bytes, COPY_READ_BYTES)) != 0) {
        CHECK(got > 0 || errno == EINTR);
        if (got > 0 && error == 0)
            error = copy_take(copy, sum, bytes, (size_t)got);
        if (got > 0 && copy->spool.end == (uint64_t)got)
            FAILPOINT("copy_half");
    }
    free(bytes);
    close(copy->pipe_read);
    return error;
}

void snapshot_copy_run(struct snapshot_copy *copy)
{
    struct hash_sum *sum = hash_sum_begin();

    int error = copy_drain(copy, sum);
    CHECK(pthread_join(copy->thread, NULL) == 0);
    if (error == 0)
        error = copy->map_error;
    FAILPOINT("copy_written");
    if (error == 0) {
        error = spool_sync(&copy->spool);
        if (error != 0)
            copy_failed(copy, "sync", error);
    }
    copy->bytes = copy->spool.end;
    hash_sum_end(&sum, copy->sum);
    spool_close(&copy->spool);
    if (error != 0)
        unlink(copy->path);
    copy->error = error;
}

void snapshot_copy_cancel(struct snapshot_copy *copy)
{
    atomic_store(&copy->is_cancelled, true);
}
