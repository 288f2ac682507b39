/* snapshot_load.c - see snapshot_load.h. */
#include "procs/worker/snapshot_load.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/spool.h"

#define LOAD_READ_BYTES (1u << 20)

static int load_failed(const struct snapshot_load *load, const char *what, int error)
{
    LOG_ERROR("snapshot_load_failed", LOG_STR("path", load->path), LOG_STR("call", what),
              LOG_STR("error", error_text(error)), LOG_STR("reason", log_errno_text(errno)));
    return error;
}

static int load_damaged(const struct snapshot_load *load, const char *reason)
{
    LOG_ERROR("snapshot_damaged", LOG_STR("path", load->path), LOG_STR("reason", reason));
    return E_CORRUPT;
}

static int load_check_size(const struct snapshot_load *load, int fd)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return load_failed(load, "fstat", E_IO);
    return (uint64_t)info.st_size == load->bytes ? 0 : load_damaged(load, "the size differs");
}

/* A read error is damage as well: another snapshot, or another node's, helps. */
static int load_copy(const struct snapshot_load *load, int fd, struct spool *spool,
                     struct hash_sum *sum)
{
    uint8_t *bytes = mem_alloc(LOAD_READ_BYTES);
    int error = 0;
    ssize_t got;

    while (error == 0 && (got = read(fd, bytes, LOAD_READ_BYTES)) != 0) {
        if (got < 0) {
            error = errno == EINTR ? 0 : load_damaged(load, log_errno_text(errno));
            continue;
        }
        hash_sum_add(sum, bytes, (size_t)got);
        error = spool_write(spool, bytes, (size_t)got);
        if (error != 0)
            load_failed(load, "write", error);
        else if (atomic_load(&load->is_cancelled))
            error = E_CLOSED;
    }
    free(bytes);
    return error;
}

static int load_into(const struct snapshot_load *load, int fd, struct spool *spool)
{
    struct hash_sum *sum = hash_sum_begin();
    uint8_t found[SHA256_BYTES];

    int error = load_copy(load, fd, spool, sum);
    FAILPOINT("load_copied");
    hash_sum_end(&sum, found);
    if (error == 0 && memcmp(found, load->sum, sizeof(found)) != 0)
        error = load_damaged(load, "the sum differs");
    return error;
}

/* Only raft knows whether a file that is not there was removed behind a newer snapshot. */
static int load_open(const struct snapshot_load *load, int *fd)
{
    *fd = open(load->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd >= 0)
        return load_check_size(load, *fd);
    if (errno != ENOENT)
        return load_failed(load, "open", E_IO);
    LOG_INFO("snapshot_gone", LOG_STR("path", load->path));
    return E_NOT_FOUND;
}

static int load_check_room(const struct snapshot_load *load)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s", load->copy);
    int error = spool_check_room(dirname(folder), load->bytes, load->reserve_bytes);
    return error != 0 ? load_failed(load, "statvfs", error) : 0;
}

void snapshot_load_run(struct snapshot_load *load)
{
    const struct spool_options options = {.path = load->copy, .stays_cached = true};
    struct spool spool;
    int fd;

    load->error = load_open(load, &fd);
    if (load->error == 0)
        load->error = load_check_room(load);
    if (load->error == 0) {
        load->error = spool_open(&spool, &options);
        if (load->error != 0)
            load_failed(load, "create", load->error);
        else
            load->error = load_into(load, fd, &spool);
        spool_close(&spool);
        if (load->error != 0)
            unlink(load->copy);
    }
    if (fd >= 0)
        close(fd);
}

void snapshot_load_cancel(struct snapshot_load *load)
{
    atomic_store(&load->is_cancelled, true);
}
