/* worker_private.h - what worker.c (life, transactions), stream.c (raft) and results.c (gateways)
 * share. All of it belongs to the one thread of the loop. */
#ifndef INSI_PROCS_WORKER_PRIVATE_H
#define INSI_PROCS_WORKER_PRIVATE_H

#include "base/buf.h"
#include "base/limits.h"
#include "ipc/helper.h"
#include "ipc/link.h"
#include "ipc/worker_gateway.h"
#include "procs/skel/skel.h"
#include "procs/worker/applier.h"
#include "procs/worker/snapshot_copy.h"
#include "procs/worker/snapshot_load.h"
#include "procs/worker/worker.h"
#include "shm/board.h"

enum stream_state {
    STREAM_DOWN,    /* no link, or no RESUME on it yet */
    STREAM_ASKED,   /* RESUME was sent */
    STREAM_FLOWING, /* RESUME_OK came: entries are applied */
    STREAM_HELD,    /* no room: what comes is passed over until the stream is asked for again */
    STREAM_LOADING, /* a snapshot: likewise */
    STREAM_ENDED,   /* stopping */
};

struct worker_gateway {
    struct worker *worker;
    struct link *link;
    uint64_t sessions[WORKER_GATEWAY_SESSIONS]; /* told on this connection, the last one last */
    unsigned session_count;
    uint64_t awaited_index; /* it wants to know when this is applied; 0: no more */
    bool drops_results;
};

struct worker_making { /* a snapshot's part */
    struct helper_job job;
    struct worker *worker;
    struct helper *helper; /* made when it is needed first */
    struct snapshot_copy copy;
    bool is_running;
    uint64_t index, state_hash;
};

struct worker_loading {
    struct helper_job job;
    struct worker *worker;
    struct helper *helper;
    struct snapshot_load load;
    bool is_running;
    bool is_over; /* but the map cannot be closed yet: a copy of it is being made */
    uint64_t index, state_hash;
    struct { /* came while another one was running */
        bool is_due;
        uint64_t index, bytes, state_hash;
        uint8_t sum[SHA256_BYTES];
        char path[RAFT_PATH_BYTES];
    } next;
};

struct worker_reply { /* a result that leaves after the commit */
    uint64_t session, sequence, index;
    int error;
    size_t detail_at, detail_len; /* in worker->details */
};

struct worker {
    struct skel skel;
    const struct worker_kind *kind;
    const char *folder;
    struct loop *loop;
    struct map *map;
    struct board *board;
    struct applier applier;

    /* raft */
    struct link *raft;
    enum stream_state stream;
    bool is_leader;
    uint64_t told_index; /* the last that APPLIED named */
    uint64_t held_bytes; /* STREAM_HELD: of the command that waits for room */
    struct loop_timer hold_timer;

    struct worker_making making;
    struct worker_loading loading;

    /* gateways */
    struct worker_gateway gateways[LIMIT_GATEWAYS];
    unsigned gateway_count;
    struct worker_reply *replies; /* of the open transaction */
    unsigned reply_count, reply_capacity;
    struct buf details;

    struct loop_timer sweep_timer;
    struct loop_timer written_timer;
    struct loop_timer lasted_timer;
    struct loop_timer stop_timer;
    uint64_t stop_deadline_ns;
};

/* worker.c */
void worker_apply(struct worker *worker, const struct msg_apply *entry);
void worker_commit(struct worker *worker); /* what is open, and tells everybody */
/* Puts the applied index on the board, and tells those who wait for it. The board may know more of
 * an earlier life of this process: indexes that moved past other workers' entries and were not
 * stored. It is true still, and is not taken back. */
void worker_publish(struct worker *worker);
/* E_CORRUPT of map_check_written ends the process, and the map. */
void worker_check_written(struct worker *worker);
/* Whether there is room for a transaction with so many bytes of commands. Decides only when
 * something is applied, never how. */
bool worker_may_write(const struct worker *worker, uint64_t bytes);
void worker_sweep(struct worker *worker); /* gives back the slots of readers that died */
/* Raft's verdict, or our own: the state is not of this log. Throws it away. */
_Noreturn void worker_rebuild(struct worker *worker, const char *reason);

/* Puts another map in the place of what this worker has, and goes on with it. */
void worker_replace_map(struct worker *worker, struct map *staged);

/* worker_snapshots.c */
void worker_snapshots_init(struct worker *worker);
void worker_snapshots_on_make(struct worker *worker, struct unpack *body);
void worker_snapshots_on_drop(struct worker *worker, struct unpack *body);
void worker_snapshots_on_load(struct worker *worker, struct unpack *body);
/* The link to raft: all that was asked is void. */
void worker_snapshots_on_down(struct worker *worker);
bool worker_snapshots_are_loading(const struct worker *worker);

/* stream.c */
int stream_open(struct worker *worker);
/* Applies no more until there is room for a command of so many bytes. */
void stream_hold(struct worker *worker, uint64_t bytes);
void stream_tell_applied(struct worker *worker);
void stream_resume(struct worker *worker); /* asks raft to go on, if it is there */

/* results.c */
int results_open(struct worker *worker);
void results_note(struct worker *worker, uint64_t session, uint64_t sequence,
                  const struct session_result *result);
void results_send(struct worker *worker);         /* what was noted */
void results_push(struct worker *worker);         /* all that is remembered, to those connected */
void results_tell_waiting(struct worker *worker); /* those who wait for this worker */
bool results_are_idle(struct worker *worker);

#endif
