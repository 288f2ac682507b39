/* hash.h - digests and text encodings, on OpenSSL (SHA-256, HMAC, base64) and ISA-L (CRC32C). */
#ifndef INSI_BASE_HASH_H
#define INSI_BASE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SHA256_BYTES 32

void hash_sha256(struct slice data, uint8_t out[SHA256_BYTES]);
void hash_hmac_sha256(struct slice key, struct slice data, uint8_t out[SHA256_BYTES]);

/* CRC-32C (Castagnoli). Continue with the previous result as seed; start with 0. */
uint32_t hash_crc32c(uint32_t seed, const void *data, size_t len);

/* Time depends on the lengths only. */
bool hash_equal_constant_time(struct slice a, struct slice b);

/* Lower-case hex; out holds 2 * len + 1 bytes. */
void hash_hex(const void *data, size_t len, char *out);

#endif
