/* path.h - where a node keeps what: the one place that knows folder and socket names.
 *
 *   <dataDir>/<node>/            lock, lock.workers             (insid)
 *   <dataDir>/<node>/log/        the write-ahead log            (raft; docs/log.md)
 *   <dataDir>/<node>/values/     values.mdb, mark               (storage; docs/storage.md)
 *   <dataDir>/<node>/snapshots/  a folder per snapshot          (raft, state workers)
 *   <runDir>/<node>/             NNG sockets, control.sock, insid.pid;
 *                                without runDir: <dataDir>/<node>/run/
 *   <shmDir>/insi-<hash>/        board, rate, seats, volatile/, events/; the hash is of the
 *                                absolute path of <dataDir>/<node>
 *
 * All folders are mode 0700, all files 0600.
 */
#ifndef INSI_BASE_PATH_H
#define INSI_BASE_PATH_H

#include <stdint.h>

#include "base/config.h"

#define PATH_BYTES 1024

struct node_paths {
    char data[PATH_BYTES]; /* <dataDir>/<node> */
    char log[PATH_BYTES];
    char values[PATH_BYTES];
    char snapshots[PATH_BYTES];
    char run[PATH_BYTES];
    char shm[PATH_BYTES];
    char board[PATH_BYTES];
    char rate[PATH_BYTES];  /* shm/rate.h */
    char seats[PATH_BYTES]; /* shm/seats.h */
    char volatile_map[PATH_BYTES];
    char events_map[PATH_BYTES];
};

/* Fills all paths in, absolute: relative ones of the configuration are of the working directory.
 * E_TOO_LARGE when one does not fit PATH_BYTES; E_IO with errno when the working directory has no
 * path. Whether sockets fit their addresses is proc_link_url's to say (base/proc.h): they have
 * PATH_SOCKET_BYTES with the NUL, less than PATH_BYTES. */
#define PATH_SOCKET_BYTES 104
int path_of_node(struct node_paths *out, const struct config *config, const char *node_id);

/* mkdir -p with mode 0700 for what is made; what is there stays as it is. E_IO with errno, also
 * when there is something else of that name. */
int path_make_folder(const char *path);

/* fsync of a folder, so that names in it survive a power cut. E_IO with errno set. */
int path_sync_folder(const char *path);

/* How much of the file system of a path is free for this user, and its size. Either may be NULL.
 * E_IO with errno. */
int path_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes);

/* Removes a folder, up to 32 deep, or a file; a missing one is fine. Follows no links. E_IO with
 * errno: part of it may be gone. */
int path_remove_tree(const char *path);

#endif
