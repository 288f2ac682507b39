/* wal_format.c - encoding and decoding of the log's bytes. */
#include "procs/raft/wal/wal_format.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"

#define WAL_MAGIC 0x0a4c415749534e49ull          /* "INSIWAL\n" */
#define WAL_IDENTITY_MAGIC 0x0a31444949534e49ull /* "INSIID1\n" */
#define WAL_FLOOR_MAGIC 0x0a314c4649534e49ull    /* "INSIFL1\n" */
#define WAL_BATCH_MAGIC 0x42574c49u              /* "ILWB" */
#define WAL_SEAL_MAGIC 0x53574c49u               /* "ILWS" */
#define WAL_HARD_STATE_BYTES 17
#define WAL_SPAN_ROOM_MIN 64

enum wal_record_type { WAL_RECORD_ENTRY = 1, WAL_RECORD_HARD_STATE = 2 };

/* offsets in a segment header */
enum {
    AT_VERSION = 8,
    AT_GROUP = 12,
    AT_CLUSTER = 16,
    AT_NODE = 32,
    AT_SEQUENCE = 64,
    AT_SALT = 72,
    AT_TERM = 80,
    AT_VOTE = 88,
    AT_FIRST_BATCH = 96,
    AT_RAFT_ID = 104,
    AT_SEGMENT_BYTES = 112,
    AT_CRC = 120
};

/* ---- segment headers --------------------------------------------------------------------------
 */

/* Of the whole header, the checksum's own place counting as zeros. */
static uint32_t wal_header_crc(const uint8_t bytes[WAL_HEADER_BYTES])
{
    static const uint8_t zeros[4];
    uint32_t crc = hash_crc32c(0, bytes, AT_CRC);
    crc = hash_crc32c(crc, zeros, sizeof(zeros));
    return hash_crc32c(crc, bytes + AT_CRC + 4, WAL_HEADER_BYTES - AT_CRC - 4);
}

void wal_encode_segment_header(uint8_t out[WAL_HEADER_BYTES],
                               const struct wal_segment_header *header)
{
    memset(out, 0, WAL_HEADER_BYTES);
    bytes_put_u64(out, WAL_MAGIC);
    bytes_put_u32(out + AT_VERSION, WAL_VERSION);
    bytes_put_u32(out + AT_GROUP, WAL_GROUP);
    memcpy(out + AT_CLUSTER, header->identity.cluster, WAL_CLUSTER_BYTES);
    memcpy(out + AT_NODE, header->identity.node, SHA256_BYTES);
    bytes_put_u64(out + AT_SEQUENCE, header->sequence);
    bytes_put_u64(out + AT_SALT, header->salt);
    bytes_put_u64(out + AT_TERM, header->term);
    bytes_put_u64(out + AT_VOTE, header->vote);
    bytes_put_u64(out + AT_FIRST_BATCH, header->first_batch);
    bytes_put_u64(out + AT_RAFT_ID, header->identity.raft_id);
    bytes_put_u64(out + AT_SEGMENT_BYTES, header->segment_bytes);
    bytes_put_u32(out + AT_CRC, wal_header_crc(out));
}

int wal_decode_segment_header(struct wal_segment_header *header,
                              const uint8_t bytes[WAL_HEADER_BYTES])
{
    *header = (struct wal_segment_header){0};
    if (bytes_get_u64(bytes) != WAL_MAGIC || bytes_get_u32(bytes + AT_CRC) != wal_header_crc(bytes))
        return E_CORRUPT;
    if (bytes_get_u32(bytes + AT_VERSION) != WAL_VERSION ||
        bytes_get_u32(bytes + AT_GROUP) != WAL_GROUP)
        return E_VERSION;
    memcpy(header->identity.cluster, bytes + AT_CLUSTER, WAL_CLUSTER_BYTES);
    memcpy(header->identity.node, bytes + AT_NODE, SHA256_BYTES);
    header->identity.raft_id = bytes_get_u64(bytes + AT_RAFT_ID);
    header->sequence = bytes_get_u64(bytes + AT_SEQUENCE);
    header->salt = bytes_get_u64(bytes + AT_SALT);
    header->term = bytes_get_u64(bytes + AT_TERM);
    header->vote = bytes_get_u64(bytes + AT_VOTE);
    header->first_batch = bytes_get_u64(bytes + AT_FIRST_BATCH);
    header->segment_bytes = bytes_get_u64(bytes + AT_SEGMENT_BYTES);
    return 0;
}

/* ---- batch headers ----------------------------------------------------------------------------
 */

