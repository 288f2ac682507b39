/* test_websocket_in.c - what a WebSocket's client may say, whole and byte by byte. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "procs/gateway/events/websocket_in.h"

static struct websocket_in *in;

static void stop(void)
{
    websocket_in_free(&in);
}

TestSuite(websocket_in, .fini = stop);

/* Masked with zeros. */
static size_t put(uint8_t *out, int first, size_t len, const char *payload)
{
    size_t at = 0;
    out[at++] = (uint8_t)first;
    out[at++] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        out[at++] = (uint8_t)(len >> 8);
        out[at++] = (uint8_t)len;
    }
    memset(out + at, 0, 4);
    at += 4;
    memcpy(out + at, payload, len);
    return at + len;
}

static struct websocket_news take(const void *bytes, size_t len)
{
    struct websocket_news news;
    websocket_in_take(&in, slice_of(bytes, len), &news);
    return news;
}

static struct websocket_news say(int first, const char *payload, size_t len)
{
    uint8_t bytes[8300];
    return take(bytes, put(bytes, first, len, payload));
}

Test(websocket_in, nothing_is_kept_between_messages)
{
    cr_assert(!say(0x81, "hello", 5).is_over);
    cr_assert_null(in);
    cr_assert(!say(0x82, "\xff\x00", 2).is_over);
    cr_assert(!say(0x8a, "", 0).is_over);
    cr_assert_null(in);
    cr_assert(!say(0x01, "he", 2).is_over); /* a message goes on */
    cr_assert_not_null(in);
    cr_assert(say(0x89, "p", 1).has_ping); /* a control may stand in between */
    cr_assert_not_null(in);
    cr_assert(!say(0x80, "llo", 3).is_over);
    cr_assert_null(in);
}

Test(websocket_in, a_frame_may_come_byte_by_byte)
{
    static char long_text[300];
    uint8_t bytes[512];
    memset(long_text, 'x', sizeof(long_text));
    size_t len = put(bytes, 0x81, sizeof(long_text), long_text);
    len += put(bytes + len, 0x89, 2, "hi");
    struct websocket_news news = {0};
    for (size_t i = 0; i < len; i++) {
        cr_assert(!news.has_ping);
        news = take(bytes + i, 1);
        cr_assert(!news.is_over);
        cr_assert_eq(in == NULL, i + 1 == len || i + 1 == len - 8);
    }
    cr_assert(news.has_ping && news.ping_len == 2 && memcmp(news.ping, "hi", 2) == 0);
}

Test(websocket_in, of_many_pings_the_last_is_answered)
{
    static uint8_t bytes[1 << 20];
    size_t len = 0;
    char number = 0;
    while (len < sizeof(bytes) - 16)
        len += put(bytes + len, 0x89, 1, &(char){++number});
    struct websocket_news news = take(bytes, len);
    cr_assert(news.has_ping && news.ping_len == 1 && news.ping[0] == (uint8_t)number);
    cr_assert_null(in);
}

static void expect_end(struct websocket_news news, bool was_closed, unsigned code)
{
    cr_assert(news.is_over);
    cr_assert_eq(news.was_closed, was_closed);
    cr_assert_eq(news.code, code, "%u", news.code);
    cr_assert_null(in);
}

Test(websocket_in, a_close_is_answered_with_its_own_code)
{
    expect_end(say(0x88, "\x03\xe8", 2), true, 1000);
    expect_end(say(0x88, "\x0f\xa1why", 5), true, 4001);
    expect_end(say(0x88, "\x03\xf4", 2), true, 1012);
    expect_end(say(0x88, "", 0), true, 0);
    expect_end(say(0x88, "\x03", 1), false, 1002);
    expect_end(say(0x88, "\x03\xed", 2), false, 1002); /* 1005 is never sent */
    expect_end(say(0x88, "\x03\xe8\xff", 3), false, 1007);
}

Test(websocket_in, what_breaks_the_protocol_is_1002)
{
    static char long_text[126];
    expect_end(take("\x81\x01x", 3), false, 1002);                      /* not masked */
    expect_end(say(0xc1, "x", 1), false, 1002);                         /* a reserved bit */
    expect_end(say(0x83, "x", 1), false, 1002);                         /* no such opcode */
    expect_end(say(0x8b, "", 0), false, 1002);                          /* no such control */
    expect_end(say(0x80, "x", 1), false, 1002);                         /* goes on with nothing */
    expect_end(say(0x09, "", 0), false, 1002);                          /* a control in pieces */
    expect_end(say(0x89, long_text, sizeof(long_text)), false, 1002);   /* too long a control */
    expect_end(take("\x81\xfe\x00\x05\0\0\0\0hello", 13), false, 1002); /* too long a length */
    cr_assert(!say(0x01, "x", 1).is_over);
    expect_end(say(0x81, "x", 1), false, 1002); /* another message in the middle of one */
}

Test(websocket_in, what_is_too_long_is_1009)
{
    static char piece[WEBSOCKET_MESSAGE_BYTES + 1];
    unsigned pieces = 1;
    memset(piece, 'x', sizeof(piece));
    cr_assert(!say(0x82, piece, WEBSOCKET_MESSAGE_BYTES).is_over);
    expect_end(say(0x82, piece, WEBSOCKET_MESSAGE_BYTES + 1), false, 1009);
    expect_end(take("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15), false, 1009);
    cr_assert(!say(0x02, piece, 1000).is_over);
    struct websocket_news news;
    do {
        news = say(0x00, piece, 1000); /* pieces without end */
    } while (!news.is_over && pieces++ < 10);
    expect_end(news, false, 1009);
    cr_assert_eq(pieces, 4);
}

Test(websocket_in, bad_utf8_is_1007)
{
    expect_end(say(0x81, "\xff", 1), false, 1007);
    expect_end(say(0x81, "\xc3", 1), false, 1007); /* ends within a character */
    cr_assert(!say(0x01, "\xe2\x82", 2).is_over);  /* goes on in the next piece */
    cr_assert(!say(0x80, "\xac", 1).is_over);
}
