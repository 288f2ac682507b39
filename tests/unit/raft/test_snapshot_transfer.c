/* Snapshots from one node to another: whatever is cut, killed or damaged on the way, what arrives
 * is what was sent, and not much is sent twice. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "tests/unit/raft/transfer.h"

#define KIB 1024ull
#define CHUNK ((uint64_t)SNAPSHOT_SEND_CHUNK_BYTES)

static const uint64_t sizes[] = {3 * CHUNK + 1000, 40 * KIB, 2 * CHUNK};
#define TOTAL (5 * CHUNK + 1000 + 40 * KIB)

static void setup(void)
{
    transfer_init(100, sizes);
}

TestSuite(snapshot_transfer, .init = setup, .fini = transfer_fini, .timeout = 60);

static void begin_and_hold_at(unsigned chunk)
{
    transfer.hold_at = chunk;
    transfer_begin();
    TRANSFER_WAIT(transfer.chunks == chunk);
    transfer.hold_at = 0;
}

/* So many chunks are written; then the connection is lost, and the receiver killed. */
static void lose_at(unsigned chunk)
{
    begin_and_hold_at(chunk);
    transfer_cut();
    transfer.holds = false;
    TRANSFER_WAIT(transfer.receive.queued_bytes == 0);
    transfer_restart_receiver();
}

static void expect_received(void)
{
    transfer.holds = false;
    TRANSFER_WAIT(transfer.received > 0 && transfer.sent > 0);
    cr_assert_eq(transfer.received, 1);
    cr_assert_eq(transfer.received_index, transfer.snapshot->index);
    cr_assert_eq(transfer.received_from, TRANSFER_SENDER);
    cr_assert_eq(transfer.received_term, transfer.term);
    cr_assert(!snapshot_receive_is_busy(&transfer.receive));
    transfer_expect_equal();
}

Test(snapshot_transfer, what_arrives_is_what_was_sent)
{
    transfer_begin();
    expect_received();
    cr_assert_eq(transfer.failed, 0);
    cr_assert_eq(transfer.chunk_bytes, TOTAL);
    cr_assert_eq(transfer.aborts, 0);
}

Test(snapshot_transfer, a_sender_without_room_goes_on_when_there_is)
{
    transfer.busy_every = 2;
    transfer_begin();
    expect_received();
    cr_assert_eq(transfer.chunk_bytes, TOTAL);
}

static uint64_t file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static uint64_t incoming_bytes(void)
{
    char path[SNAPSHOT_PATH_BYTES];
    uint64_t bytes = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        transfer_path(path, true, SNAPSHOT_INCOMING, i);
        bytes += file_bytes(path);
    }
    return bytes;
}

/* Each message of the whole conversation is lost once, with the connection. */
static void cut_everywhere(bool restarts)
{
    char folder[SNAPSHOT_PATH_BYTES];
    snprintf(folder, sizeof(folder), "%s/100", transfer.to);
    for (unsigned at = 1;; at++) {
        transfer.delivered = transfer.received = transfer.sent = transfer.failed = 0;
        transfer.cut_at = at;
        transfer_begin();
        TRANSFER_WAIT(transfer.sent + transfer.failed > 0);
        if (transfer.failed == 0)
            break; /* it was over before */
        cr_assert_eq(transfer.error, E_PEER_DOWN);
        if (restarts)
            transfer_restart_receiver();
        TRANSFER_WAIT(transfer.receive.queued_bytes == 0);
        bool is_here = access(folder, F_OK) == 0;
        uint64_t here = incoming_bytes();
        transfer.judgement = is_here ? E_EXISTS : 0;
        transfer.cut_at = 0;
        transfer_begin();
        TRANSFER_WAIT(transfer.sent > 0 && (is_here || transfer.received > 0));
        cr_assert_eq(transfer.chunk_bytes, is_here ? 0 : TOTAL - here, "cut at %u", at);
        transfer_expect_equal();
        transfer.judgement = 0;
        cr_assert_eq(snapshot_store_remove(transfer.to, 100), 0);
    }
    cr_assert_gt(transfer.delivered, 10);
}

Test(snapshot_transfer, a_connection_lost_anywhere_costs_no_more_than_what_was_under_way)
{
    cut_everywhere(false);
}

Test(snapshot_transfer, a_receiver_killed_anywhere_goes_on_with_the_files_that_it_has)
{
    cut_everywhere(true);
}

