/* Writing and strict reading of msgpack. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ipc/pack.h"

static struct buf out;
static struct pack writer;

static void open_writer(void)
{
    buf_init(&out, 1 << 20);
    pack_init(&writer, &out);
}

static void close_writer(void)
{
    buf_fini(&out);
}

TestSuite(pack, .init = open_writer, .fini = close_writer);

static struct unpack reader(void)
{
    struct unpack unpack;
    cr_assert_eq(pack_result(&writer), 0);
    unpack_init(&unpack, buf_slice(&out));
    return unpack;
}

Test(pack, unsigned_numbers_of_every_width_survive)
{
    static const uint64_t numbers[] = {
        0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, 1ull << 32, 1ull << 63, UINT64_MAX};
    size_t count = sizeof(numbers) / sizeof(numbers[0]);
    for (size_t i = 0; i < count; i++)
        pack_u64(&writer, numbers[i]);
    struct unpack unpack = reader();
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(unpack_u64(&unpack), numbers[i]);
    cr_assert_eq(unpack_end(&unpack), 0);
}

Test(pack, signed_numbers_of_every_width_survive)
{
    static const int64_t numbers[] = {0,         -1,     -32,    -33,       -128,
                                      -129,      -32768, -32769, INT32_MIN, (int64_t)INT32_MIN - 1,
                                      INT64_MIN, 127,    128,    65536,     INT64_MAX};
    size_t count = sizeof(numbers) / sizeof(numbers[0]);
    for (size_t i = 0; i < count; i++)
        pack_i64(&writer, numbers[i]);
    struct unpack unpack = reader();
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(unpack_i64(&unpack), numbers[i]);
    cr_assert_eq(unpack_end(&unpack), 0);
}

Test(pack, a_number_too_large_for_signed_is_invalid)
{
    pack_u64(&writer, (uint64_t)INT64_MAX + 1);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_i64(&unpack), 0);
    cr_assert_eq(unpack_end(&unpack), E_INVALID);
}

Test(pack, a_negative_number_is_not_unsigned)
{
    pack_i64(&writer, -5);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_u64(&unpack), 0);
    cr_assert_eq(unpack.error, E_INVALID);
}

Test(pack, a_fixed_number_always_takes_nine_bytes)
{
    pack_u64_fixed(&writer, 0);
    pack_u64_fixed(&writer, UINT64_MAX);
    cr_assert_eq(out.len, 18);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_u64(&unpack), 0);
    cr_assert_eq(unpack_u64(&unpack), UINT64_MAX);
    cr_assert_eq(unpack_end(&unpack), 0);
}

Test(pack, bytes_and_text_of_every_length_class_survive_and_are_borrowed)
{
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    char *data = malloc(65536);
    memset(data, 'x', 65536);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        buf_clear(&out);
        pack_bytes(&writer, slice_of(data, lengths[i]));
        pack_text(&writer, slice_of(data, lengths[i]));
        struct unpack unpack = reader();
        struct slice bytes = unpack_bytes(&unpack);
        struct slice text = unpack_text(&unpack);
        cr_assert_eq(unpack_end(&unpack), 0);
        cr_assert(slice_equal(bytes, slice_of(data, lengths[i])));
        cr_assert(slice_equal(text, slice_of(data, lengths[i])));
        cr_assert((const uint8_t *)bytes.data >= out.data &&
                  (const uint8_t *)text.data <= out.data + out.len);
    }
    free(data);
}

Test(pack, bytes_are_not_text_and_text_is_not_bytes)
{
    pack_bytes(&writer, slice_text("abc"));
    struct unpack unpack = reader();
    cr_assert_eq(unpack_text(&unpack).len, 0);
    cr_assert_eq(unpack.error, E_INVALID);
    buf_clear(&out);
    pack_text(&writer, slice_text("abc"));
    unpack = reader();
    cr_assert_eq(unpack_bytes(&unpack).len, 0);
    cr_assert_eq(unpack.error, E_INVALID);
}

Test(pack, booleans_nils_and_arrays_survive)
{
    pack_array(&writer, 4);
    pack_bool(&writer, true);
    pack_bool(&writer, false);
    pack_nil(&writer);
    pack_u64(&writer, 7);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_array(&unpack), 4);
    cr_assert(unpack_bool(&unpack));
    cr_assert(!unpack_bool(&unpack));
    cr_assert(unpack_nil(&unpack));
    cr_assert(!unpack_nil(&unpack), "a number is not consumed as nil");
    cr_assert(unpack_more(&unpack));
    cr_assert_eq(unpack_u64(&unpack), 7);
    cr_assert(!unpack_more(&unpack));
    cr_assert_eq(unpack_end(&unpack), 0);
}

Test(pack, an_array_of_another_count_is_invalid)
{
    pack_array(&writer, 2);
    pack_u64(&writer, 1);
    pack_u64(&writer, 2);
    struct unpack unpack = reader();
    unpack_array_of(&unpack, 3);
    cr_assert_eq(unpack.error, E_INVALID);
}

Test(pack, a_count_beyond_the_bytes_is_not_believed)
{
    static const uint8_t array32[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t bin32[] = {0xc6, 0xff, 0xff, 0xff, 0xff, 1};
    static const uint8_t str32[] = {0xdb, 0xff, 0xff, 0xff, 0xff, 1};
    struct unpack unpack;
    unpack_init(&unpack, slice_of(array32, sizeof(array32)));
    cr_assert_eq(unpack_array(&unpack), 0);
    cr_assert_eq(unpack.error, E_TRUNCATED);
    unpack_init(&unpack, slice_of(bin32, sizeof(bin32)));
    cr_assert_eq(unpack_bytes(&unpack).len, 0);
    cr_assert_eq(unpack.error, E_TRUNCATED);
    unpack_init(&unpack, slice_of(str32, sizeof(str32)));
    cr_assert_eq(unpack_text(&unpack).len, 0);
    cr_assert_eq(unpack.error, E_TRUNCATED);
}

Test(pack, what_is_left_over_is_refused)
{
    pack_u64(&writer, 1);
    pack_u64(&writer, 2);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_u64(&unpack), 1);
    cr_assert_eq(unpack_end(&unpack), E_TRAILING);
}

Test(pack, the_first_error_sticks)
{
    struct unpack unpack;
    unpack_init(&unpack, slice_of("\xc3\x01", 2));
    cr_assert_eq(unpack_u64(&unpack), 0);
    cr_assert_eq(unpack.error, E_INVALID);
    cr_assert_eq(unpack_u64(&unpack), 0, "nothing is read after an error");
    unpack_refuse(&unpack);
    cr_assert_eq(unpack_end(&unpack), E_INVALID);
    cr_assert(!unpack_more(&unpack));
    cr_assert(!unpack_nil(&unpack));
}

Test(pack, empty_input_is_truncated_for_every_getter)
{
    struct unpack unpack;
#define EXPECT_TRUNCATED(call)                                                                     \
    do {                                                                                           \
        unpack_init(&unpack, slice_of(NULL, 0));                                                   \
        (void)(call);                                                                              \
        cr_assert_eq(unpack.error, E_TRUNCATED, #call);                                            \
    } while (0)
    EXPECT_TRUNCATED(unpack_u64(&unpack));
    EXPECT_TRUNCATED(unpack_i64(&unpack));
    EXPECT_TRUNCATED(unpack_bool(&unpack));
    EXPECT_TRUNCATED(unpack_array(&unpack));
    EXPECT_TRUNCATED(unpack_bytes(&unpack).len);
    EXPECT_TRUNCATED(unpack_text(&unpack).len);
    EXPECT_TRUNCATED(unpack_error_code(&unpack));
#undef EXPECT_TRUNCATED
}

Test(pack, an_error_code_out_of_range_is_invalid)
{
    pack_u64(&writer, 256);
    struct unpack unpack = reader();
    cr_assert_eq(unpack_error_code(&unpack), 0);
    cr_assert_eq(unpack.error, E_INVALID);
}

Test(pack, writing_past_the_maximum_sticks)
{
    struct buf small;
    struct pack pack;
    buf_init(&small, 4);
    pack_init(&pack, &small);
    pack_u64(&pack, 1);
    pack_bytes(&pack, slice_text("too long"));
    pack_u64(&pack, 2);
    cr_assert_eq(pack_result(&pack), E_TOO_LARGE);
    cr_assert_leq(small.len, 4);
    buf_fini(&small);
}

/* Any bytes at all: every getter stays inside them. The copy on the heap lets ASan see a step
 * beyond. */
Test(pack, random_bytes_never_lead_outside)
{
    srand(7);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)rand() % 24;
        uint8_t *bytes = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand();
        uint8_t *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, bytes, len);
        struct unpack unpack;
        unpack_init(&unpack, slice_of(exact, len));
        while (unpack_more(&unpack)) {
            switch (rand() % 6) {
            case 0:
                unpack_u64(&unpack);
                break;
            case 1:
                unpack_i64(&unpack);
                break;
            case 2:
                unpack_bytes(&unpack);
                break;
            case 3:
                unpack_text(&unpack);
                break;
            case 4:
                unpack_array(&unpack);
                break;
            default:
                unpack_nil(&unpack);
                break;
            }
            cr_assert(unpack.at <= unpack.end);
        }
        free(exact);
        free(bytes);
    }
}
