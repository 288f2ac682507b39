/* proposals.c - one buffer of entries. */
#include "procs/raft/proposals.h"

#include "base/check.h"

void proposals_init(struct proposals *proposals)
{
    proposals->count = 0;
    buf_init(&proposals->bytes, PROPOSALS_BYTES + LIMIT_ENTRY_BYTES);
}

void proposals_fini(struct proposals *proposals)
{
    buf_fini(&proposals->bytes);
}

void proposals_add(struct proposals *proposals, const struct proposal_origin *origin,
                   struct slice entry)
{
    CHECK(!proposals_is_full(proposals) && entry.len <= LIMIT_ENTRY_BYTES);
    uint32_t number = proposals->count++;
    proposals->origins[number] = *origin;
    proposals->offsets[number] = proposals->bytes.len;
    proposals->sizes[number] = (uint32_t)entry.len;
    CHECK(buf_append(&proposals->bytes, entry.data, entry.len) == 0);
}

bool proposals_is_full(const struct proposals *proposals)
{
    return proposals->count == PROPOSALS_MAX || proposals->bytes.len >= PROPOSALS_BYTES;
}

uint8_t *proposals_entry(struct proposals *proposals, uint32_t number)
{
    CHECK(number < proposals->count);
    return proposals->bytes.data + proposals->offsets[number];
}

void proposals_clear(struct proposals *proposals)
{
    proposals->count = 0;
    buf_clear(&proposals->bytes);
    buf_shrink(&proposals->bytes, PROPOSALS_KEEP);
}
