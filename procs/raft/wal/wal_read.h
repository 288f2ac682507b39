/* wal_read.h - reading entries back from segments, batch by batch, checksums verified.
 *
 * Only durable entries are read here; what is not yet durable is in the cache (entry_cache.h).
 */
#ifndef INSI_RAFT_WAL_READ_H
#define INSI_RAFT_WAL_READ_H

#include "procs/raft/wal/wal_index.h"
#include "procs/raft/wal/wal_segment.h"

/* One entry in index order; false: enough. The payload is borrowed until it returns. */
typedef bool wal_visit_fn(const struct wal_entry *entry, void *arg);

struct wal_reader {
    const char *folder; /* the owner's */
    int fd;             /* of segment sequence; -1: none is open */
    uint32_t sequence;
    uint64_t salt;
    char path[WAL_NAME_BYTES];
    uint8_t *window; /* bytes of the segment from window_offset on; of this call only */
    size_t window_offset, window_len, window_room;
    struct wal_span span;
    struct { /* where the next read goes on if it asks for this index from this place */
        uint64_t index;
        struct wal_place place;
        uint32_t sequence, offset;
    } next;
};

struct wal_read_range {
    struct wal_place place;  /* of first */
    uint64_t first, end;     /* entries first ... end - 1 are wanted */
    size_t bytes, max_bytes; /* read so far; about how many to read at most */
    bool enough;             /* out: visit or max_bytes said so */
    uint64_t reached;        /* out: the first entry that was not visited */
};

void wal_reader_init(struct wal_reader *reader, const char *folder);
void wal_reader_fini(struct wal_reader *reader);
void wal_reader_forget(struct wal_reader *reader); /* segments were removed or begun anew */

/* E_CORRUPT, E_IO: logged with file and offset. */
int wal_reader_read(struct wal_reader *reader, struct wal_read_range *range, wal_visit_fn *visit,
                    void *arg);

#endif
