/* tls.c - see tls.h. */
#include "procs/gateway/http/tls.h"

#include <h2o.h>
#include <openssl/err.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

static const h2o_iovec_t tls_http1_only[] = {{(char *)"http/1.1", 8}, {NULL, 0}};
static const h2o_iovec_t tls_http2_too[] = {{(char *)"h2", 2}, {(char *)"http/1.1", 8}, {NULL, 0}};

static int tls_refuse(SSL_CTX *ssl, const char *setting, const char *path)
{
    char reason[256] = "";
    /* the first one: those behind it only say who was told */
    ERR_error_string_n(ERR_peek_error(), reason, sizeof(reason));
    ERR_clear_error();
    LOG_ERROR("certificate_refused", LOG_STR("setting", setting), LOG_STR("file", path),
              LOG_STR("error", reason));
    SSL_CTX_free(ssl);
    return E_INVALID;
}

int tls_make(SSL_CTX **out, const struct config *config)
{
    static const unsigned char session_context[] = "insi";
    *out = NULL;
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    CHECK(ssl != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1);
    /* Sessions are not resumed: several processes share the port, and none would know another's. */
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1) == 1);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* idle connections keep none */
    if (SSL_CTX_use_certificate_chain_file(ssl, config->tls.cert) != 1)
        return tls_refuse(ssl, "tls.cert", config->tls.cert);
    if (SSL_CTX_use_PrivateKey_file(ssl, config->tls.key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ssl) != 1)
        return tls_refuse(ssl, "tls.key", config->tls.key);
    h2o_ssl_register_alpn_protocols(ssl, config->gateway.http2 ? tls_http2_too : tls_http1_only);
    *out = ssl;
    return 0;
}
