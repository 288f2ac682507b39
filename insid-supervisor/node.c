/* node.c - folders, lock, board and listening sockets of a node. */
#include "insid-supervisor/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/proc.h"
#include "insid-supervisor/listen.h"
#include "shm/board.h"

#define NODE_DYING_MS 500      /* for a killed insid to be gone */
#define NODE_LEFTOVER_MS 10000 /* for its workers to be gone */
#define NODE_ALARM_US 50000    /* between looks at the clock while waiting for a lock */

static void node_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int node_refuse(const char *what, const char *path)
{
    fprintf(stderr, "insid: %s %s: %s\n", what, path, strerror(errno));
    return E_IO;
}

int node_check_paths(const struct config *config, const char *id, const char *config_name)
{
    struct node_paths paths;
    char url[PROC_LINK_BYTES];
    int error = path_of_node(&paths, config, id);
    if (error == E_IO)
        fprintf(stderr, "insid: cannot tell the working directory: %s\n", strerror(errno));
    else if (error)
        fprintf(stderr,
                "insid: %s: dataDir, runDir or shmDir is too long: a path has room for %d bytes\n",
                config_name, PATH_BYTES - 1);
    else if ((error = proc_link_url(url, paths.run, PROC_STORAGE, PROC_GATEWAY,
                                    config_gateway_count(config) - 1)) != 0)
        fprintf(stderr,
                "insid: %s: %s: '%s' is too long for sockets in it (with a socket's name at most "
                "%d bytes): set runDir to a shorter path\n",
                config_name, config->run_dir[0] ? "runDir" : "dataDir", paths.run,
                PATH_SOCKET_BYTES - 1);
    return error;
}

static int node_check_readable(const char *config_name, const char *setting, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        fprintf(stderr, "insid: %s: %s: cannot read %s: %s\n", config_name, setting, path,
                strerror(errno));
        return E_IO;
    }
    close(fd);
    return 0;
}

int node_check_certificates(const struct config *config, const char *config_name)
{
    if (!config->tls.enabled)
        return 0;
    int error = node_check_readable(config_name, "tls.cert", config->tls.cert);
    error = error ? error : node_check_readable(config_name, "tls.key", config->tls.key);
    return error ? error : node_check_readable(config_name, "tls.ca", config->tls.ca);
}

/* What others could write to is not ours, whoever may have made it: /dev/shm is everybody's. */
static int node_make_private(const char *path)
{
    struct stat info;
    if (path_make_folder(path) != 0 || lstat(path, &info) != 0)
        return node_refuse("cannot make folder", path);
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
        fprintf(stderr, "insid: %s belongs to another user\n", path);
        return E_IO;
    }
    if ((info.st_mode & 077) != 0 && chmod(path, 0700) != 0)
        return node_refuse("cannot make private", path);
    return 0;
}

static int node_make_folders(const struct node *node)
{
    const struct node_paths *paths = &node->paths;
    const char *folders[] = {paths->log, paths->values, paths->snapshots,
                             paths->run, paths->shm,    paths->volatile_map};
    int error = 0;
    for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]) && !error; i++)
        error = node_make_private(folders[i]);
    return error;
}

static int node_open_lock(const struct node *node, const char *name, int *out)
{
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof(path), "%s/%s", node->paths.data, name);
    *out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return *out >= 0 ? 0 : node_refuse("cannot open", path);
}

static void node_on_alarm(int number)
{
    (void)number; /* only interrupts */
}

/* Waits for the lock, but not longer than so many milliseconds: E_BUSY. The alarm repeats, so that
 * one which comes before flock sleeps does no harm. */
static int node_wait_lock(int fd, unsigned limit_ms)
{
    const struct sigaction interrupt = {.sa_handler = node_on_alarm};
    const struct itimerval each = {{0, NODE_ALARM_US}, {0, NODE_ALARM_US}},
                           never = {{0, 0}, {0, 0}};
    struct sigaction before;
    uint64_t give_up = clock_boot_ms() + limit_ms;
    CHECK(sigaction(SIGALRM, &interrupt, &before) == 0 && setitimer(ITIMER_REAL, &each, NULL) == 0);
    int result;
    do
        result = flock(fd, LOCK_EX);
    while (result != 0 && errno == EINTR && clock_boot_ms() < give_up);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0 && sigaction(SIGALRM, &before, NULL) == 0);
    return result == 0 ? 0 : E_BUSY;
}

/* The same path of data means the same folder on tmpfs. Two containers that share /dev/shm can have
 * different data there. */
