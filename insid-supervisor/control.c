/* control.c - see control.h. */
#include "insid-supervisor/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define CONTROL_EVENTS 16
#define CONTROL_TIME_BYTES 32

enum control_wish {
    CONTROL_SILENT, /* nothing said yet */
    CONTROL_RESTART,
    CONTROL_STOP
};

struct control_client {
    struct control *control;
    int fd; /* -1: free */
    enum control_wish wish;
    uint64_t silent_until_ms;
    char worker[CONTROL_REQUEST_BYTES]; /* of a restart */
    unsigned child, starts;             /* which is awaited, and its starts at the time of asking */
};

struct control {
    struct control_options options;
    int listen_fd, epoll_fd;
    uint64_t started_ms;
    bool is_stopping;
    struct control_client clients[CONTROL_CLIENTS_MAX];
};

/* ---- answers ---- */

static void control_drop(struct control_client *client)
{
    close(client->fd); /* leaves epoll by itself */
    client->fd = -1;
}

/* The socket's buffer has room for the one packet; a client that is gone needs none. */
static void control_say(const struct control_client *client, struct slice text)
{
    if (send(client->fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        LOG_DEBUG("control_answer_lost", LOG_ERRNO(errno));
}

static void control_answer(struct control_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void control_answer(struct control_client *client, const char *format, ...)
{
    char text[CONTROL_REQUEST_BYTES + 256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    CHECK(len > 0);
    control_say(client,
                slice_of(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
    control_drop(client);
}

/* ---- status ---- */

static void control_format_time(uint64_t ms, char out[CONTROL_TIME_BYTES])
{
    uint64_t seconds = ms / 1000;
    if (seconds >= 3600)
        snprintf(out, CONTROL_TIME_BYTES, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
    else if (seconds >= 60)
        snprintf(out, CONTROL_TIME_BYTES, "%" PRIu64 "m%" PRIu64 "s", seconds / 60, seconds % 60);
    else
        snprintf(out, CONTROL_TIME_BYTES, "%" PRIu64 "s", seconds);
}

static void control_print_child(struct buf *out, const struct child *child, uint64_t now_ms)
{
    char pid[16] = "-", uptime[CONTROL_TIME_BYTES] = "-";
    if (child->pid > 0) {
        snprintf(pid, sizeof(pid), "%ld", (long)child->pid);
        control_format_time(now_ms - child->started_ms, uptime);
    }
    buf_printf(out, "%-12s  %-8s  %-10s  %-12s  %u\n", child->name, pid,
               children_state_name(child->state), uptime,
               child->starts > 0 ? child->starts - 1 : 0);
}

static void control_status(struct control_client *client)
{
    const struct control *control = client->control;
    const struct control_options *options = &control->options;
    uint64_t now_ms = clock_boot_ms();
    char uptime[CONTROL_TIME_BYTES];
    struct buf out;
    buf_init(&out, CONTROL_ANSWER_BYTES);
    control_format_time(now_ms - control->started_ms, uptime);
    buf_printf(&out, "+%s: pid %ld, up %s%s\n", options->node, (long)getpid(), uptime,
               control->is_stopping ? ", stopping" : "");
    buf_printf(&out, "%-12s  %-8s  %-10s  %-12s  %s\n", "PROCESS", "PID", "STATE", "UPTIME",
               "RESTARTS");
    for (unsigned i = 0; i < options->child_count; i++)
        control_print_child(&out, &options->children[i], now_ms);
    control_say(client, buf_slice(&out));
    control_drop(client);
    buf_fini(&out);
}

/* ---- restart ---- */

static bool control_is_named(const struct child *child, const char *worker)
{
    return strcmp(child->name, worker) == 0 || strcmp(proc_name(child->proc), worker) == 0;
}

/* Begins with the first such worker from this one on. False: there is none any more. */
static bool control_restart_from(struct control_client *client, unsigned first)
{
    const struct control_options *options = &client->control->options;
    for (unsigned i = first; i < options->child_count; i++) {
        const struct child *child = &options->children[i];
        if (!control_is_named(child, client->worker))
            continue;
        client->wish = CONTROL_RESTART;
        client->child = i;
        /* One that is being started anyhow is as good as new when it serves. */
        client->starts = child->pid > 0 && child->state == CHILD_STATE_STARTING ? child->starts - 1
                                                                                : child->starts;
        LOG_INFO("restart_asked_for", LOG_STR("child", child->name));
        options->restart(options->arg, i);
        return true;
    }
    return false;
}

static void control_refuse_worker(struct control_client *client)
{
    const struct control_options *options = &client->control->options;
    struct buf names;
    buf_init(&names, CONTROL_ANSWER_BYTES);
    for (unsigned i = 0; i < options->child_count; i++)
        buf_printf(&names, " %s", options->children[i].name);
    buf_append_byte(&names, '\0');
    control_answer(client, "!there is no worker '%.64s'; there are:%s", client->worker,
                   (const char *)names.data);
    buf_fini(&names);
}

static void control_look_at_restart(struct control_client *client)
{
    const struct child *child = &client->control->options.children[client->child];
    if (client->control->is_stopping)
        control_answer(client, "!the node is stopping");
    else if (child->state == CHILD_STATE_READY && child->starts > client->starts &&
             !control_restart_from(client, client->child + 1))
        control_answer(client, "+%s serves again\n", client->worker);
}

/* ---- requests ---- */

static void control_on_request(struct control_client *client, char *text)
{
    struct control *control = client->control;
    static const char restart[] = "restart ";
    const size_t len = sizeof(restart) - 1;
    if (strcmp(text, "status") == 0) {
        control_status(client);
    } else if (strcmp(text, "stop") == 0) {
        LOG_INFO("stop_asked_for");
        client->wish = CONTROL_STOP;
        control->options.stop(control->options.arg);
    } else if (strncmp(text, restart, len) == 0) {
        snprintf(client->worker, sizeof(client->worker), "%s", text + len);
        if (control->is_stopping)
            control_answer(client, "!the node is stopping");
        else if (!control_restart_from(client, 0))
            control_refuse_worker(client);
    } else {
        control_answer(client, "!not understood; this insid knows status, restart and stop");
    }
}

/* A packet, or the client's end. A client that says more than one thing is not listened to. */
static void control_on_client(struct control_client *client)
{
    char text[CONTROL_REQUEST_BYTES];
    ssize_t got = recv(client->fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        control_drop(client);
    } else if (client->wish != CONTROL_SILENT || (size_t)got >= sizeof(text)) {
        control_answer(client, "!one short request, please");
    } else {
        text[got] = '\0';
        control_on_request(client, text);
    }
}

static bool control_may_ask(int fd)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
        (peer.uid == geteuid() || peer.uid == 0))
        return true;
    LOG_WARN("control_stranger_refused", LOG_U64("uid", peer.uid));
    return false;
}

static struct control_client *control_free_client(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd < 0)
            return &control->clients[i];
    return NULL;
}

static void control_accept(struct control *control)
{
    int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct control_client *client = control_free_client(control);
    if (!client || !control_may_ask(fd)) {
        static const char busy[] = "!too many requests at a time";
        if (!client)
            (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    *client = (struct control_client){
        .control = control, .fd = fd, .silent_until_ms = clock_boot_ms() + CONTROL_SILENT_MS};
    CHECK(epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
}

void control_drain(struct control *control)
{
    struct epoll_event events[CONTROL_EVENTS];
    int count = epoll_wait(control->epoll_fd, events, CONTROL_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            control_on_client(events[i].data.ptr);
        else
            control_accept(control);
    }
}

void control_look(struct control *control, bool is_stopping)
{
    uint64_t now_ms = clock_boot_ms();
    control->is_stopping = is_stopping;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct control_client *client = &control->clients[i];
        if (client->fd < 0)
            continue;
        if (client->wish == CONTROL_RESTART)
            control_look_at_restart(client);
        else if (client->wish == CONTROL_SILENT && now_ms >= client->silent_until_ms)
            control_drop(client);
    }
}

uint64_t control_due_ms(const struct control *control)
{
    uint64_t due_ms = 0;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct control_client *client = &control->clients[i];
        if (client->fd >= 0 && client->wish == CONTROL_SILENT &&
            (due_ms == 0 || client->silent_until_ms < due_ms))
            due_ms = client->silent_until_ms;
    }
    return due_ms;
}

void control_stopped(struct control *control, bool failed)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        const struct control_client *client = &control->clients[i];
        if (client->fd >= 0 && client->wish == CONTROL_STOP)
            control_say(client, slice_text(failed ? "!stopped, but not in order; the log says more"
                                                  : "+stopped\n"));
    }
}

/* ---- opening and closing ---- */

int control_address(struct sockaddr_un *out, const char *run_dir)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(out->sun_path, sizeof(out->sun_path), "%s/" CONTROL_SOCKET, run_dir);
    return len > 0 && (size_t)len < sizeof(out->sun_path) ? 0 : E_TOO_LARGE;
}

/* Nobody can connect before it listens, and then the mode is right. */
static int control_listen(struct control *control)
{
    struct sockaddr_un address;
    if (control_address(&address, control->options.run_dir) != 0) {
        errno = ENAMETOOLONG;
        return E_IO;
    }
    control->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listen_fd < 0 ||
        bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(address.sun_path, 0600) != 0 || listen(control->listen_fd, CONTROL_CLIENTS_MAX) != 0)
        return E_IO;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, control->listen_fd, &event) == 0 ? 0 : E_IO;
}

int control_open(struct control **out, const struct control_options *options)
{
    struct control *control = mem_alloc(sizeof(*control));
    control->options = *options;
    control->started_ms = clock_boot_ms();
    control->listen_fd = -1;
    control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        control->clients[i].fd = -1;
    int error = control->epoll_fd >= 0 ? control_listen(control) : E_IO;
    int saved = errno;
    if (error)
        control_close(&control);
    errno = saved;
    *out = control;
    return error;
}

void control_close(struct control **control_pointer)
{
    struct control *control = *control_pointer;
    if (!control)
        return;
    *control_pointer = NULL;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].fd >= 0 && control->clients[i].wish != CONTROL_STOP)
            close(control->clients[i].fd);
    if (control->listen_fd >= 0)
        close(control->listen_fd);
    if (control->epoll_fd >= 0)
        close(control->epoll_fd);
    free(control);
}

int control_fd(const struct control *control)
{
    return control->epoll_fd;
}
