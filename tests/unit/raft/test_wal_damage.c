/* Damaged logs. Every outcome is one of: the same state, a torn tail cut, refused with E_CORRUPT.
 * Never another history: what is followed by anything that was durable later is never lost
 * silently.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/raft/log_folder.h"

static struct log_folder folder;

/* A small log of three batches in one segment, as bytes. */
static struct {
    char path[WAL_NAME_BYTES];
    uint8_t *bytes;
    size_t len;
    size_t batches[5]; /* where they begin; [3] is the mark, if there is one, or the end */
    size_t end;
    struct wal_identity identity;
} small;

static const char *const small_histories[] = {"", "1.1 2.1", "1.1 2.1 3.1", "1.1 2.1 3.1 4.2 5.2"};
static const uint64_t small_terms[] = {0, 1, 1, 2};

static void damage_setup(void)
{
    log_folder_init(&folder, false);
}

static void damage_teardown(void)
{
    free(small.bytes);
    log_folder_fini(&folder);
}

TestSuite(damage, .init = damage_setup, .fini = damage_teardown, .timeout = 300);

static void small_write(unsigned batch)
{
    static const struct {
        uint64_t first, last, term;
    } batches[] = {{1, 2, 1}, {3, 3, 1}, {4, 5, 2}};
    uint64_t term = batches[batch].term;
    wal_begin_write(folder.wal, ++folder.write);
    if (batch != 1)
        wal_add_hard_state(folder.wal, term, 7);
    for (uint64_t index = batches[batch].first; index <= batches[batch].last; index++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "%lu.%lu.......", index, term);
        wal_add_entry(folder.wal, &(struct wal_entry){.index = index,
                                                      .term = term,
                                                      .kind = WAL_COMMAND,
                                                      .payload = slice_of(text, (size_t)len)});
    }
    wal_end_write(folder.wal);
    wal_flush(folder.wal);
    log_sync(&folder);
}

/* False: the machine was slow, and a mark came between the batches. */
static bool small_take(void)
{
    struct wal_segment_header header;
    struct wal_batch_header batch;
    unsigned count = 0;
    free(small.bytes);
    log_file_name(&folder, small.path, 1);
    small.len = log_file_load(small.path, &small.bytes);
    cr_assert_eq(small.len, LOG_SMALL_BYTES);
    cr_assert_eq(wal_decode_segment_header(&header, small.bytes), 0);
    small.end = WAL_HEADER_BYTES;
    while (count < 5 && wal_decode_batch_header(&batch, header.salt, small.bytes + small.end)) {
        small.batches[count++] = small.end;
        small.end += WAL_BATCH_HEADER_BYTES + batch.payload_bytes;
        if ((batch.payload_bytes == 0) != (count == 4))
            return false;
    }
    return count == 4;
}

/* Batches: [term 1, entries 1 2] [entry 3] [term 2, entries 4 5] [mark] */
static void small_make(bool with_mark)
{
    do {
        cr_assert_eq(path_remove_tree(folder.path), 0);
        cr_assert_eq(path_make_folder(folder.path), 0);
        folder.options.segment_bytes = LOG_SMALL_BYTES;
        cr_assert_eq(log_open(&folder), 0);
        small.identity = folder.state.identity;
        for (unsigned i = 0; i < 3; i++)
            small_write(i);
        log_close(&folder);
    } while (!small_take());
    if (with_mark)
        return;
    memset(small.bytes + small.batches[3], 0, small.end - small.batches[3]);
    small.end = small.batches[3];
}

struct outcome {
    int error;
    size_t torn;
    unsigned history; /* number in small_histories */
};

/* What recovery makes of these bytes. */
static struct outcome small_try(const uint8_t *bytes, size_t len)
{
    struct wal_recovered recovered;
    struct wal_index index = {0};
    const struct wal_recovery recovery = {.folder = folder.path, .identity = &small.identity};
    struct outcome outcome = {0};
    log_file_store(small.path, bytes, len);
    outcome.error = wal_recover(&recovery, &recovered, &index);
    if (outcome.error == 0) {
        const char *text = log_recovered_entries(folder.path, &index, &recovered);
        unsigned history = 0;
        while (history < 4 && strcmp(text, small_histories[history]) != 0)
            history++;
        cr_assert_lt(history, 4, "a history that never was: %s", text);
        cr_assert_eq(recovered.term, small_terms[history], "another term");
        cr_assert_eq(recovered.vote, history > 0 ? 7 : 0);
        outcome.history = history;
        outcome.torn = recovered.torn_bytes;
        /* what was cut stays cut: a second start finds the same and nothing torn */
        if (outcome.torn > 0) {
            wal_index_clear(&index, 0);
            cr_assert_eq(wal_recover(&recovery, &recovered, &index), 0);
            cr_assert_eq(recovered.torn_bytes, 0);
            cr_assert_str_eq(log_recovered_entries(folder.path, &index, &recovered),
                             small_histories[history]);
        }
    } else {
        uint8_t *after;
        cr_assert_eq(log_file_load(small.path, &after), len);
        cr_assert_arr_eq(after, bytes, len, "a refused log is left as it is");
        free(after);
    }
    wal_index_fini(&index);
    return outcome;
}

