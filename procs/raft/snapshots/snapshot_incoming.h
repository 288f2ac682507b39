/* snapshot_incoming.h - a snapshot that comes from another node, on the disk.
 *
 *   incoming/manifest        as it was offered
 *   incoming/<worker>.mdb    so much as has come; only the last of them is incomplete
 *
 * What is there after a crash, or when a connection is lost, is gone on with when the same snapshot
 * is offered again, and thrown away when another one is. Every file is checked against its sum when
 * it is complete; when all are, the folder gets the snapshot's name (snapshot_store_name).
 *
 * All calls block: they are for a helper's jobs, one at a time. Errors are logged.
 */
#ifndef INSI_RAFT_SNAPSHOT_INCOMING_H
#define INSI_RAFT_SNAPSHOT_INCOMING_H

#include "base/spool.h"
#include "procs/raft/snapshots/snapshot_store.h"

struct incoming {
    const char *folder;        /* of the snapshots; the owner's */
    struct snapshot *snapshot; /* NULL: nothing is being received */
    struct buf manifest;       /* its, as it was offered */
    uint64_t position;         /* so much is written, of all files together */

    unsigned part;          /* the file being written */
    uint64_t part_position; /* where it begins */
    struct spool spool;
    bool is_open;
    struct hash_sum *sum;
};

void incoming_init(struct incoming *incoming, const char *folder);
void incoming_fini(struct incoming *incoming); /* the files stay */

/* To receive this one, from incoming->position on. E_STORAGE_FULL, E_IO. */
int incoming_begin(struct incoming *incoming, struct slice manifest,
                   const struct snapshot *snapshot, uint64_t reserve_bytes);

/* The next bytes, all of one file. E_INVALID: not those. E_CORRUPT: a file is complete and is not
 * what the manifest says; all is thrown away. E_STORAGE_FULL, E_IO: what is there stays, and
 * incoming_begin has to come before anything else. */
int incoming_write(struct incoming *incoming, uint64_t position, struct slice bytes);

/* Everything was written: gives it its name. E_STORAGE_FULL, E_IO. */
int incoming_finish(struct incoming *incoming);

int incoming_clean(struct incoming *incoming); /* removes the files; E_IO */

/* From any thread: whether there are files. Blocks no longer than access(2). */
bool incoming_is_there(const struct incoming *incoming);

#endif