static int node_take_shm(struct node *node)
{
    const char *path = node->paths.shm;
    int error = node_make_private(path);
    int fd = error ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (error || fd < 0)
        return error ? error : node_refuse("cannot open", path);
    if (node_wait_lock(fd, NODE_DYING_MS) != 0) {
        fprintf(stderr, "insid: %s is in use by another insid: set shmDir to a folder of its own\n",
                path);
        close(fd);
        return E_BUSY;
    }
    node->shm_fd = fd;
    return 0;
}

static void node_say_busy(const struct node *node)
{
    char pid[32] = "";
    ssize_t len = pread(node->lock_fd, pid, sizeof(pid) - 1, 0);
    pid[len > 0 ? len : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    fprintf(stderr, "insid: another insid (pid %s) runs on %s already\n", pid[0] ? pid : "?",
            node->paths.data);
}

/* The lock lives as long as the open file: a killed insid leaves none behind, but it may take its
 * last moments, and so may a child that it was just starting. The file holds the pid for the
 * message of the next one. */
static int node_lock_own(struct node *node)
{
    char pid[32];
    int error = node_open_lock(node, "lock", &node->lock_fd);
    if (error)
        return error;
    if (node_wait_lock(node->lock_fd, NODE_DYING_MS) != 0) {
        node_say_busy(node);
        return E_BUSY;
    }
    int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(node->lock_fd, 0) != 0 || pwrite(node->lock_fd, pid, (size_t)len, 0) != len)
        return node_refuse("cannot write the lock in", node->paths.data);
    return 0;
}

/* Workers die with their insid, but not in the same instant: one may still be in a system call. */
static int node_lock_workers(struct node *node)
{
    int error = node_open_lock(node, "lock.workers", &node->workers_lock_fd);
    if (!error && node_wait_lock(node->workers_lock_fd, NODE_LEFTOVER_MS) != 0) {
        fprintf(stderr, "insid: workers of an earlier insid still run on %s\n", node->paths.data);
        error = E_BUSY;
    }
    return error;
}

static void node_unlock(struct node *node)
{
    node_close(&node->workers_lock_fd);
    node_close(&node->lock_fd);
}

int node_lock(struct node *node, const struct config *config, const char *id)
{
    *node = (struct node){.config = config,
                          .self = config_find_node(config, id),
                          .lock_fd = -1,
                          .workers_lock_fd = -1,
                          .shm_fd = -1,
                          .admin_fd = -1,
                          .gateway_count = config_gateway_count(config)};
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        node->http_fds[i] = -1;
    CHECK(path_of_node(&node->paths, config, id) == 0); /* node_check_paths came before */
    int error = node_make_private(node->paths.data);
    error = error ? error : node_lock_own(node);
    error = error ? error : node_lock_workers(node);
    if (error)
        node_unlock(node);
    return error;
}

/* Sockets of workers that were killed. Only under the locks, so nobody listens on them. */
static void node_remove_sockets(const struct node *node)
{
    DIR *folder = opendir(node->paths.run);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *ending = strrchr(entry->d_name, '.');
        if (ending && strcmp(ending, ".sock") == 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
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

static void node_raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int node_open_sockets(struct node *node)
{
    int error = listen_open(&node->self->http, "httpBinding", node->http_fds, node->gateway_count);
    if (!error && node->self->admin.host)
        error = listen_open(&node->self->admin, "adminBinding", &node->admin_fd, 1);
    return error;
}

static int node_make_board(struct node *node)
{
    struct stat info;
    if (board_create(node->paths.board) != 0 || stat(node->paths.board, &info) != 0)
        return node_refuse("cannot make", node->paths.board);
    node->board_device = info.st_dev;
    node->board_inode = info.st_ino;
    return 0;
}

bool node_has_board(const struct node *node)
{
    struct stat info;
    return stat(node->paths.board, &info) == 0 && info.st_dev == node->board_device &&
           info.st_ino == node->board_inode;
}

int node_prepare(struct node *node)
{
    node_raise_limits();
    int error = node_take_shm(node);
    error = error ? error : node_make_folders(node);
    error = error ? error : node_write_pid(node);
    error = error ? error : node_make_board(node);
    error = error ? error : node_open_sockets(node);
    if (error)
        node_release(node);
    else
        node_remove_sockets(node);
    return error;
}

void node_release(struct node *node)
{
    char pid[PATH_BYTES + 16];
    listen_close(node->http_fds, LIMIT_GATEWAYS);
    listen_close(&node->admin_fd, 1);
    if (node->shm_fd >= 0 && path_remove_tree(node->paths.shm) != 0)
        fprintf(stderr, "insid: cannot remove %s: %s\n", node->paths.shm, strerror(errno));
    node_close(&node->shm_fd);
    node_remove_sockets(node);
    node_pid_path(node, pid);
    unlink(pid);
    node_unlock(node);
}
