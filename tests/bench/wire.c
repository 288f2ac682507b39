/* wire.c - HTTP and WebSocket frames, RESP arrays, and the lines of NATS. */
#include "tests/bench/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/check.h"

static const char *text_of(struct slice bytes)
{
    return bytes.data;
}

static bool begins(struct slice bytes, const char *word)
{
    size_t len = strlen(word);

    return bytes.len >= len && memcmp(bytes.data, word, len) == 0;
}

/* The length of the first line with its \r\n; 0: it is not complete. */
static size_t line_len(struct slice bytes)
{
    const char *end = memchr(bytes.data, '\n', bytes.len);

    return end ? (size_t)(end - text_of(bytes)) + 1 : 0;
}

/* The number whose digits begin there. They end, at the latest, with the line. */
static size_t number_at(const char *digits)
{
    size_t number = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        number = number * 10 + (size_t)(*digits - '0');
    return number;
}

/* ---- INSI: HTTP/1.1, and WebSocket frames from a server (never masked) ---- */

/* The length of an answer's head; 0: not complete. */
static size_t head_len(struct slice bytes)
{
    const char *end = memmem(bytes.data, bytes.len, "\r\n\r\n", 4);

    return end ? (size_t)(end - text_of(bytes)) + 4 : 0;
}

static size_t content_length(struct slice head)
{
    static const char name[] = "content-length:";

    for (const char *at = text_of(head), *end = at + head.len; at < end;) {
        if (strncasecmp(at, name, sizeof(name) - 1) == 0)
            return number_at(at + strspn(at + sizeof(name) - 1, " ") + sizeof(name) - 1);
        at += line_len(slice_of(at, (size_t)(end - at)));
    }
    return 0;
}

static void insi_subscribe(struct buf *out, const struct wire_words *words)
{
    CHECK(buf_printf(out,
                     "GET /db/api/v1/events/subscribe?topic=%s HTTP/1.1\r\nHost: localhost\r\n"
                     "Authorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
                     "\r\n\r\n",
                     words->topic, words->token) == 0);
}

static void insi_publish(struct buf *out, const struct wire_words *words, struct slice data)
{
    char head[600], body[120];
    int body_len = snprintf(body, sizeof(body), "{\"topic\":\"%s\",\"data\":", words->topic);
    int head_len = snprintf(head, sizeof(head),
                            "POST /db/api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
                            "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n\r\n",
                            words->token, (size_t)body_len + data.len + 1);

    CHECK(body_len < (int)sizeof(body) && head_len < (int)sizeof(head));
    CHECK(buf_append(out, head, (size_t)head_len) == 0);
    CHECK(buf_append(out, body, (size_t)body_len) == 0);
    CHECK(buf_append(out, data.data, data.len) == 0 && buf_append_byte(out, '}') == 0);
}

static enum wire_unit frame_kind(unsigned char first)
{
    switch (first & 0x0f) {
    case 1:
        return WIRE_EVENT;
    case 9:
        return WIRE_ALIVE;
    case 8:
        return WIRE_REFUSED;
    default:
        return WIRE_OTHER;
    }
}

static enum wire_unit insi_frame(struct slice bytes, size_t *used, struct slice *event)
{
    const unsigned char *at = bytes.data;
    size_t head = 2, len;

    if (bytes.len < head)
        return WIRE_PART;
    len = at[1] & 0x7f;
    head += len == 126 ? 2 : len == 127 ? 8 : 0;
    if (bytes.len < head)
        return WIRE_PART;
    if (head > 2) {
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | at[i];
    }
    if (bytes.len - head < len)
        return WIRE_PART;
    *used = head + len;
    *event = slice_of(at + head, len);
    return frame_kind(at[0]);
}

static enum wire_unit insi_next(struct slice bytes, bool *greeted, size_t *used,
                                struct slice *event)
{
    if (*greeted)
        return insi_frame(bytes, used, event);
    *used = head_len(bytes);
    if (*used == 0)
        return WIRE_PART;
    *greeted = true;
    return begins(bytes, "HTTP/1.1 101") ? WIRE_READY : WIRE_REFUSED;
}

static enum wire_unit insi_answer(struct slice bytes, bool *greeted, size_t *used)
{
    size_t head = head_len(bytes);

    (void)greeted;
    if (head == 0)
        return WIRE_PART;
    *used = head + content_length(slice_of(bytes.data, head));
    if (bytes.len < *used)
        return WIRE_PART;
    return begins(bytes, "HTTP/1.1 200") ? WIRE_DONE : WIRE_REFUSED;
}

/* ---- Redis: arrays of bulk strings ---- */

static void redis_subscribe(struct buf *out, const struct wire_words *words)
{
    CHECK(buf_printf(out, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(words->topic),
                     words->topic) == 0);
}

