/* Digests and tokens against published vectors. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"
#include "base/token.h"

static void expect_hex(const uint8_t *digest, const char *expected)
{
    char hex[2 * SHA256_BYTES + 1];
    hash_hex(digest, SHA256_BYTES, hex);
    cr_expect_str_eq(hex, expected);
}

Test(hash, sha256_of_abc)
{
    uint8_t digest[SHA256_BYTES];
    hash_sha256(slice_text("abc"), digest); /* FIPS 180-2, B.1 */
    expect_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(hash, a_key_that_is_kept_gives_the_same_macs)
{
    uint8_t once[SHA256_BYTES], kept[SHA256_BYTES];
    struct hash_key *key = hash_key_new(slice_text("Jefe"));
    for (size_t len = 0; len < 200; len++) {
        static const char text[200] = "what do ya want for nothing?";
        hash_hmac_sha256(slice_text("Jefe"), slice_of(text, len), once);
        hash_key_mac(key, slice_of(text, len), kept);
        cr_assert_arr_eq(once, kept, SHA256_BYTES, "%zu bytes", len);
    }
    hash_key_free(&key);
    cr_assert_null(key);
    hash_key_free(&key);
}

Test(hash, hmac_sha256_rfc_4231_case_2)
{
    uint8_t digest[SHA256_BYTES];
    hash_hmac_sha256(slice_text("Jefe"), slice_text("what do ya want for nothing?"), digest);
    expect_hex(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

Test(hash, crc32c_check_value_and_continuation)
{
    cr_assert_eq(hash_crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(hash_crc32c(hash_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
    cr_assert_eq(hash_crc32c(0, "", 0), 0);
}

Test(hash, constant_time_compare)
{
    cr_assert(hash_equal_constant_time(slice_text("abc"), slice_text("abc")));
    cr_assert_not(hash_equal_constant_time(slice_text("abc"), slice_text("abd")));
    cr_assert_not(hash_equal_constant_time(slice_text("abc"), slice_text("abcd")));
}

Test(token, the_root_token_is_base64_of_the_hex_of_sha256)
{
    char token[TOKEN_ROOT_BYTES];
    token_root(slice_text("abc"), token);
    cr_assert_str_eq(token, "YmE3ODE2YmY4ZjAxY2ZlYTQxNDE0MGRlNWRhZTIyMjNiMDAzNjFhMzk2MTc3YTljYjQxMG"
                            "ZmNjFmMjAwMTVhZA==");
}

Test(token, api_keys_are_insi_and_43_characters_of_base64url)
{
    char a[TOKEN_APIKEY_BYTES], b[TOKEN_APIKEY_BYTES];
    token_apikey_new(a);
    token_apikey_new(b);
    cr_assert_eq(strlen(a), 48);
    cr_assert_eq(strncmp(a, "insi_", 5), 0);
    cr_assert_eq(strspn(a + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                 43);
    cr_assert_str_neq(a, b);
}

Test(token, scopes_differ_by_prefix)
{
    struct scope a, b;
    token_root_scope(slice_text("a"), &a);
    token_root_scope(slice_text("b"), &b);
    cr_assert_neq(memcmp(&a, &b, sizeof(a)), 0);
}
