/* token.c - tokens and keys. */
#include "base/token.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"

#define TOKEN_APIKEY_PREFIX "insi_"
#define TOKEN_RANDOM_BYTES 32

void token_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        size_t part = len > 256 ? 256 : len; /* up to 256 bytes getrandom never fails half way */
        CHECK(getrandom(at, part, 0) == (ssize_t)part);
        at += part;
        len -= part;
    }
}

void token_root(struct slice instance_secret, char out[TOKEN_ROOT_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    hash_sha256(instance_secret, digest);
    hash_hex(digest, sizeof(digest), hex);
    int len = EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)hex, 2 * SHA256_BYTES);
    CHECK(len == TOKEN_ROOT_BYTES - 1);
}

void token_root_scope(struct slice root_prefix, struct scope *out)
{
    uint8_t digest[SHA256_BYTES];
    hash_sha256(root_prefix, digest);
    memcpy(out->id, digest, SCOPE_BYTES);
}

static char token_url_char(char c) /* base64 to base64url */
{
    if (c == '+')
        return '-';
    if (c == '/')
        return '_';
    return c;
}

/* 32 random bytes as 43 characters of unpadded base64url and a NUL */
static void token_random_text(char out[TOKEN_SECRET_BYTES])
{
    uint8_t random[TOKEN_RANDOM_BYTES];
    char text[TOKEN_SECRET_BYTES + 1]; /* padded base64 and a NUL */
    token_random(random, sizeof(random));
    CHECK(EVP_EncodeBlock((unsigned char *)text, random, sizeof(random)) == TOKEN_SECRET_BYTES);
    for (unsigned i = 0; i < TOKEN_SECRET_BYTES - 1; i++)
        out[i] = token_url_char(text[i]);
    out[TOKEN_SECRET_BYTES - 1] = '\0';
    explicit_bzero(random, sizeof(random));
    explicit_bzero(text, sizeof(text));
}

void token_apikey_new(char out[TOKEN_APIKEY_BYTES])
{
    struct slice prefix = slice_text(TOKEN_APIKEY_PREFIX);
    memcpy(out, prefix.data, prefix.len);
    token_random_text(out + prefix.len);
}

void token_apikey_hash(struct slice key, uint8_t out[SHA256_BYTES])
{
    hash_sha256(key, out);
}

void token_secret_new(char out[TOKEN_SECRET_BYTES])
{
    token_random_text(out);
}
