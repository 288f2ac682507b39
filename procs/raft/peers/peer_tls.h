/* peer_tls.h - TLS between nodes: certificates are checked both ways.
 *
 * Both ends show the configured certificate and accept what the configured CA has signed; the node
 * that dials also wants the certificate to be one for the host that it dialed or for the node's
 * clientDomain. That says that a node is there at all; which one it is, and that it belongs to us,
 * says the HMAC of the frames.
 */
#ifndef INSI_RAFT_PEER_TLS_H
#define INSI_RAFT_PEER_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct peer_tls;

/* E_INVALID after logging which file cannot be used and why. */
int peer_tls_new(struct peer_tls **out, const char *cert, const char *key, const char *ca);
void peer_tls_free(struct peer_tls **tls);

/* A session over the connected descriptor, freed by its owner; it keeps what it needs of tls. */
SSL *peer_tls_begin(const struct peer_tls *tls, int fd, bool dials);

/* After the handshake of a node that dialed. domain: "" when there is none. */
bool peer_tls_fits(SSL *session, const char *host, const char *domain);

/* OpenSSL's last complaint in this thread, and forgets it. */
#define PEER_TLS_REASON_BYTES 160
void peer_tls_reason(char out[PEER_TLS_REASON_BYTES]);

#endif