/* The batch that holds the byte; 4: behind the last. */
static unsigned small_batch_of(size_t offset)
{
    unsigned batch = 0;
    while (batch < 3 && offset >= small.batches[batch + 1])
        batch++;
    return offset >= small.end ? 4 : batch;
}

static void small_flip_all(bool with_mark)
{
    small_make(with_mark);
    for (size_t at = WAL_HEADER_BYTES; at < small.end + 64; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            small.bytes[at] ^= (uint8_t)(1u << bit);
            struct outcome outcome = small_try(small.bytes, small.len);
            small.bytes[at] ^= (uint8_t)(1u << bit);
            unsigned batch = small_batch_of(at);
            if (batch == 4) {
                cr_assert_eq(outcome.error, 0, "byte %zu bit %u", at, bit);
                cr_assert_eq(outcome.history, 3);
            } else if (batch == 3) { /* the mark */
                cr_assert_eq(outcome.error, 0, "byte %zu bit %u", at, bit);
                cr_assert_eq(outcome.history, 3);
                cr_assert_gt(outcome.torn, 0);
            } else if (batch == 2 && !with_mark) { /* nothing proves that it was durable */
                cr_assert_eq(outcome.error, 0, "byte %zu bit %u", at, bit);
                cr_assert_eq(outcome.history, 2);
                cr_assert_gt(outcome.torn, 0);
            } else {
                cr_assert_eq(outcome.error, E_CORRUPT, "byte %zu bit %u: %d", at, bit,
                             outcome.error);
            }
        }
    }
}

Test(damage, every_flipped_bit_of_a_marked_log_is_found)
{
    small_flip_all(true);
}

Test(damage, every_flipped_bit_of_an_unmarked_log_is_found_or_cuts_the_last_batch)
{
    small_flip_all(false);
}

Test(damage, every_flipped_bit_of_the_header_is_found)
{
    small_make(true);
    for (size_t at = 0; at < WAL_HEADER_BYTES; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            small.bytes[at] ^= (uint8_t)(1u << bit);
            struct outcome outcome = small_try(small.bytes, small.len);
            cr_assert_eq(outcome.error, E_CORRUPT, "byte %zu bit %u: %d", at, bit, outcome.error);
            small.bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
}

/* A preallocated file never gets shorter by itself. */
Test(damage, a_file_cut_short_anywhere_is_refused)
{
    small_make(true);
    for (size_t len = 0; len < small.len; len++) {
        struct outcome outcome = small_try(small.bytes, len);
        cr_assert_eq(outcome.error, E_CORRUPT, "%zu bytes: %d", len, outcome.error);
    }
    cr_assert_eq(small_try(small.bytes, small.len).error, 0);
}

/* What a power cut leaves of a batch: a beginning, then zeros (or what the disk had there). The
 * batches before it stay. */
static void small_overwrite_tails(uint8_t with)
{
    small_make(false);
    uint8_t *bytes = mem_alloc(small.len);
    for (size_t from = WAL_HEADER_BYTES; from <= small.end; from++) {
        memcpy(bytes, small.bytes, small.len);
        for (size_t i = from; i < small.end; i++)
            bytes[i] = with ? (uint8_t)(with + i * 7) : 0;
        struct outcome outcome = small_try(bytes, small.len);
        unsigned whole = 0; /* batches that the cut left whole */
        while (whole < 3 && small.batches[whole + 1] <= from)
            whole++;
        cr_assert_eq(outcome.error, 0, "from %zu", from);
        if (outcome.history != whole) {
            /* the bytes that were overwritten happened to be the same */
            cr_assert_eq(outcome.history, whole + 1, "from %zu: history %u", from, outcome.history);
            cr_assert_arr_eq(bytes, small.bytes, small.batches[whole + 1]);
        }
    }
    free(bytes);
}

Test(damage, a_tail_of_zeros_from_any_byte_on_is_cut)
{
    small_overwrite_tails(0);
}

Test(damage, a_tail_of_garbage_from_any_byte_on_is_cut)
{
    small_overwrite_tails(0x5a);
}

/* Pages of one batch may reach the disk in any order: a hole in it, with its end in place. */
Test(damage, a_hole_in_the_last_batch_is_torn_and_one_before_it_is_corruption)
{
    small_make(false);
    uint8_t *bytes = mem_alloc(small.len);
    for (unsigned batch = 0; batch < 3; batch++) {
        memcpy(bytes, small.bytes, small.len);
        memset(bytes + small.batches[batch], 0, WAL_BATCH_HEADER_BYTES + 4);
        struct outcome outcome = small_try(bytes, small.len);
        cr_assert_eq(outcome.error, batch == 2 ? 0 : E_CORRUPT);
        if (batch == 2)
            cr_assert_eq(outcome.history, 2);
    }
    free(bytes);
}

Test(damage, a_batch_written_twice_is_refused)
{
    small_make(false);
    size_t len = small.batches[3] - small.batches[2];
    memcpy(small.bytes + small.end, small.bytes + small.batches[2], len);
    cr_assert_eq(small_try(small.bytes, small.len).error, E_CORRUPT);
}

/* Torn, cut, and written on: the next start knows nothing of it. */
Test(damage, the_log_goes_on_behind_a_torn_tail)
{
    small_make(false);
    small.bytes[small.end - 3] ^= 0x10;
    log_file_store(small.path, small.bytes, small.len);
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.state.torn_bytes, small.end - small.batches[2]);
    cr_assert_str_eq(log_entries(&folder, 1), small_histories[2]);
    log_add(&folder, 4, 1, 1, 30);
    log_reopen(&folder);
    cr_assert_eq(folder.state.torn_bytes, 0);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.1 4.1");
}