static void redis_publish(struct buf *out, const struct wire_words *words, struct slice data)
{
    CHECK(buf_printf(out, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(words->topic),
                     words->topic, data.len) == 0);
    CHECK(buf_append(out, data.data, data.len) == 0 && buf_append(out, "\r\n", 2) == 0);
}

/* One element of an array, a bulk string or a number: what it holds in *value. False: a part. */
static bool redis_element(struct slice bytes, size_t *at, struct slice *value)
{
    struct slice rest = slice_of(text_of(bytes) + *at, bytes.len - *at);
    size_t line = line_len(rest), len;

    if (line == 0)
        return false;
    if (text_of(rest)[0] != '$') {
        *value = slice_of(rest.data, line);
        *at += line;
        return true;
    }
    len = number_at(text_of(rest) + 1);
    if (rest.len < line + len + 2)
        return false;
    *value = slice_of(text_of(rest) + line, len);
    *at += line + len + 2;
    return true;
}

/* Of a subscriber: arrays of three, ["subscribe", topic, count] or ["message", topic, data]. */
static enum wire_unit redis_next(struct slice bytes, bool *greeted, size_t *used,
                                 struct slice *event)
{
    struct slice word, topic;
    size_t at = line_len(bytes);

    if (at == 0)
        return WIRE_PART;
    *used = at;
    if (!begins(bytes, "*3"))
        return WIRE_REFUSED;
    if (!redis_element(bytes, &at, &word) || !redis_element(bytes, &at, &topic) ||
        !redis_element(bytes, &at, event))
        return WIRE_PART;
    *used = at;
    *greeted = true;
    return begins(word, "message") ? WIRE_EVENT : WIRE_READY;
}

static enum wire_unit redis_answer(struct slice bytes, bool *greeted, size_t *used)
{
    (void)greeted;
    *used = line_len(bytes);
    if (*used == 0)
        return WIRE_PART;
    return begins(bytes, ":") ? WIRE_DONE : WIRE_REFUSED;
}

/* ---- NATS: lines; `verbose` has it answer each publish ---- */

static void nats_subscribe(struct buf *out, const struct wire_words *words)
{
    CHECK(buf_printf(out, "CONNECT {\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", words->topic) ==
          0);
}

static void nats_greet(struct buf *out)
{
    CHECK(buf_append_text(out, "CONNECT {\"verbose\":true}\r\n") == 0);
}

static void nats_publish(struct buf *out, const struct wire_words *words, struct slice data)
{
    CHECK(buf_printf(out, "PUB %s %zu\r\n", words->topic, data.len) == 0);
    CHECK(buf_append(out, data.data, data.len) == 0 && buf_append(out, "\r\n", 2) == 0);
}

/* MSG topic sid bytes */
static enum wire_unit nats_message(struct slice bytes, size_t line, size_t *used,
                                   struct slice *event)
{
    size_t digits = line - 2, len;

    while (text_of(bytes)[digits - 1] != ' ')
        digits--;
    len = number_at(text_of(bytes) + digits);
    if (bytes.len < line + len + 2)
        return WIRE_PART;
    *event = slice_of(text_of(bytes) + line, len);
    *used = line + len + 2;
    return WIRE_EVENT;
}

static enum wire_unit nats_next(struct slice bytes, bool *greeted, size_t *used,
                                struct slice *event)
{
    size_t line = line_len(bytes);

    if (line == 0)
        return WIRE_PART;
    *used = line;
    if (begins(bytes, "MSG "))
        return nats_message(bytes, line, used, event);
    if (begins(bytes, "PING"))
        return WIRE_ALIVE;
    if (begins(bytes, "-"))
        return WIRE_REFUSED;
    if (!begins(bytes, "PONG") || *greeted)
        return WIRE_OTHER;
    *greeted = true;
    return WIRE_READY;
}

static enum wire_unit nats_answer(struct slice bytes, bool *greeted, size_t *used)
{
    *used = line_len(bytes);
    if (*used == 0)
        return WIRE_PART;
    if (begins(bytes, "PING"))
        return WIRE_ALIVE;
    if (!begins(bytes, "+OK"))
        return begins(bytes, "-") ? WIRE_REFUSED : WIRE_OTHER;
    if (*greeted)
        return WIRE_DONE;
    *greeted = true;
    return WIRE_READY;
}

/* ---- all of them ---- */

static const struct wire wires[] = {
    {"insi",
     {"\x8a\x80\0\0\0\0", 6}, /* an empty pong, masked with zeros */
     insi_subscribe,
     NULL,
     insi_publish,
     insi_next,
     insi_answer},
    {"redis", {"", 0}, redis_subscribe, NULL, redis_publish, redis_next, redis_answer},
    {"nats", {"PONG\r\n", 6}, nats_subscribe, nats_greet, nats_publish, nats_next, nats_answer},
};

const struct wire *wire_find(const char *name)
{
    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++)
        if (strcmp(wires[i].name, name) == 0)
            return &wires[i];
    return NULL;
}