Test(snapshot_transfer, a_damaged_chunk_is_found_and_all_is_sent_again)
{
    for (unsigned at = 1; at <= 6; at++) {
        transfer.chunks = transfer.received = transfer.sent = transfer.failed = 0;
        transfer.damage_at = at;
        transfer_begin();
        TRANSFER_WAIT(transfer.failed > 0);
        cr_assert_eq(transfer.error, E_CORRUPT);
        cr_assert_eq(transfer.received, 0);
        cr_assert_eq(incoming_bytes(), 0, "what is wrong does not stay");
        transfer_begin();
        expect_received();
        cr_assert_eq(transfer.chunk_bytes, TOTAL);
        cr_assert_eq(snapshot_store_remove(transfer.to, 100), 0);
    }
}

/* Zeros where bytes should be, as after a power cut. */
Test(snapshot_transfer, a_file_damaged_between_two_tries_is_begun_anew)
{
    char path[SNAPSHOT_PATH_BYTES];
    lose_at(2);
    transfer_path(path, true, SNAPSHOT_INCOMING, 0);
    cr_assert_gt(file_bytes(path), 0);
    int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 10), 8);
    close(fd);
    transfer_begin();
    TRANSFER_WAIT(transfer.failed == 2);
    cr_assert_eq(transfer.error, E_CORRUPT);
    transfer_begin();
    expect_received();
}

Test(snapshot_transfer, a_complete_file_damaged_between_two_tries_is_begun_anew)
{
    char path[SNAPSHOT_PATH_BYTES];
    lose_at(6);
    transfer_path(path, true, SNAPSHOT_INCOMING, 0);
    cr_assert_eq(file_bytes(path), sizes[0]);
    int fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 10), 8);
    close(fd);
    transfer_begin();
    expect_received();
    cr_assert_eq(transfer.first_position, 0);
}

Test(snapshot_transfer, files_that_are_longer_than_they_should_be_are_begun_anew)
{
    char path[SNAPSHOT_PATH_BYTES];
    lose_at(2);
    transfer_path(path, true, SNAPSHOT_INCOMING, 0);
    cr_assert_eq(truncate(path, (off_t)sizes[0] + 1), 0);
    transfer_begin();
    expect_received();
}

Test(snapshot_transfer, what_came_of_another_snapshot_is_thrown_away)
{
    static const uint64_t others[] = {CHUNK, 10 * CHUNK, 5};
    transfer.cut_at = 8;
    transfer_begin();
    TRANSFER_WAIT(transfer.failed == 1);
    transfer_make(200, others);
    transfer.cut_at = 0;
    transfer_begin();
    expect_received();
    cr_assert_eq(transfer.chunk_bytes, 11 * CHUNK + 5);
}

Test(snapshot_transfer, one_that_is_there_already_is_not_sent)
{
    transfer.judgement = E_EXISTS;
    transfer_begin();
    TRANSFER_WAIT(transfer.sent == 1);
    cr_assert_eq(transfer.chunks, 0);
    cr_assert_eq(transfer.received, 0);
}

Test(snapshot_transfer, an_offer_that_is_not_wanted_ends_with_the_reason)
{
    transfer.judgement = E_NO_LEADER;
    transfer_begin();
    TRANSFER_WAIT(transfer.failed == 1);
    cr_assert_eq(transfer.error, E_NO_LEADER);
    cr_assert_eq(transfer.chunks, 0);
}

/* ---- several of them --------------------------------------------------------------------------
 */

static void offer(uint64_t from, uint64_t number, uint64_t term)
{
    struct buf manifest;
    buf_init(&manifest, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&manifest, transfer.snapshot);
    const struct peer_snapshot_offer offer = {number, term, buf_slice(&manifest)};
    snapshot_receive_on_offer(&transfer.receive, from, &offer);
    buf_fini(&manifest);
}

Test(snapshot_transfer, a_second_offer_of_the_same_sender_takes_the_first_ones_place)
{
    offer(TRANSFER_SENDER, 77, 7);
    transfer_begin();
    expect_received();
}

