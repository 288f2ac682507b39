/* entry_cache.c - a ring of entries over a list of chunks. */
#include "procs/raft/wal/entry_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define SLOTS_MIN 256

struct entry_chunk {
    struct entry_chunk *next; /* newer */
    size_t room, used;
    size_t live;         /* entries in it */
    uint64_t last_write; /* of the newest entry that was ever in it */
    uint8_t bytes[];
};

struct entry_slot {
    uint64_t term;
    struct entry_chunk *chunk;
    uint32_t offset, bytes; /* of the payload in the chunk */
    enum wal_entry_kind kind;
};

void entry_cache_init(struct entry_cache *cache)
{
    *cache = (struct entry_cache){0};
}

void entry_cache_clear(struct entry_cache *cache)
{
    for (struct entry_chunk *chunk = cache->oldest, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(cache->spare);
    free(cache->slots);
    *cache = (struct entry_cache){0};
}

void entry_cache_fini(struct entry_cache *cache)
{
    entry_cache_clear(cache);
}

/* ---- chunks -----------------------------------------------------------------------------------
 */

static struct entry_chunk *entry_cache_new_chunk(struct entry_cache *cache, size_t bytes)
{
    struct entry_chunk *chunk = cache->spare;
    size_t room = bytes > ENTRY_CACHE_CHUNK_BYTES ? bytes : ENTRY_CACHE_CHUNK_BYTES;
    if (chunk && room == chunk->room) {
        cache->spare = NULL;
    } else {
        chunk = mem_resize(NULL, sizeof(*chunk) + room);
        chunk->room = room;
    }
    chunk->next = NULL;
    chunk->used = chunk->live = 0;
    if (cache->newest)
        cache->newest->next = chunk;
    else
        cache->oldest = chunk;
    cache->newest = chunk;
    cache->chunk_bytes += chunk->room;
    return chunk;
}

static void entry_cache_drop_oldest(struct entry_cache *cache)
{
    struct entry_chunk *chunk = cache->oldest;
    cache->oldest = chunk->next;
    if (!cache->oldest)
        cache->newest = NULL;
    cache->chunk_bytes -= chunk->room;
    if (!cache->spare && chunk->room == ENTRY_CACHE_CHUNK_BYTES)
        cache->spare = chunk;
    else
        free(chunk);
}

/* ---- slots ------------------------------------------------------------------------------------
 */

static struct entry_slot *entry_cache_slot(const struct entry_cache *cache, size_t number)
{
    return &cache->slots[(cache->head + number) & (cache->room - 1)];
}

static void entry_cache_resize(struct entry_cache *cache, size_t room)
{
    struct entry_slot *slots = mem_resize(NULL, room * sizeof(*slots));
    for (size_t i = 0; i < cache->count; i++)
        slots[i] = *entry_cache_slot(cache, i);
    free(cache->slots);
    cache->slots = slots;
    cache->room = room;
    cache->head = 0;
}

static void entry_cache_pop_newest(struct entry_cache *cache)
{
    struct entry_slot *slot = entry_cache_slot(cache, --cache->count);
    slot->chunk->live--;
    slot->chunk->used = slot->offset; /* chunks newer than this one are empty */
}

static void entry_cache_override(struct entry_cache *cache, uint64_t index)
{
    if (cache->count == 0 || index < cache->first_index ||
        index > cache->first_index + cache->count) {
        cache->count = 0;
        while (cache->oldest)
            entry_cache_drop_oldest(cache);
        cache->first_index = index;
        return;
    }
    while (cache->first_index + cache->count > index)
        entry_cache_pop_newest(cache);
}

void entry_cache_add(struct entry_cache *cache, const struct wal_entry *entry, uint64_t write)
{
    size_t len = entry->payload.len;
    CHECK(len <= UINT32_MAX);
    if (cache->count == 0 || entry->index != cache->first_index + cache->count)
        entry_cache_override(cache, entry->index);
    if (cache->count == cache->room)
        entry_cache_resize(cache, cache->room ? cache->room * 2 : SLOTS_MIN);
    struct entry_chunk *chunk = cache->newest;
    if (!chunk || chunk->room - chunk->used < len)
        chunk = entry_cache_new_chunk(cache, len);
    if (len > 0)
        memcpy(chunk->bytes + chunk->used, entry->payload.data, len);
    *entry_cache_slot(cache, cache->count++) = (struct entry_slot){.term = entry->term,
                                                                   .chunk = chunk,
                                                                   .offset = (uint32_t)chunk->used,
                                                                   .bytes = (uint32_t)len,
                                                                   .kind = entry->kind};
    chunk->used += len;
    chunk->live++;
    chunk->last_write = write;
}

/* May the oldest chunk go? The newest is where the next entry goes, unless it is a large one's. */
static bool entry_cache_may_drop(const struct entry_cache *cache, uint64_t durable_write)
{
    const struct entry_chunk *chunk = cache->oldest;
    if (!chunk)
        return false;
    if (chunk->live == 0 && chunk != cache->newest)
        return true;
    return cache->chunk_bytes > ENTRY_CACHE_KEEP_BYTES && chunk->last_write <= durable_write;
}

void entry_cache_trim(struct entry_cache *cache, uint64_t durable_write)
{
    while (entry_cache_may_drop(cache, durable_write)) {
        struct entry_chunk *chunk = cache->oldest;
        cache->head = (cache->head + chunk->live) & (cache->room - 1);
        cache->first_index += chunk->live;
        cache->count -= chunk->live;
        entry_cache_drop_oldest(cache);
    }
    if (cache->room > SLOTS_MIN && cache->count < cache->room / 8)
        entry_cache_resize(cache, cache->room / 4);
}

bool entry_cache_get(const struct entry_cache *cache, uint64_t index, struct wal_entry *entry)
{
    if (cache->count == 0 || index < cache->first_index ||
        index >= cache->first_index + cache->count)
        return false;
    const struct entry_slot *slot = entry_cache_slot(cache, (size_t)(index - cache->first_index));
    *entry = (struct wal_entry){.index = index,
                                .term = slot->term,
                                .kind = slot->kind,
                                .payload = {slot->chunk->bytes + slot->offset, slot->bytes}};
    return true;
}
