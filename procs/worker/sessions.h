/* sessions.h - who may have commands applied, and the results of what was applied (I5).
 *
 * A session is one life of a gateway process anywhere in the cluster, known by its start id. It is
 * opened through the log (SESSION_OPEN), and its commands are numbered. All of this is replicated
 * state, a function of the log alone, kept in the map and in memory:
 *
 * 1. Each sequence of a session is applied at most once; a repeated one gets the first result.
 * 2. A command of a session that is not known is refused with E_SESSION_EXPIRED, never applied:
 *    a forgotten session could have applied it already.
 * 3. The session's floor is the highest that any of its entries named, and the sequence with which
 *    it was opened. Sequences below it have been answered, so their results are forgotten, and
 *    whatever still comes of them is not applied: E_OUTCOME_UNKNOWN, for nobody who waits.
 * 4. Sequences at LIMIT_SESSION_WINDOW or more above the floor are refused with E_BAD_COMMAND; a
 *    gateway has no more open than that.
 * 5. There is room for LIMIT_SESSIONS. Opening one more forgets the one whose last entry is oldest
 *    in the log.
 * 6. Opening a session that exists does nothing but count as its use.
 * 7. The result E_QUEUE_WAITING is not the last word: a later entry puts the final one in its
 *    place, once. A sequence that was not applied yet can be given a final result, too, and is then
 *    not applied any more.
 *
 * In the map (database "sessions"; numbers as in shm/keys.h):
 *     session(8)                -> floor(8) last_used_index(8)
 *     session(8) first_index(8) -> the results of one transaction, in msgpack without a frame:
 *                                  base sequence, then for each result
 *                                  sequence - base, index - first_index, error, detail
 * A record of results is removed when the floor has passed all of them. How results are spread over
 * records depends on the transactions, what they say does not.
 *
 * Memory: 8 bytes for each sequence of the window in use; details stay in the map. Errors: E_IO,
 * E_CORRUPT; the transaction must then be given up, and the sessions loaded anew.
 */
#ifndef INSI_PROCS_WORKER_SESSIONS_H
#define INSI_PROCS_WORKER_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/map.h"

struct sessions;

struct session_origin {
    uint64_t session; /* never 0 here */
    uint64_t sequence, floor;
};

struct session_result {
    uint64_t index; /* at which it was applied, or refused */
    int error;
    struct slice detail; /* borrowed until the next call */
};

/* Reads everything into memory. The map outlives the sessions. */
int sessions_load(struct sessions **out, const struct map *map, MDB_txn *txn);
void sessions_free(struct sessions **sessions);

/* What is to be done about the entry at index, by the rules above. With *is_new it has to be
 * applied and its result remembered; otherwise result is the answer. opens: it is a SESSION_OPEN.
 */
int sessions_judge(struct sessions *sessions, MDB_txn *txn, const struct session_origin *origin,
                   uint64_t index, bool opens, bool *is_new, struct session_result *result);

/* Right after the entry that was judged new was applied. */
void sessions_remember(struct sessions *sessions, const struct session_origin *origin,
                       const struct session_result *result);

/* Rule 7. Whether the sequence waits for its final result; and the final result, applied by the
 * entry at result->index. E_NOT_FOUND: of no session or window that is known; E_EXISTS: it has one.
 */
bool sessions_wait(const struct sessions *sessions, uint64_t session, uint64_t sequence);
int sessions_finish(struct sessions *sessions, uint64_t session, uint64_t sequence,
                    const struct session_result *result);

/* Writes what changed, before the transaction commits. */
int sessions_store(struct sessions *sessions, MDB_txn *txn);

/* The remembered result of a sequence, if there is one: E_NOT_FOUND. */
int sessions_recall(struct sessions *sessions, MDB_txn *txn, uint64_t session, uint64_t sequence,
                    struct session_result *result);

/* Likewise all that are remembered of a session, in order; none of one that is not known. */
typedef void session_result_fn(void *arg, uint64_t sequence, const struct session_result *result);
int sessions_recall_all(struct sessions *sessions, MDB_txn *txn, uint64_t session,
                        session_result_fn *visit, void *arg);

unsigned sessions_count(const struct sessions *sessions);

#endif
