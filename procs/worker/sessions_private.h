/* sessions_private.h - what sessions.c (the rules) and sessions_records.c (the map) share. */
#ifndef INSI_PROCS_WORKER_SESSIONS_PRIVATE_H
#define INSI_PROCS_WORKER_SESSIONS_PRIVATE_H

#include "base/buf.h"
#include "base/limits.h"
#include "procs/worker/sessions.h"

#define SESSIONS_TABLE_SLOTS (2 * LIMIT_SESSIONS)

_Static_assert((LIMIT_SESSION_WINDOW & (LIMIT_SESSION_WINDOW - 1)) == 0, "rings are masked");
_Static_assert((SESSIONS_TABLE_SLOTS & (SESSIONS_TABLE_SLOTS - 1)) == 0, "the table is masked");

struct session_group { /* one record of results, in the map */
    uint64_t first_index;
    uint64_t last_sequence; /* the highest of its sequences */
};

struct session {
    uint64_t id;
    uint64_t floor;
    uint64_t last_used; /* index */
    struct session *older, *newer;

    /* Sequence n of the window is at n & (capacity - 1): what session_slot packs, 0 for one that
     * was not applied. */
    uint64_t *slots;
    uint64_t capacity; /* a power of two, or 0 */

    struct session_group *groups; /* in the order of their indexes */
    unsigned group_start, group_end, group_capacity;

    /* results of the open transaction, encoded; empty: none */
    struct buf pending;
    uint64_t pending_base;
    struct session_group pending_group;

    bool is_dirty; /* on the list below */
    struct session *next_dirty;
};

struct sessions {
    const struct map *map;
    struct session *table[SESSIONS_TABLE_SLOTS]; /* by id, linear probing */
    struct session *oldest, *newest;             /* by last_used */
    struct session *dirty;
    unsigned count;
    struct buf detail; /* what a result's detail borrows from */
};

/* A result in 8 bytes: index, whether it has a detail, error. */
static inline uint64_t session_slot(uint64_t index, int error, bool has_detail)
{
    return index << 9 | (uint64_t)has_detail << 8 | (uint64_t)error;
}

static inline uint64_t session_slot_index(uint64_t slot)
{
    return slot >> 9;
}

static inline bool session_slot_has_detail(uint64_t slot)
{
    return (slot >> 8 & 1) != 0;
}

static inline int session_slot_error(uint64_t slot)
{
    return (int)(slot & 0xff);
}

struct session *sessions_add(struct sessions *sessions, uint64_t id);
void sessions_make_newest(struct sessions *sessions, struct session *session);

/* Room for the sequence, which is in the window, in the ring; then where it is. */
uint64_t *session_slot_for(struct session *session, uint64_t sequence);

/* One result more for the open transaction. */
void session_encode(struct session *session, uint64_t sequence,
                    const struct session_result *result);

/* Removes all records of a session. */
int session_erase(const struct sessions *sessions, const struct session *session, MDB_txn *txn);

/* Fetches the detail of an applied sequence into sessions->detail. */
int session_read_detail(struct sessions *sessions, const struct session *session, MDB_txn *txn,
                        uint64_t sequence, uint64_t index);

#endif
