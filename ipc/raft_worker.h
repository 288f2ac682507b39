/* raft_worker.h - the conversation of the raft process with a state worker: the apply stream.
 *
 * On every connect the worker says RESUME with its applied index and the lineage of its state (the
 * cluster id of the log that it was applied from; zeros when it has applied nothing yet). Raft
 * answers RESUME_OK with the log's lineage, which the worker stores with its next transaction, and
 * ROLE; then it streams everything after the applied index: APPLY for each entry part of this
 * worker, and APPLY_END with the last index of the batch (also when no part was the worker's). The
 * worker applies what it has received in one transaction, wherever batches end, and says APPLIED.
 * Raft keeps at most RAFT_WORKER_WINDOW_BYTES beyond APPLIED under way. Indexes only grow from one
 * RESUME to the next; a worker ignores what is at or below its applied index. It may say RESUME
 * again on the same connection, after a time in which it could not apply, and then passes over
 * everything until RESUME_OK.
 *
 * REBUILD instead of RESUME_OK: the worker's state is of another lineage, or is ahead of the log's
 * end. The worker throws its state away and begins anew.
 *
 * Snapshots. SNAPSHOT_MAKE comes in the stream right behind everything up to its index, and before
 * anything above it. The worker commits exactly that state and copies it to a file of its own in
 * the folder while it goes on applying, then says SNAPSHOT_MADE; SNAPSHOT_DROP: raft needs it no
 * more. One at a time; a connection that ends ends it, too. SNAPSHOT_LOAD, instead of RESUME_OK or
 * at any time in a stream, which it ends: the worker's state is to be that of a snapshot. It says
 * SNAPSHOT_LOADED; when that went well RESUME follows, else it waits for what raft says next.
 *
 * State hashes (procs/worker/applier.h) come with RESUME and APPLIED: the one at the applied index,
 * and the one at the last checkpoint, an index that is a multiple of RAFT_CHECKPOINT, so that nodes
 * can be compared.
 */
#ifndef INSI_IPC_RAFT_WORKER_H
#define INSI_IPC_RAFT_WORKER_H

#include "ipc/link.h"

#define RAFT_WORKER_WINDOW_BYTES (16u << 20)
#define RAFT_LINEAGE_BYTES 16
#define RAFT_CHECKPOINT 1024
#define RAFT_PATH_BYTES 1024

struct msg_resume {
    uint64_t applied_index;
    uint8_t lineage[RAFT_LINEAGE_BYTES];
    uint64_t state_hash;
};
int msg_resume_send(struct link *link, const struct msg_resume *msg);
int msg_resume_decode(struct msg_resume *msg, struct unpack *body);

struct msg_resume_ok {
    uint8_t lineage[RAFT_LINEAGE_BYTES];
};
int msg_resume_ok_send(struct link *link, const struct msg_resume_ok *msg);
int msg_resume_ok_decode(struct msg_resume_ok *msg, struct unpack *body);

int msg_rebuild_send(struct link *link); /* no elements */
int msg_rebuild_decode(struct unpack *body);

struct msg_apply {
    uint64_t index, term, stamp_ms;
    uint64_t session, sequence, floor;
    struct slice command; /* ipc/command.h */
};
int msg_apply_send(struct link *link, const struct msg_apply *msg);
int msg_apply_decode(struct msg_apply *msg, struct unpack *body);

struct msg_apply_end {
    uint64_t last_index;
};
int msg_apply_end_send(struct link *link, const struct msg_apply_end *msg);
int msg_apply_end_decode(struct msg_apply_end *msg, struct unpack *body);

struct msg_applied {
    uint64_t index;
    uint64_t state_hash;       /* at index */
    uint64_t checkpoint_index; /* 0: none was passed since the worker's start */
    uint64_t checkpoint_hash;  /* at checkpoint_index */
};
int msg_applied_send(struct link *link, const struct msg_applied *msg);
int msg_applied_decode(struct msg_applied *msg, struct unpack *body);

/* A command that the worker itself wants in the log (a purge step). Raft drops it when this node
 * does not lead; the worker proposes again when told so by ROLE. Session 0: harmless when repeated.
 */
struct msg_worker_propose {
    struct slice command;
    bool is_for_all; /* one entry for all state workers, not only for this one */
};
int msg_worker_propose_send(struct link *link, const struct msg_worker_propose *msg);
int msg_worker_propose_decode(struct msg_worker_propose *msg, struct unpack *body);

struct msg_role { /* sent after RESUME_OK and on every change */
    bool is_leader;
    uint64_t term;
};
int msg_role_send(struct link *link, const struct msg_role *msg);
int msg_role_decode(struct msg_role *msg, struct unpack *body);

struct msg_snapshot_make {
    uint64_t index;
    uint64_t reserve_bytes; /* so much must stay free on the file system */
    struct slice path;      /* of the file, which does not exist yet; its folder does */
};
int msg_snapshot_make_send(struct link *link, const struct msg_snapshot_make *msg);
int msg_snapshot_make_decode(struct msg_snapshot_make *msg, struct unpack *body);

struct msg_snapshot_made {
    uint64_t index;
    uint64_t error; /* 0: the file is complete and on the disk. E_BUSY, E_STORAGE_FULL, E_IO */
    uint64_t bytes;
    struct slice sum; /* SHA-256 of the file; empty with an error */
    uint64_t state_hash;
};
int msg_snapshot_made_send(struct link *link, const struct msg_snapshot_made *msg);
int msg_snapshot_made_decode(struct msg_snapshot_made *msg, struct unpack *body);

struct msg_snapshot_drop {
    uint64_t index;
};
int msg_snapshot_drop_send(struct link *link, const struct msg_snapshot_drop *msg);
int msg_snapshot_drop_decode(struct msg_snapshot_drop *msg, struct unpack *body);

struct msg_snapshot_load {
    uint64_t index;
    uint64_t bytes;
    struct slice sum; /* SHA-256 */
    uint64_t state_hash;
    struct slice path;
};
int msg_snapshot_load_send(struct link *link, const struct msg_snapshot_load *msg);
int msg_snapshot_load_decode(struct msg_snapshot_load *msg, struct unpack *body);

struct msg_snapshot_loaded {
    uint64_t index;
    uint64_t error; /* E_CORRUPT: the file is not what it should be. E_NOT_FOUND: it is not there.
                       E_STORAGE_FULL, E_IO */
};
int msg_snapshot_loaded_send(struct link *link, const struct msg_snapshot_loaded *msg);
int msg_snapshot_loaded_decode(struct msg_snapshot_loaded *msg, struct unpack *body);

#endif
