/* apply_cursor.h - how far one state worker has got: what it was sent, what it has applied.
 *
 * Pure bookkeeping. Bytes that were sent and are not yet applied are bounded (RAFT_WORKER_WINDOW_
 * BYTES), so that a slow worker holds neither memory nor the others up.
 */
#ifndef INSI_RAFT_APPLY_CURSOR_H
#define INSI_RAFT_APPLY_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/raft_worker.h"

#define APPLY_BATCHES_MAX 1024 /* sent and not yet applied */

struct apply_batch {
    uint64_t last_index;
    size_t bytes;
};

struct apply_cursor {
    bool is_flowing;        /* the worker has resumed on this connection */
    uint64_t next_index;    /* to be sent next */
    uint64_t applied_index; /* as the worker said last, also while it is down */
    uint64_t ceiling;       /* it cannot have applied more: nobody sent it */
    size_t flying_bytes;
    struct apply_batch batches[APPLY_BATCHES_MAX]; /* ring */
    uint32_t head, count;
    uint64_t progress_ns; /* its last step forward, or when it was sent something to do */
};

/* last_index: the end of the log when it was recovered. What a worker has applied came from there;
 * more it can have from no one. */
void apply_cursor_init(struct apply_cursor *cursor, uint64_t last_index);

enum apply_verdict {
    APPLY_FITS,   /* it may go on, from the next entry on */
    APPLY_BEHIND, /* its state ends before the log's beginning: it needs a snapshot */
    APPLY_FOREIGN /* its state is of another log, or ahead of this one: it has to be thrown away */
};

/* The worker asks to go on. */
enum apply_verdict apply_cursor_resume(struct apply_cursor *cursor, const struct msg_resume *resume,
                                       const uint8_t lineage[RAFT_LINEAGE_BYTES],
                                       uint64_t first_index, uint64_t now_ns);
void apply_cursor_down(struct apply_cursor *cursor);

/* The log was begun anew behind index: that is what workers will have. */
void apply_cursor_install(struct apply_cursor *cursor, uint64_t index);

/* It is told to load a snapshot of this index, and may have applied as much from now on. */
void apply_cursor_load(struct apply_cursor *cursor, uint64_t index);

bool apply_cursor_has_room(const struct apply_cursor *cursor);
/* Everything up to last_index was sent. */
void apply_cursor_sent(struct apply_cursor *cursor, uint64_t last_index, size_t bytes,
                       uint64_t now_ns);
/* False: it cannot have, and nothing is changed. */
bool apply_cursor_applied(struct apply_cursor *cursor, uint64_t index, uint64_t now_ns);

/* When this worker is stalled unless it moves; 0: it has nothing to do. */
uint64_t apply_cursor_stalls_ns(const struct apply_cursor *cursor, uint64_t limit_ns);

#endif
