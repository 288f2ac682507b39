/* snapshot_copy.h - the map as it is now, in a file, while the worker goes on.
 *
 * LMDB writes a compacted copy into a pipe, in a thread of its own that holds a read transaction;
 * the owner's helper reads the pipe, sums and writes the file, with rests, for the sake of others
 * (spool.h).
 * The pipe is the brake: the copying is never more than it holds ahead of the disk.
 */
#ifndef INSI_PROCS_WORKER_SNAPSHOT_COPY_H
#define INSI_PROCS_WORKER_SNAPSHOT_COPY_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/spool.h"
#include "shm/map.h"

struct snapshot_copy {
    char path[PATH_MAX];
    const struct map *map;
    struct spool spool;
    int pipe_read, pipe_write;
    pthread_t thread;
    _Atomic pid_t thread_id;
    atomic_bool is_cancelled;
    int map_error; /* the thread's */

    /* when it has run */
    int error;
    uint64_t bytes;
    uint8_t sum[SHA256_BYTES];
};

/* The map's owner, with no transaction open. When it returns 0, what is committed now is what will
 * be copied, and snapshot_copy_run must follow, in any thread; the map stays open until then.
 * E_STORAGE_FULL, E_IO, E_CORRUPT: there is no file. */
int snapshot_copy_begin(struct snapshot_copy *copy, struct map *map, const char *path,
                        uint64_t reserve_bytes);

/* Blocks. copy->error: 0: the file is complete and on the disk; else there is none: E_STORAGE_FULL,
 * E_IO, E_CORRUPT (of the map), E_CLOSED (cancelled). */
void snapshot_copy_run(struct snapshot_copy *copy);

/* From any thread: it is not wanted any more. The thread still reads to the end. */
void snapshot_copy_cancel(struct snapshot_copy *copy);

#endif
