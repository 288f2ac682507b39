/* snapshot_store.h - the folder of snapshots: names, manifests, and steps that a crash may
 * interrupt anywhere (docs/snapshots.md).
 *
 *   <folder>/<index>/            a snapshot: storage.mdb, cacheq.mdb, events.mdb, manifest
 *   <folder>/<index>.damaged/    one that was found to be; kept for a person to look at
 *   <folder>/making/             being made by this node
 *   <folder>/incoming/           being received from another one (snapshot_incoming.h)
 *   <folder>/removed/            being removed
 *
 * A folder with a number for a name is complete and on the disk: files first, then the manifest,
 * then the name. All calls but the codec block; at run time they belong into a helper's job. Every
 * error is logged.
 */
#ifndef INSI_RAFT_SNAPSHOT_STORE_H
#define INSI_RAFT_SNAPSHOT_STORE_H

#include "base/hash.h"
#include "base/path.h"
#include "base/proc.h"
#include "procs/raft/members.h"
#include "procs/raft/wal/wal_format.h"

#define SNAPSHOT_VERSION 1
#define SNAPSHOT_GROUP 0 /* one Raft group today */
#define SNAPSHOT_KEEP 2
#define SNAPSHOT_MANIFEST_BYTES (MEMBERS_BYTES + 4096)
#define SNAPSHOT_PATH_BYTES (PATH_BYTES + 64)

struct snapshot_part { /* a state worker's file */
    uint64_t bytes;
    uint8_t sum[SHA256_BYTES];
    uint64_t state_hash; /* of the worker at index */
};

struct snapshot { /* what a manifest says */
    uint8_t cluster[WAL_CLUSTER_BYTES];
    uint64_t index, term;
    uint64_t stamp_ms;     /* no entry up to index has a later stamp */
    uint64_t config_index; /* of the members; 0: the founder's, from before its first entry */
    struct members members;
    struct snapshot_part parts[PROC_WORKER_COUNT]; /* by PROC_WORKER_SLOT */
};

/* ---- the manifest -----------------------------------------------------------------------------
 */

/* Appends; a valid snapshot fits SNAPSHOT_MANIFEST_BYTES. */
void snapshot_encode(struct buf *out, const struct snapshot *snapshot);
int snapshot_decode(struct snapshot *snapshot, struct slice bytes); /* E_CORRUPT, E_VERSION */
uint64_t snapshot_bytes(const struct snapshot *snapshot);           /* of its files */
/* The file that this position in all of them together lies in, and where in it: the index of its
 * part, PROC_WORKER_COUNT for the end of the last one. */
unsigned snapshot_part_at(const struct snapshot *snapshot, uint64_t position, uint64_t *offset);

/* ---- names ------------------------------------------------------------------------------------
 */

#define SNAPSHOT_MAKING "making"
#define SNAPSHOT_INCOMING "incoming"
#define SNAPSHOT_MANIFEST "manifest"
#define SNAPSHOT_PROC(part) ((enum proc)(PROC_FIRST_WORKER + (int)(part))) /* whose part it is */

/* <folder>/<name>/<worker>.mdb; name: one of the above, or NULL for that of index. */
void snapshot_part_path(char out[SNAPSHOT_PATH_BYTES], const char *folder, const char *name,
                        uint64_t index, enum proc worker);

/* ---- the folder -------------------------------------------------------------------------------
 */

struct snapshot_list { /* the good ones, newest first; zeroed before first use */
    struct snapshot **items;
    size_t count;
    size_t damaged; /* found or known to be */
};

/* At a start: finishes removals, throws away what was being made, and reads the manifests. One that
 * cannot be read, or whose files are not there in full size, is named damaged. The sums of the
 * files are not looked at: whoever loads them does. Makes the folder if there is none. E_FOREIGN: a
 * snapshot of another cluster. E_VERSION, E_IO. */
int snapshot_store_open(const char *folder, const uint8_t cluster[WAL_CLUSTER_BYTES],
                        struct snapshot_list *list);
void snapshot_list_fini(struct snapshot_list *list);

/* Makes <name>/ anew, empty, if so many bytes and the reserve are free. E_STORAGE_FULL, E_IO. */
int snapshot_store_begin(const char *folder, const char *name, uint64_t bytes,
                         uint64_t reserve_bytes);

/* The files are in <name>/ and on the disk: adds the manifest and gives it the snapshot's name. One
 * of that name must not be there. E_STORAGE_FULL, E_IO. */
int snapshot_store_finish(const char *folder, const char *name, const struct snapshot *snapshot);
/* Likewise, with the manifest among the files. */
int snapshot_store_name(const char *folder, const char *name, const struct snapshot *snapshot);

/* E_CORRUPT unless the file of a part in <name>/ is what the manifest says. E_IO. */
int snapshot_store_verify(const char *folder, const char *name, const struct snapshot *snapshot,
                          enum proc worker);

int snapshot_store_remove(const char *folder, uint64_t index); /* E_IO */
int snapshot_store_forget(const char *folder, const char *name);
int snapshot_store_set_damaged(const char *folder, uint64_t index);
/* All of those that are kept as damaged, when they are not needed any more. */
int snapshot_store_remove_damaged(const char *folder);

#endif
