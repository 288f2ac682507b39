/* wal_format.h - the log's format on disk (docs/log.md): headers, batches and records as bytes.
 *
 * A segment is a header of WAL_HEADER_BYTES and then batches, one after the other, zeros behind the
 * last. A batch is what one sync made durable: a header and records. Batch n+1 is written only
 * after batch n was synced, so a valid later batch proves that an earlier one was durable. A batch
 * without records is a mark and says just that. A seal ends a segment and says that there is
 * another one. All numbers little-endian.
 */
#ifndef INSI_RAFT_WAL_FORMAT_H
#define INSI_RAFT_WAL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"

#define WAL_VERSION 1
#define WAL_GROUP 0 /* one Raft group per log today */
#define WAL_HEADER_BYTES 4096ul
#define WAL_BATCH_HEADER_BYTES 40
#define WAL_CLUSTER_BYTES 16
#define WAL_ENTRY_HEAD_BYTES 22 /* of an entry, before its payload */
#define WAL_IDENTITY_BYTES 112
#define WAL_FLOOR_BYTES 60

struct wal_identity {                   /* whose log this is */
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* zeros: of no cluster yet */
    uint8_t node[SHA256_BYTES];         /* SHA-256 of the node id */
    uint64_t raft_id;                   /* random, given at the first start, never 0 */
    bool founder;                       /* the cluster began with this node */
};

struct wal_floor {           /* where the log begins */
    uint64_t first_sequence; /* segments below it are not needed and may be gone */
    uint64_t base_index;     /* every entry behind this one is there */
    uint64_t base_term;      /* of entry base_index */
};

struct wal_segment_header {
    struct wal_identity identity; /* founder is not stored */
    uint64_t sequence;            /* 1, 2, 3, ... */
    uint64_t salt;                /* random: bytes of an earlier life never parse */
    uint64_t term, vote;          /* hard state when the segment was begun */
    uint64_t first_batch;         /* number of its first batch */
    uint64_t segment_bytes;       /* size of the file when it was begun; it never gets smaller */
};

enum wal_batch_kind { WAL_BATCH_RECORDS, WAL_BATCH_SEAL };

struct wal_batch_header {
    enum wal_batch_kind kind;
    uint32_t payload_bytes;
    uint64_t number; /* 1, 2, 3, ... through all segments, marks and seals included */
    uint32_t payload_crc;
};

enum wal_entry_kind { WAL_COMMAND = 1, WAL_CONFIG = 2, WAL_EMPTY = 3 };

struct wal_entry {
    uint64_t index, term;
    enum wal_entry_kind kind;
    struct slice payload; /* borrowed */
};

/* What the records of a batch leave behind: an entry at or below an earlier one's index overrides
 * it and all that followed. */
struct wal_span {
    struct wal_entry *entries; /* indexes without gaps; payloads borrowed from the batch */
    size_t count;
    unsigned room;
    bool has_hard_state;
    uint64_t term, vote; /* the last hard state */
};

void wal_encode_segment_header(uint8_t out[WAL_HEADER_BYTES],
                               const struct wal_segment_header *header);
/* E_CORRUPT, E_VERSION */
int wal_decode_segment_header(struct wal_segment_header *header,
                              const uint8_t bytes[WAL_HEADER_BYTES]);

void wal_encode_batch_header(uint8_t out[WAL_BATCH_HEADER_BYTES], uint64_t salt,
                             const struct wal_batch_header *header);
/* True when the bytes are a batch header of this segment, whatever its number. */
bool wal_decode_batch_header(struct wal_batch_header *header, uint64_t salt,
                             const uint8_t bytes[WAL_BATCH_HEADER_BYTES]);
/* The offset of the first such header in data at or behind offset; len when there is none. One
 * pass, whatever the bytes are. */
size_t wal_find_batch_header(struct wal_batch_header *header, uint64_t salt, const uint8_t *data,
                             size_t len, size_t offset);

/* Append one record; E_TOO_LARGE. */
int wal_encode_entry(struct buf *out, const struct wal_entry *entry);
int wal_encode_hard_state(struct buf *out, uint64_t term, uint64_t vote);

/* Replaces what span held. E_CORRUPT: the payload is no sequence of records. */
int wal_span_decode(struct wal_span *span, struct slice payload);
void wal_span_fini(struct wal_span *span);

void wal_encode_identity(uint8_t out[WAL_IDENTITY_BYTES], const struct wal_identity *identity);
int wal_decode_identity(struct wal_identity *identity,
                        struct slice bytes); /* E_CORRUPT, E_VERSION */

/* The floor names the node too, so that another's cannot be put in its place. */
void wal_encode_floor(uint8_t out[WAL_FLOOR_BYTES], const struct wal_floor *floor,
                      uint64_t raft_id);
int wal_decode_floor(struct wal_floor *floor, uint64_t raft_id,
                     struct slice bytes); /* E_CORRUPT, E_VERSION, E_FOREIGN */

#endif
