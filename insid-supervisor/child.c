/* child.c - one worker process: fork, exec and the control channel. */
#include "insid-supervisor/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "insid-supervisor/spawn.h"

#define CHILD_WORDS_MAX 64 /* heard in one turn: a mad worker must not keep the others waiting */

void child_init(struct child *child, enum proc proc, unsigned index)
{
    *child = (struct child){.proc = proc, .index = index, .control_fd = -1};
    if (proc == PROC_GATEWAY)
        snprintf(child->name, sizeof(child->name), "%s%u", proc_name(proc), index);
    else
        snprintf(child->name, sizeof(child->name), "%s", proc_name(proc));
}

static pid_t child_spawn(const struct child *child, const struct node *node,
                         const struct config_file *file, const char *workers, const int fds[2])
{
    char program[PATH_BYTES + 64], name[32], index[16];
    char option_node[] = "--node", option_index[] = "--index", option_config[] = "--config-name";
    bool gateway = child->proc == PROC_GATEWAY;
    snprintf(program, sizeof(program), "%s/%s", workers, proc_program(child->proc));
    snprintf(name, sizeof(name), "%s", proc_program(child->proc));
    snprintf(index, sizeof(index), "%u", child->index);
    char *path = mem_copy_string(file->path);
    char *arguments[] = {name,  option_node,   node->self->id, option_index,
                         index, option_config, path,           NULL};
    const struct spawn spawn = {.program = program,
                                .arguments = arguments,
                                .fds = {fds[0], fds[1], gateway ? node->http_fds[child->index] : -1,
                                        gateway && child->index == 0 ? node->admin_fd : -1,
                                        node->workers_lock_fd},
                                .quiet = true};
    pid_t pid = spawn_start(&spawn);
    free(path);
    return pid;
}

int child_start(struct child *child, const struct node *node, const struct config_file *file,
                const char *workers)
{
    int pair[2];
    child->started_ms = clock_boot_ms();
    child->beat_open = child->served = child->late = child->babbles = child->asked = false;
    int config = config_file_share(file);
    if (config < 0)
        return E_IO;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        int saved = errno;
        close(config);
        errno = saved;
        return E_IO;
    }
    pid_t pid = child_spawn(child, node, file, workers, (const int[]){pair[1], config});
    int saved = errno;
    close(config);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        errno = saved;
        return E_IO;
    }
    child->pid = pid;
    child->control_fd = pair[0];
    child->starts++;
    return 0;
}

/* The event that a byte from a worker means. False: none that we know. */
static bool child_understand(char byte, enum child_event *out)
{
    switch (byte) {
    case PROC_CONTROL_READY:
        *out = CHILD_EVENT_READY;
        return true;
    case PROC_CONTROL_HEARTBEAT:
        *out = CHILD_EVENT_ANSWER;
        return true;
    case PROC_CONTROL_YIELD:
        *out = CHILD_EVENT_YIELDED;
        return true;
    default:
        return false;
    }
}

int child_tell(struct child *child, enum proc_control what, int fd)
{
    char byte = (char)what;
    struct iovec bytes = {&byte, 1};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
    if (child->control_fd < 0) {
        errno = ENOTCONN;
        return E_IO;
    }
    if (fd >= 0) {
        message.msg_control = space;
        message.msg_controllen = sizeof(space);
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    }
    return sendmsg(child->control_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : E_IO;
}

bool child_hear(struct child *child, enum child_event *out)
{
    for (unsigned i = 0; child->control_fd >= 0 && i < CHILD_WORDS_MAX; i++) {
        char byte = 0;
        ssize_t got = recv(child->control_fd, &byte, 1, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return false;
        if (got <= 0) {
            child_close(child);
            *out = CHILD_EVENT_HANGUP;
            return true;
        }
        if (child_understand(byte, out))
            return true;
        if (!child->babbles)
            LOG_WARN("control_not_understood", LOG_STR("child", child->name),
                     LOG_U64("byte", (unsigned char)byte));
        child->babbles = true;
    }
    return false;
}

void child_signal(const struct child *child, int number)
{
    CHECK(child->pid > 0); /* 0 and -1 would mean groups of processes */
    kill(child->pid, number);
}

void child_close(struct child *child)
{
    if (child->control_fd >= 0)
        close(child->control_fd); /* leaves epoll by itself: nobody else has it open */
    child->control_fd = -1;
}
