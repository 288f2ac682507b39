/* auth.h - from a token to a scope (I9: the only place that does this).
 *
 * Every token is hashed at once; only the hash travels further. The root token's hash is compared
 * in constant time, API keys are looked up by hash in the map, in the same transaction as the read
 * that they pay for: a revoked key stops working with the commit that revoked it. The text of a
 * token is never logged and never part of an answer.
 */
#ifndef INSI_GATEWAY_AUTH_H
#define INSI_GATEWAY_AUTH_H

#include <stdbool.h>

#include "base/config.h"
#include "shm/map.h"

struct auth {
    uint8_t root_hash[SHA256_BYTES];
    struct scope root_scope;
};

struct identity {
    bool is_root;
    struct scope scope;
    char name[LIMIT_APIKEY_NAME_BYTES + 1]; /* of the API key; "root" */
    size_t name_len;
};

void auth_init(struct auth *auth, const struct config *config);

/* The hash of the token in an Authorization header: "Bearer <token>" (in any case) or the bare
 * token. False when there is none. */
bool auth_hash_of_header(struct slice header, uint8_t hash[SHA256_BYTES]);

bool auth_is_root(const struct auth *auth, const uint8_t hash[SHA256_BYTES]);
void auth_root(const struct auth *auth, struct identity *out);

/* E_NOT_FOUND: the state in this transaction knows no such key. E_IO, E_CORRUPT. */
int auth_find_apikey(struct map *map, MDB_txn *txn, const uint8_t hash[SHA256_BYTES],
                     struct identity *out);

#endif
