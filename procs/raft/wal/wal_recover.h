/* wal_recover.h - from the files of a log back to its state (rules and reasons: docs/log.md).
 *
 *   1. Batches are numbered through all segments, and one is written only after the one before it
 *      was synced. So a bad batch with anything valid behind it, in its segment or because there is
 *      a later segment, was durable once and may have been acknowledged: that is corruption, and
 *      nothing is changed. A bad batch with nothing valid behind it was never acknowledged: a torn
 *      tail, which is overwritten with zeros.
 *   2. A segment is there with its header from the moment it has a name, has its full size, and is
 *      sealed before the next one gets its name. So a missing segment is noticed wherever it
 *      was: at the front by the floor, in the middle by the sequence, at the end by the seal.
 *   3. The last segment is read from the device, because the page cache may hold what a failed sync
 *      did not write; after a failed sync ("suspect") all of them are. What the device holds
 *      counts.
 *   4. What was found is synced before anybody builds on it: it may have been read before it was
 *      written.
 */
#ifndef INSI_RAFT_WAL_RECOVER_H
#define INSI_RAFT_WAL_RECOVER_H

#include "procs/raft/wal/wal_index.h"
#include "procs/raft/wal/wal_segment.h"

struct wal_recovery {
    const char *folder;
    const struct wal_identity *identity;
    void (*progress)(void *arg); /* after each segment; may be NULL */
    void *arg;
};

struct wal_recovered {
    struct wal_floor floor;
    uint64_t term, vote;
    uint64_t last_index, last_term; /* those of the floor when there are no entries */
    uint64_t torn_bytes;            /* cut off the end */
    bool is_marked;                 /* the last batch is a mark */
    /* the last segment */
    uint64_t sequence; /* 0: the log was never begun */
    uint64_t salt;
    uint64_t next_batch; /* number for the next batch */
    size_t end;          /* where it goes */
    size_t segment_bytes;
};

/* Fills recovered and index. E_CORRUPT, E_FOREIGN, E_VERSION, E_IO, each logged with file and
 * offset. */
int wal_recover(const struct wal_recovery *recovery, struct wal_recovered *recovered,
                struct wal_index *index);

#endif
