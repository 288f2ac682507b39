/* entry_cache.h - the newest entries of the log in memory, without gaps up to the last one.
 *
 * What is not yet durable is always here: it cannot be read from a segment. Of the rest so much is
 * kept that applying and replication seldom read the disk. Payloads lie in chunks that are taken
 * and given back as a whole, so an entry costs no allocation. One thread.
 */
#ifndef INSI_RAFT_ENTRY_CACHE_H
#define INSI_RAFT_ENTRY_CACHE_H

#include "procs/raft/wal/wal_format.h"

#define ENTRY_CACHE_CHUNK_BYTES (256u << 10) /* a larger entry has a chunk of its own */
#define ENTRY_CACHE_KEEP_BYTES (1u << 20)    /* of chunks with nothing but durable entries */

struct entry_chunk;
struct entry_slot;

struct entry_cache {
    struct entry_slot *slots; /* ring; a power of two */
    size_t room, head;
    uint64_t first_index; /* of the oldest entry */
    size_t count;
    struct entry_chunk *oldest, *newest, *spare;
    size_t chunk_bytes; /* of all chunks but the spare one */
};

void entry_cache_init(struct entry_cache *cache);
void entry_cache_fini(struct entry_cache *cache);
void entry_cache_clear(struct entry_cache *cache);

/* The entry follows the last one, or overrides what is there from its index on. write: that makes
 * it durable. An entry that leaves a gap, or lies below all that is there, leaves only itself. */
void entry_cache_add(struct entry_cache *cache, const struct wal_entry *entry, uint64_t write);

/* Gives back what is beyond ENTRY_CACHE_KEEP_BYTES, of the oldest entries that are durable with
 * this write. */
void entry_cache_trim(struct entry_cache *cache, uint64_t durable_write);

/* The payload is borrowed until the cache changes. False: not here. */
bool entry_cache_get(const struct entry_cache *cache, uint64_t index, struct wal_entry *entry);

#endif
