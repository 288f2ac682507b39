/* snapshot_store.c - the folder of snapshots. */
#include "procs/raft/snapshots/snapshot_store.h"

#include <dirent.h>
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
#include "base/spool.h"

#define STORE_REMOVED "removed"
#define STORE_DAMAGED ".damaged"
#define STORE_READ_BYTES (1u << 20)

static void store_path(char out[SNAPSHOT_PATH_BYTES], const char *folder, const char *name)
{
    int len = snprintf(out, SNAPSHOT_PATH_BYTES, "%s/%s", folder, name);
    CHECK(len > 0 && len < SNAPSHOT_PATH_BYTES);
}

static void store_index_path(char out[SNAPSHOT_PATH_BYTES], const char *folder, uint64_t index,
                             const char *suffix)
{
    int len = snprintf(out, SNAPSHOT_PATH_BYTES, "%s/%lu%s", folder, index, suffix);
    CHECK(len > 0 && len < SNAPSHOT_PATH_BYTES);
}

static int store_failed(const char *event, const char *path, int error)
{
    LOG_ERROR(event, LOG_STR("path", path), LOG_STR("error", error_text(error)),
              LOG_STR("reason", log_errno_text(errno)));
    return error;
}

static int store_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? E_STORAGE_FULL : E_IO;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* E_CORRUPT: there is none, or it cannot be read whole. */
static int store_read_manifest(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return E_CORRUPT;
    uint8_t *room = buf_reserve(out, SNAPSHOT_MANIFEST_BYTES);
    ssize_t got = read(fd, room, SNAPSHOT_MANIFEST_BYTES);
    close(fd);
    if (got <= 0)
        return E_CORRUPT;
    out->len += (size_t)got;
    return 0;
}

static bool store_has_files(const char *folder, const struct snapshot *snapshot)
{
    char path[SNAPSHOT_PATH_BYTES];
    struct stat info;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        enum proc worker = (enum proc)(PROC_FIRST_WORKER + (int)i);
        snapshot_part_path(path, folder, NULL, snapshot->index, worker);
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) ||
            (uint64_t)info.st_size != snapshot->parts[i].bytes)
            return false;
    }
    return true;
}

