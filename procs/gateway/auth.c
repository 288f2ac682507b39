/* auth.c - see auth.h. */
#include "procs/gateway/auth.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/error.h"

static const char auth_scheme[] = "Bearer";

static struct slice auth_trim(struct slice text)
{
    const char *at = text.data;
    while (text.len > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        text.len--;
    }
    while (text.len > 0 && (at[text.len - 1] == ' ' || at[text.len - 1] == '\t'))
        text.len--;
    return slice_of(at, text.len);
}

void auth_init(struct auth *auth, const struct config *config)
{
    char token[TOKEN_ROOT_BYTES];
    token_root(slice_text(config->instance_secret), token);
    token_apikey_hash(slice_text(token), auth->root_hash);
    explicit_bzero(token, sizeof(token));
    token_root_scope(slice_text(config->root_prefix), &auth->root_scope);
}

bool auth_hash_of_header(struct slice header, uint8_t hash[SHA256_BYTES])
{
    const size_t len = sizeof(auth_scheme) - 1;
    struct slice token = auth_trim(header);
    const char *text = token.data;
    if (token.len > len && strncasecmp(text, auth_scheme, len) == 0 &&
        (text[len] == ' ' || text[len] == '\t'))
        token = auth_trim(slice_of(text + len, token.len - len));
    else if (token.len == len && strncasecmp(text, auth_scheme, len) == 0)
        return false;
    if (token.len == 0)
        return false;
    token_apikey_hash(token, hash);
    return true;
}

bool auth_is_root(const struct auth *auth, const uint8_t hash[SHA256_BYTES])
{
    return hash_equal_constant_time(slice_of(auth->root_hash, SHA256_BYTES),
                                    slice_of(hash, SHA256_BYTES));
}

void auth_root(const struct auth *auth, struct identity *out)
{
    static const char name[] = "root";
    out->is_root = true;
    out->scope = auth->root_scope;
    memcpy(out->name, name, sizeof(name));
    out->name_len = sizeof(name) - 1;
}

int auth_find_apikey(struct map *map, MDB_txn *txn, const uint8_t hash[SHA256_BYTES],
                     struct identity *out)
{
    struct apikey_view key;
    int error = apikey_find(txn, map_database(map, MAP_APIKEYS), hash, &key);
    if (error != 0)
        return error;
    if (key.name.len > LIMIT_APIKEY_NAME_BYTES)
        return E_CORRUPT;
    out->is_root = false;
    out->scope = key.scope;
    memcpy(out->name, key.name.data, key.name.len);
    out->name[key.name.len] = '\0';
    out->name_len = key.name.len;
    return 0;
}
