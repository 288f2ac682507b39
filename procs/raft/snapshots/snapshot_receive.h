/* snapshot_receive.h - the snapshot that comes from another node (peer_snapshot.h is the
 * conversation, snapshot_incoming.h what lies on the disk).
 *
 * One at a time. Who offers in a newer term takes the place of who offered before; any other second
 * one is told to wait. A helper's thread writes; what has come and is not written is bounded by
 * SNAPSHOT_RECEIVE_QUEUE_BYTES, beyond which the sender does not keep to the conversation. What was
 * written stays when a transfer ends early, and is gone on with (snapshot_incoming.h).
 */
#ifndef INSI_RAFT_SNAPSHOT_RECEIVE_H
#define INSI_RAFT_SNAPSHOT_RECEIVE_H

#include "ipc/helper.h"
#include "procs/raft/snapshots/peer_snapshot.h"
#include "procs/raft/snapshots/snapshot_incoming.h"

#define SNAPSHOT_RECEIVE_QUEUE_BYTES (16u << 20)
#define SNAPSHOT_RECEIVE_ACK_MS 1000      /* at least so often, while one is being received */
#define SNAPSHOT_RECEIVE_SILENCE_MS 30000 /* nothing came for so long: given up */

struct snapshot_receive_hooks {
    /* To the sender. What cannot be said now is said again: by the timer, or by the next try. */
    void (*ack)(void *arg, uint64_t to, const struct peer_snapshot_ack *ack);
    void (*abort)(void *arg, uint64_t to, const struct peer_snapshot_abort *abort);
    /* Whether this node has the snapshot of this index already, or what to say to the offer: 0 (it
     * is wanted), E_EXISTS (it is here: nothing needs to be sent), or why it is not wanted. */
    int (*judge)(void *arg, uint64_t from, uint64_t term, const struct snapshot *snapshot);
    /* It is on the disk, under its name. The snapshot is taken over. */
    void (*received)(void *arg, uint64_t from, uint64_t term, struct snapshot *snapshot);
    void *arg;
};

struct snapshot_receive {
    const char *folder;
    struct loop *loop;
    struct helper *helper; /* made when it is needed first */
    struct snapshot_receive_hooks hooks;
    struct incoming incoming; /* the helper's */

    struct snapshot *snapshot; /* NULL: none is being received */
    uint64_t life;             /* of this transfer: jobs of earlier ones do not count */
    uint64_t from, transfer, term;
    bool is_prepared;         /* the sender was told where to go on */
    uint64_t expected;        /* the position of the next chunk */
    uint64_t written;         /* as the helper said last */
    struct receive_job *jobs; /* at the helper, of all transfers, first one first */
    uint64_t queued_bytes;
    uint64_t begin_ns, begin_position, heard_ns, acked_ns;
    struct loop_timer timer;
};

void snapshot_receive_init(struct snapshot_receive *receive, const char *folder, struct loop *loop,
                           const struct snapshot_receive_hooks *hooks);
void snapshot_receive_fini(struct snapshot_receive *receive); /* waits for what the helper does */

/* From a sender, named by its raft id. Offers are answered whatever they are. Chunks and aborts of
 * other transfers are passed over. E_INVALID: the sender does not keep to the conversation. */
void snapshot_receive_on_offer(struct snapshot_receive *receive, uint64_t from,
                               const struct peer_snapshot_offer *offer);
int snapshot_receive_on_chunk(struct snapshot_receive *receive, uint64_t from,
                              const struct peer_snapshot_chunk *chunk);
void snapshot_receive_on_abort(struct snapshot_receive *receive, uint64_t from,
                               const struct peer_snapshot_abort *abort);
void snapshot_receive_on_peer_gone(struct snapshot_receive *receive, uint64_t from);

/* Nothing is needed of what came of an earlier one (this node made a snapshot, so it has caught
 * up), unless one is being received: removes it. */
void snapshot_receive_clean(struct snapshot_receive *receive);

bool snapshot_receive_is_busy(const struct snapshot_receive *receive);

#endif
