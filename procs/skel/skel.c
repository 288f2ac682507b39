/* skel.c - the life of a worker process: start order, control channel, signals. */
#include "procs/skel/skel.h"

#include <errno.h>
#include <fcntl.h>
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
#include "base/token.h"

#define SKEL_CONFIG_BYTES_MAX (4 << 20)

static _Noreturn void skel_refuse(const char *program)
{
    fprintf(stderr, "%s: started by insid only; see insid --help\n", program);
    exit(2);
}

static void skel_parse_arguments(struct skel *skel, int argc, char **argv, const char **config_name)
{
    struct stat info;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--node") == 0)
            skel->node = argv[i + 1];
        else if (strcmp(argv[i], "--index") == 0)
            skel->index = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--config-name") == 0)
            *config_name = argv[i + 1];
    }
    if (!skel->node || !*config_name || fstat(PROC_FD_CONTROL, &info) != 0 ||
        !S_ISSOCK(info.st_mode))
        skel_refuse(proc_program(skel->proc));
}

/* Secrets live in memory: no core dumps, no ptrace by others. Few arenas keep idle memory small. */
static void skel_harden(void)
{
    const struct rlimit none = {0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    mallopt(M_ARENA_MAX, 2);
    umask(077);
    fcntl(PROC_FD_CONTROL, F_SETFD, FD_CLOEXEC);
    fcntl(PROC_FD_CONTROL, F_SETFL, O_NONBLOCK);
}

static void skel_report_config(const char *message, void *arg)
{
    (void)arg;
    LOG_ERROR("config_refused", LOG_STR("reason", message));
}

static int skel_load_config(struct config *config, int fd, const char *name)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size <= 0 || info.st_size > SKEL_CONFIG_BYTES_MAX)
        return E_INVALID;
    void *text = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return E_IO;
    int error =
        config_parse(config, slice_of(text, (size_t)info.st_size), name, skel_report_config, NULL);
    munmap(text, (size_t)info.st_size);
    return error;
}

static void skel_block_signals(struct skel *skel)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    skel->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(skel->signal_fd >= 0);
}

void skel_start(struct skel *skel, enum proc proc, int argc, char **argv)
{
    const char *config_name = NULL;
    *skel = (struct skel){.proc = proc, .control_fd = PROC_FD_CONTROL};
    skel_parse_arguments(skel, argc, argv, &config_name);
    skel_harden();
    log_init(proc_name(proc), skel->node, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    int error = skel_load_config(&skel->config, PROC_FD_CONFIG, config_name);
    close(PROC_FD_CONFIG);
    skel->self = error ? NULL : config_find_node(&skel->config, skel->node);
    if (!error && !skel->self)
        error = E_INVALID;
    if (!error)
        error = path_of_node(&skel->paths, &skel->config, skel->node);
    if (error) {
        LOG_ERROR("start_failed", LOG_STR("error", error_text(error)));
        exit(1);
    }
    log_init(proc_name(proc), skel->node, skel->config.logging.level, skel->config.logging.format);
    while (skel->start_id == 0)
        token_random(&skel->start_id, sizeof(skel->start_id));
    skel_block_signals(skel);
}

void skel_set_hooks(struct skel *skel, const struct skel_hooks *hooks)
{
    skel->hooks = *hooks;
}

static void skel_stop(struct skel *skel)
{
    if (skel->stopping)
        return;
    skel->stopping = true;
    LOG_INFO("worker_stopping");
    if (skel->hooks.on_stop)
        skel->hooks.on_stop(skel->hooks.arg);
    else
        exit(0);
}

static void skel_reload(struct skel *skel, int fd)
{
    struct config fresh;
    if (fd < 0)
        return;
    int error = skel_load_config(&fresh, fd, "reload");
    close(fd);
    if (error || !config_find_node(&fresh, skel->node)) {
        LOG_WARN("config_reload_refused", LOG_STR("error", error_text(error)));
        if (!error)
            config_fini(&fresh);
        return;
    }
    config_fini(&skel->config);
    skel->config = fresh;
    skel->self = config_find_node(&skel->config, skel->node);
    log_set_level(skel->config.logging.level);
    if (skel->hooks.on_reload)
        skel->hooks.on_reload(skel->hooks.arg);
    LOG_INFO("config_reloaded");
}

/* One control packet; false when there is none. The supervisor's end ends us. */
static bool skel_receive(struct skel *skel)
{
    char byte = 0;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int fd = -1;
    ssize_t got = recvmsg(skel->control_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0)
        _exit(1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    switch ((enum proc_control)byte) {
    case PROC_CONTROL_HEARTBEAT:
        if (send(skel->control_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
            LOG_WARN("heartbeat_answer_failed", LOG_ERRNO(errno));
        break;
    case PROC_CONTROL_STOP:
        skel_stop(skel);
        break;
    case PROC_CONTROL_RELOAD:
        skel_reload(skel, fd);
        return true;
    default:
        LOG_WARN("control_message_unknown", LOG_U64("byte", (unsigned char)byte));
        break;
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
        if (info.ssi_signo == SIGTERM)
            skel_stop(skel);
}

static void skel_on_control(void *arg)
{
    skel_drain_control(arg);
}

static void skel_on_signals(void *arg)
{
    skel_drain_signals(arg);
}

void skel_attach(struct skel *skel, struct loop *loop)
{
    CHECK(loop_add_fd(loop, skel->control_fd, skel_on_control, skel) == 0);
    CHECK(loop_add_fd(loop, skel->signal_fd, skel_on_signals, skel) == 0);
}

void skel_ready(struct skel *skel)
{
    char byte = PROC_CONTROL_READY;
    if (send(skel->control_fd, &byte, 1, MSG_NOSIGNAL) != 1)
        _exit(1); /* the supervisor is gone */
    LOG_INFO("worker_ready", LOG_U64("pid", (uint64_t)getpid()));
}
