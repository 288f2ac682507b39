/* Server-Sent Events: the rules of the standard, wherever the stream is cut. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "insic/sse.h"

#define BYTES_MAX 64

struct log { /* "type|id|data" per event; "type|id" for an id without data */
    struct buf text;
    int result; /* of on_event */
};

static int on_event(void *arg, const struct sse_event *event)
{
    struct log *log = arg;
    struct buf *text = &log->text;
    CHECK(buf_append(text, event->type.data, event->type.len) == 0);
    CHECK(buf_append_byte(text, '|') == 0);
    CHECK(buf_append(text, event->id.data, event->id.len) == 0);
    if (event->has_data) {
        CHECK(buf_append_byte(text, '|') == 0);
        CHECK(buf_append(text, event->data.data, event->data.len) == 0);
    } else {
        cr_expect_eq(event->data.len, 0);
    }
    CHECK(buf_append_text(text, ";") == 0);
    return log->result;
}

static void open_log(struct log *log, struct sse *sse)
{
    log->result = 0;
    buf_init(&log->text, 4096);
    sse_init(sse, BYTES_MAX, on_event, log);
}

static void close_log(struct log *log, struct sse *sse)
{
    buf_fini(&log->text);
    sse_fini(sse);
}

/* Bytes in a place of their own, so that a sanitizer sees who reads beside them. */
static int feed(struct sse *sse, const char *bytes, size_t len)
{
    char *exact = mem_copy(bytes, len);
    int error = sse_feed(sse, slice_of(exact, len));
    free(exact);
    return error;
}

static void expect_log(struct log *log, const char *expected, size_t len, const char *how,
                       size_t at)
{
    cr_expect_eq(log->text.len, len, "%s %zu: %.*s", how, at, (int)log->text.len,
                 (const char *)log->text.data);
    cr_expect(len == 0 || (log->text.len == len && memcmp(log->text.data, expected, len) == 0),
              "%s %zu: %.*s", how, at, (int)log->text.len, (const char *)log->text.data);
    buf_clear(&log->text);
}

/* The stream as a whole, cut once at every place, and byte by byte; one parser for all. */
static void expect(const char *stream, size_t len, const char *events, size_t events_len)
{
    struct log log;
    struct sse sse;
    open_log(&log, &sse);
    for (size_t cut = 0; cut <= len; cut++) {
        sse_restart(&sse);
        cr_expect_eq(feed(&sse, stream, cut), 0);
        cr_expect_eq(feed(&sse, stream + cut, len - cut), 0);
        expect_log(&log, events, events_len, "cut at", cut);
    }
    sse_restart(&sse);
    for (size_t i = 0; i < len; i++)
        cr_expect_eq(feed(&sse, stream + i, 1), 0);
    expect_log(&log, events, events_len, "in bytes", len);
    close_log(&log, &sse);
}

#define EXPECT(stream, events) expect(stream, sizeof(stream) - 1, events, sizeof(events) - 1)

Test(sse, an_event_is_what_stands_before_a_blank_line)
{
    EXPECT("data: a\n\n", "message||a;");
    EXPECT("id: 7\ndata: {\"a\":1}\n\nid: 8\ndata: b\n\n", "message|7|{\"a\":1};message|8|b;");
    EXPECT("data: a\n\n\n\n\ndata: b\n\n", "message||a;message||b;");
    EXPECT("", "");
    EXPECT("\n\n\n", "");
}

Test(sse, lines_end_with_lf_cr_or_both)
{
    EXPECT("data: a\r\n\r\ndata: b\r\n\r\n", "message||a;message||b;");
    EXPECT("data: a\r\rdata: b\r\r", "message||a;message||b;");
    EXPECT("data: a\r\n\rdata: b\n\r\n", "message||a;message||b;");
    EXPECT("data: a\rdata: b\ndata: c\r\n\n", "message||a\nb\nc;");
    EXPECT("data: a\n\r", "message||a;");
    EXPECT("\r\n\r\ndata: a\n\n", "message||a;");
}

Test(sse, an_event_is_reported_with_the_byte_that_ends_it)
{
    struct log log;
    struct sse sse;
    open_log(&log, &sse);
    cr_expect_eq(feed(&sse, "data: a\r\n\r", 10), 0);
    expect_log(&log, "message||a;", 11, "before the LF of CRLF", 10);
    cr_expect_eq(feed(&sse, "\ndata: b\n\n", 10), 0);
    expect_log(&log, "message||b;", 11, "behind it", 10);
    close_log(&log, &sse);
}

Test(sse, several_data_lines_are_one_text)
{
    EXPECT("data: a\ndata:b\ndata:  c\n\n", "message||a\nb\n c;");
    EXPECT("data\ndata\n\n", "message||\n;");
    EXPECT("data\n\n", "message||;");
    EXPECT("data:\n\n", "message||;");
    EXPECT("data: \n\n", "message||;");
    EXPECT("data: a\ndata:\n\n", "message||a\n;");
}

Test(sse, one_blank_behind_the_colon_is_not_of_the_value)
{
    EXPECT("data:a: b\n\n", "message||a: b;");
    EXPECT("data:\ta\n\n", "message||\ta;");
    EXPECT("data : a\n\n", "");
    EXPECT(" data: a\n\n", "");
}

