/* test_auth.c - tokens as they stand in a header. */
#include <criterion/criterion.h>

#include "procs/gateway/auth.h"

static bool is_token(const char *header, const char *token)
{
    uint8_t hash[SHA256_BYTES], expected[SHA256_BYTES];
    token_apikey_hash(slice_text(token), expected);
    return auth_hash_of_header(slice_text(header), hash) &&
           memcmp(hash, expected, sizeof(hash)) == 0;
}

Test(auth, a_token_stands_bare_or_as_bearer)
{
    cr_expect(is_token("insi_abc", "insi_abc"));
    cr_expect(is_token("Bearer insi_abc", "insi_abc"));
    cr_expect(is_token("bearer insi_abc", "insi_abc"));
    cr_expect(is_token("BEARER\tinsi_abc", "insi_abc"));
    cr_expect(is_token("  Bearer   insi_abc  ", "insi_abc"));
    cr_expect(is_token("Bearerinsi_abc", "Bearerinsi_abc"));
    cr_expect(is_token("Basic abc", "Basic abc")); /* and nobody has such a token */
}

Test(auth, nothing_is_no_token)
{
    static const char *const none[] = {"", " ", "Bearer", "Bearer ", "bearer  \t "};
    uint8_t hash[SHA256_BYTES];
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        cr_expect_not(auth_hash_of_header(slice_text(none[i]), hash), "'%s'", none[i]);
}

Test(auth, the_root_token_is_known_by_its_hash_and_has_a_scope_of_its_own)
{
    struct config config = {.instance_secret = (char *)"a secret of at least sixteen bytes",
                            .root_prefix = (char *)"prefix"};
    struct auth auth;
    struct identity who;
    struct scope scope;
    char token[TOKEN_ROOT_BYTES];
    uint8_t hash[SHA256_BYTES];
    auth_init(&auth, &config);
    token_root(slice_text(config.instance_secret), token);
    cr_assert(auth_hash_of_header(slice_text(token), hash));
    cr_expect(auth_is_root(&auth, hash));
    hash[31] ^= 1;
    cr_expect_not(auth_is_root(&auth, hash));
    auth_root(&auth, &who);
    token_root_scope(slice_text("prefix"), &scope);
    cr_expect(who.is_root);
    cr_expect_str_eq(who.name, "root");
    cr_expect_eq(memcmp(&who.scope, &scope, sizeof(scope)), 0);
}
