/* fake_process.c - see fake_node.h: the gateway's process, its configuration, its supervisor and
 * its log. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "fake_private.h"
#include "procs/gateway/gateway.h"

/* ---- configuration ---------------------------------------------------------------------------
 */

static void fake_write_config(const struct fake *fake, const char *settings, int *fd)
{
    char text[4096];
    int len = snprintf(text, sizeof(text),
                       "instanceSecret: \"" FAKE_SECRET "\"\n"
                       "rootPrefix: \"the root's own prefix\"\n"
                       "defaultLeader: node0\n"
                       "dataDir: %s/data\n"
                       "shmDir: %s/shm\n"
                       "nodes:\n"
                       "  node0: {raftBinding: \"127.0.0.1:1\", httpBinding: \"127.0.0.1:2\", %s"
                       "nodeSecret: \"the node's own secret\"}\n"
                       "%s",
                       fake->dir, fake->dir,
                       fake->admin_port != 0 ? "adminBinding: \"127.0.0.1:3\", " : "",
                       settings != NULL ? settings : "");
    cr_assert(len > 0 && (size_t)len < sizeof(text));
    *fd = memfd_create("config", MFD_CLOEXEC);
    cr_assert(*fd >= 0 && write(*fd, text, (size_t)len) == len);
}

void fake_paths(const struct fake *fake, const char *settings, struct node_paths *paths)
{
    struct config config;
    int fd;
    char text[4096];
    fake_write_config(fake, settings, &fd);
    ssize_t len = pread(fd, text, sizeof(text), 0);
    close(fd);
    cr_assert_eq(config_parse(&config, slice_of(text, (size_t)len), "test", NULL, NULL), 0);
    cr_assert_eq(path_of_node(paths, &config, "node0"), 0);
    config_fini(&config);
}

/* ---- the supervisor, played ------------------------------------------------------------------
 */

void fake_on_control(struct fake *fake)
{
    char byte;
    while (recv(fake->control, &byte, 1, MSG_DONTWAIT) == 1) {
        fake->is_ready = fake->is_ready || byte == PROC_CONTROL_READY;
        fake->heartbeat_echoed = fake->heartbeat_echoed || byte == PROC_CONTROL_HEARTBEAT;
    }
}

void fake_supervisor_says(struct fake *fake, char byte)
{
    cr_assert_eq(send(fake->control, &byte, 1, MSG_NOSIGNAL), 1);
}

void fake_reload(struct fake *fake, const char *settings)
{
    char byte = PROC_CONTROL_RELOAD;
    int fd;
    struct iovec bytes = {&byte, 1};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    fake_write_config(fake, settings, &fd);
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    cr_assert_eq(sendmsg(fake->control, &message, 0), 1);
    close(fd);
    /* Control messages are worked off in order. */
    fake->heartbeat_echoed = false;
    fake_supervisor_says(fake, PROC_CONTROL_HEARTBEAT);
    FAKE_WAIT(fake, fake->heartbeat_echoed);
}

/* ---- the process -----------------------------------------------------------------------------
 */

static int fake_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 512), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

#define FAKE_PROGRAM "insi-gateway"

/* The gateway runs in this same program, started anew, because neither NNG (which Criterion uses
 * too) nor LMDB may be carried across a fork. Under this name it is no test. */
__attribute__((constructor)) static void fake_be_gateway(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[0], FAKE_PROGRAM) == 0)
        gateway_run(argc, argv);
}

