/* snapshot_intake.h - which snapshots of other nodes this one takes, and what becomes of them
 * (docs/snapshots.md). How one is received is snapshot_receive.h.
 *
 * One is taken from the leader of this term, if it leads to something that is lacking here. When it
 * is in place the core decides: the log begins anew behind it, or it is one of what the log holds
 * and is kept beside it, or it is of no use.
 *
 * It owns what is being received; all that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_SNAPSHOT_INTAKE_H
#define INSI_RAFT_SNAPSHOT_INTAKE_H

#include "procs/raft/group.h"
#include "procs/raft/peers/peers.h"
#include "procs/raft/snapshots/snapshot_receive.h"
#include "procs/raft/snapshots/snapshots.h"

struct snapshot_intake_hooks {
    /* It is in place here: the core is told. True: the log begins anew behind it. */
    bool (*received)(void *arg, uint64_t from, uint64_t term, const struct snapshot *snapshot);
    /* Whether the log is about to begin anew behind an earlier one. */
    bool (*is_installing)(void *arg);
    /* The process is to begin once more. */
    void (*restart)(void *arg);
    void *arg;
};

struct snapshot_intake_options {
    const char *folder; /* of the snapshots */
    const struct group *group;
    struct peers *peers;
    struct snapshots *snapshots;
    struct apply *apply;
    const struct wal *wal;
    struct loop *loop;
    struct snapshot_intake_hooks hooks;
};

struct snapshot_intake {
    const struct group *group;
    struct peers *peers;
    struct snapshots *snapshots;
    struct apply *apply;
    const struct wal *wal;
    struct loop *loop;
    struct snapshot_intake_hooks hooks;
    struct snapshot_receive receive;
    uint64_t bytes; /* received, since the start */
};

void snapshot_intake_init(struct snapshot_intake *intake,
                          const struct snapshot_intake_options *options);
void snapshot_intake_close(struct snapshot_intake *intake); /* waits for what its helper does */

/* Nothing leads to this log's beginning: asks the leader for one that does. */
void snapshot_intake_ask(struct snapshot_intake *intake);
void snapshot_intake_on_newest(struct snapshot_intake *intake); /* this node has made one itself */

/* What senders say. */
void snapshot_intake_on_offer(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_offer *offer);
void snapshot_intake_on_chunk(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_chunk *chunk);
void snapshot_intake_on_abort(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_abort *abort);
void snapshot_intake_on_peer_gone(struct snapshot_intake *intake, uint64_t id);

#endif
