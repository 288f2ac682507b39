/* supervise.c - the loop of a node's supervisor: signals, control channels, deadlines.
 *
 * One epoll over a signalfd and a control socket per child; the wait ends with the next deadline.
 * What to do is decided by the table in children.c; this file carries it out.
 */
#include "insid-supervisor/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/proc.h"
#include "insid-supervisor/children.h"
#include "insid-supervisor/spawn.h"

#define SUPERVISE_CHILDREN_MAX (LIMIT_GATEWAYS + PROC_COUNT)
#define SUPERVISE_PHASE_MS 3000 /* three phases: gateways, state workers, raft; then SIGKILL */
#define SUPERVISE_PHASES 3

struct child {
    enum proc proc;
    unsigned index;
    enum child_state state;
    pid_t pid;
    int control_fd;        /* -1 when not running */
    uint64_t deadline_ms;  /* of the state; 0 = none */
    uint64_t next_beat_ms; /* READY: when to send the next heartbeat */
    uint64_t answered_ms;  /* READY: last heartbeat answered */
    uint64_t ready_ms;     /* when it last became ready; 0 = not in this life */
    unsigned failures;     /* ends in a row */
};

struct supervisor {
    struct node *node;
    struct config_file *file;
    char workers[PATH_BYTES]; /* folder of the worker programs */
    struct child children[SUPERVISE_CHILDREN_MAX];
    unsigned child_count;
    int epoll_fd, signal_fd;
    bool stopping, announced;
    unsigned phase; /* of the stop */
};

static void supervise_event(struct supervisor *supervisor, struct child *child,
                            enum child_event event);

static bool child_is_running(const struct child *child)
{
    return child->pid > 0;
}

static void child_close_control(struct supervisor *supervisor, struct child *child)
{
    if (child->control_fd < 0)
        return;
    epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_DEL, child->control_fd, NULL);
    close(child->control_fd);
    child->control_fd = -1;
}

static int supervise_spawn_process(struct supervisor *supervisor, struct child *child, int control,
                                   int config)
{
    char program[PATH_BYTES + 64], index[16];
    const struct node *node = supervisor->node;
    bool gateway = child->proc == PROC_GATEWAY;
    snprintf(program, sizeof(program), "%s/%s", supervisor->workers, proc_program(child->proc));
    snprintf(index, sizeof(index), "%u", child->index);
    char name[32], option_node[] = "--node", option_index[] = "--index";
    char option_config[] = "--config-name";
    snprintf(name, sizeof(name), "%s", proc_program(child->proc));
    char *path = mem_copy_string(supervisor->file->path);
    char *arguments[] = {name,  option_node,   node->self->id, option_index,
                         index, option_config, path,           NULL};
    struct spawn spawn = {.program = program,
                          .arguments = arguments,
                          .fds = {control, config, gateway ? node->http_fds[child->index] : -1,
                                  gateway && child->index == 0 ? node->admin_fd : -1},
                          .own_group = true};
    child->pid = spawn_start(&spawn);
    free(path);
    return child->pid > 0 ? 0 : E_IO;
}

static void supervise_spawn(struct supervisor *supervisor, struct child *child)
{
    int pair[2] = {-1, -1}, config = config_file_share(supervisor->file);
    int error = config < 0 ||
                socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0;
    error = error ? E_IO : supervise_spawn_process(supervisor, child, pair[1], config);
    int saved = errno;
    if (config >= 0)
        close(config);
    if (pair[1] >= 0)
        close(pair[1]);
    child->ready_ms = 0;
    child->deadline_ms = clock_boot_ms() + CHILD_READY_MS;
    if (error) {
        LOG_ERROR("child_start_failed", LOG_STR("child", proc_name(child->proc)), LOG_ERRNO(saved));
        if (pair[0] >= 0)
            close(pair[0]);
        child->pid = 0;
        supervise_event(supervisor, child, CHILD_EVENT_EXIT);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = child};
    child->control_fd = pair[0];
    CHECK(epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, child->control_fd, &event) == 0);
    LOG_INFO("child_started", LOG_STR("child", proc_name(child->proc)),
             LOG_U64("index", child->index), LOG_U64("child_pid", (uint64_t)child->pid));
}

