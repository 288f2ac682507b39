/* wal_segment.c - the files of the log. */
#include "procs/raft/wal/wal_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

#define WAL_DIRECT_ALIGN 4096
#define WAL_LIST_ROOM_MIN 64
#define WAL_READ_BYTES (1u << 30) /* of one system call */

void wal_segment_name(char out[WAL_NAME_BYTES], const char *folder, uint64_t sequence)
{
    snprintf(out, WAL_NAME_BYTES, "%s/%016" PRIx64 ".log", folder, sequence);
}

void wal_prepared_name(char out[WAL_NAME_BYTES], const char *folder)
{
    snprintf(out, WAL_NAME_BYTES, "%s/prepared", folder);
}

/* ---- listing and removing ---------------------------------------------------------------------
 */

static int wal_compare_sequences(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int wal_list_segments(const char *folder, uint64_t **out, size_t *count)
{
    unsigned room = 0;
    *out = NULL;
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return E_IO;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        uint64_t sequence = strtoull(entry->d_name, &end, 16);
        if (end != entry->d_name + 16 || strcmp(end, ".log") != 0)
            continue;
        if (*count == room)
            *out = mem_grow(*out, &room, sizeof(**out), WAL_LIST_ROOM_MIN);
        (*out)[(*count)++] = sequence;
    }
    closedir(dir);
    if (*count > 0)
        qsort(*out, *count, sizeof(**out), wal_compare_sequences);
    return 0;
}

int wal_remove_segments(const char *folder, uint64_t first_sequence)
{
    char name[WAL_NAME_BYTES];
    uint64_t *sequences;
    size_t count;
    int error = wal_list_segments(folder, &sequences, &count);
    for (size_t i = 0; i < count && sequences[i] < first_sequence && !error; i++) {
        wal_segment_name(name, folder, sequences[i]);
        if (unlink(name) != 0 && errno != ENOENT)
            error = E_IO;
    }
    free(sequences);
    return error;
}

/* ---- making -----------------------------------------------------------------------------------
 */

static int wal_write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, data, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written < 0 ? errno : EIO;
            return errno == ENOSPC || errno == EDQUOT ? E_STORAGE_FULL : E_IO;
        }
        data += written;
        len -= (size_t)written;
    }
    return 0;
}

static int wal_close_synced(int fd, int error)
{
    if (!error && fsync(fd) != 0)
        error = errno == ENOSPC || errno == EDQUOT ? E_STORAGE_FULL : E_IO;
    int saved = errno;
    close(fd);
    errno = saved;
    return error;
}

static int wal_fill_zeros(int fd, size_t bytes)
{
    static const uint8_t zeros[1 << 16];
    int failed = posix_fallocate(fd, 0, (off_t)bytes);
    if (failed == ENOSPC || failed == EDQUOT) {
        errno = failed;
        return E_STORAGE_FULL;
    }
    /* Written, not only allocated: syncing an overwritten block changes no metadata. */
    int error = 0;
    for (size_t done = 0; done < bytes && !error; done += sizeof(zeros))
        error =
            wal_write_all(fd, zeros, bytes - done < sizeof(zeros) ? bytes - done : sizeof(zeros));
    return error;
}

int wal_prepare_segment(const char *folder, size_t bytes)
{
    char name[WAL_NAME_BYTES], fresh[WAL_NAME_BYTES + 8];
    struct stat info;
    wal_prepared_name(name, folder);
    if (stat(name, &info) == 0 && (size_t)info.st_size == bytes)
        return 0;
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT ? E_STORAGE_FULL : E_IO;
    int error = wal_close_synced(fd, wal_fill_zeros(fd, bytes));
    if (!error && rename(fresh, name) != 0)
        error = E_IO;
    if (!error)
        return path_sync_folder(folder);
    int saved = errno;
    unlink(fresh); /* the space is needed elsewhere */
    errno = saved;
    return error;
}

int wal_use_prepared(const char *folder, uint64_t sequence)
{
    char prepared[WAL_NAME_BYTES], name[WAL_NAME_BYTES];
    wal_prepared_name(prepared, folder);
    wal_segment_name(name, folder, sequence);
    return rename(prepared, name) == 0 ? path_sync_folder(folder) : E_IO;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int wal_read_all(int fd, uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        size_t part = len - done > WAL_READ_BYTES ? WAL_READ_BYTES : len - done;
        ssize_t got = pread(fd, data + done, part, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = got < 0 ? errno : EIO; /* it was longer a moment ago */
            return E_IO;
        }
        done += (size_t)got;
    }
    return 0;
}

/* A direct read must begin and end at whole blocks: the room behind the file's end is there. */
static bool wal_read_direct(struct wal_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return false; /* this file system has none */
    size_t done = 0;
    while (done < file->len) {
        size_t part = file->room - done > WAL_READ_BYTES ? WAL_READ_BYTES : file->room - done;
        ssize_t got = pread(fd, file->data + done, part, (off_t)done);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    close(fd);
    return done == file->len;
}

int wal_file_read(struct wal_file *file, const char *path, bool from_device)
{
    struct stat info;
    *file = (struct wal_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return E_IO;
    int error = fstat(fd, &info) == 0 ? 0 : E_IO;
    if (!error) {
        file->len = (size_t)info.st_size;
        file->room = file->len / WAL_DIRECT_ALIGN * WAL_DIRECT_ALIGN + WAL_DIRECT_ALIGN;
        file->data = mmap(NULL, file->room, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        CHECK(file->data != MAP_FAILED);
        file->by_device = from_device && wal_read_direct(file, path);
        if (!file->by_device)
            error = wal_read_all(fd, file->data, file->len);
    }
    int saved = errno;
    close(fd);
    if (error)
        wal_file_free(file);
    errno = saved;
    return error;
}

void wal_file_free(struct wal_file *file)
{
    if (file->data)
        munmap(file->data, file->room);
    *file = (struct wal_file){0};
}
