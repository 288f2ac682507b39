/* wal.h - the write-ahead log: what was acknowledged is on disk (format and recovery: docs/log.md).
 *
 * Owner: the loop of insi-raft; every call below is for its thread alone. The log has a thread that
 * writes and syncs: everything queued during one sync goes into the next batch (group commit). A
 * second one prepares the next segment (preallocated, zero-filled, synced) and removes those given
 * up, so that a batch never waits for either. When nothing came for WAL_MARK_MS after a batch, a
 * mark is written, which says that the batch is durable; then both threads sleep.
 *
 * Any error of a write or sync ends the process (I1): the kernel may drop what it could not write
 * and report success the next time. The folder gets the mark "suspect" first.
 */
#ifndef INSI_RAFT_WAL_H
#define INSI_RAFT_WAL_H

#include <sys/types.h>

#include "procs/raft/wal/wal_format.h"
#include "procs/raft/wal/wal_read.h"

#define WAL_SEGMENT_BYTES (8u << 20)
#define WAL_QUEUE_BYTES (512u << 20) /* not yet written; the owner stays below (CHECKed) */
#define WAL_MARK_MS 5

struct wal;

struct wal_io { /* replaced by tests that need a disk to fail */
    ssize_t (*write)(int fd, const void *data, size_t len, off_t offset);
    int (*sync)(int fd); /* fdatasync */
};

struct wal_options {
    const char *folder;          /* exists; the string outlives the log */
    const char *node;            /* id; a log of another node is refused */
    size_t segment_bytes;        /* 0: WAL_SEGMENT_BYTES */
    const struct wal_io *io;     /* NULL: the real one */
    void (*progress)(void *arg); /* while opening: something was read (may be NULL) */
    void *arg;
};

struct wal_state { /* what a log holds when it was opened */
    struct wal_identity identity;
    bool is_new; /* the node has never run before */
    uint64_t term, vote;
    uint64_t base_index, base_term; /* the log begins behind it */
    uint64_t last_index, last_term;
    uint64_t torn_bytes; /* cut off the end */
};

/* Opens or makes the log, recovers it, starts the threads. E_CORRUPT, E_FOREIGN, E_VERSION,
 * E_STORAGE_FULL, E_IO, each logged with file and offset. */
int wal_open(struct wal **out, const struct wal_options *options, struct wal_state *state);

/* Writes and syncs what is queued, then a mark, and stops the threads. */
void wal_close(struct wal **wal);

/* Gives the node a cluster, durably; segments begun from now on name it. E_IO. */
int wal_set_cluster(struct wal *wal, const uint8_t cluster[WAL_CLUSTER_BYTES], bool founder);

/* ---- writing ----------------------------------------------------------------------------------
 *
 * A write is what one step of the core wants on the disk: its number, then its records. It becomes
 * durable as a whole, after all before it. An entry at or below the last index overrides what was
 * there from that index on; none may leave a gap. */
void wal_begin_write(struct wal *wal, uint64_t number); /* numbers ascend */
void wal_add_hard_state(struct wal *wal, uint64_t term, uint64_t vote);
void wal_add_entry(struct wal *wal, const struct wal_entry *entry); /* the payload is copied */
void wal_end_write(struct wal *wal);

void wal_flush(struct wal *wal); /* wakes the log's thread if there is work: once a turn */

struct wal_durable {
    uint64_t write;       /* this write and all before it */
    uint64_t reset_index; /* the last wal_reset that is; 0: none was asked for */
};

int wal_fd(const struct wal *wal); /* readable when something became durable */
struct wal_durable wal_take_durable(struct wal *wal);

/* ---- reading back -----------------------------------------------------------------------------
 *
 * Visits entries from first on, queued ones too, until visit returns false, about max_bytes of
 * payload were visited or the log ends. E_NOT_FOUND: first is not in the log. E_CORRUPT, E_IO:
 * logged; the log is not to be used any further. */
int wal_read(struct wal *wal, uint64_t first, size_t max_bytes, wal_visit_fn *visit, void *arg);
uint64_t wal_first_index(const struct wal *wal); /* of the first that is there, or would be */
uint64_t wal_last_index(const struct wal *wal);
uint64_t wal_kept_bytes(struct wal *wal); /* about, of segments that were not given up */

/* ---- giving up entries ------------------------------------------------------------------------
 */

/* Entries up to index are not needed any more: removes the segments that hold nothing above it, in
 * the background, the new floor first. index is durable; term is its term. */
void wal_cut(struct wal *wal, uint64_t index, uint64_t term);

/* The log begins anew behind index (a snapshot was installed): everything that is in it or queued
 * is given up, but for term and vote. Durable when wal_take_durable says so. */
void wal_reset(struct wal *wal, uint64_t index, uint64_t term);

/* ---- disk full --------------------------------------------------------------------------------
 */

/* A segment is in reserve, or being made. False: there is no space for one; term and vote can still
 * be written, but nobody should propose. */
bool wal_has_reserve(struct wal *wal);
void wal_retry_reserve(struct wal *wal); /* there may be space again */

#endif
