/* snapshots.h - this node's snapshots: which there are, making the next one, giving up old ones
 * (docs/snapshots.md).
 *
 * A new one is due when the log has grown by the larger of snapshotLogSize and half of the data
 * since the last one was begun, so the work of making them stays in proportion to the writes. What
 * is kept: the newest two, and the log from the older one on, so that one that proves damaged can
 * be done without.
 *
 * One thread, the loop's; a helper's thread does what blocks.
 */
#ifndef INSI_RAFT_SNAPSHOTS_H
#define INSI_RAFT_SNAPSHOTS_H

#include "ipc/helper.h"
#include "procs/raft/apply.h"
#include "procs/raft/snapshots/snapshot_store.h"

#define SNAPSHOTS_RETRY_MIN_NS (1000000000ull)
#define SNAPSHOTS_RETRY_MAX_NS (64000000000ull)

struct snapshots_hooks {
    /* One is about to be made: fills all but the parts. False: not now. */
    bool (*begin)(void *arg, struct snapshot *out);
    /* It is on the disk, and the newest. */
    void (*made)(void *arg);
    void *arg;
};

struct snapshots_options {
    const char *folder; /* the string outlives it */
    uint64_t log_bytes; /* snapshotLogSize */
    struct snapshots_hooks hooks;
};

enum snapshots_state {
    SNAPSHOTS_IDLE,
    SNAPSHOTS_PREPARING, /* the folder */
    SNAPSHOTS_COPYING,   /* the workers are at it */
    SNAPSHOTS_FINISHING, /* manifest and name */
};

struct snapshots_job { /* of the helper */
    struct helper_job job;
    struct snapshots *snapshots;
    const char *folder;
    uint64_t index, bytes, reserve_bytes;
    const struct snapshot *snapshot;
    bool removes_damaged;
    int error;
};

struct snapshots {
    struct snapshots_options options;
    struct loop *loop;
    struct apply *apply;
    struct helper *helper;
    struct snapshot_list list;
    uint64_t grown_bytes; /* of the log, since the newest one was begun */
    uint64_t kept_bytes;  /* of those: since this one was begun */
    bool is_wanted;       /* however little that is: one was found damaged */

    enum snapshots_state state;
    bool is_dropped; /* what is being done is not wanted any more */
    struct snapshot *making;
    unsigned missing; /* parts */
    struct snapshots_job step;
    uint64_t retry_wait_ns;
    struct loop_timer retry;
};

/* Before the loop runs: reads the folder. As snapshot_store_open. */
int snapshots_open(struct snapshots *snapshots, const struct snapshots_options *options,
                   const uint8_t cluster[WAL_CLUSTER_BYTES]);
/* Then, when the streams exist. */
void snapshots_start(struct snapshots *snapshots, struct loop *loop, struct apply *apply);
void snapshots_close(struct snapshots *snapshots); /* waits for what the helper does */

const struct snapshot *snapshots_newest(const struct snapshots *snapshots); /* NULL */
/* The one before; NULL. */
const struct snapshot *snapshots_older(const struct snapshots *snapshots);
/* The newest from which a log that begins with first_index goes on; NULL. */
const struct snapshot *snapshots_leading_to(const struct snapshots *snapshots,
                                            uint64_t first_index);

/* So many bytes more in the log. */
void snapshots_note_log(struct snapshots *snapshots, uint64_t bytes);
/* One is needed, however little the log has grown. */
void snapshots_want(struct snapshots *snapshots);
/* At the end of a turn: begins one if it is due. */
void snapshots_consider(struct snapshots *snapshots);
void snapshots_drop(struct snapshots *snapshots); /* what is being made */

/* From apply: a worker's part. */
void snapshots_on_part(struct snapshots *snapshots, enum proc worker,
                       const struct msg_snapshot_made *made);

/* Another one is on the disk under its name (received); the snapshot is taken over. */
void snapshots_add(struct snapshots *snapshots, struct snapshot *snapshot);
const struct snapshot *snapshots_find(const struct snapshots *snapshots, uint64_t index); /* NULL */
void snapshots_give_up_one(struct snapshots *snapshots, uint64_t index); /* it is not needed */
/* Gives up all that are older than index: the log does not lead on from them. */
void snapshots_remove_below(struct snapshots *snapshots, uint64_t index);
/* One was found damaged: it is kept under another name and used no more. */
void snapshots_set_damaged(struct snapshots *snapshots, uint64_t index);
/* The state that they were made of is not what it should be: likewise, all of them. */
void snapshots_distrust(struct snapshots *snapshots);

/* How much the log may grow between two. */
uint64_t snapshots_period_bytes(const struct snapshots *snapshots);

#endif
