/* hash.h - digests, on OpenSSL (SHA-256, HMAC) and ISA-L (CRC-32C), and hex. Nothing here fails:
 * what OpenSSL refuses is a failed check. Base64 is only of tokens: token.c. */
#ifndef INSI_BASE_HASH_H
#define INSI_BASE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define SHA256_BYTES 32

void hash_sha256(struct slice data, uint8_t out[SHA256_BYTES]);

/* SHA-256 of what comes piece by piece. hash_sum_end frees it; out may be NULL. */
struct hash_sum;
struct hash_sum *hash_sum_begin(void);
void hash_sum_add(struct hash_sum *sum, const void *data, size_t len);
void hash_sum_end(struct hash_sum **sum, uint8_t out[SHA256_BYTES]);

void hash_hmac_sha256(struct slice key, struct slice data, uint8_t out[SHA256_BYTES]);

/* The same for many messages under one key: a few hundred ns less each. One thread at a time. */
struct hash_key;
struct hash_key *hash_key_new(struct slice key);
void hash_key_free(struct hash_key **key);
void hash_key_mac(struct hash_key *key, struct slice data, uint8_t out[SHA256_BYTES]);

/* CRC-32C (Castagnoli). Continue with the previous result as seed; start with 0. */
uint32_t hash_crc32c(uint32_t seed, const void *data, size_t len);

/* Time depends on the lengths only. */
bool hash_equal_constant_time(struct slice a, struct slice b);

/* Lower-case hex; out holds 2 * len + 1 bytes. */
void hash_hex(const void *data, size_t len, char *out);

#endif
