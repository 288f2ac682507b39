/* sse.c - the parser of Server-Sent Events. */
#include "insic/sse.h"

#define SSE_MARK "\xef\xbb\xbf"
#define SSE_MARK_BYTES 3

void sse_init(struct sse *sse, size_t bytes_max, sse_event_fn on_event, void *arg)
{
    *sse = (struct sse){.on_event = on_event, .arg = arg};
    buf_init(&sse->line, bytes_max);
    buf_init(&sse->data, bytes_max + 1); /* with the line feed behind the last line */
    buf_init(&sse->id, bytes_max);
    buf_init(&sse->type, bytes_max);
}

void sse_fini(struct sse *sse)
{
    buf_fini(&sse->line);
    buf_fini(&sse->data);
    buf_fini(&sse->id);
    buf_fini(&sse->type);
}

static void sse_begin_block(struct sse *sse)
{
    buf_clear(&sse->data);
    buf_clear(&sse->type);
    sse->names_id = false;
    sse->has_data = false;
}

void sse_restart(struct sse *sse)
{
    sse_begin_block(sse);
    buf_clear(&sse->line);
    buf_clear(&sse->id);
    sse->mark = 0;
    sse->skips_lf = false;
}

/* A blank line: the block is complete. */
static int sse_end_block(struct sse *sse)
{
    int error = 0;
    struct sse_event event = {.type = buf_slice(&sse->type),
                              .id = buf_slice(&sse->id),
                              .data = buf_slice(&sse->data),
                              .has_data = sse->has_data};
    if (event.type.len == 0)
        event.type = slice_text("message");
    if (event.has_data)
        event.data.len--; /* the last line feed */
    if (event.has_data || sse->names_id)
        error = sse->on_event(sse->arg, &event);
    sse_begin_block(sse);
    return error;
}

static int sse_set(struct buf *buf, struct slice value)
{
    buf_clear(buf);
    return buf_append(buf, value.data, value.len);
}

static int sse_take_field(struct sse *sse, struct slice name, struct slice value)
{
    if (slice_equal(name, slice_text("data"))) {
        sse->has_data = true;
        int error = buf_append(&sse->data, value.data, value.len);
        return error ? error : buf_append_byte(&sse->data, '\n');
    }
    if (slice_equal(name, slice_text("event")))
        return sse_set(&sse->type, value);
    if (slice_equal(name, slice_text("id")) &&
        (value.len == 0 || !memchr(value.data, '\0', value.len))) {
        sse->names_id = true;
        return sse_set(&sse->id, value);
    }
    return 0;
}

/* A line without its end. */
static int sse_take_line(struct sse *sse, struct slice line)
{
    if (line.len == 0)
        return sse_end_block(sse);
    const char *text = line.data, *colon = memchr(text, ':', line.len);
    if (colon == text)
        return 0; /* a comment */
    if (!colon)
        return sse_take_field(sse, line, slice_of("", 0));
    const char *value = colon + 1, *end = text + line.len;
    if (value < end && *value == ' ')
        value++;
    return sse_take_field(sse, slice_of(text, (size_t)(colon - text)),
                          slice_of(value, (size_t)(end - value)));
}

/* The length of the line that the bytes begin with; all of them when its end is not there. */
static size_t sse_line_length(const char *text, size_t len)
{
    const char *lf = memchr(text, '\n', len);
    size_t before_lf = lf ? (size_t)(lf - text) : len;
    const char *cr = memchr(text, '\r', before_lf);
    return cr ? (size_t)(cr - text) : before_lf;
}

/* Skips the mark. What only began like it belongs to the first line. */
static int sse_skip_mark(struct sse *sse, const char **text, const char *end)
{
    while (sse->mark < SSE_MARK_BYTES && *text < end) {
        if (**text != SSE_MARK[sse->mark]) {
            size_t seen = sse->mark;
            sse->mark = SSE_MARK_BYTES;
            return buf_append(&sse->line, SSE_MARK, seen);
        }
        sse->mark++;
        (*text)++;
    }
    return 0;
}

int sse_feed(struct sse *sse, struct slice bytes)
{
    const char *text = bytes.data, *end = text + bytes.len;
    int error = sse_skip_mark(sse, &text, end);
    while (!error && text < end) {
        if (sse->skips_lf && *text == '\n') {
            text++;
            sse->skips_lf = false;
            continue;
        }
        sse->skips_lf = false;
        size_t len = sse_line_length(text, (size_t)(end - text));
        struct slice line = {text, len};
        bool ends = text + len < end;
        if (!ends || sse->line.len > 0 || len > sse->line.max) {
            error = buf_append(&sse->line, text, len);
            line = buf_slice(&sse->line);
        }
        if (error || !ends)
            break;
        sse->skips_lf = text[len] == '\r';
        text += len + 1;
        error = sse_take_line(sse, line);
        buf_clear(&sse->line);
    }
    return error;
}
