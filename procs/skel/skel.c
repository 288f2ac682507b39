/* skel.c - what every worker does before its own work begins, and its talk with the supervisor.
 *
 * The control channel is read in the worker's own loop, so that a heartbeat is answered only by a
 * worker whose loop turns. The channel's end means that the supervisor is gone: there is nobody
 * left to restart this process or to keep the node's lock, so it ends at once, without a word to
 * anybody.
 */
#include "procs/skel/skel.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/token.h"

#define SKEL_ARENAS 2     /* of malloc: threads that only help need none of their own */
#define SKEL_EXIT_USAGE 2 /* started by hand */

/* ---- start ------------------------------------------------------------------------------------
 */

static _Noreturn void skel_refuse(enum proc proc)
{
    fprintf(stderr, "%s: started by insid only\n", proc_program(proc));
    exit(SKEL_EXIT_USAGE);
}

static bool skel_has_control(void)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return getsockopt(PROC_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET && fcntl(PROC_FD_CONFIG, F_GETFD) >= 0;
}

static const char *skel_parse(struct skel *skel, int argc, char **argv)
{
    static const struct option options[] = {{"node", required_argument, NULL, 'n'},
                                            {"index", required_argument, NULL, 'i'},
                                            {"config-name", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    const char *config_name = NULL, *index = NULL;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'n')
            skel->node = optarg;
        else if (option == 'i')
            index = optarg;
        else if (option == 'c')
            config_name = optarg;
        else
            skel_refuse(skel->proc);
    }
    char *end = NULL;
    unsigned long number = index ? strtoul(index, &end, 10) : LIMIT_GATEWAYS;
    if (!skel->node || !config_name || number >= LIMIT_GATEWAYS || *end || !skel_has_control())
        skel_refuse(skel->proc);
    skel->index = (unsigned)number;
    return config_name;
}

/* Ends with the supervisor, also when that went away before we could ask for it. */
static void skel_bind_life(void)
{
    struct ucred maker = {0};
    socklen_t len = sizeof(maker);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    CHECK(getsockopt(PROC_FD_CONTROL, SOL_SOCKET, SO_PEERCRED, &maker, &len) == 0);
    if (getppid() != maker.pid)
        _exit(1);
}

static void skel_guard_memory(void)
{
    const struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
#endif
    mallopt(M_ARENA_MAX, SKEL_ARENAS);
    umask(077);
}

static void skel_open_signals(struct skel *skel)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTTOU};
    sigset_t term;
    for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        CHECK(signal(ignored[i], SIG_IGN) != SIG_ERR);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &term, NULL) == 0); /* threads made later inherit it */
    skel->signal_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(skel->signal_fd >= 0);
}

static void skel_keep_descriptors(struct skel *skel)
{
    for (int fd = PROC_FD_CONTROL; fd <= PROC_FD_LOCK; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* those that were not handed over do not matter */
    CHECK(fcntl(PROC_FD_CONTROL, F_SETFL, O_NONBLOCK) == 0);
    skel->control_fd = PROC_FD_CONTROL;
}

/* ---- configuration ----------------------------------------------------------------------------
 */

static void skel_on_config_error(const char *message, void *arg)
{
    (void)arg;
    LOG_ERROR("config_refused", LOG_STR("reason", message));
}

/* The memfd is sealed: its text cannot change between the supervisor's check and this one. All
 * workers share its offset, so it is mapped, not read. */
static int skel_parse_config(struct config *out, int fd, const char *name)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size <= 0)
        return E_IO;
    size_t len = (size_t)info.st_size;
    void *text = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return E_IO;
    int error = config_parse(out, slice_of(text, len), name, skel_on_config_error, NULL);
    munmap(text, len);
    return error;
}

/* Takes over what it was given once it is found to be usable. */
static int skel_use_config(struct skel *skel, struct config *config)
{
    const struct config_node *self = config_find_node(config, skel->node);
    if (!self)
        return E_NOT_FOUND;
    skel->config = *config;
    skel->self = config_find_node(&skel->config, skel->node);
    return 0;
}

static void skel_init_log(const struct skel *skel, enum log_level level, enum log_format format)
{
    char name[32];
    if (skel->proc == PROC_GATEWAY)
        snprintf(name, sizeof(name), "%s%u", proc_name(skel->proc), skel->index);
    else
        snprintf(name, sizeof(name), "%s", proc_name(skel->proc));
    log_init(name, skel->node, level, format);
}

static void skel_load_config(struct skel *skel, const char *config_name)
{
    struct config config;
    int error = skel_parse_config(&config, PROC_FD_CONFIG, config_name);
    error = error ? error : skel_use_config(skel, &config);
    error = error ? error : path_of_node(&skel->paths, &skel->config, skel->node);
    if (error) {
        LOG_ERROR("worker_start_failed", LOG_STR("reason", "configuration"),
                  LOG_CAUSE(error, errno));
        exit(1);
    }
    close(PROC_FD_CONFIG);
    skel_init_log(skel, skel->config.logging.level, skel->config.logging.format);
}

