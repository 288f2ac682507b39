/* wal_meta.c - identity, floor, suspect. */
#include "procs/raft/wal/wal_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/token.h"
#include "procs/raft/wal/wal_segment.h"

static void wal_meta_name(char out[WAL_NAME_BYTES], const char *folder, const char *file)
{
    snprintf(out, WAL_NAME_BYTES, "%s/%s", folder, file);
}

static int wal_meta_refuse(const char *path, int error, const char *reason)
{
    LOG_ERROR("log_refused", LOG_STR("error", error_text(error)), LOG_STR("reason", reason),
              LOG_STR("file", path));
    return error;
}

static int wal_meta_store(const char *folder, const char *file, struct slice bytes)
{
    char path[WAL_NAME_BYTES];
    wal_meta_name(path, folder, file);
    if (file_replace(path, bytes) == 0)
        return 0;
    return wal_meta_refuse(path, E_IO, log_errno_text(errno));
}

/* ---- identity ---------------------------------------------------------------------------------
 */

int wal_store_identity(const char *folder, const struct wal_identity *identity)
{
    uint8_t bytes[WAL_IDENTITY_BYTES];
    wal_encode_identity(bytes, identity);
    return wal_meta_store(folder, "identity", slice_of(bytes, sizeof(bytes)));
}

/* A log without an identity has lost it: a new one would disown what the log holds. */
static int wal_make_identity(const char *folder, const char *path, struct wal_identity *identity)
{
    char floor[WAL_NAME_BYTES];
    uint64_t *sequences;
    size_t count;
    int error = wal_list_segments(folder, &sequences, &count);
    free(sequences);
    if (error)
        return wal_meta_refuse(folder, E_IO, log_errno_text(errno));
    wal_meta_name(floor, folder, "floor");
    if (count > 0 || access(floor, F_OK) == 0)
        return wal_meta_refuse(path, E_CORRUPT, "the log's identity file is missing");
    while (identity->raft_id == 0)
        token_random(&identity->raft_id, sizeof(identity->raft_id));
    return wal_store_identity(folder, identity);
}

int wal_load_identity(const char *folder, const char *node, struct wal_identity *out)
{
    char path[WAL_NAME_BYTES];
    struct wal_file file;
    uint8_t self[SHA256_BYTES];
    wal_meta_name(path, folder, "identity");
    hash_sha256(slice_text(node), self);
    if (wal_file_read(&file, path, false) != 0) {
        if (errno != ENOENT)
            return wal_meta_refuse(path, E_IO, log_errno_text(errno));
        *out = (struct wal_identity){0};
        memcpy(out->node, self, sizeof(self));
        return wal_make_identity(folder, path, out);
    }
    int error = wal_decode_identity(out, slice_of(file.data, file.len));
    wal_file_free(&file);
    if (error)
        return wal_meta_refuse(path, error, "the identity file is not readable");
    if (memcmp(self, out->node, sizeof(self)) != 0)
        return wal_meta_refuse(path, E_FOREIGN, "the log is another node's");
    return 0;
}

/* ---- floor ------------------------------------------------------------------------------------
 */

int wal_store_floor(const char *folder, uint64_t raft_id, const struct wal_floor *floor)
{
    uint8_t bytes[WAL_FLOOR_BYTES];
    wal_encode_floor(bytes, floor, raft_id);
    return wal_meta_store(folder, "floor", slice_of(bytes, sizeof(bytes)));
}

int wal_load_floor(const char *folder, uint64_t raft_id, struct wal_floor *out)
{
    char path[WAL_NAME_BYTES];
    struct wal_file file;
    *out = (struct wal_floor){0};
    wal_meta_name(path, folder, "floor");
    if (wal_file_read(&file, path, false) != 0)
        return errno == ENOENT ? E_NOT_FOUND : wal_meta_refuse(path, E_IO, log_errno_text(errno));
    int error = wal_decode_floor(out, raft_id, slice_of(file.data, file.len));
    wal_file_free(&file);
    return error ? wal_meta_refuse(path, error, "the floor file is not readable") : 0;
}

/* ---- suspect ----------------------------------------------------------------------------------
 */

void wal_mark_suspect(const char *folder)
{
    char name[WAL_NAME_BYTES];
    wal_meta_name(name, folder, "suspect");
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

bool wal_is_suspect(const char *folder)
{
    char name[WAL_NAME_BYTES];
    wal_meta_name(name, folder, "suspect");
    return access(name, F_OK) == 0;
}

void wal_clear_suspect(const char *folder)
{
    char name[WAL_NAME_BYTES];
    wal_meta_name(name, folder, "suspect");
    unlink(name);
}