static _Noreturn void fake_exec_gateway(const struct fake *fake, int control, int config,
                                        unsigned descriptors)
{
    char text[][16] = {FAKE_PROGRAM, "--node",        "node0",    "--index",
                       "0",          "--config-name", "test.yaml"};
    char *arguments[8] = {NULL};
    char log[128];
    for (int i = 0; i < 7; i++)
        arguments[i] = text[i];
    snprintf(log, sizeof(log), "%s/log", fake->dir);
    const int from[] = {open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600), control, config,
                        fake->listener, fake->admin_listener};
    const int count = fake->admin_listener >= 0 ? 5 : 4;
    int copies[5];
    for (int i = 0; i < count; i++)
        copies[i] = fcntl(from[i], F_DUPFD, 100);
    for (int i = 0; i < count; i++)
        dup2(copies[i], STDERR_FILENO + i); /* 2, then PROC_FD_CONTROL and those behind it */
    close_range((unsigned)(STDERR_FILENO + count), ~0u, 0);
    if (descriptors != 0) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){descriptors, descriptors});
        prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0); /* or root would raise it */
    }
    execv("/proc/self/exe", arguments);
    _exit(127);
}

void fake_prepare(struct fake *fake, const struct fake_options *options)
{
    const char *settings = options->settings;
    struct node_paths paths;
    memset(fake, 0, sizeof(*fake));
    strcpy(fake->dir, "/tmp/insi-gw-XXXXXX");
    cr_assert_not_null(mkdtemp(fake->dir));
    fake_paths(fake, settings, &paths);
    cr_assert_eq(path_make_folder(paths.run), 0);
    cr_assert_eq(path_make_folder(paths.shm), 0);
    cr_assert_eq(board_create(paths.board), 0);
    fake->listener = fake_listen(&fake->port);
    fake->admin_listener = options->has_admin ? fake_listen(&fake->admin_port) : -1;

    int control[2], config;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    fake_write_config(fake, settings, &config);
    fake->pid = fork();
    if (fake->pid == 0)
        fake_exec_gateway(fake, control[1], config, options->descriptors);
    cr_assert(fake->pid > 0);
    close(control[1]);
    close(config);
    fake->control = control[0];
    cr_assert_eq(board_open(&fake->board, paths.board, true), 0);
    fake->epoch = board_raise_epoch(fake->board);
    fake->term = 1;
    fake->mode = FAKE_APPLY;
    fake->answers_reads = true;
}

bool fake_gateway_has_ended(struct fake *fake, int *status)
{
    if (fake->pid != 0 && waitpid(fake->pid, status, WNOHANG) == fake->pid)
        fake->pid = 0;
    return fake->pid == 0;
}

/* What the gateway logged must not hold a failed check or a sanitizer's report. */
static void fake_check_log(const struct fake *fake)
{
    static const char *const alarms[] = {"Sanitizer", "runtime error", "check_failed", "Assertion"};
    char path[128], line[4096];
    snprintf(path, sizeof(path), "%s/log", fake->dir);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    bool is_alarmed = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        for (unsigned i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++)
            is_alarmed = is_alarmed || strstr(line, alarms[i]) != NULL;
        if (is_alarmed)
            fputs(line, stderr);
    }
    fclose(file);
    cr_expect(!is_alarmed);
}

unsigned fake_log_count(const struct fake *fake, const char *text)
{
    char path[128], line[4096];
    unsigned count = 0;
    snprintf(path, sizeof(path), "%s/log", fake->dir);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        count += strstr(line, text) != NULL;
    fclose(file);
    return count;
}

bool fake_log_contains(const struct fake *fake, const char *text)
{
    return fake_log_count(fake, text) > 0;
}

void fake_stop(struct fake *fake)
{
    if (fake->pid != 0) {
        kill(fake->pid, SIGKILL);
        waitpid(fake->pid, NULL, 0);
    }
    link_close(&fake->raft);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        link_close(&fake->workers[i]);
    for (unsigned i = 0; i < fake->held_count; i++)
        buf_fini(&fake->held[i]);
    map_close(&fake->map);
    map_close(&fake->volatile_map);
    map_close(&fake->events_map);
    board_close(&fake->board);
    close(fake->control);
    close(fake->listener);
    if (fake->admin_listener >= 0)
        close(fake->admin_listener);
    fake_check_log(fake);
    cr_expect_eq(path_remove_tree(fake->dir), 0);
}
