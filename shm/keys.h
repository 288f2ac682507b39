/* keys.h - what is stored where in the maps: databases, key layout, value layout, reading them and,
 * for the one writer, writing them. Numbers are big-endian in keys (so that byte order
 * is number order) and little-endian in values.
 *
 *   values.mdb
 *     meta      text name                   -> see map.h and procs/worker/applier.h
 *     sessions  see procs/worker/sessions.h (of no use to readers)
 *     values    scope(16) key(1..480)       -> index(8) bytes       index: the write that set it
 *     apikeys   sha256(32)                  -> scope(16) created_ms(8) index(8) name
 *     doomed    scope(16)                   -> index(8) stamp_ms(8) steps(8) is_empty(8)
 *               scopes of deleted API keys, see procs/worker/doomed.h (of no use to readers)
 *     atomics   scope(16) key               -> index(8) number(8)
 *   volatile.mdb
 *     meta, sessions, doomed as above; the rest see shm/volatile.h
 *   events.mdb
 *     meta, sessions, doomed as above; the rest see shm/ring.h
 */
#ifndef INSI_SHM_KEYS_H
#define INSI_SHM_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <lmdb.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/token.h"

enum map_database {
    MAP_META,
    MAP_SESSIONS,
    MAP_VALUES_DB,
    MAP_APIKEYS,
    MAP_DOOMED,
    MAP_ATOMICS,
    MAP_CACHE,
    MAP_DEADLINES,
    MAP_QUEUES,
    MAP_ITEMS,
    MAP_WAITERS,
    MAP_WAITING,
    MAP_DELETED,
    MAP_RING,
    MAP_DATABASE_COUNT
};

#define MAP_META_STATE_HASH "state_hash" /* in "meta": a number, see procs/worker/applier.h */

#define KEY_SCOPED_BYTES (SCOPE_BYTES + LIMIT_KEY_BYTES)

/* Writes scope and key; the length. key.len must be checked before (<= LIMIT_KEY_BYTES). */
size_t key_scoped(uint8_t out[KEY_SCOPED_BYTES], const struct scope *scope, struct slice key);

/* What is stored under a key of a scope, whatever its length. E_NOT_FOUND, E_IO, E_CORRUPT. */
int key_find(MDB_txn *txn, MDB_dbi database, const struct scope *scope, struct slice key,
             MDB_val *stored);

/* Walks the keys of a scope that start with prefix, in byte order, from the first key after `after`
 * (when after.len > 0), calling visit until it returns something else than 0, which is returned
 * but for E_CLOSED: enough. Keys are handed over without their scope. E_IO, E_CORRUPT. */
typedef int key_visit_fn(struct slice key, const MDB_val *stored, void *arg);
int key_scan(MDB_txn *txn, MDB_dbi database, const struct scope *scope, struct slice prefix,
             struct slice after, key_visit_fn *visit, void *arg);

struct value_view { /* borrowed from the map until the transaction ends */
    struct slice data;
    uint64_t index;
};

/* E_NOT_FOUND, E_IO, E_CORRUPT. */
int value_get(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice key,
              struct value_view *out);

/* The writer: what is there is replaced, or left alone with only_new (E_EXISTS). The value's bytes
 * do not lie in the map. E_IO, E_CORRUPT, logged. */
int value_put(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice key,
              const struct value_view *value, bool only_new);

/* As key_scan, until visit returns false. The first `offset` keys are passed over without a call.
 * E_IO, E_CORRUPT. */
typedef bool value_visit_fn(struct slice key, const struct value_view *value, void *arg);
int value_scan(MDB_txn *txn, MDB_dbi values, const struct scope *scope, struct slice prefix,
               struct slice after, uint64_t offset, value_visit_fn *visit, void *arg);

struct atomic_view {
    int64_t value; /* never below 0 */
    uint64_t index;
};
int atomic_get(MDB_txn *txn, MDB_dbi atomics, const struct scope *scope, struct slice key,
               struct atomic_view *out); /* E_NOT_FOUND: it counts as 0; E_IO, E_CORRUPT */
int atomic_put(MDB_txn *txn, MDB_dbi atomics, const struct scope *scope, struct slice key,
               const struct atomic_view *atomic); /* the writer; E_IO, E_CORRUPT, logged */

struct apikey_view {
    struct scope scope;
    uint64_t created_ms, index;
    struct slice name; /* borrowed */
};
int apikey_find(MDB_txn *txn, MDB_dbi apikeys, const uint8_t hash[SHA256_BYTES],
                struct apikey_view *out); /* E_NOT_FOUND, E_IO, E_CORRUPT */
/* The writer. E_EXISTS: there is a key of this hash, and it stays. E_IO, E_CORRUPT, logged. */
int apikey_put(MDB_txn *txn, MDB_dbi apikeys, const uint8_t hash[SHA256_BYTES],
               const struct apikey_view *key);
typedef bool apikey_visit_fn(const struct apikey_view *key, void *arg);
int apikey_scan(MDB_txn *txn, MDB_dbi apikeys, apikey_visit_fn *visit, void *arg);

#endif
