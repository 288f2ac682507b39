/* wal_index.h - where in the log an entry is: a sparse list of places, sorted by first index.
 *
 * A place is a batch. From there on, batch by batch and over the ends of segments, entries follow
 * each other without gaps up to the next place's first index. Places are noted for the first
 * entries of each segment, for entries that override others (of an older term, never committed; the
 * places of what they override are dropped), and otherwise every WAL_INDEX_STEP bytes.
 */
#ifndef INSI_RAFT_WAL_INDEX_H
#define INSI_RAFT_WAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_INDEX_STEP (64u << 10)

struct wal_place {
    uint64_t first_index; /* of the batch's entries */
    uint32_t sequence;    /* of the segment */
    uint32_t offset;      /* of the batch header */
};

struct wal_index {
    struct wal_place *places;
    size_t count;
    unsigned room;
    struct wal_place noted; /* the newest place, also when it was dropped since */
    uint64_t last_index;    /* of the newest batch */
};

/* A batch with entries is on the disk: place->first_index to last_index. In the order of batches.
 */
void wal_index_note(struct wal_index *index, const struct wal_place *place, uint64_t last_index);

/* The place from which the entry is found, and the first index that is to be sought from another
 * place (UINT64_MAX: none). False when the entry is before the first place. */
bool wal_index_find(const struct wal_index *index, uint64_t entry, struct wal_place *place,
                    uint64_t *end);

void wal_index_drop(struct wal_index *index, uint64_t first_sequence); /* segments below are gone */
void wal_index_clear(struct wal_index *index, uint64_t last_index);    /* no entry is left */
void wal_index_fini(struct wal_index *index);

#endif
