/* snapshot_load.h - a snapshot's file, verified, as a map that can be put in place (store.h).
 *
 * The file stays as it is; the map is a copy of it, for it will be written to.
 */
#ifndef INSI_PROCS_WORKER_SNAPSHOT_LOAD_H
#define INSI_PROCS_WORKER_SNAPSHOT_LOAD_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/hash.h"

struct snapshot_load {
    char path[PATH_MAX]; /* of the file */
    char copy[PATH_MAX]; /* where the map is to be; nothing is there */
    uint64_t bytes;
    uint8_t sum[SHA256_BYTES];
    uint64_t reserve_bytes; /* of the map's file system */
    atomic_bool is_cancelled;

    int error; /* when it has run */
};

/* Blocks. load->error: 0: the copy is there and is what the sum says; else there is none: E_CORRUPT
 * (the file is not what it should be), E_NOT_FOUND (it is not there), E_STORAGE_FULL, E_IO,
 * E_CLOSED (cancelled). */
void snapshot_load_run(struct snapshot_load *load);

/* From any thread. */
void snapshot_load_cancel(struct snapshot_load *load);

#endif
