/* wal_private.h - what wal.c (the owner's side), wal_writer.c and wal_helper.c (the threads) share.
 */
#ifndef INSI_RAFT_WAL_PRIVATE_H
#define INSI_RAFT_WAL_PRIVATE_H

#include <pthread.h>

#include "procs/raft/wal/entry_cache.h"
#include "procs/raft/wal/wal.h"
#include "procs/raft/wal/wal_index.h"
#include "procs/raft/wal/wal_read.h"
#include "procs/raft/wal/wal_recover.h"

#define WAL_KEEP_BYTES (64u << 10) /* of each batch buffer, while idle */
#define WAL_SPARE_BYTES (1u << 20) /* of each batch buffer, between batches */

struct wal_batch {        /* records on their way to the disk */
    struct buf bytes;     /* room for the header in front */
    uint64_t first_index; /* of the entries that it leaves behind; 0: none */
    uint64_t last_index;
    bool has_hard_state;
    uint64_t term, vote; /* the last hard state */
    uint64_t write;      /* the last write that ends in it */
};

enum wal_reserve { WAL_RESERVE_WANTED, WAL_RESERVE_READY, WAL_RESERVE_FAILED };

struct wal {
    const char *folder;
    const struct wal_io *io;
    size_t segment_bytes;
    int wake_fd;
    pthread_t writer, helper;

    /* the owner's */
    struct entry_cache cache;
    struct wal_reader reader;
    uint64_t base_index, last_index;
    uint64_t write; /* number of the newest */

    /* everybody's, under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t work;     /* the writer waits for it */
    pthread_cond_t chores;   /* the helper */
    pthread_cond_t reserved; /* the writer, for a reserve */
    struct wal_batch filling;
    bool writer_waits, stopping, helper_stops;
    struct wal_durable durable;
    bool is_signalled; /* wake_fd was written and not yet read */
    struct wal_index index;
    struct {
        bool due;
        uint64_t index, term;
        uint64_t write; /* the last one of which nothing is left to write */
    } reset;
    enum wal_reserve reserve;
    struct wal_floor floor; /* wanted; stored is what the disk has */
    uint64_t stored_sequence;
    bool removal_due;
    struct wal_identity identity;

    pthread_mutex_t floor_mutex; /* one at a time stores the floor; taken before mutex */

    /* the writer's */
    struct wal_batch writing;
    int fd;
    uint64_t sequence, salt, next_batch;
    size_t end, size; /* of the segment */
    uint64_t term, vote;
    bool is_marked; /* the last batch needs no mark */
};

/* wal_batch.c */
void wal_batch_init(struct wal_batch *batch);
void wal_batch_fini(struct wal_batch *batch);
bool wal_batch_is_empty(const struct wal_batch *batch);
void wal_batch_add_hard_state(struct wal_batch *batch, uint64_t term, uint64_t vote);
void wal_batch_add_entry(struct wal_batch *batch, const struct wal_entry *entry);
void wal_batch_forget_entries(struct wal_batch *batch); /* term and vote stay */
void wal_batch_clear(struct wal_batch *batch, size_t keep_bytes);

/* wal.c */
/* Ends the process: an error of the disk (I1). */
_Noreturn void wal_fail(const struct wal *wal, const char *what, int error_number);

/* wal_writer.c */
void *wal_writer_run(void *arg);
void wal_begin_segment(struct wal *wal); /* the next one */

/* wal_helper.c */
void *wal_helper_run(void *arg);
void wal_take_reserve(struct wal *wal); /* the writer: waits until there is one */
/* Makes wal->floor durable if it is not yet, then asks the helper to remove what lies below. */
void wal_store_wanted_floor(struct wal *wal);

#endif
