/* hash.c - digests on OpenSSL and ISA-L. */
#include "base/hash.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/check.h"

void hash_sha256(struct slice data, uint8_t out[SHA256_BYTES])
{
    CHECK(SHA256(data.data, data.len, out));
}

void hash_hmac_sha256(struct slice key, struct slice data, uint8_t out[SHA256_BYTES])
{
    unsigned len = 0;
    CHECK(key.len <= INT_MAX);
    CHECK(HMAC(EVP_sha256(), key.data, (int)key.len, data.data, data.len, out, &len));
    CHECK(len == SHA256_BYTES);
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