static void supervise_announce(struct supervisor *supervisor)
{
    const struct config_address *http = &supervisor->node->self->http;
    for (unsigned i = 0; i < supervisor->child_count; i++)
        if (supervisor->children[i].state != CHILD_READY)
            return;
    if (supervisor->announced)
        return;
    supervisor->announced = true;
    bool v6 = strchr(http->host, ':') != NULL;
    printf("%s ready: %s://%s%s%s:%u\n", supervisor->node->self->id,
           supervisor->node->config->tls.enabled ? "https" : "http", v6 ? "[" : "", http->host,
           v6 ? "]" : "", http->port);
    fflush(stdout);
    LOG_INFO("node_ready");
}

static void supervise_schedule(struct child *child)
{
    uint64_t now = clock_boot_ms();
    bool good_life = child->ready_ms > 0 && now - child->ready_ms >= CHILD_GOOD_LIFE_MS;
    child->failures = good_life ? 1 : child->failures + 1;
    uint64_t delay = child_backoff_ms(child->failures);
    child->deadline_ms = now + delay;
    LOG_INFO("child_restarting", LOG_STR("child", proc_name(child->proc)),
             LOG_U64("index", child->index), LOG_U64("delay_ms", delay));
}

static void supervise_signal(struct child *child, int number)
{
    LOG_WARN("child_signalled", LOG_STR("child", proc_name(child->proc)),
             LOG_U64("index", child->index), LOG_U64("signal", (uint64_t)number));
    if (child_is_running(child))
        kill(child->pid, number);
    child->deadline_ms = clock_boot_ms() + CHILD_ABORT_MS;
}

static void supervise_tell(struct child *child)
{
    char byte = PROC_CONTROL_STOP;
    if (child->control_fd < 0 || send(child->control_fd, &byte, 1, MSG_NOSIGNAL) != 1)
        kill(child->pid, SIGKILL); /* not listening: the log is safe, so end it */
}

static void supervise_act(struct supervisor *supervisor, struct child *child,
                          enum child_action action)
{
    switch (action) {
    case CHILD_ACTION_NONE:
        break;
    case CHILD_ACTION_SPAWN:
        supervise_spawn(supervisor, child);
        break;
    case CHILD_ACTION_ANNOUNCE:
        child->ready_ms = child->answered_ms = clock_boot_ms();
        child->next_beat_ms = child->ready_ms + CHILD_HEARTBEAT_MS;
        child->deadline_ms = 0;
        LOG_INFO("child_ready", LOG_STR("child", proc_name(child->proc)),
                 LOG_U64("index", child->index));
        supervise_announce(supervisor);
        break;
    case CHILD_ACTION_ABORT:
        supervise_signal(child, SIGABRT);
        break;
    case CHILD_ACTION_KILL:
        supervise_signal(child, SIGKILL);
        break;
    case CHILD_ACTION_SCHEDULE:
        supervise_schedule(child);
        break;
    case CHILD_ACTION_TELL:
        supervise_tell(child);
        child->deadline_ms = clock_boot_ms() + SUPERVISE_PHASE_MS;
        break;
    case CHILD_ACTION_FORGET:
        child->deadline_ms = 0;
        break;
    }
}

static void supervise_event(struct supervisor *supervisor, struct child *child,
                            enum child_event event)
{
    struct child_step step = child_step(child->state, event);
    child->state = step.next;
    supervise_act(supervisor, child, step.action);
}

/* ---- the stop, phase by phase ---------------------------------------------------------------- */

static unsigned supervise_phase_of(enum proc proc)
{
    return proc == PROC_GATEWAY ? 0 : proc == PROC_RAFT ? 2 : 1;
}

