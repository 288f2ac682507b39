/* path.c - folder and socket names of a node, and the few folder operations everybody needs. */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"

#define PATH_DEPTH_MAX 32    /* folders below each other that path_remove_tree follows */
#define PATH_REMOVE_TRIES 16 /* of a folder that others still write to */

static int path_absolute(char out[PATH_BYTES], const char *path)
{
    char here[PATH_BYTES];
    if (path[0] == '/')
        return snprintf(out, PATH_BYTES, "%s", path) < PATH_BYTES ? 0 : E_TOO_LARGE;
    if (!getcwd(here, sizeof(here)))
        return errno == ERANGE ? E_TOO_LARGE : E_IO;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    return snprintf(out, PATH_BYTES, "%s/%s", here, path) < PATH_BYTES ? 0 : E_TOO_LARGE;
}

static int path_join(char out[PATH_BYTES], const char *folder, const char *name)
{
    return snprintf(out, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES ? 0 : E_TOO_LARGE;
}

int path_of_node(struct node_paths *out, const struct config *config, const char *node_id)
{
    char base[PATH_BYTES], shm[PATH_BYTES], name[32], hex[17];
    uint8_t digest[SHA256_BYTES];
    int error = path_absolute(base, config->data_dir);
    error = error ? error : path_join(out->data, base, node_id);
    error = error ? error : path_join(out->log, out->data, "log");
    error = error ? error : path_join(out->values, out->data, "values");
    error = error ? error : path_join(out->snapshots, out->data, "snapshots");
    if (!error && config->run_dir[0]) {
        /* one runDir for all nodes of a file: each gets its own folder in it */
        error = path_absolute(base, config->run_dir);
        error = error ? error : path_join(out->run, base, node_id);
    } else {
        error = error ? error : path_join(out->run, out->data, "run");
    }
    if (error)
        return error;
    hash_sha256(slice_text(out->data), digest);
    hash_hex(digest, 8, hex);
    snprintf(name, sizeof(name), "insi-%s", hex);
    error = path_absolute(shm, config->shm_dir);
    error = error ? error : path_join(out->shm, shm, name);
    error = error ? error : path_join(out->board, out->shm, "board");
    error = error ? error : path_join(out->rate, out->shm, "rate");
    error = error ? error : path_join(out->seats, out->shm, "seats");
    error = error ? error : path_join(out->volatile_map, out->shm, "volatile");
    return error ? error : path_join(out->events_map, out->shm, "events");
}

int path_make_folder(const char *path)
{
    char part[PATH_BYTES];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        errno = len ? ENAMETOOLONG : ENOENT;
        return E_IO;
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return E_IO;
    }
    struct stat info;
    if (stat(path, &info) != 0)
        return E_IO;
    if (!S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        return E_IO;
    }
    return 0;
}

int path_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return E_IO;
    int result = fsync(fd) == 0 ? 0 : E_IO;
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int path_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs info;
    if (statvfs(path, &info) != 0)
        return E_IO;
    if (free_bytes)
        *free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    if (total_bytes)
        *total_bytes = (uint64_t)info.f_blocks * info.f_frsize;
    return 0;
}

static int path_remove_at(int parent, const char *name, unsigned depth);

/* Works on descriptors and never follows a link, so nothing outside the tree can be reached. */
static int path_empty_at(int parent, const char *name, unsigned depth) // NOLINT(misc-no-recursion)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : E_IO;
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return E_IO;
    }
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = path_remove_at(fd, entry->d_name, depth - 1);
    closedir(folder);
    return result;
}

/* Another process may put something into a folder that has just been emptied (the reader of a map,
 * its lock file): emptied again, so many times. */
static int path_remove_at(int parent, const char *name, unsigned depth) // NOLINT(misc-no-recursion)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if ((errno != EISDIR && errno != EPERM) || depth == 0)
        return E_IO;
    for (unsigned tries = 0; tries < PATH_REMOVE_TRIES; tries++) {
        if (path_empty_at(parent, name, depth) != 0)
            return E_IO;
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return E_IO;
    }
    return E_IO;
}

int path_remove_tree(const char *path)
{
    return path_remove_at(AT_FDCWD, path, PATH_DEPTH_MAX);
}
