/* frames.c - see frames.h. */
#include "procs/gateway/events/frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "procs/gateway/http/json.h"

#define FRAME_FIN 0x80
#define FRAME_LENGTH_16 126 /* two bytes of length follow */
#define FRAME_LENGTH_64 127 /* eight */
#define FRAME_HEADER_BYTES 10
#define FRAME_HEAD_BYTES 48  /* room for what a stream has before the JSON */
#define FRAME_JSON_BYTES 160 /* of the JSON, besides topic and data */
#define FRAME_MAX_BYTES (2 * (size_t)LIMIT_ENTRY_BYTES) /* a topic may be escaped */

struct frame {
    uint32_t references;
    uint64_t cost;
    uint8_t *bytes;
    uint32_t head_len; /* of a stream's part before the JSON, which begins the bytes */
    size_t header_at;  /* of the WebSocket's header */
    size_t text_at, text_len;
};

static const char frame_tail[] = "\n\n";

/* ---- WebSocket header ------------------------------------------------------------------------ */

/* Ends where the text begins. */
static size_t frame_put_header(uint8_t *text, enum frame_opcode opcode, uint64_t len)
{
    uint8_t header[FRAME_HEADER_BYTES] = {(uint8_t)(FRAME_FIN | opcode)};
    size_t count = 2;
    if (len < FRAME_LENGTH_16) {
        header[1] = (uint8_t)len;
    } else if (len <= UINT16_MAX) {
        header[1] = FRAME_LENGTH_16;
        header[2] = (uint8_t)(len >> 8);
        header[3] = (uint8_t)len;
        count += 2;
    } else {
        header[1] = FRAME_LENGTH_64;
        bytes_put_key_u64(header + 2, len);
        count += 8;
    }
    memcpy(text - count, header, count);
    return count;
}

/* ---- building -------------------------------------------------------------------------------- */

/* The part before the JSON, and room for the header. */
static void frame_begin(struct buf *out, uint64_t index, size_t expected_len)
{
    buf_init(out, FRAME_MAX_BYTES);
    CHECK(buf_reserve(out, FRAME_HEAD_BYTES + expected_len) != NULL);
    CHECK(buf_printf(out, "id: %" PRIu64 "\ndata: ", index) == 0);
    out->len += FRAME_HEADER_BYTES;
}

/* The buffer's memory becomes the frame's. head_len: of what frame_begin wrote. */
static struct frame *frame_end(struct buf *out, size_t head_len, enum frame_opcode opcode,
                               uint64_t cost)
{
    struct frame *frame = mem_alloc(sizeof(*frame));
    frame->references = 1;
    frame->cost = cost;
    frame->head_len = (uint32_t)head_len;
    frame->text_at = head_len + FRAME_HEADER_BYTES;
    frame->text_len = out->len - frame->text_at;
    frame->header_at =
        frame->text_at - frame_put_header(out->data + frame->text_at, opcode, frame->text_len);
    CHECK(buf_append(out, frame_tail, sizeof(frame_tail) - 1) == 0);
    frame->bytes = out->data;
    return frame;
}

struct frame *frame_of_event(const struct msg_event *event)
{
    char emitted_at[CLOCK_RFC3339_BYTES];
    struct buf out;
    clock_format_rfc3339(event->emitted_ms, emitted_at);
    frame_begin(&out, event->index, FRAME_JSON_BYTES + event->topic.len + event->data.len);
    size_t head_len = out.len - FRAME_HEADER_BYTES;
    int error = buf_append_text(&out, "{\"topic\":");
    error |= json_append_string(&out, event->topic);
    error |= buf_append_text(&out, ",\"data\":");
    error |= buf_append(&out, event->data.data, event->data.len);
    error |=
        buf_printf(&out, ",\"index\":%" PRIu64 ",\"emitted_at\":\"%s\"}", event->index, emitted_at);
    CHECK(error == 0);
    return frame_end(&out, head_len, FRAME_TEXT, event_cost(event->topic.len, event->data.len));
}

struct frame *frame_of_gap(uint64_t from, uint64_t to)
{
    struct buf out;
    frame_begin(&out, to, FRAME_JSON_BYTES);
    size_t head_len = out.len - FRAME_HEADER_BYTES;
    CHECK(buf_printf(&out, "{\"gap\":{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}", from, to) == 0);
    return frame_end(&out, head_len, FRAME_TEXT, 0);
}

struct frame *frame_of_control(enum frame_opcode opcode, struct slice payload)
{
    struct buf out;
    CHECK(payload.len <= FRAME_CONTROL_BYTES);
    buf_init(&out, FRAME_MAX_BYTES);
    CHECK(buf_reserve(&out, FRAME_HEADER_BYTES) != NULL);
    out.len = FRAME_HEADER_BYTES;
    CHECK(buf_append(&out, payload.data, payload.len) == 0);
    return frame_end(&out, 0, opcode, 0);
}

/* ---- sharing --------------------------------------------------------------------------------- */

struct frame *frame_ref(struct frame *frame)
{
    CHECK(frame->references > 0 && frame->references < UINT32_MAX);
    frame->references++;
    return frame;
}

void frame_unref(struct frame **frame)
{
    struct frame *old = *frame;
    *frame = NULL;
    if (old == NULL)
        return;
    CHECK(old->references > 0);
    if (--old->references > 0)
        return;
    free(old->bytes);
    free(old);
}

uint64_t frame_cost(const struct frame *frame)
{
    return frame->cost;
}

struct slice frame_of_websocket(const struct frame *frame)
{
    return slice_of(frame->bytes + frame->header_at,
                    frame->text_at + frame->text_len - frame->header_at);
}

void frame_of_stream(const struct frame *frame, struct slice out[FRAME_STREAM_PIECES])
{
    out[0] = slice_of(frame->bytes, frame->head_len);
    out[1] = slice_of(frame->bytes + frame->text_at, frame->text_len + sizeof(frame_tail) - 1);
}