Test(sse, comments_and_unknown_fields_are_skipped)
{
    EXPECT(": ping\n\n", "");
    EXPECT(":\n:data: a\n\n", "");
    EXPECT("data: a\n: ping\ndata: b\n\n", "message||a\nb;");
    EXPECT("date: a\ndatas: b\nDATA: c\nretry: 5\nnothing\ndata: a\n\n", "message||a;");
}

Test(sse, the_type_is_of_one_event_and_the_id_of_all_that_follow)
{
    EXPECT("event: gone\nid: 1\ndata: a\n\ndata: b\n\n", "gone|1|a;message|1|b;");
    EXPECT("event: gone\n\ndata: a\n\n", "message||a;");
    EXPECT("event\ndata: a\n\n", "message||a;");
    EXPECT("id: 1\ndata: a\n\nid\ndata: b\n\n", "message|1|a;message||b;");
    EXPECT("id: 1\nid: 2\ndata: a\n\n", "message|2|a;");
    EXPECT("id: 1\0\ndata: a\n\n", "message||a;");
}

Test(sse, an_id_without_data_is_reported_too)
{
    EXPECT("id: 5\n: subscribed\n\n", "message|5;");
    EXPECT(": subscribed\nid: 5\n\ndata: a\n\nid: 6\n\n", "message|5;message|5|a;message|6;");
}

Test(sse, what_has_no_end_is_no_event)
{
    EXPECT("data: a\n\ndata: b", "message||a;");
    EXPECT("data: a\n\ndata: b\n", "message||a;");
    EXPECT("id: 5\n", "");
}

Test(sse, a_byte_order_mark_in_front_is_skipped)
{
    EXPECT("\xef\xbb\xbf"
           "data: a\n\n",
           "message||a;");
    EXPECT("\xef\xbb\xbf\n"
           "data: a\n\n",
           "message||a;");
    EXPECT("\xef\xbb\xbf\xef\xbb\xbf"
           "data: a\n\ndata: b\n\n",
           "message||b;");
    EXPECT("data: a\n\n\xef\xbb\xbf"
           "data: b\n\n",
           "message||a;");
    EXPECT("\xef\xbb"
           "data: a\n\ndata: b\n\n",
           "message||b;");
    EXPECT("\xef\n"
           "data: b\n\n",
           "message||b;");
}

Test(sse, any_bytes_are_data)
{
    EXPECT("data: \0\xff\xe2\x82\x01\n\n", "message||\0\xff\xe2\x82\x01;");
}

Test(sse, a_new_stream_knows_nothing_of_the_one_before)
{
    struct log log;
    struct sse sse;
    const char cut[] = "id: 1\ndata: a\n\nid: 2\nevent: gone\ndata: b\ndat";
    open_log(&log, &sse);
    cr_expect_eq(feed(&sse, cut, sizeof(cut) - 1), 0);
    expect_log(&log, "message|1|a;", 12, "first", 0);
    sse_restart(&sse);
    cr_expect_eq(feed(&sse,
                      "\xef\xbb\xbf"
                      "data: c\n\n",
                      12),
                 0);
    expect_log(&log, "message||c;", 11, "second", 0);
    close_log(&log, &sse);
}

Test(sse, nothing_grows_beyond_its_bound)
{
    static const char *const begins[] = {"data: ", "data", ":", "id: ", "event: "};
    struct log log;
    struct sse sse;
    char stream[2 * BYTES_MAX];
    open_log(&log, &sse);
    for (unsigned i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        for (size_t step = 1; step < sizeof(stream); step += sizeof(stream) - 2) {
            size_t len =
                (size_t)snprintf(stream, sizeof(stream), "%s%*s\n\n", begins[i], BYTES_MAX, "x");
            int error = 0;
            sse_restart(&sse);
            for (size_t at = 0; at < len && !error; at += step)
                error = feed(&sse, stream + at, step < len - at ? step : len - at);
            cr_expect_eq(error, E_TOO_LARGE, "%s by %zu", begins[i], step);
        }
    sse_restart(&sse);
    for (int i = 0; i < BYTES_MAX / 2; i++)
        cr_expect_eq(feed(&sse, "data: a\n", 8), 0);
    cr_expect_eq(feed(&sse, "data: a\n", 8), E_TOO_LARGE);
    cr_expect_eq(log.text.len, 0);
    close_log(&log, &sse);
}

Test(sse, what_fits_exactly_is_taken)
{
    struct log log;
    struct sse sse;
    char stream[BYTES_MAX + 3];
    int len = snprintf(stream, sizeof(stream), "data:%*s\n\n", BYTES_MAX - 5, "x");
    open_log(&log, &sse);
    cr_expect_eq(feed(&sse, stream, (size_t)len), 0);
    cr_expect_eq(log.text.len, strlen("message||") + BYTES_MAX - 6 + strlen(";"));
    close_log(&log, &sse);
}

Test(sse, who_takes_the_events_may_end_it)
{
    struct log log;
    struct sse sse;
    open_log(&log, &sse);
    log.result = E_IO;
    cr_expect_eq(feed(&sse, "data: a\n\ndata: b\n\n", 18), E_IO);
    expect_log(&log, "message||a;", 11, "the first alone", 0);
    close_log(&log, &sse);
}
