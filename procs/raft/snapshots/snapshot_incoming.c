/* snapshot_incoming.c - see snapshot_incoming.h. */
#include "procs/raft/snapshots/snapshot_incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"

#define INCOMING_MANIFEST SNAPSHOT_INCOMING "/" SNAPSHOT_MANIFEST
#define INCOMING_READ_BYTES (1u << 20)

void incoming_init(struct incoming *incoming, const char *folder)
{
    *incoming = (struct incoming){.folder = folder};
    buf_init(&incoming->manifest, SNAPSHOT_MANIFEST_BYTES);
}

static void incoming_close_part(struct incoming *incoming)
{
    if (incoming->is_open)
        spool_close(&incoming->spool);
    incoming->is_open = false;
    hash_sum_end(&incoming->sum, NULL);
}

static void incoming_forget(struct incoming *incoming)
{
    incoming_close_part(incoming);
    free(incoming->snapshot);
    incoming->snapshot = NULL;
    buf_clear(&incoming->manifest);
}

void incoming_fini(struct incoming *incoming)
{
    incoming_forget(incoming);
    buf_fini(&incoming->manifest);
}

static void incoming_path(const struct incoming *incoming, char out[SNAPSHOT_PATH_BYTES])
{
    snapshot_part_path(out, incoming->folder, SNAPSHOT_INCOMING, 0, SNAPSHOT_PROC(incoming->part));
}

/* What is on the disk stays for the next try. */
static int incoming_failed(struct incoming *incoming, const char *call, int error)
{
    LOG_WARN("snapshot_not_received", LOG_U64("index", incoming->snapshot->index),
             LOG_U64("position", incoming->position), LOG_STR("call", call),
             LOG_STR("error", error_text(error)), LOG_STR("reason", log_errno_text(errno)));
    incoming_forget(incoming);
    return error;
}

/* ---- files of an earlier try ------------------------------------------------------------------
 */

static bool incoming_was_offered(const struct incoming *incoming, struct slice manifest)
{
    char path[SNAPSHOT_PATH_BYTES];
    uint8_t bytes[4096];
    size_t at = 0;
    ssize_t got;
    snprintf(path, sizeof(path), "%s/" INCOMING_MANIFEST, incoming->folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
        const uint8_t *offered = manifest.data;
        if ((size_t)got > manifest.len - at || memcmp(offered + at, bytes, (size_t)got) != 0)
            break;
        at += (size_t)got;
    }
    close(fd);
    return got == 0 && at == manifest.len;
}

/* Adds what is in the file to the sum; how much that is. */
static uint64_t incoming_sum_file(struct hash_sum *sum, const char *path)
{
    uint8_t *bytes = mem_alloc(INCOMING_READ_BYTES);
    uint64_t total = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    while (fd >= 0 && (got = read(fd, bytes, INCOMING_READ_BYTES)) > 0) {
        hash_sum_add(sum, bytes, (size_t)got);
        total += (uint64_t)got;
    }
    if (fd >= 0)
        close(fd);
    free(bytes);
    return got < 0 ? UINT64_MAX : total; /* UINT64_MAX: it cannot be read */
}

static void incoming_remove_from(const struct incoming *incoming, unsigned part)
{
    char path[SNAPSHOT_PATH_BYTES];
    for (; part < PROC_WORKER_COUNT; part++) {
        snapshot_part_path(path, incoming->folder, SNAPSHOT_INCOMING, 0, SNAPSHOT_PROC(part));
        (void)unlink(path); /* what stays shows when it is opened */
    }
}

/* Finds how far the file of this part is; complete files are passed over when their sum is right,
 * and begun anew when it is not. */
static void incoming_find(struct incoming *incoming)
{
    char path[SNAPSHOT_PATH_BYTES];
    uint8_t found[SHA256_BYTES];
    incoming->position = incoming->part_position = 0;
    for (incoming->part = 0; incoming->part < PROC_WORKER_COUNT; incoming->part++) {
        const struct snapshot_part *part = &incoming->snapshot->parts[incoming->part];
        incoming_path(incoming, path);
        incoming->sum = hash_sum_begin();
        uint64_t bytes = incoming_sum_file(incoming->sum, path);
        if (bytes < part->bytes) {
            incoming->position += bytes;
            incoming_remove_from(incoming, incoming->part + 1);
            return;
        }
        hash_sum_end(&incoming->sum, found);
        if (bytes > part->bytes || memcmp(found, part->sum, sizeof(found)) != 0) {
            incoming->sum = hash_sum_begin();
            incoming_remove_from(incoming, incoming->part);
            return;
        }
        incoming->position += part->bytes;
        incoming->part_position = incoming->position;
    }
}

/* ---- beginning --------------------------------------------------------------------------------
 */

static int incoming_open_part(struct incoming *incoming, uint64_t reserve_bytes)
{
    char path[SNAPSHOT_PATH_BYTES];
    if (incoming->part == PROC_WORKER_COUNT)
        return 0;
    incoming_path(incoming, path);
    if (!incoming->sum)
        incoming->sum = hash_sum_begin();
    /* workers will read it soon */
    const struct spool_options options = {
        .path = path, .goes_on = true, .stays_cached = true, .reserve_bytes = reserve_bytes};
    int error = spool_open(&incoming->spool, &options);
    incoming->is_open = incoming->spool.fd >= 0;
    bool is_as_found =
        !error && incoming->spool.end == incoming->position - incoming->part_position;
    return error || is_as_found ? error : E_IO;
}