/* Gateways finish their requests first, which needs the workers; the workers finish what raft sent.
 */
static void supervise_stop_next(struct supervisor *supervisor)
{
    for (; supervisor->phase < SUPERVISE_PHASES; supervisor->phase++) {
        bool waiting = false;
        for (unsigned i = 0; i < supervisor->child_count; i++) {
            struct child *child = &supervisor->children[i];
            if (supervise_phase_of(child->proc) != supervisor->phase)
                continue;
            supervise_event(supervisor, child, CHILD_EVENT_STOP);
            waiting |= child->state != CHILD_STOPPED;
        }
        if (waiting)
            return;
    }
}

static void supervise_stop(struct supervisor *supervisor)
{
    if (supervisor->stopping)
        return;
    LOG_INFO("node_stopping");
    supervisor->stopping = true;
    supervise_stop_next(supervisor);
}

/* ---- what wakes the loop -----------------------------------------------------------------------
 */

static void supervise_reload(struct supervisor *supervisor)
{
    struct config_file fresh;
    const char *id = supervisor->node->self->id;
    if (config_file_read(&fresh, supervisor->file->path) != 0) {
        LOG_ERROR("config_reload_refused", LOG_STR("file", supervisor->file->path));
        return;
    }
    if (!config_find_node(&fresh.config, id)) {
        LOG_ERROR("config_reload_refused", LOG_STR("reason", "this node is not in it"));
        config_file_fini(&fresh);
        return;
    }
    /* The node keeps its folders and bindings; the workers take what can change. */
    struct config_file kept = *supervisor->file;
    supervisor->file->text = fresh.text;
    supervisor->file->len = fresh.len;
    free(kept.text);
    fresh.text = NULL;
    config_fini(&fresh.config);
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        int fd = child->control_fd >= 0 ? config_file_share(supervisor->file) : -1;
        if (fd < 0)
            continue;
        char byte = PROC_CONTROL_RELOAD;
        struct iovec iov = {&byte, 1};
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        if (sendmsg(child->control_fd, &message, MSG_NOSIGNAL) != 1)
            LOG_WARN("config_handover_failed", LOG_STR("child", proc_name(child->proc)),
                     LOG_ERRNO(errno));
        close(fd);
    }
    LOG_INFO("config_reloaded");
}

static void supervise_ended(struct supervisor *supervisor, pid_t pid, int status)
{
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->pid != pid)
            continue;
        LOG_AT(supervisor->stopping ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "child_exited",
               LOG_STR("child", proc_name(child->proc)), LOG_U64("index", child->index),
               LOG_U64("child_pid", (uint64_t)pid),
               WIFSIGNALED(status) ? LOG_U64("signal", (uint64_t)WTERMSIG(status))
                                   : LOG_U64("status", (uint64_t)WEXITSTATUS(status)));
        child->pid = 0;
        child_close_control(supervisor, child);
        supervise_event(supervisor, child, CHILD_EVENT_EXIT);
        if (supervisor->stopping)
            supervise_stop_next(supervisor);
        return;
    }
}

static void supervise_on_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int status;
        pid_t pid;
        switch (info.ssi_signo) {
        case SIGCHLD:
            while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                supervise_ended(supervisor, pid, status);
            break;
        case SIGHUP:
            supervise_reload(supervisor);
            break;
        default:
            supervise_stop(supervisor);
            break;
        }
    }
}

static void supervise_on_control(struct supervisor *supervisor, struct child *child)
{
    char byte;
    while (child->control_fd >= 0) {
        ssize_t got = recv(child->control_fd, &byte, 1, MSG_DONTWAIT);
        if (got < 0)
            return;
        if (got == 0) { /* its end follows as SIGCHLD */
            child_close_control(supervisor, child);
            return;
        }
        if (byte == PROC_CONTROL_READY)
            supervise_event(supervisor, child, CHILD_EVENT_READY);
        else if (byte == PROC_CONTROL_HEARTBEAT)
            child->answered_ms = clock_boot_ms();
        else
            LOG_WARN("control_message_unknown", LOG_STR("child", proc_name(child->proc)));
    }
}

