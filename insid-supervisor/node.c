/* node.c - folders, lock, board and listening sockets of a node. */
#include "insid-supervisor/node.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/proc.h"
#include "shm/board.h"

#define NODE_BACKLOG 4096

static int node_refuse(const char *what, const char *path)
{
    fprintf(stderr, "insid: %s %s: %s\n", what, path, strerror(errno));
    return E_IO;
}

static int node_make_folders(const struct node *node)
{
    const struct node_paths *paths = &node->paths;
    const char *folders[] = {paths->data, paths->log, paths->values,      paths->snapshots,
                             paths->run,  paths->shm, paths->volatile_map};
    char url[PROC_LINK_BYTES];
    if (proc_link_url(url, paths->run, PROC_STORAGE, PROC_GATEWAY, LIMIT_GATEWAYS) != 0) {
        fprintf(stderr,
                "insid: %s is too long for sockets in it (at most %d bytes with the name): set "
                "runDir to a shorter path\n",
                paths->run, PATH_SOCKET_BYTES - 1);
        return E_TOO_LARGE;
    }
    for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (path_make_folder(folders[i]) != 0)
            return node_refuse("cannot make folder", folders[i]);
    return 0;
}

/* The lock lives as long as the open file: a killed insid leaves none behind. */
static int node_lock(struct node *node)
{
    char path[PATH_BYTES + 8], pid[32] = "";
    snprintf(path, sizeof(path), "%s/lock", node->paths.data);
    node->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (node->lock_fd < 0)
        return node_refuse("cannot open", path);
    if (flock(node->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t len = pread(node->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[len > 0 ? strcspn(pid, "\n") : 0] = '\0';
        fprintf(stderr, "insid: another insid (pid %s) runs on %s already\n", pid[0] ? pid : "?",
                node->paths.data);
        close(node->lock_fd);
        node->lock_fd = -1;
        return E_BUSY;
    }
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(node->lock_fd, 0) != 0 || pwrite(node->lock_fd, pid, (size_t)len, 0) != len)
        return node_refuse("cannot write", path);
    return 0;
}

static void node_pid_path(const struct node *node, char out[PATH_BYTES + 16])
{
    snprintf(out, PATH_BYTES + 16, "%s/insid.pid", node->paths.run);
}

static int node_write_pid(const struct node *node)
{
    char path[PATH_BYTES + 16];
    node_pid_path(node, path);
    FILE *file = fopen(path, "we");
    if (!file)
        return node_refuse("cannot write", path);
    fprintf(file, "%ld\n", (long)getpid());
    return fclose(file) == 0 ? 0 : node_refuse("cannot write", path);
}

static int node_listen_at(const struct addrinfo *address, int *out)
{
    static const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return E_IO;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, NODE_BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return E_IO;
    }
    *out = fd;
    return 0;
}

static int node_listen(const struct config_address *binding, int *out)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", binding->port);
    int failed = getaddrinfo(binding->host, port, &hints, &found);
    if (failed) {
        fprintf(stderr, "insid: cannot resolve %s: %s\n", binding->host, gai_strerror(failed));
        return E_IO;
    }
    int error = node_listen_at(found, out);
    if (error)
        fprintf(stderr, "insid: cannot listen on %s:%s: %s\n", binding->host, port,
                strerror(errno));
    freeaddrinfo(found);
    return error;
}

/* With SO_REUSEPORT a second server on the port would go unnoticed: probe without it first. */
static int node_probe(const struct config_address *binding)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    static const int on = 1;
    char port[8];
    int error = 0;
    snprintf(port, sizeof(port), "%u", binding->port);
    if (getaddrinfo(binding->host, port, &hints, &found) != 0)
        return 0; /* node_listen says it */
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 && errno == EADDRINUSE) {
            fprintf(stderr, "insid: cannot listen on %s:%s: %s\n", binding->host, port,
                    strerror(errno));
            error = E_IO;
        }
        close(fd);
    }
    freeaddrinfo(found);
    return error;
}

static int node_open_sockets(struct node *node)
{
    int error = node_probe(&node->self->http);
    for (unsigned i = 0; i < node->gateway_count && !error; i++)
        error = node_listen(&node->self->http, &node->http_fds[i]);
    if (!error && node->self->admin.host) {
        error = node_probe(&node->self->admin);
        error = error ? error : node_listen(&node->self->admin, &node->admin_fd);
    }
    return error;
}

static void node_raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int node_prepare(struct node *node, const struct config *config, const char *id)
{
    *node = (struct node){.config = config,
                          .self = config_find_node(config, id),
                          .lock_fd = -1,
                          .admin_fd = -1,
                          .gateway_count = config_gateway_count(config)};
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        node->http_fds[i] = -1;
    node_raise_limits();
    int error = path_of_node(&node->paths, config, id);
    if (error) {
        fprintf(stderr, "insid: dataDir, runDir or shmDir is too long\n");
        return error;
    }
    if (path_make_folder(node->paths.data) != 0)
        return node_refuse("cannot make folder", node->paths.data);
    error = node_lock(node);
    error = error ? error : node_make_folders(node);
    error = error ? error : node_write_pid(node);
    if (!error && board_create(node->paths.board) != 0)
        error = node_refuse("cannot make", node->paths.board);
    error = error ? error : node_open_sockets(node);
    if (error && node->lock_fd >= 0)
        node_release(node);
    return error;
}

static void node_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void node_release(struct node *node)
{
    char pid[PATH_BYTES + 16];
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        node_close(&node->http_fds[i]);
    node_close(&node->admin_fd);
    if (path_remove_tree(node->paths.shm) != 0)
        fprintf(stderr, "insid: cannot remove %s: %s\n", node->paths.shm, strerror(errno));
    node_pid_path(node, pid);
    unlink(pid);
    node_close(&node->lock_fd);
}
