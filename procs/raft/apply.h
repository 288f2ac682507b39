/* apply.h - the apply streams: committed entries to the three state workers, each from where it is.
 *
 * One link per worker. Everything that became committed in a turn goes to each worker as one
 * message per turn (the link's batch), read from the log's cache or, for a worker that is behind,
 * from its segments.
 *
 * A worker whose state ends before the log's beginning is told to load a snapshot first; and all of
 * them are asked for their part of a new one, each in its stream right behind the same index.
 */
#ifndef INSI_RAFT_APPLY_H
#define INSI_RAFT_APPLY_H

#include "base/proc.h"
#include "ipc/link.h"
#include "procs/raft/apply_cursor.h"
#include "procs/raft/wal/wal.h"

struct apply_hooks {
    /* The index that all workers have applied; it may step back. */
    void (*applied)(void *arg, uint64_t index);
    /* All workers run and move, or one is down or stands still. */
    void (*workers_ok)(void *arg, bool ok);
    /* A worker wants this command in the log; borrowed. is_for_all: for every worker to apply. */
    void (*propose)(void *arg, enum proc worker, struct slice command, bool is_for_all);
    /* The log cannot be read, or holds what is no entry. Does not return. */
    void (*failed)(void *arg, int error);
    /* Which snapshot a worker that has applied so much is to load: fills load, whose slices stay
     * valid until the loop's turn ends. False: there is none now; apply_offer_snapshot says when.
     */
    bool (*choose)(void *arg, enum proc worker, uint64_t applied_index,
                   struct msg_snapshot_load *load);
    /* A worker has loaded it, or could not. With an error it waits: apply_offer_snapshot. */
    void (*loaded)(void *arg, enum proc worker, uint64_t index, int error);
    /* A worker's part of the snapshot that apply_snapshot_begin asked for. error: as it says, or
     * E_PEER_DOWN, or E_INVALID for one that does not keep to the conversation. */
    void (*part_made)(void *arg, enum proc worker, const struct msg_snapshot_made *made);
    /* A worker's state hash at an index that is a multiple of RAFT_CHECKPOINT. */
    void (*checkpoint)(void *arg, enum proc worker, uint64_t index, uint64_t hash);
    void *arg;
};

struct apply_options {
    const char *run_dir, *node;
    uint64_t start_id;
    uint64_t stall_ns;   /* a worker that does not move for so long while it has work: stalled */
    uint64_t last_index; /* of the log as it was recovered */
    struct apply_hooks hooks;
};

struct apply;

enum apply_part { /* of the snapshot being made, at one worker */
                  APPLY_PART_NONE,
                  APPLY_PART_DUE,  /* when it has been sent everything up to the index */
                  APPLY_PART_ASKED /* SNAPSHOT_MAKE was sent */
};

struct apply_stream {
    struct apply *apply;
    enum proc worker;
    struct link *link;
    struct apply_cursor cursor;
    bool is_stalled;
    bool waits_for_lineage;   /* it asked before this node had a cluster ... */
    struct msg_resume resume; /* ... this */
    size_t bytes;             /* of the batch being sent */
    uint64_t last_index;      /* likewise */

    uint64_t state_hash;       /* at cursor.applied_index */
    uint64_t checkpoint_index; /* the last one since it resumed; 0: none */

    enum apply_part part;
    bool lacks_snapshot;  /* it waits to be told which one to load */
    uint64_t loads_index; /* it was told to load this one; 0: none */
};

struct apply {
    struct apply_hooks hooks;
    struct wal *wal;
    struct loop *loop;
    struct loop_timer stall_timer;
    uint64_t stall_ns;
    uint8_t lineage[RAFT_LINEAGE_BYTES];
    uint64_t commit_index, applied_index; /* applied: as told last */
    bool is_leader, is_ok;
    uint64_t sent_bytes; /* of commands, since the start */
    uint64_t term;
    struct { /* being made; index 0: none */
        uint64_t index, reserve_bytes;
        const char *folder;
    } snapshot;
    struct apply_stream streams[PROC_WORKER_COUNT];
};

void apply_init(struct apply *apply, const struct apply_options *options, struct wal *wal,
                struct loop *loop);
/* Opens the links; the hooks may be called from now on. E_IO, E_TOO_LARGE. */
int apply_open(struct apply *apply, const struct apply_options *options);
void apply_close(struct apply *apply);

/* The cluster that this log belongs to. While it belongs to none workers wait. */
void apply_set_lineage(struct apply *apply, const uint8_t lineage[RAFT_LINEAGE_BYTES]);

void apply_commit(struct apply *apply, uint64_t commit_index);
/* The log now ends at last_index: what was behind it was never committed. */
void apply_truncated(struct apply *apply, uint64_t last_index);
void apply_set_role(struct apply *apply, bool is_leader, uint64_t term);

/* At the end of a turn: sends what is committed and has room. */
void apply_pump(struct apply *apply);

/* ---- snapshots (apply_snapshot.c) -------------------------------------------------------------
 *
 * Asks every worker for its file in the folder (which outlives it), with the state at exactly this
 * index: at least what has been sent to any of them, at most the commit index. Answers come as
 * part_made, once for each worker, unless it ends before. False: not all workers can. */
bool apply_snapshot_begin(struct apply *apply, uint64_t index, const char *folder,
                          uint64_t reserve_bytes);
/* It is made, or given up: tells those who were asked and have not answered. */
void apply_snapshot_end(struct apply *apply);

/* The log begins anew behind index, and a snapshot of it is in place: all workers load it. */
void apply_install(struct apply *apply, uint64_t index);
/* Asks choose again for the workers that wait. */
void apply_offer_snapshot(struct apply *apply);
/* Whether any worker waits for one. */
bool apply_lacks_snapshot(const struct apply *apply);
/* What a worker shows is wrong, if it has passed this checkpoint since it resumed: it throws its
 * state away and begins anew, from the log or from whatever choose says. False: it has not. */
bool apply_rebuild(struct apply *apply, enum proc worker, uint64_t checkpoint_index);

struct apply_status {
    uint64_t applied_index;
    uint64_t state_hash; /* at applied_index */
    bool is_known;       /* the worker has said so since this process began */
};
struct apply_status apply_status(const struct apply *apply, enum proc worker);

/* For a planned stop: every worker that is there has applied everything, and what was said to it
 * has left this process. */
bool apply_is_settled(struct apply *apply);

/* ---- between apply.c and apply_snapshot.c -----------------------------------------------------
 */

void apply_check_sent(int error);
void apply_judge(struct apply *apply);
void apply_stream_load(struct apply_stream *stream);      /* as choose says */
void apply_stream_ask(struct apply_stream *stream);       /* for its part, if that is due now */
void apply_stream_lose_part(struct apply_stream *stream); /* the link is down */
uint64_t apply_stream_limit(const struct apply_stream *stream); /* send nothing above it */
void apply_on_made(struct apply_stream *stream, struct unpack *body);
void apply_on_loaded(struct apply_stream *stream, struct unpack *body);

#endif