static int incoming_write_manifest(const struct incoming *incoming)
{
    char path[SNAPSHOT_PATH_BYTES];
    struct spool spool;
    snprintf(path, sizeof(path), "%s/" INCOMING_MANIFEST, incoming->folder);
    const struct spool_options options = {.path = path};
    int error = spool_open(&spool, &options);
    error = error ? error : spool_write(&spool, incoming->manifest.data, incoming->manifest.len);
    error = error ? error : spool_sync(&spool);
    spool_close(&spool);
    return error;
}

/* The manifest comes first: without it whatever is there would be of no use. */
static int incoming_make(struct incoming *incoming, uint64_t reserve_bytes)
{
    uint64_t bytes = snapshot_bytes(incoming->snapshot);
    int error = snapshot_store_begin(incoming->folder, SNAPSHOT_INCOMING, bytes, reserve_bytes);
    return error ? error : incoming_write_manifest(incoming);
}

int incoming_begin(struct incoming *incoming, struct slice manifest,
                   const struct snapshot *snapshot, uint64_t reserve_bytes)
{
    bool goes_on = incoming->snapshot && incoming->manifest.len == manifest.len &&
                   memcmp(incoming->manifest.data, manifest.data, manifest.len) == 0;
    if (goes_on) /* only the connection was lost */
        return 0;
    incoming_forget(incoming);
    incoming->snapshot = mem_copy(snapshot, sizeof(*snapshot));
    CHECK(buf_append(&incoming->manifest, manifest.data, manifest.len) == 0);
    bool is_known = incoming_was_offered(incoming, manifest);
    int error = is_known ? 0 : incoming_make(incoming, reserve_bytes);
    if (error)
        return incoming_failed(incoming, "begin", error);
    FAILPOINT("incoming_begun");
    incoming_find(incoming);
    uint64_t missing = snapshot_bytes(snapshot) - incoming->position;
    error = spool_check_room(incoming->folder, missing, reserve_bytes);
    error = error ? error : incoming_open_part(incoming, reserve_bytes);
    return error ? incoming_failed(incoming, "open", error) : 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* The sender's disk, or this one, or the way: whoever it was, the next try begins at the start. */
static int incoming_damaged(struct incoming *incoming)
{
    LOG_ERROR("snapshot_received_damaged", LOG_U64("index", incoming->snapshot->index),
              LOG_STR("worker", proc_name(SNAPSHOT_PROC(incoming->part))));
    incoming_forget(incoming);
    (void)snapshot_store_forget(incoming->folder, SNAPSHOT_INCOMING);
    return E_CORRUPT;
}

static int incoming_end_part(struct incoming *incoming)
{
    const struct snapshot_part *part = &incoming->snapshot->parts[incoming->part];
    uint64_t reserve_bytes = incoming->spool.reserve_bytes;
    uint8_t found[SHA256_BYTES];
    int error = spool_sync(&incoming->spool);
    if (error)
        return incoming_failed(incoming, "sync", error);
    hash_sum_end(&incoming->sum, found);
    incoming_close_part(incoming);
    if (memcmp(found, part->sum, sizeof(found)) != 0)
        return incoming_damaged(incoming);
    FAILPOINT("incoming_part");
    incoming->part++;
    incoming->part_position = incoming->position;
    error = incoming_open_part(incoming, reserve_bytes);
    return error ? incoming_failed(incoming, "open", error) : 0;
}

int incoming_write(struct incoming *incoming, uint64_t position, struct slice bytes)
{
    if (!incoming->snapshot || position != incoming->position ||
        incoming->part == PROC_WORKER_COUNT)
        return E_INVALID;
    uint64_t end = incoming->part_position + incoming->snapshot->parts[incoming->part].bytes;
    if (bytes.len > end - position)
        return E_INVALID;
    hash_sum_add(incoming->sum, bytes.data, bytes.len);
    int error = spool_write(&incoming->spool, bytes.data, bytes.len);
    if (error)
        return incoming_failed(incoming, "write", error);
    incoming->position += bytes.len;
    FAILPOINT("incoming_written");
    return incoming->position == end ? incoming_end_part(incoming) : 0;
}

int incoming_finish(struct incoming *incoming)
{
    CHECK(incoming->snapshot && incoming->part == PROC_WORKER_COUNT);
    FAILPOINT("incoming_complete");
    int error = snapshot_store_name(incoming->folder, SNAPSHOT_INCOMING, incoming->snapshot);
    if (error)
        return incoming_failed(incoming, "finish", error);
    incoming_forget(incoming);
    return 0;
}

int incoming_clean(struct incoming *incoming)
{
    incoming_forget(incoming);
    return snapshot_store_forget(incoming->folder, SNAPSHOT_INCOMING);
}

bool incoming_is_there(const struct incoming *incoming)
{
    char path[SNAPSHOT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/" SNAPSHOT_INCOMING, incoming->folder);
    return access(path, F_OK) == 0;
}
