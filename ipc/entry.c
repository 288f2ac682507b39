/* entry.c - see entry.h. */
#include "ipc/entry.h"

#include <string.h>

#include "base/error.h"
#include "ipc/pack.h"

/* The first bytes of every entry: an array of six, the version, and the mark of a 64-bit number.
 * The stamp behind them can therefore be patched without decoding. */
#define ENTRY_ELEMENTS 6
#define ENTRY_STAMP_OFFSET 3
#define ENTRY_STAMP_END (ENTRY_STAMP_OFFSET + 8)
static const uint8_t entry_head[ENTRY_STAMP_OFFSET] = {0x90 | ENTRY_ELEMENTS, ENTRY_VERSION, 0xcf};

static bool entry_has_head(const uint8_t *bytes, size_t len)
{
    return len >= ENTRY_STAMP_END && memcmp(bytes, entry_head, sizeof(entry_head)) == 0;
}

static bool entry_part_is_valid(const struct entry_part *part)
{
    return part->worker >= PROC_FIRST_WORKER && part->worker <= PROC_LAST_WORKER &&
           part->command.len > 0;
}

int entry_encode(struct buf *out, const struct entry *entry)
{
    if (entry->part_count == 0 || entry->part_count > LIMIT_ENTRY_PARTS)
        return E_INVALID;
    size_t start = out->len;
    struct pack pack;
    pack_init(&pack, out);
    pack_array(&pack, ENTRY_ELEMENTS);
    pack_u64(&pack, ENTRY_VERSION);
    pack_u64_fixed(&pack, entry->stamp_ms);
    pack_u64(&pack, entry->session);
    pack_u64(&pack, entry->sequence);
    pack_u64(&pack, entry->floor);
    pack_array(&pack, entry->part_count);
    int error = 0;
    for (uint32_t i = 0; i < entry->part_count && error == 0; i++) {
        const struct entry_part *part = &entry->parts[i];
        error = entry_part_is_valid(part) ? 0 : E_INVALID;
        pack_array(&pack, 2);
        pack_u64(&pack, (uint64_t)part->worker);
        pack_bytes(&pack, part->command);
    }
    if (error == 0)
        error = pack_result(&pack);
    if (error == 0 && out->len - start > LIMIT_ENTRY_BYTES)
        error = E_TOO_LARGE;
    if (error != 0)
        out->len = start;
    return error;
}

int entry_decode(struct entry *entry, struct slice bytes)
{
    if (bytes.len > LIMIT_ENTRY_BYTES)
        return E_TOO_LARGE;
    struct unpack unpack;
    unpack_init(&unpack, bytes);
    unpack_array_of(&unpack, ENTRY_ELEMENTS);
    uint64_t version = unpack_u64(&unpack);
    if (unpack.error == 0 && version != ENTRY_VERSION)
        return E_VERSION;
    if (unpack.error == 0 && !entry_has_head(bytes.data, bytes.len))
        return bytes.len < ENTRY_STAMP_END ? E_TRUNCATED : E_INVALID;
    entry->stamp_ms = unpack_u64(&unpack);
    entry->session = unpack_u64(&unpack);
    entry->sequence = unpack_u64(&unpack);
    entry->floor = unpack_u64(&unpack);
    entry->part_count = unpack_array(&unpack);
    if (unpack.error == 0 && (entry->part_count == 0 || entry->part_count > LIMIT_ENTRY_PARTS))
        return E_INVALID;
    for (uint32_t i = 0; i < entry->part_count && unpack.error == 0; i++) {
        struct entry_part *part = &entry->parts[i];
        unpack_array_of(&unpack, 2);
        uint64_t worker = unpack_u64(&unpack);
        part->worker = worker < PROC_COUNT ? (enum proc)worker : PROC_SUPERVISOR;
        part->command = unpack_bytes(&unpack);
        if (unpack.error == 0 && !entry_part_is_valid(part))
            return E_INVALID;
    }
    return unpack_end(&unpack);
}

int entry_patch_stamp(void *bytes, size_t len, uint64_t stamp_ms)
{
    uint8_t *at = bytes;
    if (!entry_has_head(at, len))
        return E_INVALID;
    for (unsigned i = 0; i < 8; i++)
        at[ENTRY_STAMP_OFFSET + i] = (uint8_t)(stamp_ms >> (56 - 8 * i));
    return 0;
}

int entry_stamp(struct slice bytes, uint64_t *stamp_ms)
{
    const uint8_t *at = bytes.data;
    *stamp_ms = 0;
    if (!entry_has_head(at, bytes.len))
        return E_INVALID;
    for (unsigned i = 0; i < 8; i++)
        *stamp_ms = *stamp_ms << 8 | at[ENTRY_STAMP_OFFSET + i];
    return 0;
}
