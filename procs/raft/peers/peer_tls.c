/* peer_tls.c - see peer_tls.h. */
#include "procs/raft/peers/peer_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

struct peer_tls {
    SSL_CTX *listens, *dials;
};

void peer_tls_reason(char out[PEER_TLS_REASON_BYTES])
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(out, PEER_TLS_REASON_BYTES, "%s", reason ? reason : "the connection ended");
    ERR_clear_error();
}

static int peer_tls_refuse(const char *setting, const char *path)
{
    char reason[PEER_TLS_REASON_BYTES];
    peer_tls_reason(reason);
    LOG_ERROR("certificate_refused", LOG_STR("setting", setting), LOG_STR("file", path),
              LOG_STR("error", reason));
    return E_INVALID;
}

static int peer_tls_fill(SSL_CTX *context, const char *cert, const char *key, const char *ca)
{
    CHECK(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
    SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_num_tickets(context, 0) == 1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
        return peer_tls_refuse("tls.cert", cert);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1)
        return peer_tls_refuse("tls.key", key);
    if (SSL_CTX_load_verify_file(context, ca) != 1)
        return peer_tls_refuse("tls.ca", ca);
    return 0;
}

int peer_tls_new(struct peer_tls **out, const char *cert, const char *key, const char *ca)
{
    struct peer_tls *tls = mem_alloc(sizeof(*tls));
    *out = NULL;
    tls->listens = SSL_CTX_new(TLS_server_method());
    tls->dials = SSL_CTX_new(TLS_client_method());
    CHECK(tls->listens && tls->dials);
    int error = peer_tls_fill(tls->listens, cert, key, ca);
    error = error ? error : peer_tls_fill(tls->dials, cert, key, ca);
    if (error)
        peer_tls_free(&tls);
    *out = tls;
    return error;
}

void peer_tls_free(struct peer_tls **tls)
{
    struct peer_tls *old = *tls;
    *tls = NULL;
    if (!old)
        return;
    SSL_CTX_free(old->listens);
    SSL_CTX_free(old->dials);
    free(old);
}

SSL *peer_tls_begin(const struct peer_tls *tls, int fd, bool dials)
{
    SSL *session = SSL_new(dials ? tls->dials : tls->listens);
    CHECK(session && SSL_set_fd(session, fd) == 1);
    if (dials)
        SSL_set_connect_state(session);
    else
        SSL_set_accept_state(session);
    return session;
}

bool peer_tls_fits(SSL *session, const char *host, const char *domain)
{
    X509 *certificate = SSL_get0_peer_certificate(session);
    if (!certificate)
        return false;
    return X509_check_ip_asc(certificate, host, 0) == 1 ||
           X509_check_host(certificate, host, 0, 0, NULL) == 1 ||
           (domain[0] && X509_check_host(certificate, domain, 0, 0, NULL) == 1);
}
