/* discard.c - see discard.h. */
#include "procs/raft/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"

#define DISCARD_NAME "begin-anew"

static void discard_path(const struct node_paths *paths, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%.*s/%s", (int)(PATH_BYTES - sizeof(DISCARD_NAME) - 1), paths->data,
             DISCARD_NAME);
}

static int discard_failed(const char *path)
{
    LOG_ERROR("log_not_discarded", LOG_STR("path", path), LOG_ERRNO(errno));
    return E_IO;
}

int discard_mark(const struct node_paths *paths)
{
    char path[PATH_BYTES];
    discard_path(paths, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return discard_failed(path);
    int error = fsync(fd) != 0 || path_sync_folder(paths->data) != 0 ? discard_failed(path) : 0;
    close(fd);
    return error;
}

int discard_finish(const struct node_paths *paths)
{
    char path[PATH_BYTES];
    discard_path(paths, path);
    if (access(path, F_OK) != 0)
        return 0;
    FAILPOINT("discard");
    if (path_remove_tree(paths->log) != 0 || path_remove_tree(paths->snapshots) != 0 ||
        path_sync_folder(paths->data) != 0)
        return discard_failed(paths->data);
    FAILPOINT("discarded");
    if (unlink(path) != 0 || path_sync_folder(paths->data) != 0)
        return discard_failed(path);
    LOG_WARN("log_discarded", LOG_STR("folder", paths->log));
    return 0;
}