/* magic(4) payload_bytes(4) number(8) durable(8) salt(8) payload_crc(4) header_crc(4) */
void wal_encode_batch_header(uint8_t out[WAL_BATCH_HEADER_BYTES], uint64_t salt,
                             const struct wal_batch_header *header)
{
    bytes_put_u32(out, header->kind == WAL_BATCH_SEAL ? WAL_SEAL_MAGIC : WAL_BATCH_MAGIC);
    bytes_put_u32(out + 4, header->payload_bytes);
    bytes_put_u64(out + 8, header->number);
    bytes_put_u64(out + 16, header->number - 1); /* everything before this batch is durable */
    bytes_put_u64(out + 24, salt);
    bytes_put_u32(out + 32, header->payload_crc);
    bytes_put_u32(out + 36, hash_crc32c(0, out, 36));
}

bool wal_decode_batch_header(struct wal_batch_header *header, uint64_t salt,
                             const uint8_t bytes[WAL_BATCH_HEADER_BYTES])
{
    uint32_t magic = bytes_get_u32(bytes);
    if ((magic != WAL_BATCH_MAGIC && magic != WAL_SEAL_MAGIC) ||
        bytes_get_u64(bytes + 24) != salt || bytes_get_u32(bytes + 36) != hash_crc32c(0, bytes, 36))
        return false;
    header->kind = magic == WAL_SEAL_MAGIC ? WAL_BATCH_SEAL : WAL_BATCH_RECORDS;
    header->payload_bytes = bytes_get_u32(bytes + 4);
    header->number = bytes_get_u64(bytes + 8);
    header->payload_crc = bytes_get_u32(bytes + 32);
    return header->number > 0 && bytes_get_u64(bytes + 16) == header->number - 1 &&
           (header->kind == WAL_BATCH_RECORDS || header->payload_bytes == 0);
}

/* A checksum is computed only where magic and salt fit, and the salt is known to nobody who writes
 * payloads. */
size_t wal_find_batch_header(struct wal_batch_header *header, uint64_t salt, const uint8_t *data,
                             size_t len, size_t offset)
{
    while (offset + WAL_BATCH_HEADER_BYTES <= len) {
        size_t room = len - WAL_BATCH_HEADER_BYTES + 1 - offset;
        const uint8_t *at = memchr(data + offset, (uint8_t)WAL_BATCH_MAGIC, room);
        if (!at)
            return len;
        if (wal_decode_batch_header(header, salt, at))
            return (size_t)(at - data);
        offset = (size_t)(at - data) + 1;
    }
    return len;
}

/* ---- records ----------------------------------------------------------------------------------
 */

/* type(1) kind(1) index(8) term(8) length(4) payload */
int wal_encode_entry(struct buf *out, const struct wal_entry *entry)
{
    size_t len = entry->payload.len;
    if (len > UINT32_MAX - WAL_ENTRY_HEAD_BYTES)
        return E_TOO_LARGE;
    uint8_t *at = buf_reserve(out, WAL_ENTRY_HEAD_BYTES + len);
    if (!at)
        return E_TOO_LARGE;
    at[0] = WAL_RECORD_ENTRY;
    at[1] = (uint8_t)entry->kind;
    bytes_put_u64(at + 2, entry->index);
    bytes_put_u64(at + 10, entry->term);
    bytes_put_u32(at + 18, (uint32_t)len);
    if (len > 0)
        memcpy(at + WAL_ENTRY_HEAD_BYTES, entry->payload.data, len);
    out->len += WAL_ENTRY_HEAD_BYTES + len;
    return 0;
}

/* type(1) term(8) vote(8) */
int wal_encode_hard_state(struct buf *out, uint64_t term, uint64_t vote)
{
    uint8_t *at = buf_reserve(out, WAL_HARD_STATE_BYTES);
    if (!at)
        return E_TOO_LARGE;
    at[0] = WAL_RECORD_HARD_STATE;
    bytes_put_u64(at + 1, term);
    bytes_put_u64(at + 9, vote);
    out->len += WAL_HARD_STATE_BYTES;
    return 0;
}

static int wal_span_add(struct wal_span *span, const struct wal_entry *entry)
{
    if (entry->index == 0 || entry->term == 0 || entry->kind < WAL_COMMAND ||
        entry->kind > WAL_EMPTY)
        return E_CORRUPT;
    if (span->count > 0 && entry->index <= span->entries[span->count - 1].index) {
        uint64_t first = span->entries[0].index;
        span->count = entry->index > first ? (size_t)(entry->index - first) : 0;
    }
    if (span->count > 0 && entry->index != span->entries[span->count - 1].index + 1)
        return E_CORRUPT;
    if (span->count == span->room)
        span->entries = mem_grow(span->entries, &span->room, sizeof(*entry), WAL_SPAN_ROOM_MIN);
    span->entries[span->count++] = *entry;
    return 0;
}

