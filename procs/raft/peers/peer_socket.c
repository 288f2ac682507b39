/* peer_socket.c - see peer_socket.h. */
#include "procs/raft/peers/peer_socket.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

#define SOCKET_BACKLOG 128
#define SOCKET_IDLE_S 15 /* then the kernel asks whether the peer is still there ... */
#define SOCKET_ASK_S 5   /* ... again after so long ... */
#define SOCKET_ASKS 3    /* ... and so often */

void peer_socket_init(struct peer_socket *socket)
{
    *socket = (struct peer_socket){.fd = -1};
}

/* Best effort: a connection that is over already refuses. */
static void peer_socket_set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void peer_socket_tune(int fd)
{
    peer_socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    peer_socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    peer_socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, SOCKET_IDLE_S);
    peer_socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, SOCKET_ASK_S);
    peer_socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, SOCKET_ASKS);
}

int peer_socket_dial(struct peer_socket *socket_, const struct peer_sockaddr *to)
{
    CHECK(socket_->fd < 0);
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return E_IO;
    peer_socket_tune(fd);
    /* On the side that speaks: on the other one nothing waits for an acknowledgement. */
    peer_socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, PEER_SILENCE_MS);
    if (connect(fd, (const struct sockaddr *)&to->storage, to->len) != 0 && errno != EINPROGRESS) {
        int saved = errno;
        close(fd);
        errno = saved;
        return E_IO;
    }
    *socket_ = (struct peer_socket){.fd = fd, .wants_write = true};
    return 0;
}

int peer_socket_dialed(struct peer_socket *socket)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    socket->wants_write = false;
    errno = error;
    return error ? E_IO : 0;
}

void peer_socket_adopt(struct peer_socket *socket, int fd)
{
    *socket = (struct peer_socket){.fd = fd};
    peer_socket_tune(fd);
}

void peer_socket_secure(struct peer_socket *socket, SSL *session)
{
    socket->session = session;
    socket->is_shaking = true;
}

/* What a call of OpenSSL that did not do its work says. 0: it would block. */
static int peer_socket_verdict(struct peer_socket *socket, int returned)
{
    switch (SSL_get_error(socket->session, returned)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_WANT_WRITE:
        socket->wants_write = true;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return E_CLOSED;
    default:
        return E_IO;
    }
}

int peer_socket_shake(struct peer_socket *socket)
{
    CHECK(socket->is_shaking);
    socket->wants_write = false;
    ERR_clear_error();
    int returned = SSL_do_handshake(socket->session);
    if (returned == 1) {
        socket->is_shaking = false;
        return 0;
    }
    return peer_socket_verdict(socket, returned) == 0 ? E_BUSY : E_DENIED;
}

int peer_socket_read(struct peer_socket *socket, void *out, size_t room, size_t *done)
{
    *done = 0;
    if (socket->session) {
        ERR_clear_error();
        int returned = SSL_read(socket->session, out, room > INT_MAX ? INT_MAX : (int)room);
        if (returned <= 0)
            return peer_socket_verdict(socket, returned);
        *done = (size_t)returned;
        return 0;
    }
    ssize_t got = recv(socket->fd, out, room, 0);
    if (got > 0)
        *done = (size_t)got;
    if (got == 0)
        return E_CLOSED;
    return got > 0 || errno == EAGAIN || errno == EINTR ? 0 : E_IO;
}

int peer_socket_write(struct peer_socket *socket, const void *data, size_t len, size_t *done)
{
    *done = 0;
    socket->wants_write = false;
    if (socket->session) {
        ERR_clear_error();
        int returned = SSL_write(socket->session, data, len > INT_MAX ? INT_MAX : (int)len);
        if (returned <= 0)
            return peer_socket_verdict(socket, returned);
        *done = (size_t)returned;
        return 0;
    }
    ssize_t put = send(socket->fd, data, len, MSG_NOSIGNAL);
    if (put >= 0) {
        *done = (size_t)put;
        socket->wants_write = (size_t)put < len;
        return 0;
    }
    socket->wants_write = true;
    return errno == EAGAIN || errno == EINTR ? 0 : E_IO;
}

bool peer_socket_has_more(const struct peer_socket *socket)
{
    return socket->session && SSL_has_pending(socket->session);
}

void peer_socket_close(struct peer_socket *socket)
{
    if (socket->session && !socket->is_shaking) {
        ERR_clear_error();
        (void)SSL_shutdown(socket->session); /* what the peer makes of it does not matter */
    }
    SSL_free(socket->session);
    ERR_clear_error();
    if (socket->fd >= 0)
        close(socket->fd);
    peer_socket_init(socket);
}

int peer_socket_listen(const struct peer_sockaddr *at, int *out)
{
    int fd = socket(at->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return E_IO;
    peer_socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (at->storage.ss_family == AF_INET6) /* [::] is for v6, 0.0.0.0 for v4 */
        peer_socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (bind(fd, (const struct sockaddr *)&at->storage, at->len) != 0 ||
        listen(fd, SOCKET_BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return E_IO;
    }
    *out = fd;
    return 0;
}
