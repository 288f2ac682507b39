/* applier.h - applying entries in transactions (I2, I4, I5), without links or loops.
 *
 * A transaction takes entries as they come until the caller commits: at the end of the loop's turn,
 * or at any index it likes, since no entry depends on where transactions end. In the same
 * transaction go the applied index, what sessions remember, the log's lineage and the state hash.
 *
 * State hash: CRC-64/XZ of every entry of this worker with its outcome, on top of the hash
 * before it: index, error and the lengths of command and detail (8 bytes each, little-endian),
 * command, detail; then of each command that it gave a final result session, sequence, error and
 * the length of the detail (8 bytes each), and the detail. At equal applied index it is equal on
 * all nodes, however the entries were batched; where it is not, the states are not equal either.
 *
 * Checkpoint: the state hash at the last index passed that is a multiple of RAFT_CHECKPOINT,
 * wherever transactions end, so that nodes can be compared. None is known before the first one is
 * passed.
 *
 * An applied index that only moved past other workers' entries is kept in memory; it is stored with
 * the next entry, at the latest APPLIER_LAG later (after a restart raft sends less than that again)
 * or by applier_settle.
 *
 * Errors: E_IO and E_CORRUPT leave the applier unusable; the process ends and starts anew from the
 * map, which is as the last commit left it.
 */
#ifndef INSI_PROCS_WORKER_APPLIER_H
#define INSI_PROCS_WORKER_APPLIER_H

#include "ipc/raft_worker.h"
#include "procs/worker/sessions.h"
#include "procs/worker/worker.h"

#define APPLIER_LAG 4096               /* indexes */
#define APPLIER_ENTRIES 4096           /* of one transaction */
#define APPLIER_BYTES (4u << 20)       /* of one transaction: commands and details */
#define APPLIER_LARGE_BYTES (1u << 20) /* a command that gets a transaction of its own */

struct applier_final { /* the final result of another command that waited */
    uint64_t session, sequence;
    int error;
    size_t detail_at, detail_len; /* in applier->final_details */
};

struct applier {
    struct map *map;
    const struct worker_kind *kind;
    struct sessions *sessions;
    MDB_txn *txn;              /* NULL: none is open */
    uint64_t last_index;       /* applied, the open transaction included */
    uint64_t state_hash;       /* likewise */
    uint64_t checkpoint_index; /* 0: none */
    uint64_t checkpoint_hash;
    uint8_t lineage[RAFT_LINEAGE_BYTES]; /* zeros: none yet */
    bool lineage_changed;
    struct applier_final *finals; /* given by the last entry */
    unsigned final_count, final_capacity;
    struct buf final_details;
    unsigned entries; /* in the open transaction */
    size_t bytes;
};

int applier_open(struct applier *applier, struct map *map, const struct worker_kind *kind);
void applier_close(struct applier *applier); /* gives up an open transaction; the map stays */

/* Applies one entry; what is at or below last_index is passed over, with result->index 0. Begins a
 * transaction when none is open. */
int applier_apply(struct applier *applier, const struct msg_apply *entry,
                  struct session_result *result);

/* The final results that the last entry gave, from 0; borrowed until the next one. */
void applier_final(const struct applier *applier, unsigned number, uint64_t *session,
                   uint64_t *sequence, struct session_result *result);

/* All entries up to index have been seen. */
void applier_advance(struct applier *applier, uint64_t index);

/* Whether the open transaction should be committed before such an entry is applied. */
bool applier_is_full(const struct applier *applier, size_t command_bytes);

/* Commits what is open. Nothing open: nothing to do, unless last_index has run far ahead. */
int applier_commit(struct applier *applier);

/* Commits, and stores last_index in any case. */
int applier_settle(struct applier *applier);
/* Likewise, in a transaction of its own if nothing is to be stored: the kind's store is called. */
int applier_touch(struct applier *applier);

/* The log that the state comes from; stored with the next transaction. */
void applier_set_lineage(struct applier *applier, const uint8_t lineage[RAFT_LINEAGE_BYTES]);

/* A remembered result: E_NOT_FOUND. No transaction may be open. */
int applier_recall(struct applier *applier, uint64_t session, uint64_t sequence,
                   struct session_result *result);
/* All that are remembered of a session. Likewise. */
int applier_recall_all(struct applier *applier, uint64_t session, session_result_fn *visit,
                       void *arg);

#endif
