/* driver_discard.c - a node that was removed, and is asked to join again, begins anew: its log and
 * its snapshots go, and with them its raft id, which is never used again. The cluster that it joins
 * is the one it was removed from, and has all that was acknowledged.
 *
 * A mark in the node's folder makes it one step: a start that finds it goes on with the removal.
 * The state workers' maps are of the same cluster and stay: raft has those rebuild that are ahead
 * of the new log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

#define DISCARD_NAME "begin-anew"

static void discard_path(const struct driver *driver, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%.*s/%s", (int)(PATH_BYTES - sizeof(DISCARD_NAME) - 1),
             driver->skel->paths.data, DISCARD_NAME);
}

_Noreturn static void discard_give_up(struct driver *driver, const char *path)
{
    LOG_ERROR("log_not_discarded", LOG_STR("path", path), LOG_ERRNO(errno));
    driver_give_up(driver, E_IO);
}

void driver_discard(struct driver *driver)
{
    char path[PATH_BYTES];
    discard_path(driver, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fsync(fd) != 0 || path_sync_folder(driver->skel->paths.data) != 0)
        discard_give_up(driver, path);
    close(fd);
    LOG_WARN("node_begins_anew", LOG_U64("raft_id", driver->group.raft_id),
             LOG_U64("last_index", raft_last_index(driver->raft)));
    skel_exit(driver->skel, 1); /* and is started again */
}

void driver_finish_discard(struct driver *driver)
{
    const struct node_paths *paths = &driver->skel->paths;
    char path[PATH_BYTES];
    discard_path(driver, path);
    if (access(path, F_OK) != 0)
        return;
    FAILPOINT("discard");
    if (path_remove_tree(paths->log) != 0 || path_remove_tree(paths->snapshots) != 0 ||
        path_sync_folder(paths->data) != 0)
        discard_give_up(driver, paths->data);
    FAILPOINT("discarded");
    if (unlink(path) != 0 || path_sync_folder(paths->data) != 0)
        discard_give_up(driver, path);
    LOG_WARN("log_discarded", LOG_STR("folder", paths->log));
}
