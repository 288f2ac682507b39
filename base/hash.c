/* hash.c - digests on OpenSSL and ISA-L. */
#include "base/hash.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/check.h"

void hash_sha256(struct slice data, uint8_t out[SHA256_BYTES])
{
    CHECK(SHA256(data.data, data.len, out));
}

struct hash_sum *hash_sum_begin(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    CHECK(context != NULL);
    CHECK(EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    return (struct hash_sum *)context;
}

void hash_sum_add(struct hash_sum *sum, const void *data, size_t len)
{
    CHECK(EVP_DigestUpdate((EVP_MD_CTX *)sum, data, len));
}

void hash_sum_end(struct hash_sum **sum, uint8_t out[SHA256_BYTES])
{
    if (*sum == NULL)
        return;
    if (out != NULL)
        CHECK(EVP_DigestFinal_ex((EVP_MD_CTX *)*sum, out, NULL));
    EVP_MD_CTX_free((EVP_MD_CTX *)*sum);
    *sum = NULL;
}

void hash_hmac_sha256(struct slice key, struct slice data, uint8_t out[SHA256_BYTES])
{
    unsigned len = 0;
    CHECK(key.len <= INT_MAX);
    CHECK(HMAC(EVP_sha256(), key.data, (int)key.len, data.data, data.len, out, &len));
    CHECK(len == SHA256_BYTES);
}

struct hash_key {
    EVP_MAC *mac;
    EVP_MAC_CTX *context;
};

struct hash_key *hash_key_new(struct slice key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    struct hash_key *out = mem_alloc(sizeof(*out));
    out->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    CHECK(out->mac);
    out->context = EVP_MAC_CTX_new(out->mac);
    CHECK(out->context && EVP_MAC_init(out->context, key.data, key.len, parameters));
    return out;
}

void hash_key_free(struct hash_key **key)
{
    struct hash_key *old = *key;
    *key = NULL;
    if (!old)
        return;
    EVP_MAC_CTX_free(old->context);
    EVP_MAC_free(old->mac);
    free(old);
}

void hash_key_mac(struct hash_key *key, struct slice data, uint8_t out[SHA256_BYTES])
{
    size_t len = 0;
    CHECK(EVP_MAC_init(key->context, NULL, 0, NULL)); /* the same key again */
    CHECK(EVP_MAC_update(key->context, data.data, data.len));
    CHECK(EVP_MAC_final(key->context, out, &len, SHA256_BYTES) && len == SHA256_BYTES);
}

uint32_t hash_crc32c(uint32_t seed, const void *data, size_t len)
{
    const unsigned char *at = data;
    uint32_t crc = ~seed;
    while (len > 0) {
        int part = len > INT_MAX ? INT_MAX : (int)len;
        /* ISA-L takes the bytes as not const, and only reads them */
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, part, crc);
        at += part;
        len -= (size_t)part;
    }
    return ~crc;
}

bool hash_equal_constant_time(struct slice a, struct slice b)
{
    return a.len == b.len && CRYPTO_memcmp(a.data, b.data, a.len) == 0;
}

void hash_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}
