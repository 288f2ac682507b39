/* session_keys.h - the API keys that subscribers came with, each once, so that looking whether one
 * was deleted costs one look per key and not per subscriber.
 */
#ifndef INSI_GATEWAY_SESSION_KEYS_H
#define INSI_GATEWAY_SESSION_KEYS_H

#include <stdbool.h>

#include "base/hash.h"

struct session_key { /* shared by the sessions that came with it */
    uint8_t hash[SHA256_BYTES];
    unsigned users;
    unsigned place; /* in the table */
    bool is_gone;   /* the key was deleted */
};

struct session_keys { /* zeroed before first use */
    struct session_key **keys;
    unsigned count, room;
};

/* The entry of this hash, with one user more. */
struct session_key *session_key_take(struct session_keys *keys, const uint8_t hash[SHA256_BYTES]);
void session_key_release(struct session_keys *keys, struct session_key **key); /* NULL is fine */
void session_keys_fini(struct session_keys *keys);                             /* nobody uses any */

#endif