static void supervise_beat(struct supervisor *supervisor, struct child *child, uint64_t now)
{
    char byte = PROC_CONTROL_HEARTBEAT;
    if (child->state != CHILD_READY || now < child->next_beat_ms)
        return;
    if (now - child->answered_ms >= CHILD_HUNG_MS) {
        LOG_ERROR("child_hung", LOG_STR("child", proc_name(child->proc)),
                  LOG_U64("index", child->index));
        supervise_event(supervisor, child, CHILD_EVENT_TIMEOUT);
        return;
    }
    if (child->control_fd >= 0)
        send(child->control_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    child->next_beat_ms = now + CHILD_HEARTBEAT_MS;
}

/* Fires what is due and returns how long the loop may sleep (ms, -1 for ever). */
static int supervise_timers(struct supervisor *supervisor)
{
    uint64_t now = clock_boot_ms(), next = UINT64_MAX;
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->deadline_ms && now >= child->deadline_ms) {
            child->deadline_ms = 0;
            supervise_event(supervisor, child, CHILD_EVENT_TIMEOUT);
        }
        supervise_beat(supervisor, child, now);
        if (child->deadline_ms && child->deadline_ms < next)
            next = child->deadline_ms;
        if (child->state == CHILD_READY && child->next_beat_ms < next)
            next = child->next_beat_ms;
    }
    if (next == UINT64_MAX)
        return -1;
    return next > now ? (int)(next - now) : 0;
}

static bool supervise_done(const struct supervisor *supervisor)
{
    return supervisor->stopping && supervisor->phase >= SUPERVISE_PHASES;
}

static void supervise_run(struct supervisor *supervisor)
{
    struct epoll_event events[16];
    while (!supervise_done(supervisor)) {
        int wait_ms = supervise_timers(supervisor);
        int count = epoll_wait(supervisor->epoll_fd, events, 16, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                supervise_on_control(supervisor, events[i].data.ptr);
            else
                supervise_on_signals(supervisor);
        }
    }
}

static void supervise_add(struct supervisor *supervisor, enum proc proc, unsigned index)
{
    CHECK(supervisor->child_count < SUPERVISE_CHILDREN_MAX);
    supervisor->children[supervisor->child_count++] =
        (struct child){.proc = proc, .index = index, .control_fd = -1};
}

static void supervise_open(struct supervisor *supervisor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    supervisor->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    supervisor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(supervisor->signal_fd >= 0 && supervisor->epoll_fd >= 0);
    CHECK(epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, supervisor->signal_fd, &event) == 0);
}

int supervise_node(struct node *node, struct config_file *file)
{
    struct supervisor *supervisor = mem_alloc(sizeof(*supervisor));
    supervisor->node = node;
    supervisor->file = file;
    if (spawn_find_workers(supervisor->workers) != 0) {
        fprintf(stderr,
                "insid: cannot find the worker programs (insi-raft, ...) in libexec/ beside "
                "insid or in ../libexec/insi/\n");
        free(supervisor);
        return 1;
    }
    supervise_open(supervisor);
    for (enum proc proc = PROC_RAFT; proc <= PROC_LAST_WORKER; proc++)
        supervise_add(supervisor, proc, 0);
    for (unsigned i = 0; i < node->gateway_count; i++)
        supervise_add(supervisor, PROC_GATEWAY, i);
    for (unsigned i = 0; i < supervisor->child_count; i++)
        supervise_event(supervisor, &supervisor->children[i], CHILD_EVENT_START);
    supervise_run(supervisor);
    LOG_INFO("node_stopped");
    close(supervisor->signal_fd);
    close(supervisor->epoll_fd);
    free(supervisor);
    return 0;
}
