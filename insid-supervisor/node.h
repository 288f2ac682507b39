/* node.h - what a node needs before its first worker starts, and gives back at its end: the locks
 * that keep a second insid out, folders, the pid file, the board, the listening sockets. */
#ifndef INSI_SUPERVISOR_NODE_H
#define INSI_SUPERVISOR_NODE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/path.h"

struct node {
    const struct config *config;
    const struct config_node *self;
    struct node_paths paths;
    int lock_fd;         /* <data>/lock: held by insid alone */
    int workers_lock_fd; /* <data>/lock.workers: inherited by every worker, free when all are gone
                          */
    int shm_fd; /* the folder on tmpfs, locked: it is another file system than the data's, which
                   several containers may share; -1: not ours */
    unsigned gateway_count;
    int http_fds[LIMIT_GATEWAYS]; /* one listening socket per gateway process (SO_REUSEPORT) */
    int admin_fd;                 /* -1 without adminBinding */
    dev_t board_device;           /* of the file that node_prepare made */
    ino_t board_inode;
};

/* Whether all of a node's sockets fit their addresses. E_TOO_LARGE, or E_IO (a working directory
 * that has no path), after saying so on stderr. */
int node_check_paths(const struct config *config, const char *id, const char *config_name);

/* Whether the files that the tls section names can be read: without them no worker could start.
 * E_IO after saying which cannot on stderr. */
int node_check_certificates(const struct config *config, const char *config_name);

/* The first of three steps: fills in node and takes the locks. E_IO, E_BUSY (another insid runs on
 * this data folder) after saying so on stderr; then nothing is to be released. Waits up to ten
 * seconds for workers of a killed insid to be gone: two of them must never write to one log. A
 * signal may end the process meanwhile. */
int node_lock(struct node *node, const struct config *config, const char *id);

/* The second step, with signals held back: what the workers need. E_IO, or E_BUSY (another insid
 * has the folder on tmpfs), after saying what failed on stderr; then all is released. */
int node_prepare(struct node *node);

/* Whether the board lies where it was made. If not, somebody has emptied shmDir under a running
 * node (logind's RemoveIPC does): its workers hold on to what they have mapped, but none can be
 * started any more. */
bool node_has_board(const struct node *node);

/* The last step: removes what a stopped node must not leave (shm folder, sockets, pid file) and
 * frees the locks. */
void node_release(struct node *node);

#endif
