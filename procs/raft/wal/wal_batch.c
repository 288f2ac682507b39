/* wal_batch.c - putting a batch together. */
#include "procs/raft/wal/wal_private.h"

#include "base/check.h"

void wal_batch_init(struct wal_batch *batch)
{
    *batch = (struct wal_batch){0};
    buf_init(&batch->bytes, WAL_QUEUE_BYTES);
}

void wal_batch_fini(struct wal_batch *batch)
{
    buf_fini(&batch->bytes);
}

bool wal_batch_is_empty(const struct wal_batch *batch)
{
    return batch->bytes.len == 0;
}

static void wal_batch_begin(struct wal_batch *batch)
{
    if (batch->bytes.len > 0)
        return;
    CHECK(buf_reserve(&batch->bytes, WAL_BATCH_HEADER_BYTES));
    batch->bytes.len = WAL_BATCH_HEADER_BYTES;
}

void wal_batch_add_hard_state(struct wal_batch *batch, uint64_t term, uint64_t vote)
{
    wal_batch_begin(batch);
    CHECK(wal_encode_hard_state(&batch->bytes, term, vote) == 0);
    batch->has_hard_state = true;
    batch->term = term;
    batch->vote = vote;
}

void wal_batch_add_entry(struct wal_batch *batch, const struct wal_entry *entry)
{
    wal_batch_begin(batch);
    CHECK(wal_encode_entry(&batch->bytes, entry) == 0);
    if (batch->first_index == 0 || entry->index < batch->first_index)
        batch->first_index = entry->index;
    batch->last_index = entry->index;
}

void wal_batch_forget_entries(struct wal_batch *batch)
{
    batch->bytes.len = 0;
    batch->first_index = batch->last_index = 0;
    if (batch->has_hard_state)
        wal_batch_add_hard_state(batch, batch->term, batch->vote);
}

void wal_batch_clear(struct wal_batch *batch, size_t keep_bytes)
{
    struct buf bytes = batch->bytes;
    buf_clear(&bytes);
    buf_shrink(&bytes, keep_bytes);
    *batch = (struct wal_batch){.bytes = bytes};
}
