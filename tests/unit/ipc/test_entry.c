/* The payload of a log entry. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ipc/entry.h"
#include "ipc/pack.h"

static struct buf out;

static void open_buffer(void)
{
    buf_init(&out, 2UL * LIMIT_ENTRY_BYTES);
}

static void close_buffer(void)
{
    buf_fini(&out);
}

TestSuite(entry, .init = open_buffer, .fini = close_buffer);

static struct entry sample(void)
{
    struct entry entry = {.stamp_ms = 5,
                          .session = 0x1234567890abcdefull,
                          .sequence = 42,
                          .floor = 40,
                          .part_count = 2};
    entry.parts[0] = (struct entry_part){PROC_STORAGE, slice_text("first command")};
    entry.parts[1] = (struct entry_part){PROC_EVENTS, slice_text("second")};
    return entry;
}

static bool entries_are_equal(const struct entry *a, const struct entry *b)
{
    bool equal = a->stamp_ms == b->stamp_ms && a->session == b->session &&
                 a->sequence == b->sequence && a->floor == b->floor &&
                 a->part_count == b->part_count;
    for (uint32_t i = 0; equal && i < a->part_count; i++)
        equal = a->parts[i].worker == b->parts[i].worker &&
                slice_equal(a->parts[i].command, b->parts[i].command);
    return equal;
}

Test(entry, what_was_encoded_is_decoded)
{
    struct entry entry = sample(), decoded;
    cr_assert_eq(entry_encode(&out, &entry), 0);
    cr_assert_eq(entry_decode(&decoded, buf_slice(&out)), 0);
    cr_assert(entries_are_equal(&entry, &decoded));
}

Test(entry, encoding_appends)
{
    struct entry entry = sample(), decoded;
    buf_append_text(&out, "before");
    cr_assert_eq(entry_encode(&out, &entry), 0);
    cr_assert_eq(entry_decode(&decoded, slice_of(out.data + 6, out.len - 6)), 0);
    cr_assert(entries_are_equal(&entry, &decoded));
}

Test(entry, a_patched_stamp_changes_nothing_else)
{
    struct entry entry = sample(), decoded;
    cr_assert_eq(entry_encode(&out, &entry), 0);
    size_t len = out.len;
    entry.stamp_ms = 0xfedcba9876543210ull;
    cr_assert_eq(entry_patch_stamp(out.data, out.len, entry.stamp_ms), 0);
    cr_assert_eq(out.len, len);
    cr_assert_eq(entry_decode(&decoded, buf_slice(&out)), 0);
    cr_assert(entries_are_equal(&entry, &decoded));
}

Test(entry, only_an_entry_can_be_stamped)
{
    char text[] = "not an entry at all";
    cr_assert_eq(entry_patch_stamp(text, sizeof(text), 1), E_INVALID);
    cr_assert_str_eq(text, "not an entry at all");
    struct entry entry = sample();
    cr_assert_eq(entry_encode(&out, &entry), 0);
    cr_assert_eq(entry_patch_stamp(out.data, 10, 1), E_INVALID, "shorter than a stamp");
}

Test(entry, parts_out_of_range_are_not_encoded)
{
    struct entry entry = sample();
    entry.parts[1].worker = PROC_RAFT;
    cr_assert_eq(entry_encode(&out, &entry), E_INVALID);
    entry = sample();
    entry.part_count = 0;
    cr_assert_eq(entry_encode(&out, &entry), E_INVALID);
    entry.part_count = LIMIT_ENTRY_PARTS + 1;
    cr_assert_eq(entry_encode(&out, &entry), E_INVALID);
    entry = sample();
    entry.parts[0].command.len = 0;
    cr_assert_eq(entry_encode(&out, &entry), E_INVALID);
    cr_assert_eq(out.len, 0, "nothing is left behind");
}

Test(entry, an_entry_over_the_limit_is_too_large)
{
    void *large = calloc(1, LIMIT_ENTRY_BYTES);
    struct entry entry = sample();
    entry.parts[0].command = slice_of(large, LIMIT_ENTRY_BYTES);
    cr_assert_eq(entry_encode(&out, &entry), E_TOO_LARGE);
    cr_assert_eq(out.len, 0);
    entry.parts[0].command.len = LIMIT_ENTRY_BYTES - 100;
    cr_assert_eq(entry_encode(&out, &entry), 0);
    struct entry decoded;
    cr_assert_eq(entry_decode(&decoded, buf_slice(&out)), 0);
    free(large);
}

/* An entry written element by element, to say what entry_encode would not. */
static int decode_of(uint64_t version, uint64_t worker, uint32_t part_count, bool with_tail)
{
    struct pack pack;
    struct entry decoded;
    buf_clear(&out);
    pack_init(&pack, &out);
    pack_array(&pack, 6);
    pack_u64(&pack, version);
    pack_u64_fixed(&pack, 1);
    pack_u64(&pack, 2);
    pack_u64(&pack, 3);
    pack_u64(&pack, 4);
    pack_array(&pack, part_count);
    for (uint32_t i = 0; i < part_count; i++) {
        pack_array(&pack, 2);
        pack_u64(&pack, worker);
        pack_bytes(&pack, slice_text("c"));
    }
    if (with_tail)
        pack_nil(&pack);
    return entry_decode(&decoded, buf_slice(&out));
}

Test(entry, decoding_refuses_what_is_out_of_range)
{
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_STORAGE, 1, false), 0);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_STORAGE, LIMIT_ENTRY_PARTS, false), 0);
    cr_assert_eq(decode_of(ENTRY_VERSION + 1, PROC_STORAGE, 1, false), E_VERSION);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_RAFT, 1, false), E_INVALID);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_GATEWAY, 1, false), E_INVALID);
    cr_assert_eq(decode_of(ENTRY_VERSION, 1ull << 32 | PROC_STORAGE, 1, false), E_INVALID);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_STORAGE, 0, false), E_INVALID);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_STORAGE, LIMIT_ENTRY_PARTS + 1, false), E_INVALID);
    cr_assert_eq(decode_of(ENTRY_VERSION, PROC_STORAGE, 1, true), E_TRAILING);
}

Test(entry, a_truncated_entry_never_decodes)
{
    struct entry entry = sample(), decoded;
    cr_assert_eq(entry_encode(&out, &entry), 0);
    for (size_t len = 0; len < out.len; len++) {
        void *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, out.data, len);
        cr_assert_neq(entry_decode(&decoded, slice_of(exact, len)), 0, "cut at %zu", len);
        free(exact);
    }
}

Test(entry, a_flipped_bit_fails_or_gives_a_valid_entry)
{
    struct entry entry = sample(), decoded;
    struct buf again;
    buf_init(&again, LIMIT_ENTRY_BYTES);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    uint8_t *exact = malloc(out.len);
    for (size_t bit = 0; bit < 8 * out.len; bit++) {
        memcpy(exact, out.data, out.len);
        exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (entry_decode(&decoded, slice_of(exact, out.len)) != 0)
            continue;
        buf_clear(&again);
        cr_assert_eq(entry_encode(&again, &decoded), 0, "bit %zu", bit);
        cr_assert(!entries_are_equal(&entry, &decoded), "bit %zu", bit);
    }
    free(exact);
    buf_fini(&again);
}
