/* listen.c - binding: the supervisor owns the listening sockets, so that a restarted gateway finds
 * the connections that came meanwhile waiting in the backlog. */
#include "insid-supervisor/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

#define LISTEN_BACKLOG 4096

/* A bound socket, or -1 with errno. */
static int listen_bind(const struct addrinfo *address, bool shared)
{
    static const int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* Without SO_REUSEPORT the kernel tells us of everybody else who listens here. */
static int listen_probe(const struct addrinfo *address)
{
    int fd = listen_bind(address, false);
    if (fd < 0)
        return E_IO;
    close(fd);
    return 0;
}

int listen_open(const struct config_address *binding, const char *key, int *fds, unsigned count)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    snprintf(port, sizeof(port), "%u", binding->port);
    int failed = getaddrinfo(binding->host, port, &hints, &found);
    if (failed) {
        fprintf(stderr, "insid: %s %s: %s\n", key, binding->host, gai_strerror(failed));
        return E_IO;
    }
    int error = listen_probe(found);
    for (unsigned i = 0; i < count && !error; i++) {
        fds[i] = listen_bind(found, true);
        if (fds[i] < 0 || listen(fds[i], LISTEN_BACKLOG) != 0)
            error = E_IO;
    }
    if (error) {
        fprintf(stderr, "insid: %s: cannot listen on %s:%s: %s\n", key, binding->host, port,
                strerror(errno));
        listen_close(fds, count);
    }
    freeaddrinfo(found);
    return error;
}

void listen_close(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}
