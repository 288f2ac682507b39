/* test_frames.c - frames of events, byte for byte; and the outbox, which holds them for one
 * subscriber. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "procs/gateway/events/outbox.h"

/* An event whose JSON has this length. */
static struct frame *frame_of_length(size_t len)
{
    static const char around[] = "{\"topic\":\"t\",\"data\":,\"index\":7,\"emitted_at\":"
                                 "\"2026-01-02T03:04:05.678Z\"}";
    char *data = malloc(len);
    memset(data, '1', len);
    struct msg_event event = {.index = 7,
                              .emitted_ms = 1767323045678,
                              .topic = slice_text("t"),
                              .data = slice_of(data, len - (sizeof(around) - 1))};
    struct frame *frame = frame_of_event(&event);
    free(data);
    return frame;
}

static void expect_header(size_t len, const char *header, size_t header_len)
{
    struct frame *frame = frame_of_length(len);
    struct slice bytes = frame_of_websocket(frame);
    cr_assert_eq(bytes.len, header_len + len, "%zu: %zu", len, bytes.len);
    cr_assert_arr_eq(bytes.data, header, header_len, "%zu", len);
    cr_assert_eq(((const char *)bytes.data)[header_len], '{');
    cr_assert_eq(((const char *)bytes.data)[bytes.len - 1], '}');
    frame_unref(&frame);
}

Test(frames, a_length_takes_the_fewest_bytes)
{
    expect_header(125, "\x81\x7d", 2);
    expect_header(126, "\x81\x7e\x00\x7e", 4);
    expect_header(65535, "\x81\x7e\xff\xff", 4);
    expect_header(65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void expect_stream(struct frame *frame, const char *expected)
{
    struct slice pieces[FRAME_STREAM_PIECES];
    char text[1024];
    frame_of_stream(frame, pieces);
    snprintf(text, sizeof(text), "%.*s%.*s", (int)pieces[0].len, (const char *)pieces[0].data,
             (int)pieces[1].len, (const char *)pieces[1].data);
    cr_assert_str_eq(text, expected);
    frame_unref(&frame);
}

Test(frames, a_stream_has_the_index_as_id_and_the_same_json)
{
    const struct msg_event event = {.index = UINT64_MAX,
                                    .emitted_ms = 1,
                                    .topic = slice_text("a \"b\"\n"),
                                    .data = slice_text("[1,\"\\n\"]")};
    expect_stream(
        frame_of_event(&event),
        "id: 18446744073709551615\ndata: {\"topic\":\"a \\\"b\\\"\\n\",\"data\":[1,\"\\n\"],"
        "\"index\":18446744073709551615,\"emitted_at\":\"1970-01-01T00:00:00.001Z\"}\n\n");
    expect_stream(frame_of_gap(3, 9), "id: 9\ndata: {\"gap\":{\"from\":3,\"to\":9}}\n\n");
}

Test(frames, controls_have_their_opcode_and_payload)
{
    struct frame *frame = frame_of_control(FRAME_CLOSE, slice_of("\x0f\xa8", 2));
    struct slice bytes = frame_of_websocket(frame);
    cr_assert_eq(bytes.len, 4);
    cr_assert_arr_eq(bytes.data, "\x88\x02\x0f\xa8", 4);
    frame_unref(&frame);
    frame = frame_of_control(FRAME_PONG, slice_of(NULL, 0));
    bytes = frame_of_websocket(frame);
    cr_assert(bytes.len == 2 && memcmp(bytes.data, "\x8a\x00", 2) == 0);
    frame_unref(&frame);
    cr_assert_null(frame);
    frame_unref(&frame);
}

/* ---- the outbox ------------------------------------------------------------------------------ */

#define COST UINT64_C(200)

static struct frame *frame_that_costs(uint64_t cost)
{
    static const char zeros[4096];
    const struct msg_event event = {
        .index = 1, .topic = slice_text("t"), .data = slice_of(zeros, cost - event_cost(1, 0))};
    return frame_of_event(&event);
}

static void add(struct outbox *outbox, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct frame *frame = frame_that_costs(COST);
        outbox_add(outbox, frame);
        frame_unref(&frame);
    }
}

Test(outbox, frames_leave_in_order_whatever_its_room_does)
{
    struct outbox outbox = {0};
    struct frame *out[64] = {NULL}, *expected[200] = {NULL};
    unsigned added = 0, left = 0;
    for (unsigned round = 0; left < 200; round++) {
        for (unsigned i = 0; i < round + 1 && added < 200; i++) {
            expected[added] = frame_that_costs(COST);
            outbox_add(&outbox, expected[added++]);
        }
        unsigned count = outbox_gather(&outbox, out, 1 + round / 2, UINT64_MAX);
        for (unsigned i = 0; i < count; i++) {
            cr_assert_eq(out[i], expected[left + i]);
        }
        outbox_written(&outbox);
        for (unsigned i = 0; i < count; i++)
            frame_unref(&expected[left++]);
        cr_assert_eq(outbox.queued, (uint64_t)(added - left) * COST);
    }
    cr_assert(outbox_is_empty(&outbox));
    outbox_fini(&outbox);
}

Test(outbox, a_write_has_a_bound_but_takes_one_frame_at_least)
{
    struct outbox outbox = {0};
    struct frame *out[64];
    add(&outbox, 10);
    cr_assert_eq(outbox_gather(&outbox, out, 64, 3 * COST), 3);
    outbox_written(&outbox);
    cr_assert_eq(outbox_gather(&outbox, out, 64, COST - 1), 1);
    outbox_written(&outbox);
    cr_assert_eq(outbox_gather(&outbox, out, 2, UINT64_MAX), 2);
    outbox_written(&outbox);
    cr_assert_eq(outbox_gather(&outbox, out, 64, UINT64_MAX), 4);
    outbox_written(&outbox);
    cr_assert_eq(outbox_gather(&outbox, out, 64, UINT64_MAX), 0);
    outbox_written(&outbox);
    outbox_fini(&outbox);
}

Test(outbox, credit_comes_in_quarters_of_the_window)
{
    struct outbox outbox = {0};
    struct frame *out[64];
    const uint64_t window = 16 * COST;
    add(&outbox, 9);
    cr_assert_eq(outbox_unpaid(&outbox), 9 * COST);
    for (unsigned i = 1; i <= 9; i++) {
        outbox_gather(&outbox, out, 1, UINT64_MAX);
        outbox_written(&outbox);
        cr_assert_eq(outbox_take_credit(&outbox, window), i % 4 == 0 ? 4 * COST : 0);
    }
    cr_assert_eq(outbox_unpaid(&outbox), COST);
    outbox_fini(&outbox);
}

Test(outbox, what_is_with_the_socket_stays_when_the_rest_is_dropped)
{
    struct outbox outbox = {0};
    struct frame *out[64];
    add(&outbox, 9);
    cr_assert_eq(outbox_gather(&outbox, out, 2, UINT64_MAX), 2);
    outbox_drop(&outbox);
    cr_assert_eq(outbox.queued, 2 * COST);
    cr_assert_gt(frame_of_websocket(out[1]).len, 0);
    outbox_written(&outbox);
    cr_assert(outbox_is_empty(&outbox));
    add(&outbox, 100);
    outbox_gather(&outbox, out, 64, UINT64_MAX);
    outbox_fini(&outbox); /* also of what is with the socket */
}