/* The record at the front of the payload: how long it is; 0 when it is none. */
static size_t wal_span_take(struct wal_span *span, struct slice payload)
{
    const uint8_t *at = payload.data;
    if (at[0] == WAL_RECORD_HARD_STATE && payload.len >= WAL_HARD_STATE_BYTES) {
        span->has_hard_state = true;
        span->term = bytes_get_u64(at + 1);
        span->vote = bytes_get_u64(at + 9);
        return WAL_HARD_STATE_BYTES;
    }
    if (at[0] != WAL_RECORD_ENTRY || payload.len < WAL_ENTRY_HEAD_BYTES)
        return 0;
    const struct wal_entry entry = {.index = bytes_get_u64(at + 2),
                                    .term = bytes_get_u64(at + 10),
                                    .kind = (enum wal_entry_kind)at[1],
                                    .payload = {at + WAL_ENTRY_HEAD_BYTES, bytes_get_u32(at + 18)}};
    if (entry.payload.len > payload.len - WAL_ENTRY_HEAD_BYTES || wal_span_add(span, &entry) != 0)
        return 0;
    return WAL_ENTRY_HEAD_BYTES + entry.payload.len;
}

int wal_span_decode(struct wal_span *span, struct slice payload)
{
    span->count = 0;
    span->has_hard_state = false;
    while (payload.len > 0) {
        size_t size = wal_span_take(span, payload);
        if (size == 0)
            return E_CORRUPT;
        payload = slice_of((const uint8_t *)payload.data + size, payload.len - size);
    }
    return 0;
}

void wal_span_fini(struct wal_span *span)
{
    free(span->entries);
    *span = (struct wal_span){0};
}

/* ---- the small files --------------------------------------------------------------------------
 */

/* magic(8) version(4) founder(4) cluster(16) node(32) raft_id(8) zeros(36) crc(4) */
void wal_encode_identity(uint8_t out[WAL_IDENTITY_BYTES], const struct wal_identity *identity)
{
    memset(out, 0, WAL_IDENTITY_BYTES);
    bytes_put_u64(out, WAL_IDENTITY_MAGIC);
    bytes_put_u32(out + 8, WAL_VERSION);
    bytes_put_u32(out + 12, identity->founder ? 1 : 0);
    memcpy(out + 16, identity->cluster, WAL_CLUSTER_BYTES);
    memcpy(out + 32, identity->node, SHA256_BYTES);
    bytes_put_u64(out + 64, identity->raft_id);
    bytes_put_u32(out + WAL_IDENTITY_BYTES - 4, hash_crc32c(0, out, WAL_IDENTITY_BYTES - 4));
}

int wal_decode_identity(struct wal_identity *identity, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    *identity = (struct wal_identity){0};
    if (bytes.len != WAL_IDENTITY_BYTES || bytes_get_u64(at) != WAL_IDENTITY_MAGIC ||
        bytes_get_u32(at + WAL_IDENTITY_BYTES - 4) != hash_crc32c(0, at, WAL_IDENTITY_BYTES - 4))
        return E_CORRUPT;
    if (bytes_get_u32(at + 8) != WAL_VERSION)
        return E_VERSION;
    identity->founder = bytes_get_u32(at + 12) == 1;
    memcpy(identity->cluster, at + 16, WAL_CLUSTER_BYTES);
    memcpy(identity->node, at + 32, SHA256_BYTES);
    identity->raft_id = bytes_get_u64(at + 64);
    return identity->raft_id != 0 ? 0 : E_CORRUPT;
}

/* magic(8) version(4) zeros(4) raft_id(8) first_sequence(8) base_index(8) base_term(8) zeros(8)
 * crc(4) */
void wal_encode_floor(uint8_t out[WAL_FLOOR_BYTES], const struct wal_floor *floor, uint64_t raft_id)
{
    memset(out, 0, WAL_FLOOR_BYTES);
    bytes_put_u64(out, WAL_FLOOR_MAGIC);
    bytes_put_u32(out + 8, WAL_VERSION);
    bytes_put_u64(out + 16, raft_id);
    bytes_put_u64(out + 24, floor->first_sequence);
    bytes_put_u64(out + 32, floor->base_index);
    bytes_put_u64(out + 40, floor->base_term);
    bytes_put_u32(out + WAL_FLOOR_BYTES - 4, hash_crc32c(0, out, WAL_FLOOR_BYTES - 4));
}

int wal_decode_floor(struct wal_floor *floor, uint64_t raft_id, struct slice bytes)
{
    const uint8_t *at = bytes.data;
    *floor = (struct wal_floor){0};
    if (bytes.len != WAL_FLOOR_BYTES || bytes_get_u64(at) != WAL_FLOOR_MAGIC ||
        bytes_get_u32(at + WAL_FLOOR_BYTES - 4) != hash_crc32c(0, at, WAL_FLOOR_BYTES - 4))
        return E_CORRUPT;
    if (bytes_get_u32(at + 8) != WAL_VERSION)
        return E_VERSION;
    if (bytes_get_u64(at + 16) != raft_id)
        return E_FOREIGN;
    floor->first_sequence = bytes_get_u64(at + 24);
    floor->base_index = bytes_get_u64(at + 32);
    floor->base_term = bytes_get_u64(at + 40);
    return floor->first_sequence > 0 ? 0 : E_CORRUPT;
}