/* ---- how long it takes ---- */

static uint64_t damage_open_ms(void)
{
    uint64_t begin = clock_boot_ns();
    cr_assert_eq(log_open(&folder), 0);
    return (clock_boot_ns() - begin) / NS_PER_MS;
}

#ifdef __SANITIZE_ADDRESS__
#define DAMAGE_SLOWER 5ul
#else
#define DAMAGE_SLOWER 1ul
#endif

static void damage_fill(uint64_t bytes)
{
    uint64_t index = 1;
    cr_assert_eq(log_open(&folder), 0);
    for (uint64_t done = 0; done < bytes; done += 100ul * 128) {
        log_add(&folder, index, 100, 1, 100);
        index += 100;
        if (index % 1000 == 1)
            log_sync(&folder);
    }
    log_sync(&folder);
    log_close(&folder);
}

static bool damage_skip(const struct wal_entry *entry, void *arg)
{
    *(uint64_t *)arg = entry->index;
    return true;
}

Test(damage, a_log_of_64_mib_is_open_and_read_within_two_seconds)
{
    damage_fill(64ul << 20);
    uint64_t ms = damage_open_ms(), last = 0;
    uint64_t begin = clock_boot_ns();
    cr_assert_eq(wal_read(folder.wal, 1, SIZE_MAX, damage_skip, &last), 0);
    uint64_t read_ms = (clock_boot_ns() - begin) / NS_PER_MS;
    cr_assert_eq(last, folder.state.last_index);
    cr_assert_leq(ms + read_ms, 2000 * DAMAGE_SLOWER, "%lu entries: opened in %lu ms, read in %lu",
                  last, ms, read_ms);
}

/* A torn batch full of what looks like headers: each place is looked at once. */
Test(damage, looking_for_a_later_batch_takes_one_pass_whatever_the_bytes_are)
{
    char name[WAL_NAME_BYTES];
    uint8_t *bytes, *payload = mem_alloc(48u << 20);
    for (size_t i = 0; i < (48u << 20); i++)
        payload[i] = (uint8_t) "ILWB"[i % 4];
    cr_assert_eq(log_open(&folder), 0);
    log_add(&folder, 1, 1, 1, 10);
    log_sync(&folder);
    log_add_kind(&folder, 2, 1, WAL_COMMAND, slice_of(payload, 48u << 20));
    log_sync(&folder);
    log_close(&folder);
    free(payload);
    /* as if the power had gone while it was written: no header, no seal, no next segment */
    log_remove_segment(&folder, 3);
    log_file_name(&folder, name, 2);
    size_t len = log_file_load(name, &bytes);
    memset(bytes + WAL_HEADER_BYTES, 0, 100);
    memset(bytes + len - WAL_BATCH_HEADER_BYTES, 0, WAL_BATCH_HEADER_BYTES);
    log_file_store(name, bytes, len);
    free(bytes);
    uint64_t ms = damage_open_ms();
    cr_assert_eq(folder.state.last_index, 1);
    cr_assert_gt(folder.state.torn_bytes, 40u << 20);
    cr_assert_leq(ms, 1500 * DAMAGE_SLOWER, "%lu ms", ms);
}
