/* peer_append.h - APPEND: the one message between nodes that carries entries with their payloads.
 *
 *   [APPEND, term, prev index, prev term, last term, commit, match, round, sent_ns, round floor,
 *    [[term, kind, payload], ...]]
 *
 * Entries are read from the log while the message is packed, from its cache or its segments.
 */
#ifndef INSI_RAFT_PEER_APPEND_H
#define INSI_RAFT_PEER_APPEND_H

#include "ipc/pack.h"
#include "procs/raft/core/raft.h"
#include "procs/raft/members.h"
#include "procs/raft/wal/wal.h"

#define PEER_APPEND_ENTRIES 4096 /* of one message; the core sends no more than 1024 */

/* 0, or E_NOT_FOUND: the log does not hold these entries any more, the message is to be dropped
 * (core/raft.h: last_term). E_CORRUPT, E_IO: the log is not to be used any further. After an error
 * the pack is to be given up. */
int peer_append_pack(struct pack *pack, const struct raft_message *message, struct wal *wal);

struct peer_append { /* zeroed before first use; its arrays are used again and again */
    struct raft_message message;
    struct raft_entry *entries;  /* message.append.count of them */
    struct wal_entry *payloads;  /* likewise: kind and payload, borrowed from the bytes */
    struct raft_config *configs; /* of those entries that are one */
    uint32_t room, config_count, config_room;
    uint64_t last_stamp_ms; /* the newest among the commands, 0: there are none */
};

/* Everything is checked but what the core checks: E_INVALID, E_TRUNCATED, E_TRAILING, E_TOO_LARGE.
 */
int peer_append_decode(struct peer_append *append, struct unpack *body);
void peer_append_fini(struct peer_append *append);

#endif
