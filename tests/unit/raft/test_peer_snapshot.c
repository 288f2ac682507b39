/* Messages about snapshots and states: pairs, cuts, bounds. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "ipc/raft_worker.h"
#include "procs/raft/snapshots/peer_snapshot.h"

static struct buf bytes;
static struct pack pack;
static struct unpack body;

static void setup(void)
{
    buf_init(&bytes, 4 << 20);
    pack_init(&pack, &bytes);
}

static void teardown(void)
{
    buf_fini(&bytes);
}

TestSuite(peer_snapshot, .init = setup, .fini = teardown, .timeout = 30);

static struct unpack *read_back(size_t len)
{
    unpack_init(&body, slice_of(bytes.data, len));
    return &body;
}

static void begin_anew(void)
{
    buf_clear(&bytes);
    pack_init(&pack, &bytes);
}

Test(peer_snapshot, an_offer_comes_back_as_it_was_and_cut_anywhere_it_is_refused)
{
    const struct peer_snapshot_offer offer = {UINT64_MAX, 7, slice_text("a manifest")};
    struct peer_snapshot_offer read;
    peer_snapshot_offer_pack(&pack, &offer);
    cr_assert_eq(peer_snapshot_offer_decode(&read, read_back(bytes.len)), 0);
    cr_assert_eq(read.transfer, UINT64_MAX);
    cr_assert_eq(read.term, 7);
    cr_assert(slice_equal(read.manifest, slice_text("a manifest")));
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_neq(peer_snapshot_offer_decode(&read, read_back(len)), 0);
    pack_u64(&pack, 1);
    cr_assert_eq(peer_snapshot_offer_decode(&read, read_back(bytes.len)), E_TRAILING);
}

Test(peer_snapshot, an_offer_without_a_manifest_or_a_term_or_with_too_much_is_refused)
{
    static uint8_t large[SNAPSHOT_MANIFEST_BYTES + 1];
    const struct peer_snapshot_offer offers[] = {{1, 7, slice_of(large, 0)},
                                                 {1, 0, slice_text("a manifest")},
                                                 {1, 7, slice_of(large, sizeof(large))}};
    struct peer_snapshot_offer read;
    for (unsigned i = 0; i < 3; i++) {
        begin_anew();
        peer_snapshot_offer_pack(&pack, &offers[i]);
        cr_assert_eq(peer_snapshot_offer_decode(&read, read_back(bytes.len)), E_INVALID);
    }
}

Test(peer_snapshot, a_chunk_comes_back_as_it_was_and_is_neither_empty_nor_too_large)
{
    static uint8_t large[PEER_SNAPSHOT_CHUNK_BYTES + 1];
    struct peer_snapshot_chunk chunk = {3, 1ull << 40, slice_of(large, sizeof(large) - 1)}, read;
    peer_snapshot_chunk_pack(&pack, &chunk);
    cr_assert_eq(peer_snapshot_chunk_decode(&read, read_back(bytes.len)), 0);
    cr_assert_eq(read.transfer, 3);
    cr_assert_eq(read.position, 1ull << 40);
    cr_assert_eq(read.bytes.len, sizeof(large) - 1);
    cr_assert_eq(peer_snapshot_chunk_decode(&read, read_back(bytes.len - 1)), E_TRUNCATED);
    begin_anew();
    chunk.bytes.len++;
    peer_snapshot_chunk_pack(&pack, &chunk);
    cr_assert_eq(peer_snapshot_chunk_decode(&read, read_back(bytes.len)), E_INVALID);
    begin_anew();
    chunk.bytes.len = 0;
    peer_snapshot_chunk_pack(&pack, &chunk);
    cr_assert_eq(peer_snapshot_chunk_decode(&read, read_back(bytes.len)), E_INVALID);
}

Test(peer_snapshot, answers_come_back_as_they_were)
{
    const struct peer_snapshot_ack ack = {9, 12345};
    const struct peer_snapshot_abort abort = {9, E_STORAGE_FULL};
    struct peer_snapshot_ack ack_read;
    struct peer_snapshot_abort abort_read;
    uint64_t index;
    peer_snapshot_ack_pack(&pack, &ack);
    cr_assert_eq(peer_snapshot_ack_decode(&ack_read, read_back(bytes.len)), 0);
    cr_assert_eq(ack_read.transfer, 9);
    cr_assert_eq(ack_read.position, 12345);
    begin_anew();
    peer_snapshot_abort_pack(&pack, &abort);
    cr_assert_eq(peer_snapshot_abort_decode(&abort_read, read_back(bytes.len)), 0);
    cr_assert_eq(abort_read.transfer, 9);
    cr_assert_eq(abort_read.error, E_STORAGE_FULL);
    begin_anew();
    peer_snapshot_wanted_pack(&pack, 77);
    cr_assert_eq(peer_snapshot_wanted_decode(&index, read_back(bytes.len)), 0);
    cr_assert_eq(index, 77);
}

Test(peer_snapshot, an_end_without_a_reason_is_refused)
{
    static const uint64_t errors[] = {0, 1000000};
    struct peer_snapshot_abort read;
    for (unsigned i = 0; i < 2; i++) {
        const struct peer_snapshot_abort abort = {9, errors[i]};
        begin_anew();
        peer_snapshot_abort_pack(&pack, &abort);
        cr_assert_eq(peer_snapshot_abort_decode(&read, read_back(bytes.len)), E_INVALID);
    }
}

Test(peer_snapshot, a_state_is_of_a_worker_at_a_checkpoint)
{
    struct peer_state_hash state = {PROC_EVENTS, 3ull * RAFT_CHECKPOINT, UINT64_MAX}, read;
    peer_state_hash_pack(&pack, &state);
    cr_assert_eq(peer_state_hash_decode(&read, read_back(bytes.len)), 0);
    cr_assert_eq(read.worker, PROC_EVENTS);
    cr_assert_eq(read.index, 3ull * RAFT_CHECKPOINT);
    cr_assert_eq(read.hash, UINT64_MAX);
    for (unsigned i = 0; i < 3; i++) {
        struct peer_state_hash bad = state;
        bad.worker = i == 0 ? PROC_LAST_WORKER + 1 : bad.worker;
        bad.index = i == 1 ? 0 : i == 2 ? bad.index + 1 : bad.index;
        begin_anew();
        peer_state_hash_pack(&pack, &bad);
        cr_assert_eq(peer_state_hash_decode(&read, read_back(bytes.len)), E_INVALID, "%u", i);
    }
}
