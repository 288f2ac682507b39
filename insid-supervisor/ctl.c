/* ctl.c - see ctl.h. */
#include "insid-supervisor/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "insid-supervisor/control.h"

/* A connection to the node's supervisor, or -1 with errno. */
static int ctl_connect(const struct config *config, const char *node)
{
    struct node_paths paths;
    struct sockaddr_un address;
    if (path_of_node(&paths, config, node) != 0 || control_address(&address, paths.run) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int ctl_connect_to_named(const struct ctl_request *request)
{
    int fd = ctl_connect(request->config, request->node);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT || errno == ECONNREFUSED)
        fprintf(stderr, "insid: %s does not run on this machine\n", request->node);
    else
        fprintf(stderr, "insid: cannot talk to the supervisor of %s: %s\n", request->node,
                strerror(errno));
    return -1;
}

static void ctl_refuse_several(const struct ctl_request *request, const bool *runs)
{
    fprintf(stderr,
            "insid: several nodes of %s run here; say with --as which one:", request->config_name);
    for (unsigned i = 0; i < request->config->node_count; i++)
        if (runs[i])
            fprintf(stderr, " %s", request->config->nodes[i].id);
    fprintf(stderr, "\n");
}

/* The one that runs. -1 after saying that there is none; -2 after saying that there are several. */
static int ctl_connect_to_only(const struct ctl_request *request)
{
    bool runs[LIMIT_NODES] = {false};
    int found = -1, problem = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < request->config->node_count; i++) {
        int fd = ctl_connect(request->config, request->config->nodes[i].id);
        if (fd < 0) {
            problem = errno != ENOENT && errno != ECONNREFUSED ? errno : problem;
            continue;
        }
        runs[i] = true;
        if (++count == 1)
            found = fd;
        else
            close(fd);
    }
    if (count == 0)
        fprintf(stderr, "insid: no node of %s runs on this machine%s%s\n", request->config_name,
                problem ? " that may be talked to: " : "", problem ? strerror(problem) : "");
    if (count <= 1)
        return found;
    close(found);
    ctl_refuse_several(request, runs);
    return -2;
}

static int ctl_ask(int fd, const struct ctl_request *request)
{
    char text[CONTROL_REQUEST_BYTES];
    int len = snprintf(text, sizeof(text), "%s%s%s", request->what, request->worker ? " " : "",
                       request->worker ? request->worker : "");
    if (len >= (int)sizeof(text)) {
        fprintf(stderr, "insid: there is no worker of so long a name\n");
        return E_NOT_FOUND;
    }
    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len)
        return 0;
    fprintf(stderr, "insid: the supervisor is gone: %s\n", strerror(errno));
    return E_PEER_DOWN;
}

static ssize_t ctl_receive(int fd, char *text, size_t size)
{
    ssize_t got;
    do
        got = recv(fd, text, size, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

/* It comes from another process: nothing but lines of text reaches the terminal. */
static void ctl_print(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        putc(text[i] == '\n' || !iscntrl((unsigned char)text[i]) ? text[i] : '?', out);
}

/* The answer may take as long as a worker takes to start. */
static int ctl_hear(int fd, bool until_end)
{
    char text[CONTROL_ANSWER_BYTES], rest;
    ssize_t got = ctl_receive(fd, text, sizeof(text));
    if (got <= 0) {
        fprintf(stderr, "insid: the supervisor ended without an answer\n");
        return E_PEER_DOWN;
    }
    while (until_end && ctl_receive(fd, &rest, 1) > 0)
        ;
    if (text[0] == '+') {
        ctl_print(stdout, text + 1, (size_t)got - 1);
        return fflush(stdout) == 0 ? 0 : E_IO;
    }
    fputs("insid: ", stderr);
    ctl_print(stderr, text + 1, (size_t)got - 1);
    fputs("\n", stderr);
    return E_CONFLICT;
}

int ctl_run(const struct ctl_request *request)
{
    int fd = request->node ? ctl_connect_to_named(request) : ctl_connect_to_only(request);
    if (fd < 0)
        return fd == -2 ? E_USAGE : E_PEER_DOWN;
    int error = ctl_ask(fd, request);
    if (!error)
        error = ctl_hear(fd, strcmp(request->what, "stop") == 0);
    close(fd);
    return error;
}
