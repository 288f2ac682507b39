/* snapshot_send.h - one snapshot on its way to one other node (peer_snapshot.h is the
 * conversation).
 *
 * Its files are opened first, so they can be sent to the end whatever becomes of their folder. A
 * helper's thread reads; what was read and cannot be said yet waits, one chunk at most. What was
 * said and is not written yet over there is bounded by a window, which follows the time that it
 * takes: heartbeats travel behind it on the same connection, and must not wait for long. So a
 * transfer takes what a fast network and disk give, and little of a slow one.
 */
#ifndef INSI_RAFT_SNAPSHOT_SEND_H
#define INSI_RAFT_SNAPSHOT_SEND_H

#include "ipc/helper.h"
#include "procs/raft/snapshots/peer_snapshot.h"

#define SNAPSHOT_SEND_CHUNK_BYTES (256u << 10)
#define SNAPSHOT_SEND_WINDOW_MIN (1u << 20)
#define SNAPSHOT_SEND_WINDOW_MAX (8u << 20)
#define SNAPSHOT_SEND_SOON_MS 50         /* written so soon: the window grows */
#define SNAPSHOT_SEND_LATE_MS 200        /* so late: it shrinks */
#define SNAPSHOT_SEND_SILENCE_MS 10000   /* the receiver says something each second ... */
#define SNAPSHOT_SEND_PATIENCE_MS 600000 /* ... once it has summed up what it has already */

struct snapshot_send_hooks {
    /* To the receiver: 0, E_BUSY (the same again with snapshot_send_go_on), E_PEER_DOWN. */
    int (*offer)(void *arg, const struct peer_snapshot_offer *offer);
    int (*chunk)(void *arg, const struct peer_snapshot_chunk *chunk);
    int (*abort)(void *arg, const struct peer_snapshot_abort *abort);
    /* Once: it is in place over there (0), or not. E_CORRUPT: the receiver found a file that is not
     * what the manifest says. E_STORAGE_FULL, E_BUSY and others are the receiver's; E_TIMEOUT,
     * E_PEER_DOWN, E_IO. Not from within snapshot_send_new or _cancel. */
    void (*ended)(void *arg, int error);
    void *arg;
};

struct snapshot_send_options {
    const char *folder;              /* the string outlives it */
    const struct snapshot *snapshot; /* copied */
    uint64_t transfer, term;
    struct loop *loop;
    struct helper *helper; /* may be shared */
    struct snapshot_send_hooks hooks;
};

struct snapshot_send;

struct snapshot_send *snapshot_send_new(const struct snapshot_send_options *options);
/* After ended, or instead of it; nothing is called any more. What a job still needs is freed when
 * it is done. */
void snapshot_send_cancel(struct snapshot_send **send);
/* The same when the helper is gone: no job will be done any more. */
void snapshot_send_free(struct snapshot_send **send);

/* At the end of a turn: what found no room may find it now. */
void snapshot_send_go_on(struct snapshot_send *send);

/* From the receiver. Those of other transfers are passed over. E_INVALID: that cannot be. */
int snapshot_send_on_ack(struct snapshot_send *send, const struct peer_snapshot_ack *ack);
void snapshot_send_on_abort(struct snapshot_send *send, const struct peer_snapshot_abort *abort);
void snapshot_send_on_peer_gone(struct snapshot_send *send);

uint64_t snapshot_send_index(const struct snapshot_send *send);

#endif