Test(snapshot_transfer, what_belongs_to_a_transfer_that_has_ended_is_passed_over)
{
    begin_and_hold_at(2);
    const struct peer_snapshot_chunk chunk = {99, 0, slice_text("late")};
    const struct peer_snapshot_abort abort = {99, E_CLOSED};
    cr_assert_eq(snapshot_receive_on_chunk(&transfer.receive, TRANSFER_SENDER, &chunk), 0);
    snapshot_receive_on_abort(&transfer.receive, TRANSFER_SENDER, &abort);
    snapshot_receive_on_peer_gone(&transfer.receive, TRANSFER_SENDER + 1);
    if (transfer.send) {
        cr_assert_eq(snapshot_send_on_ack(transfer.send, &(struct peer_snapshot_ack){99, 1}), 0);
        snapshot_send_on_abort(transfer.send, &abort);
    }
    expect_received();
}

/* ---- who does not keep to the conversation ----------------------------------------------------
 */

Test(snapshot_transfer, chunks_out_of_order_end_it_and_what_was_written_stays)
{
    begin_and_hold_at(2);
    const struct peer_snapshot_chunk chunk = {1, 0, slice_text("again from the beginning")};
    cr_assert_eq(snapshot_receive_on_chunk(&transfer.receive, TRANSFER_SENDER, &chunk), E_INVALID);
    transfer.holds = false;
    TRANSFER_WAIT(transfer.failed == 1);
    cr_assert_eq(transfer.error, E_INVALID);
    transfer_begin();
    expect_received();
    cr_assert_eq(transfer.first_position, 2 * CHUNK);
}

Test(snapshot_transfer, chunks_before_the_first_answer_end_it)
{
    transfer.holds = true;
    offer(TRANSFER_SENDER, 1, 7);
    const struct peer_snapshot_chunk chunk = {1, 0, slice_text("too early")};
    cr_assert_eq(snapshot_receive_on_chunk(&transfer.receive, TRANSFER_SENDER, &chunk), E_INVALID);
    cr_assert(!snapshot_receive_is_busy(&transfer.receive));
}

Test(snapshot_transfer, a_chunk_beyond_its_file_ends_it)
{
    uint8_t *bytes = mem_alloc(PEER_SNAPSHOT_CHUNK_BYTES);
    transfer.holds = true;
    offer(TRANSFER_SENDER, 1, 7);
    TRANSFER_WAIT(transfer.receive.is_prepared);
    const struct peer_snapshot_chunk chunk = {1, 0, slice_of(bytes, PEER_SNAPSHOT_CHUNK_BYTES)};
    cr_assert_gt(PEER_SNAPSHOT_CHUNK_BYTES, sizes[0]);
    cr_assert_eq(snapshot_receive_on_chunk(&transfer.receive, TRANSFER_SENDER, &chunk), 0);
    TRANSFER_WAIT(!snapshot_receive_is_busy(&transfer.receive));
    transfer.holds = false;
    TRANSFER_WAIT(transfer.aborts == 1);
    cr_assert_eq(transfer.aborted, E_INVALID);
    free(bytes);
}

Test(snapshot_transfer, acks_of_what_was_never_sent_are_refused)
{
    transfer.holds = true;
    transfer_begin();
    TRANSFER_WAIT(transfer.count == 1);
    cr_assert_eq(snapshot_send_on_ack(transfer.send, &(struct peer_snapshot_ack){1, TOTAL + 1}),
                 E_INVALID);
    cr_assert_eq(snapshot_send_on_ack(transfer.send, &(struct peer_snapshot_ack){1, 0}), 0);
    cr_assert_eq(snapshot_send_on_ack(transfer.send, &(struct peer_snapshot_ack){1, TOTAL - 1}),
                 E_INVALID);
}

static int offer_bytes(struct buf *manifest)
{
    const struct peer_snapshot_offer offer = {1, 7, buf_slice(manifest)};
    unsigned before = transfer.aborts;
    snapshot_receive_on_offer(&transfer.receive, TRANSFER_SENDER, &offer);
    cr_assert(!snapshot_receive_is_busy(&transfer.receive));
    TRANSFER_WAIT(transfer.aborts == before + 1);
    return transfer.aborted;
}

