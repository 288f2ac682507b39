/* spool.c - see spool.h. */
#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"

static int spool_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? E_STORAGE_FULL : E_IO;
}

static int spool_judge_room(uint64_t free_bytes, uint64_t bytes, uint64_t reserve_bytes)
{
    if (free_bytes >= reserve_bytes && free_bytes - reserve_bytes >= bytes)
        return 0;
    errno = ENOSPC;
    return E_STORAGE_FULL;
}

int spool_check_room(const char *folder, uint64_t bytes, uint64_t reserve_bytes)
{
    uint64_t free_bytes;
    int error = path_space(folder, &free_bytes, NULL);
    return error ? error : spool_judge_room(free_bytes, bytes, reserve_bytes);
}

int spool_open(struct spool *spool, const struct spool_options *options)
{
    struct stat info;
    int flags = options->goes_on ? O_CREAT : O_CREAT | O_EXCL;
    *spool = (struct spool){.stays_cached = options->stays_cached,
                            .rest = options->rest,
                            .rested_ns = clock_boot_ns(),
                            .reserve_bytes = options->reserve_bytes};
    spool->fd = open(options->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (spool->fd < 0)
        return spool_error();
    if (fstat(spool->fd, &info) != 0)
        return E_IO;
    spool->end = spool->begun = spool->finished = spool->looked_at = (uint64_t)info.st_size;
    return 0;
}

/* What a file system has not got (ENOSYS, ESPIPE, EINVAL) is only less smooth; EIO is an error. */
static int spool_range(int fd, uint64_t from, uint64_t to, unsigned flags)
{
    if (to == from || sync_file_range(fd, (off64_t)from, (off64_t)(to - from), flags) == 0)
        return 0;
    return errno == EIO || errno == ENOSPC || errno == EDQUOT ? spool_error() : 0;
}

static int spool_step(struct spool *spool)
{
    uint64_t before = spool->begun;
    int error = spool_range(spool->fd, before, spool->end, SYNC_FILE_RANGE_WRITE);
    if (error)
        return error;
    error = spool_range(spool->fd, spool->finished, before,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER);
    if (error)
        return error;
    if (!spool->stays_cached && before > spool->finished)
        (void)posix_fadvise(spool->fd, (off_t)spool->finished, (off_t)(before - spool->finished),
                            POSIX_FADV_DONTNEED);
    spool->begun = spool->end;
    spool->finished = before;
    return 0;
}

static int spool_step_and_rest(struct spool *spool)
{
    int error = spool_step(spool);
    if (error || spool->rest == 0)
        return error;
    error = spool_step(spool); /* nothing new to write: waits for what was begun */
    uint64_t rest_ns = (clock_boot_ns() - spool->rested_ns) * spool->rest;
    if (rest_ns > SPOOL_REST_MAX_NS)
        rest_ns = SPOOL_REST_MAX_NS;
    struct timespec rest = {.tv_nsec = (long)rest_ns};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL); /* a signal only shortens it */
    spool->rested_ns = clock_boot_ns();
    return error;
}

static int spool_look(struct spool *spool)
{
    struct statvfs info;
    if (spool->reserve_bytes == 0 || spool->end - spool->looked_at < SPOOL_LOOK_BYTES)
        return 0;
    spool->looked_at = spool->end;
    if (fstatvfs(spool->fd, &info) != 0)
        return E_IO;
    return spool_judge_room((uint64_t)info.f_bavail * info.f_frsize, 0, spool->reserve_bytes);
}

int spool_write(struct spool *spool, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        size_t part = len > SPOOL_STEP_BYTES ? SPOOL_STEP_BYTES : len;
        ssize_t written = pwrite(spool->fd, at, part, (off_t)spool->end);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? spool_error() : E_IO;
        at += written;
        len -= (size_t)written;
        spool->end += (uint64_t)written;
        int error = spool->end - spool->begun >= SPOOL_STEP_BYTES ? spool_step_and_rest(spool) : 0;
        error = error ? error : spool_look(spool);
        if (error)
            return error;
    }
    return 0;
}

int spool_sync(struct spool *spool)
{
    int error = spool_step(spool);
    error = error ? error : spool_step(spool);
    if (!error && fsync(spool->fd) != 0)
        error = spool_error();
    return error;
}

void spool_close(struct spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
}
