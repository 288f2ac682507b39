/* node.h - what a node needs before its first worker starts, and gives back at its end: folders,
 * the lock that keeps a second insid out, the pid file, the board, the listening sockets. */
#ifndef INSI_SUPERVISOR_NODE_H
#define INSI_SUPERVISOR_NODE_H

#include "base/path.h"

struct node {
    const struct config *config;
    const struct config_node *self;
    struct node_paths paths;
    int lock_fd;
    unsigned gateway_count;
    int http_fds[LIMIT_GATEWAYS]; /* one listening socket per gateway process (SO_REUSEPORT) */
    int admin_fd;                 /* -1 without adminBinding */
};

/* Says on stderr what failed. E_IO, E_TOO_LARGE, E_BUSY (another insid runs on this data folder).
 */
int node_prepare(struct node *node, const struct config *config, const char *id);

/* Removes what a stopped node must not leave (shm folder, pid file, sockets) and releases the lock.
 */
void node_release(struct node *node);

#endif