Test(snapshot_transfer, manifests_that_make_no_sense_are_refused)
{
    struct buf manifest;
    buf_init(&manifest, SNAPSHOT_MANIFEST_BYTES);
    cr_assert_eq(buf_append_text(&manifest, "../../etc/passwd"), 0);
    cr_assert_eq(offer_bytes(&manifest), E_CORRUPT);
    for (unsigned i = 0; i < 4; i++) {
        struct snapshot *bad = mem_copy(transfer.snapshot, sizeof(*bad));
        bad->index = i == 0 ? 0 : bad->index;
        bad->term = i == 1 ? 8 : bad->term; /* later than the sender leads */
        bad->parts[1].bytes = i == 2 ? 0 : bad->parts[1].bytes;
        bad->parts[2].bytes = i == 3 ? UINT64_MAX - 5 : bad->parts[2].bytes;
        buf_clear(&manifest);
        snapshot_encode(&manifest, bad);
        free(bad);
        cr_assert_eq(offer_bytes(&manifest), i == 1 ? E_INVALID : E_CORRUPT, "%u", i);
    }
    buf_clear(&manifest);
    snapshot_encode(&manifest, transfer.snapshot);
    while (manifest.len > 1) {
        manifest.len /= 2;
        cr_assert_eq(offer_bytes(&manifest), E_CORRUPT);
    }
    buf_fini(&manifest);
}

/* ---- no room, no file -------------------------------------------------------------------------
 */

Test(snapshot_transfer, more_than_the_disk_has_room_for_is_refused_before_anything_is_sent)
{
    struct buf manifest;
    buf_init(&manifest, SNAPSHOT_MANIFEST_BYTES);
    transfer.snapshot->parts[0].bytes = 1ull << 50;
    snapshot_encode(&manifest, transfer.snapshot);
    const struct peer_snapshot_offer offer = {1, 7, buf_slice(&manifest)};
    snapshot_receive_on_offer(&transfer.receive, TRANSFER_SENDER, &offer);
    TRANSFER_WAIT(transfer.aborts == 1);
    cr_assert_eq(transfer.aborted, E_STORAGE_FULL);
    cr_assert(!snapshot_receive_is_busy(&transfer.receive));
    buf_fini(&manifest);
}

Test(snapshot_transfer, a_file_that_is_missing_or_short_at_the_sender_ends_it)
{
    char path[SNAPSHOT_PATH_BYTES];
    transfer_path(path, false, NULL, 1);
    cr_assert_eq(truncate(path, 100), 0);
    transfer_begin();
    TRANSFER_WAIT(transfer.failed == 1);
    cr_assert_eq(transfer.error, E_CORRUPT);
    cr_assert_eq(unlink(path), 0);
    transfer_begin();
    TRANSFER_WAIT(transfer.failed == 2);
    cr_assert_eq(transfer.error, E_CORRUPT);
    cr_assert_eq(transfer.offers, 0);
}

Test(snapshot_transfer, a_snapshot_removed_while_it_is_sent_is_sent_to_the_end)
{
    begin_and_hold_at(1);
    cr_assert_eq(snapshot_store_remove(transfer.from, 100), 0);
    expect_received();
}

/* ---- bounds -----------------------------------------------------------------------------------
 */

Test(snapshot_transfer, no_more_than_the_window_is_under_way)
{
    static const uint64_t large[] = {20ull << 20, 1, 1};
    transfer_make(300, large);
    begin_and_hold_at(1);
    for (unsigned i = 0; i < 50; i++)
        transfer_turn(2);
    cr_assert_leq(transfer.count, SNAPSHOT_SEND_WINDOW_MIN / CHUNK + 1);
    transfer.holds = false;
    expect_received();
}

Test(snapshot_transfer, a_cancelled_sender_says_so_and_can_be_begun_again)
{
    begin_and_hold_at(1);
    snapshot_send_cancel(&transfer.send);
    cr_assert_null(transfer.send);
    transfer.holds = false;
    TRANSFER_WAIT(!snapshot_receive_is_busy(&transfer.receive));
    transfer_begin();
    expect_received();
}

Test(snapshot_transfer, what_came_of_one_that_is_not_needed_any_more_can_be_removed)
{
    lose_at(2);
    cr_assert_gt(incoming_bytes(), 0);
    snapshot_receive_clean(&transfer.receive);
    TRANSFER_WAIT(!incoming_is_there(&transfer.receive.incoming));
    snapshot_receive_clean(&transfer.receive);
    begin_and_hold_at(2);
    snapshot_receive_clean(&transfer.receive);
    expect_received();
    cr_assert_eq(transfer.chunk_bytes, TOTAL);
}
