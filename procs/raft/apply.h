/* apply.h - the apply streams: committed entries to the three state workers, each from where it is.
 *
 * One link per worker. Everything that became committed in a turn goes to each worker as one
 * message per turn (the link's batch), read from the log's cache or, for a worker that is behind,
 * from its segments.
 */
#ifndef INSI_RAFT_APPLY_H
#define INSI_RAFT_APPLY_H

#include "base/proc.h"
#include "ipc/link.h"
#include "procs/raft/apply_cursor.h"
#include "procs/raft/wal.h"

struct apply_hooks {
    /* The index that all workers have applied; it may step back. */
    void (*applied)(void *arg, uint64_t index);
    /* All workers run and move, or one is down or stands still. */
    void (*workers_ok)(void *arg, bool ok);
    /* A worker wants this command in the log; borrowed. */
    void (*propose)(void *arg, enum proc worker, struct slice command);
    /* The log cannot be read, or holds what is no entry. Does not return. */
    void (*failed)(void *arg, int error);
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

struct apply_stream {
    struct apply *apply;
    enum proc worker;
    struct link *link;
    struct apply_cursor cursor;
    bool is_stalled;
    size_t bytes;        /* of the batch being sent */
    uint64_t last_index; /* likewise */
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
    struct apply_stream streams[PROC_WORKER_COUNT];
};

void apply_init(struct apply *apply, const struct apply_options *options, struct wal *wal,
                struct loop *loop);
/* Opens the links; the hooks may be called from now on. E_IO, E_TOO_LARGE. */
int apply_open(struct apply *apply, const struct apply_options *options);
void apply_close(struct apply *apply);

/* The cluster that this log belongs to; before the first RESUME can arrive. */
void apply_set_lineage(struct apply *apply, const uint8_t lineage[RAFT_LINEAGE_BYTES]);

void apply_commit(struct apply *apply, uint64_t commit_index);
/* The log now ends at last_index: what was behind it was never committed. */
void apply_truncated(struct apply *apply, uint64_t last_index);
void apply_set_role(struct apply *apply, bool is_leader, uint64_t term);

/* At the end of a turn: sends what is committed and has room. */
void apply_pump(struct apply *apply);

/* For a planned stop: every worker that is there has applied everything, and what was said to it
 * has left this process. */
bool apply_is_settled(struct apply *apply);

#endif
