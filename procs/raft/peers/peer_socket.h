/* peer_socket.h - a stream between two nodes that never blocks: TCP, or TLS over it.
 *
 * A peer that vanishes without a word is noticed by the kernel: what is not acknowledged for
 * PEER_SILENCE_MS ends the connection, and so does one that is silent for long and does not answer
 * the kernel's own questions.
 */
#ifndef INSI_RAFT_PEER_SOCKET_H
#define INSI_RAFT_PEER_SOCKET_H

#include <openssl/ssl.h>

#include "procs/raft/peers/peer_address.h"

#define PEER_SILENCE_MS 3000

struct peer_socket {
    int fd;           /* -1: closed */
    SSL *session;     /* NULL: plain */
    bool is_shaking;  /* the handshake is not over */
    bool wants_write; /* of the last call: it would go on when the descriptor is writable */
};

void peer_socket_init(struct peer_socket *socket);
int peer_socket_dial(struct peer_socket *socket, const struct peer_sockaddr *to); /* begins; E_IO */
int peer_socket_dialed(struct peer_socket *socket); /* when it is writable: 0, E_IO with errno */
void peer_socket_adopt(struct peer_socket *socket, int fd);        /* accepted */
void peer_socket_secure(struct peer_socket *socket, SSL *session); /* takes it over */
/* 0: done. E_BUSY: not yet. E_DENIED: it failed, see peer_tls_reason. */
int peer_socket_shake(struct peer_socket *socket);

/* 0 with *done bytes, 0 bytes when it would block. E_CLOSED, E_IO: it is over. */
int peer_socket_read(struct peer_socket *socket, void *out, size_t room, size_t *done);
int peer_socket_write(struct peer_socket *socket, const void *data, size_t len, size_t *done);
bool peer_socket_has_more(const struct peer_socket *socket); /* read, though not by the owner */

void peer_socket_close(struct peer_socket *socket);

/* A listening descriptor; E_IO with errno. */
int peer_socket_listen(const struct peer_sockaddr *at, int *out);

#endif
