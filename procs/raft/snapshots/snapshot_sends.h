/* snapshot_sends.h - to whom this node sends its newest snapshot, and when (docs/snapshots.md).
 * One of them on its way is snapshot_send.h.
 *
 * Sent it is to whom the core names, for their log has been cut off, and to whoever asks because it
 * has none that leads to its own log's beginning. SNAPSHOT_SENDS_AT_ONCE at a time; the others
 * wait. What has failed waits, too, before it ends, longer with each failure in a row: the core
 * asks again at once. Only a leader sends, and what it began in one term ends with it.
 *
 * It owns what it sends and the thread that reads it; all that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_SNAPSHOT_SENDS_H
#define INSI_RAFT_SNAPSHOT_SENDS_H

#include "procs/raft/group.h"
#include "procs/raft/peers/peers.h"
#include "procs/raft/snapshots/snapshot_send.h"
#include "procs/raft/snapshots/snapshots.h"

#define SNAPSHOT_SENDS_AT_ONCE 4

struct snapshot_sends_options {
    const char *folder; /* of the snapshots */
    const struct group *group;
    struct peers *peers;
    struct snapshots *snapshots;
    struct loop *loop;
    /* One that the core asked for has ended, well or not: it is to be told. */
    void (*sent)(void *arg, uint64_t to, uint64_t index, bool ok);
    void *arg;
};

enum sending_state {
    SENDING_NONE,
    SENDING_WAITS, /* its turn has not come */
    SENDING_RUNS,
    SENDING_ENDED /* well or not; the core is to be told */
};

struct sending { /* to one node */
    struct snapshot_sends *sends;
    uint64_t to; /* raft id; RAFT_NONE: this place is free */
    enum sending_state state;
    bool for_core;     /* it asked for it, and is told of its end */
    unsigned failures; /* in a row */
    struct snapshot_send *send;
    uint64_t index, due_ns;
    int error;
};

struct snapshot_sends {
    const char *folder;
    const struct group *group;
    struct peers *peers;
    struct snapshots *snapshots;
    struct loop *loop;
    void (*sent)(void *arg, uint64_t to, uint64_t index, bool ok);
    void *arg;
    struct helper *helper; /* reads what is sent; made when it is needed first */
    struct sending list[RAFT_MEMBERS_MAX];
    struct loop_timer timer;
    uint64_t last;  /* number of the last transfer */
    uint64_t term;  /* in which they were begun; 0: this node does not lead */
    uint64_t bytes; /* sent, since the start */
    bool doubts;    /* a snapshot that was found damaged over there is looked at here */
};

void snapshot_sends_init(struct snapshot_sends *sends,
                         const struct snapshot_sends_options *options);
void snapshot_sends_close(struct snapshot_sends *sends); /* waits for what the helper does */

/* This node is to be sent the newest one. for_core: sent is called when that has ended. */
void snapshot_sends_want(struct snapshot_sends *sends, uint64_t id, bool for_core);
void snapshot_sends_on_newest(struct snapshot_sends *sends); /* there is another one */
/* In each turn, before what was said leaves: what found no room may find it now. */
void snapshot_sends_go_on(struct snapshot_sends *sends);

/* What receivers say: what they have does not lead to the beginning of their log, which a snapshot
 * of this index does; so much is written; it ends. E_INVALID: that cannot be. */
void snapshot_sends_on_wanted(struct snapshot_sends *sends, uint64_t from, uint64_t index);
int snapshot_sends_on_ack(struct snapshot_sends *sends, uint64_t from,
                          const struct peer_snapshot_ack *ack);
void snapshot_sends_on_abort(struct snapshot_sends *sends, uint64_t from,
                             const struct peer_snapshot_abort *abort);
void snapshot_sends_on_peer_gone(struct snapshot_sends *sends, uint64_t id);

#endif