void skel_start(struct skel *skel, enum proc proc, int argc, char **argv)
{
    memset(skel, 0, sizeof(*skel));
    skel->proc = proc;
    const char *config_name = skel_parse(skel, argc, argv);
    skel_bind_life();
    skel_guard_memory();
    skel_init_log(skel, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    skel_keep_descriptors(skel);
    skel_open_signals(skel);
    skel_load_config(skel, config_name);
    while (skel->start_id == 0)
        token_random(&skel->start_id, sizeof(skel->start_id));
}

/* ---- the supervisor's messages ----------------------------------------------------------------
 */

static void skel_send(struct skel *skel, enum proc_control what)
{
    char byte = (char)what;
    ssize_t sent = send(skel->control_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == 1)
        return;
    if (errno == EPIPE || errno == ECONNRESET)
        _exit(1); /* the supervisor is gone */
    LOG_WARN("control_send_failed", LOG_ERRNO(errno));
}

static void skel_stop(struct skel *skel)
{
    if (skel->stopping)
        return;
    skel->stopping = true;
    LOG_INFO("worker_stopping");
    if (!skel->hooks.on_stop)
        skel_exit(skel, 0); /* nothing was begun yet */
    skel->hooks.on_stop(skel->hooks.arg);
}

static void skel_yield(struct skel *skel)
{
    if (skel->yielding)
        return;
    skel->yielding = true;
    LOG_INFO("worker_yielding");
    if (skel->hooks.on_yield)
        skel->hooks.on_yield(skel->hooks.arg);
    else
        skel_yielded(skel);
}

void skel_yielded(struct skel *skel)
{
    skel_send(skel, PROC_CONTROL_YIELD);
}

static void skel_reload(struct skel *skel, int fd)
{
    struct config fresh, old = skel->config;
    int error = fd < 0 ? E_INVALID : skel_parse_config(&fresh, fd, "reloaded configuration");
    if (!error) {
        error = skel_use_config(skel, &fresh);
        if (error)
            config_fini(&fresh);
    }
    if (error) {
        LOG_ERROR("reload_failed", LOG_CAUSE(error, errno));
        return;
    }
    log_set_level(skel->config.logging.level);
    if (skel->hooks.on_reload)
        skel->hooks.on_reload(skel->hooks.arg);
    config_fini(&old);
    LOG_INFO("config_reloaded");
}

static int skel_take_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && fd < 0)
            memcpy(&fd, CMSG_DATA(part), sizeof(fd));
    return fd;
}

/* One packet. False when there is none. */
static bool skel_receive(struct skel *skel)
{
    char byte = 0;
    struct iovec bytes = {&byte, 1};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    ssize_t got = recvmsg(skel->control_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (got <= 0)
        _exit(1); /* the supervisor is gone */
    int fd = skel_take_descriptor(&message);
    switch (byte) {
    case PROC_CONTROL_HEARTBEAT:
        skel_send(skel, PROC_CONTROL_HEARTBEAT);
        break;
    case PROC_CONTROL_STOP:
        skel_stop(skel);
        break;
    case PROC_CONTROL_RELOAD:
        skel_reload(skel, fd);
        break;
    case PROC_CONTROL_YIELD:
        skel_yield(skel);
        break;
    default:
        LOG_WARN("control_not_understood", LOG_U64("byte", (unsigned char)byte));
    }
    if (fd >= 0)
        close(fd);
    return true;
}

void skel_drain_control(struct skel *skel)
{
    while (skel_receive(skel))
        ;
}

void skel_drain_signals(struct skel *skel)
{
    struct signalfd_siginfo info;
    while (read(skel->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        skel_stop(skel);
}

static void skel_on_control(void *arg)
{
    skel_drain_control(arg);
}

static void skel_on_signal(void *arg)
{
    skel_drain_signals(arg);
}

void skel_attach(struct skel *skel, struct loop *loop)
{
    CHECK(loop_add_fd(loop, skel->control_fd, skel_on_control, skel) == 0);
    CHECK(loop_add_fd(loop, skel->signal_fd, skel_on_signal, skel) == 0);
}

void skel_set_hooks(struct skel *skel, const struct skel_hooks *hooks)
{
    skel->hooks = *hooks;
}

void skel_ready(struct skel *skel)
{
    LOG_INFO("worker_ready");
    skel_send(skel, PROC_CONTROL_READY);
}

void skel_exit(struct skel *skel, int status)
{
    (void)skel;
    LOG_INFO("worker_ended", LOG_I64("status", status));
    _exit(status);
}