static int store_load(const char *folder, uint64_t index, struct snapshot *snapshot)
{
    char path[SNAPSHOT_PATH_BYTES];
    struct buf bytes;
    store_index_path(path, folder, index, "/" SNAPSHOT_MANIFEST);
    buf_init(&bytes, SNAPSHOT_MANIFEST_BYTES);
    int error = store_read_manifest(path, &bytes);
    error = error ? error : snapshot_decode(snapshot, buf_slice(&bytes));
    if (!error && (snapshot->index != index || !store_has_files(folder, snapshot)))
        error = E_CORRUPT;
    buf_fini(&bytes);
    return error;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void store_list_add(struct snapshot_list *list, struct snapshot *snapshot)
{
    size_t at = list->count++;
    list->items = mem_resize(list->items, list->count * sizeof(list->items[0]));
    for (; at > 0 && list->items[at - 1]->index < snapshot->index; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = snapshot;
}

static int store_take(const char *folder, const uint8_t cluster[WAL_CLUSTER_BYTES], uint64_t index,
                      struct snapshot_list *list)
{
    char path[SNAPSHOT_PATH_BYTES];
    struct snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    int error = store_load(folder, index, snapshot);
    if (!error && memcmp(snapshot->cluster, cluster, WAL_CLUSTER_BYTES) != 0)
        error = E_FOREIGN;
    if (!error) {
        store_list_add(list, snapshot);
        return 0;
    }
    free(snapshot);
    if (error == E_CORRUPT) {
        list->damaged++;
        return snapshot_store_set_damaged(folder, index);
    }
    store_index_path(path, folder, index, "");
    LOG_ERROR("snapshot_refused", LOG_STR("path", path), LOG_STR("error", error_text(error)));
    return error;
}

/* A number without anything else. */
static bool store_parse_index(const char *name, uint64_t *index)
{
    char *end;
    if (name[0] < '1' || name[0] > '9')
        return false;
    errno = 0;
    *index = strtoull(name, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool store_is_damaged(const char *name)
{
    const char *suffix = strstr(name, STORE_DAMAGED);
    return suffix && strcmp(suffix, STORE_DAMAGED) == 0;
}

static int store_scan(const char *folder, const uint8_t cluster[WAL_CLUSTER_BYTES],
                      struct snapshot_list *list)
{
    DIR *stream = opendir(folder);
    int error = 0;
    if (!stream)
        return store_failed("snapshots_not_readable", folder, E_IO);
    for (struct dirent *entry; !error && (entry = readdir(stream));) {
        uint64_t index;
        if (store_is_damaged(entry->d_name)) {
            list->damaged++;
            LOG_WARN("snapshot_damaged_kept", LOG_STR("folder", folder),
                     LOG_STR("name", entry->d_name));
        } else if (store_parse_index(entry->d_name, &index)) {
            error = store_take(folder, cluster, index, list);
        }
    }
    closedir(stream);
    return error;
}

int snapshot_store_open(const char *folder, const uint8_t cluster[WAL_CLUSTER_BYTES],
                        struct snapshot_list *list)
{
    if (path_make_folder(folder) != 0)
        return store_failed("snapshots_not_made", folder, E_IO);
    int error = snapshot_store_forget(folder, STORE_REMOVED);
    error = error ? error : snapshot_store_forget(folder, SNAPSHOT_MAKING);
    return error ? error : store_scan(folder, cluster, list);
}

void snapshot_list_fini(struct snapshot_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct snapshot_list){0};
}

/* ---- making -----------------------------------------------------------------------------------
 */

int snapshot_store_begin(const char *folder, const char *name, uint64_t bytes,
                         uint64_t reserve_bytes)
{
    char path[SNAPSHOT_PATH_BYTES];
    int error = snapshot_store_forget(folder, name);
    if (error)
        return error;
    if (spool_check_room(folder, bytes, reserve_bytes) == E_STORAGE_FULL)
        return E_STORAGE_FULL; /* the caller says so, now and then */
    store_path(path, folder, name);
    return mkdir(path, 0700) == 0 ? 0 : store_failed("snapshot_not_begun", path, store_error());
}

static int store_write_manifest(const char *path, const struct snapshot *snapshot)
{
    const struct spool_options options = {.path = path, .stays_cached = true};
    struct spool spool;
    struct buf bytes;
    buf_init(&bytes, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&bytes, snapshot);
    int error = spool_open(&spool, &options);
    error = error ? error : spool_write(&spool, bytes.data, bytes.len);
    error = error ? error : spool_sync(&spool);
    spool_close(&spool);
    buf_fini(&bytes);
    return error;
}

int snapshot_store_name(const char *folder, const char *name, const struct snapshot *snapshot)
{
    char from[SNAPSHOT_PATH_BYTES], to[SNAPSHOT_PATH_BYTES];
    store_path(from, folder, name);
    store_index_path(to, folder, snapshot->index, "");
    FAILPOINT("snapshot_manifest_written");
    if (path_sync_folder(from) != 0)
        return store_failed("snapshot_not_finished", from, E_IO);
    FAILPOINT("snapshot_files_synced");
    if (rename(from, to) != 0)
        return store_failed("snapshot_not_finished", to, store_error());
    FAILPOINT("snapshot_named");
    return path_sync_folder(folder) == 0 ? 0 : store_failed("snapshot_not_finished", folder, E_IO);
}

int snapshot_store_finish(const char *folder, const char *name, const struct snapshot *snapshot)
{
    char manifest[SNAPSHOT_PATH_BYTES + 256];
    snprintf(manifest, sizeof(manifest), "%s/%s/" SNAPSHOT_MANIFEST, folder, name);
    int error = store_write_manifest(manifest, snapshot);
    if (error)
        return store_failed("snapshot_not_finished", manifest, error);
    return snapshot_store_name(folder, name, snapshot);
}

static int store_sum(int fd, uint64_t *bytes, uint8_t out[SHA256_BYTES])
{
    struct hash_sum *sum = hash_sum_begin();
    uint8_t *room = mem_alloc(STORE_READ_BYTES);
    ssize_t got;
    *bytes = 0;
    while ((got = read(fd, room, STORE_READ_BYTES)) > 0 || (got < 0 && errno == EINTR)) {
        if (got < 0)
            continue;
        hash_sum_add(sum, room, (size_t)got);
        *bytes += (uint64_t)got;
    }
    free(room);
    hash_sum_end(&sum, out);
    return got == 0 ? 0 : E_IO;
}

int snapshot_store_verify(const char *folder, const char *name, const struct snapshot *snapshot,
                          enum proc worker)
{
    char path[SNAPSHOT_PATH_BYTES];
    uint8_t sum[SHA256_BYTES];
    uint64_t bytes;
    const struct snapshot_part *part = &snapshot->parts[PROC_WORKER_SLOT(worker)];
    snapshot_part_path(path, folder, name, snapshot->index, worker);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return store_failed("snapshot_not_readable", path, errno == ENOENT ? E_CORRUPT : E_IO);
    int error = store_sum(fd, &bytes, sum);
    close(fd);
    if (error)
        return store_failed("snapshot_not_readable", path, error);
    if (bytes == part->bytes && memcmp(sum, part->sum, sizeof(sum)) == 0)
        return 0;
    LOG_ERROR("snapshot_damaged", LOG_STR("path", path),
              LOG_STR("reason", bytes == part->bytes ? "the sum differs" : "the size differs"));
    return E_CORRUPT;
}

/* ---- removing ---------------------------------------------------------------------------------
 */

int snapshot_store_forget(const char *folder, const char *name)
{
    char path[SNAPSHOT_PATH_BYTES];
    store_path(path, folder, name);
    return path_remove_tree(path) == 0 ? 0 : store_failed("snapshot_not_removed", path, E_IO);
}

/* The number goes first: a snapshot with half of its files would look like a damaged one. */
static int store_remove(const char *folder, const char *path)
{
    char removed[SNAPSHOT_PATH_BYTES];
    int error = snapshot_store_forget(folder, STORE_REMOVED);
    if (error)
        return error;
    store_path(removed, folder, STORE_REMOVED);
    if (rename(path, removed) != 0)
        return errno == ENOENT ? 0 : store_failed("snapshot_not_removed", path, E_IO);
    FAILPOINT("snapshot_unnamed");
    return snapshot_store_forget(folder, STORE_REMOVED);
}

int snapshot_store_remove(const char *folder, uint64_t index)
{
    char path[SNAPSHOT_PATH_BYTES];
    store_index_path(path, folder, index, "");
    return store_remove(folder, path);
}

int snapshot_store_set_damaged(const char *folder, uint64_t index)
{
    char from[SNAPSHOT_PATH_BYTES], to[SNAPSHOT_PATH_BYTES];
    store_index_path(from, folder, index, "");
    store_index_path(to, folder, index, STORE_DAMAGED);
    LOG_ERROR("snapshot_damaged", LOG_STR("path", from), LOG_STR("kept_as", to));
    (void)store_remove(folder, to); /* an older one of this index; what matters is the next line */
    if (rename(from, to) != 0)
        return store_failed("snapshot_not_renamed", from, E_IO);
    return path_sync_folder(folder) == 0 ? 0 : store_failed("snapshot_not_renamed", folder, E_IO);
}

int snapshot_store_remove_damaged(const char *folder)
{
    char path[SNAPSHOT_PATH_BYTES + 256];
    DIR *stream = opendir(folder);
    int error = 0;
    if (!stream)
        return store_failed("snapshots_not_readable", folder, E_IO);
    for (struct dirent *entry; !error && (entry = readdir(stream));) {
        if (!store_is_damaged(entry->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        error = store_remove(folder, path);
        if (!error)
            LOG_INFO("snapshot_damaged_removed", LOG_STR("path", path));
    }
    closedir(stream);
    return error;
}
