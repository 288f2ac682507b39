/* entry.h - the payload of a log entry.
 *
 *   [version, stamp_ms (always 9 bytes), session, sequence, floor, [[worker, command bytes], ...]]
 *
 * A gateway encodes it once; the leader only patches the stamp (cluster time, ms) before it appends
 * the bytes to the log; every node decodes the same bytes. Session and sequence are the origin: a
 * state worker applies each (session, sequence) at most once. Session 0 means no origin (commands
 * that are harmless when repeated, proposed by workers themselves). floor: all smaller sequences of
 * the session have been answered, so their remembered results can go. A cluster may one day run
 * several groups; version leaves room.
 */
#ifndef INSI_IPC_ENTRY_H
#define INSI_IPC_ENTRY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/proc.h"

#define ENTRY_VERSION 1

struct entry_part {
    enum proc worker;
    struct slice command; /* ipc/command.h */
};

struct entry {
    uint64_t stamp_ms;
    uint64_t session, sequence, floor;
    uint32_t part_count;
    struct entry_part parts[LIMIT_ENTRY_PARTS];
};

int entry_encode(struct buf *out, const struct entry *entry);      /* appends; E_TOO_LARGE */
int entry_decode(struct entry *entry, struct slice bytes);         /* parts borrow from bytes */
int entry_patch_stamp(void *bytes, size_t len, uint64_t stamp_ms); /* E_INVALID if not an entry */
int entry_stamp(struct slice bytes, uint64_t *stamp_ms);           /* likewise */

#endif
