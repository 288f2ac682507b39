/* token.h - secrets and what is derived from them (what they are for: docs/http.md,
 * "Tokens").
 *
 * Root token: base64 (standard alphabet, padded) of the 64 lower-case hex characters of
 * SHA-256(instanceSecret). API key: "insi_" + 32 random bytes in unpadded base64url; only its
 * SHA-256 is ever stored. Nothing here logs.
 */
#ifndef INSI_BASE_TOKEN_H
#define INSI_BASE_TOKEN_H

#include <stdint.h>

#include "base/hash.h"

#define SCOPE_BYTES 16
#define TOKEN_ROOT_BYTES 89   /* 88 characters and a NUL */
#define TOKEN_APIKEY_BYTES 49 /* "insi_", 43 characters and a NUL */

struct scope {
    uint8_t id[SCOPE_BYTES];
};

/* Fills out with random bytes from the kernel; aborts when the kernel has none to give. */
void token_random(void *out, size_t len);

void token_root(struct slice instance_secret, char out[TOKEN_ROOT_BYTES]);
void token_root_scope(struct slice root_prefix, struct scope *out); /* first 16 bytes of SHA-256 */
void token_apikey_new(char out[TOKEN_APIKEY_BYTES]);
void token_apikey_hash(struct slice key, uint8_t out[SHA256_BYTES]);

/* A fresh secret for configuration files: 32 random bytes in unpadded base64url. */
#define TOKEN_SECRET_BYTES 44
void token_secret_new(char out[TOKEN_SECRET_BYTES]);

#endif
