/* tls.h - the certificate and what TLS may be spoken with it. */
#ifndef INSI_GATEWAY_TLS_H
#define INSI_GATEWAY_TLS_H

#include <openssl/ssl.h>

#include "base/config.h"

/* TLS 1.2 or newer, with the configured certificate chain and key. E_INVALID after logging which
 * file cannot be used and why. */
int tls_make(SSL_CTX **out, const struct config *config);

#endif
