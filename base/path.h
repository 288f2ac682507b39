/* path.h - where a node keeps what: the one place that knows folder and socket names.
 *
 *   <dataDir>/<node>/            lock, pid, boot marks
 *   <dataDir>/<node>/log/        the write-ahead log            (raft)
 *   <dataDir>/<node>/values/     values.mdb                     (storage)
 *   <dataDir>/<node>/snapshots/                                 (raft, state workers)
 *   <runDir>/                    NNG sockets, control socket    (default <dataDir>/<node>/run)
 *   <shmDir>/insi-<hash>/        board, rate, volatile/         (hash of the absolute data folder)
 *
 * All folders are mode 0700, all files 0600.
 */
#ifndef INSI_BASE_PATH_H
#define INSI_BASE_PATH_H

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
    char rate[PATH_BYTES]; /* shm/rate.h */
    char volatile_map[PATH_BYTES];
    char events_map[PATH_BYTES];
};

/* dataDir relative to the working directory is made absolute first. E_TOO_LARGE when a path would
 * not fit; for a socket path the limit is PATH_SOCKET_BYTES and the supervisor reports it clearly.
 */
#define PATH_SOCKET_BYTES 104
int path_of_node(struct node_paths *out, const struct config *config, const char *node_id);

/* mkdir -p with mode 0700 for what is made. E_IO with errno set. */
int path_make_folder(const char *path);

/* fsync of a folder, so that names in it survive a power cut. E_IO with errno set. */
int path_sync_folder(const char *path);

/* Removes a folder and what is in it; a missing one is fine. */
int path_remove_tree(const char *path);

#endif
