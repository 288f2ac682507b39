/* session_keys.c - see session_keys.h. A hash is random already, so its first bytes say where to
 * look first; the next places follow (open addressing, at most half full). */
#include "procs/gateway/events/session_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define SESSION_KEYS_FIRST_ROOM 16

static unsigned session_keys_find(const struct session_keys *keys, const uint8_t *hash)
{
    unsigned place = (unsigned)bytes_get_u64(hash) & (keys->room - 1);
    while (keys->keys[place] != NULL && memcmp(keys->keys[place]->hash, hash, SHA256_BYTES) != 0)
        place = (place + 1) & (keys->room - 1);
    return place;
}

static void session_keys_put(struct session_keys *keys, struct session_key *key)
{
    key->place = session_keys_find(keys, key->hash);
    keys->keys[key->place] = key;
}

static void session_keys_grow(struct session_keys *keys)
{
    struct session_key **old = keys->keys;
    unsigned old_room = keys->room;
    keys->room = old_room > 0 ? 2 * old_room : SESSION_KEYS_FIRST_ROOM;
    keys->keys = mem_alloc(keys->room * sizeof(struct session_key *));
    for (unsigned i = 0; i < old_room; i++) {
        if (old[i] != NULL)
            session_keys_put(keys, old[i]);
    }
    free(old);
}

struct session_key *session_key_take(struct session_keys *keys, const uint8_t hash[SHA256_BYTES])
{
    if (2 * keys->count >= keys->room)
        session_keys_grow(keys);
    unsigned place = session_keys_find(keys, hash);
    struct session_key *key = keys->keys[place];
    if (key == NULL) {
        key = mem_alloc(sizeof(*key));
        memcpy(key->hash, hash, SHA256_BYTES);
        session_keys_put(keys, key);
        keys->count++;
    }
    key->users++;
    return key;
}

/* Whatever stands behind a place that became free has to be found without it. */
static void session_keys_close_up(struct session_keys *keys, unsigned place)
{
    for (;;) {
        place = (place + 1) & (keys->room - 1);
        struct session_key *key = keys->keys[place];
        if (key == NULL)
            return;
        keys->keys[place] = NULL;
        session_keys_put(keys, key);
    }
}

void session_key_release(struct session_keys *keys, struct session_key **key)
{
    struct session_key *old = *key;
    *key = NULL;
    if (old == NULL || --old->users > 0)
        return;
    keys->keys[old->place] = NULL;
    keys->count--;
    session_keys_close_up(keys, old->place);
    free(old);
}

void session_keys_fini(struct session_keys *keys)
{
    CHECK(keys->count == 0);
    free(keys->keys);
    *keys = (struct session_keys){0};
}
