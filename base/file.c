/* file.c - see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/path.h"

#define FILE_PIECE_BYTES 4096
#define FILE_PATH_BYTES (PATH_BYTES + 128) /* a folder of base/path.h, and names in it */

/* Room for all of a file at once, so that no secret is left behind by a buffer that grows. */
static size_t file_first_piece(int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < FILE_PIECE_BYTES)
        return FILE_PIECE_BYTES;
    return (size_t)info.st_size + 1; /* one more, to see the end */
}

/* The buffer is as full as it may be: is that all? */
static int file_expect_end(int fd)
{
    uint8_t more;
    ssize_t got;
    do
        got = read(fd, &more, 1);
    while (got < 0 && errno == EINTR);
    return got < 0 ? E_IO : got == 0 ? 0 : E_TOO_LARGE;
}

int file_read_from(struct buf *out, int fd)
{
    for (size_t piece = file_first_piece(fd); out->len < out->max; piece = FILE_PIECE_BYTES) {
        if (out->cap == out->len || piece > FILE_PIECE_BYTES)
            CHECK(buf_reserve(out, piece < out->max - out->len ? piece : out->max - out->len));
        ssize_t got = read(fd, out->data + out->len, out->cap - out->len);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return E_IO;
        out->len += got > 0 ? (size_t)got : 0;
    }
    return file_expect_end(fd);
}

int file_read(struct buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return E_IO;
    int error = file_read_from(out, fd);
    int saved = errno;
    close(fd);
    errno = saved;
    return error;
}

static int file_fill(const char *path, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return E_IO;
    int error = 0;
    while (!error && left > 0) {
        ssize_t put = write(fd, at, left);
        if (put < 0 && errno != EINTR)
            error = E_IO;
        if (put > 0) {
            at += put;
            left -= (size_t)put;
        }
    }
    if (!error && fsync(fd) != 0)
        error = E_IO;
    int saved = errno;
    close(fd);
    errno = saved;
    return error;
}

static int file_sync_folder_of(const char *path)
{
    char folder[FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return path_sync_folder(".");
    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path) + 1, path);
    return path_sync_folder(folder);
}

int file_replace(const char *path, struct slice bytes)
{
    char fresh[FILE_PATH_BYTES];
    if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh)) {
        errno = ENAMETOOLONG;
        return E_IO;
    }
    int error = file_fill(fresh, bytes);
    if (!error && rename(fresh, path) != 0)
        error = E_IO;
    return error ? error : file_sync_folder_of(path);
}
