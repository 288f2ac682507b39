/* wal_meta.h - the small files beside the segments: whose log it is, where it begins, whether the
 * disk failed.
 *
 *   <folder>/identity   made at the first start; replaced when the node learns its cluster
 *   <folder>/floor      made with the first segment; replaced when segments are given up
 *   <folder>/suspect    there after a failed write or sync, until the log was verified
 *
 * Every error but E_NOT_FOUND is logged with the file's name.
 */
#ifndef INSI_RAFT_WAL_META_H
#define INSI_RAFT_WAL_META_H

#include "procs/raft/wal/wal_format.h"

/* Loads the identity, or makes one (fresh raft id, no cluster) when the folder holds no log.
 * E_FOREIGN: the folder is another node's. E_CORRUPT (also: a log without an identity), E_VERSION,
 * E_IO. */
int wal_load_identity(const char *folder, const char *node, struct wal_identity *out);
int wal_store_identity(const char *folder, const struct wal_identity *identity); /* E_IO */

/* E_NOT_FOUND, E_CORRUPT, E_FOREIGN, E_VERSION, E_IO */
int wal_load_floor(const char *folder, uint64_t raft_id, struct wal_floor *out);
int wal_store_floor(const char *folder, uint64_t raft_id, const struct wal_floor *floor); /* E_IO */

/* Marking is best effort: the disk has just failed. */
void wal_mark_suspect(const char *folder);
bool wal_is_suspect(const char *folder);
void wal_clear_suspect(const char *folder);

#endif
