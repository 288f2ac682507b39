/* fake_events.c - see fake_events.h. */
#include "fake_events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

static struct fake_events fake_events_state; /* each test has a process of its own */

struct fake_events *fake_events(void)
{
    return &fake_events_state;
}

static struct link *fake_events_link(struct fake *fake)
{
    return fake->workers[PROC_WORKER_SLOT(PROC_EVENTS)];
}

/* ---- the worker ------------------------------------------------------------------------------ */

static struct fake_subscription *fake_find_subscription(uint64_t connection)
{
    for (unsigned i = 0; i < fake_events_state.count; i++) {
        if (fake_events_state.list[i].msg.connection == connection)
            return &fake_events_state.list[i];
    }
    return NULL;
}

static void fake_on_subscribe(struct fake *fake, struct unpack *body)
{
    struct fake_events *events = &fake_events_state;
    struct msg_subscribe msg;
    cr_assert_eq(msg_subscribe_decode(&msg, body), 0);
    cr_assert_null(fake_find_subscription(msg.connection), "a number was used twice");
    cr_assert_lt(events->count, FAKE_SUBSCRIPTIONS_MAX);
    struct fake_subscription *fresh = &events->list[events->count++];
    *fresh = (struct fake_subscription){.msg = msg, .is_open = !events->is_full};
    memcpy(fresh->topic, msg.topic.data, msg.topic.len);
    fresh->msg.topic = slice_of(fresh->topic, msg.topic.len);
    if (events->is_silent)
        return;
    const struct msg_subscribed answer = {.connection = msg.connection,
                                          .index = msg.from_now ? fake->index : msg.after,
                                          .error = events->is_full ? E_BUSY : 0};
    events->open += !events->is_full;
    cr_assert_eq(msg_subscribed_send(fake_events_link(fake), &answer), 0);
}

static void fake_on_unsubscribe(struct unpack *body)
{
    struct msg_unsubscribe msg;
    cr_assert_eq(msg_unsubscribe_decode(&msg, body), 0);
    struct fake_subscription *old = fake_find_subscription(msg.connection);
    cr_assert_not_null(old);
    fake_events_state.open -= old->is_open;
    old->is_open = false;
}

static void fake_on_credit(struct unpack *body)
{
    struct msg_event_credit msg;
    cr_assert_eq(msg_event_credit_decode(&msg, body), 0);
    cr_assert_gt(msg.bytes, 0);
    if (msg.connection == 0)
        fake_events_state.link_paid += msg.bytes;
    else
        fake_find_subscription(msg.connection)->paid += msg.bytes;
}

bool fake_events_on_message(struct fake *fake, enum msg type, struct unpack *body)
{
    switch (type) {
    case MSG_SUBSCRIBE:
        fake_on_subscribe(fake, body);
        return true;
    case MSG_UNSUBSCRIBE:
        fake_on_unsubscribe(body);
        return true;
    case MSG_EVENT_CREDIT:
        fake_on_credit(body);
        return true;
    default:
        return false;
    }
}

void fake_events_on_up(void)
{
    for (unsigned i = 0; i < fake_events_state.count; i++)
        fake_events_state.list[i].is_open = false;
    fake_events_state.open = 0;
}

struct fake_subscription *fake_last_subscription(void)
{
    for (unsigned i = fake_events_state.count; i > 0; i--) {
        if (fake_events_state.list[i - 1].is_open)
            return &fake_events_state.list[i - 1];
    }
    cr_assert_fail("nobody is subscribed");
    return NULL;
}

/* ---- what the worker says -------------------------------------------------------------------- */

static void fake_send_event(struct fake *fake, uint64_t index, const char *topic, struct slice data,
                            struct slice connections)
{
    const struct msg_event msg = {.index = index,
                                  .emitted_ms = 1767323045678, /* 2026-01-02T03:04:05.678Z */
                                  .topic = slice_text(topic),
                                  .data = data,
                                  .connections = connections};
    cr_assert_eq(msg_event_send(fake_events_link(fake), &msg), 0);
}

void fake_emit_to(struct fake *fake, uint64_t connection, uint64_t index, const char *topic,
                  struct slice data)
{
    uint8_t number[EVENT_CONNECTION_BYTES];
    bytes_put_u64(number, connection);
    fake_send_event(fake, index, topic, data, slice_of(number, sizeof(number)));
}

uint64_t fake_emit(struct fake *fake, const char *topic, const char *data)
{
    uint8_t numbers[FAKE_SUBSCRIPTIONS_MAX * EVENT_CONNECTION_BYTES];
    size_t len = 0;
    for (unsigned i = 0; i < fake_events_state.count; i++) {
        if (!fake_events_state.list[i].is_open)
            continue;
        bytes_put_u64(numbers + len, fake_events_state.list[i].msg.connection);
        len += EVENT_CONNECTION_BYTES;
    }
    cr_assert_gt(len, 0, "nobody is subscribed");
    fake_send_event(fake, ++fake->index, topic, slice_text(data), slice_of(numbers, len));
    return fake->index;
}

void fake_send_gap(struct fake *fake, uint64_t connection, uint64_t from, uint64_t to)
{
    const struct msg_event_gap msg = {connection, from, to};
    cr_assert_eq(msg_event_gap_send(fake_events_link(fake), &msg), 0);
}

void fake_send_outrun(struct fake *fake, uint64_t connection, uint64_t index)
{
    const struct msg_event_place msg = {connection, index};
    cr_assert_eq(msg_event_outrun_send(fake_events_link(fake), &msg), 0);
}

void fake_send_reached(struct fake *fake, uint64_t index)
{
    const struct msg_event_reached msg = {index};
    cr_assert_eq(msg_event_reached_send(fake_events_link(fake), &msg), 0);
}

/* ---- clients --------------------------------------------------------------------------------- */

int client_handshake(struct fake *fake, const char *target, const char *token, const char *headers,
                     int status)
{
    char bytes[8192];
    struct answer answer;
    int fd = client_connect(fake);
    int len = snprintf(bytes, sizeof(bytes),
                       "GET %s HTTP/1.1\r\nHost: localhost:8443\r\nConnection: Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s%s\r\n",
                       target, token != NULL ? "Authorization: Bearer " : "",
                       token != NULL ? token : "", token != NULL ? "\r\n" : "", headers);
    cr_assert_lt((size_t)len, sizeof(bytes));
    client_send(fd, bytes, (size_t)len);
    cr_assert(client_read(fake, fd, &answer, true));
    cr_assert_eq(answer.status, status, "%s%s", answer.head, answer.body);
    if (status == 101) /* the example of RFC 6455, 1.3 */
        cr_assert_not_null(
            strstr(answer.head, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    answer_fini(&answer);
    return fd;
}

/* False: the connection ended first. */
static bool client_receive(struct fake *fake, int fd, void *out, size_t len)
{
    uint64_t end_ms = clock_boot_ms() + 20000;
    for (size_t got = 0; got < len;) {
        ssize_t more = recv(fd, (char *)out + got, len - got, MSG_DONTWAIT);
        if (more == 0 || (more < 0 && errno != EAGAIN))
            return false;
        cr_assert_lt(clock_boot_ms(), end_ms, "nothing came");
        if (more < 0)
            fake_turn(fake, 1);
        else
            got += (size_t)more;
    }
    return true;
}

int client_read_frame(struct fake *fake, int fd, char *out, size_t size)
{
    uint8_t head[10];
    if (!client_receive(fake, fd, head, 2))
        return -1;
    uint64_t len = head[1];
    if (len == 126) {
        cr_assert(client_receive(fake, fd, head + 2, 2));
        len = (uint64_t)head[2] << 8 | head[3];
    } else if (len == 127) {
        cr_assert(client_receive(fake, fd, head + 2, 8));
        len = bytes_get_key_u64(head + 2);
    }
    cr_assert_lt(len, size);
    cr_assert(client_receive(fake, fd, out, len));
    out[len] = '\0';
    cr_assert_eq(head[0] & 0xf0, 0x80, "a whole frame");
    return head[0] & 0x0f;
}

unsigned client_read_close(struct fake *fake, int fd)
{
    static char payload[1 << 20];
    int opcode;
    do {
        opcode = client_read_frame(fake, fd, payload, sizeof(payload));
        if (opcode == -1)
            return 0;
    } while (opcode != 0x8);
    return (unsigned)(uint8_t)payload[0] << 8 | (uint8_t)payload[1];
}

void client_send_frame(int fd, int first_byte, const char *payload, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t bytes[16 + 8192];
    size_t head = 2;
    cr_assert_leq(len, 8192);
    bytes[0] = (uint8_t)first_byte;
    bytes[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        bytes[2] = (uint8_t)(len >> 8);
        bytes[3] = (uint8_t)len;
        head = 4;
    }
    memcpy(bytes + head, mask, sizeof(mask));
    for (size_t i = 0; i < len; i++)
        bytes[head + 4 + i] = (uint8_t)payload[i] ^ mask[i % 4];
    client_send(fd, (const char *)bytes, head + 4 + len);
}

void client_read_until(struct fake *fake, int fd, const char *end, char *out, size_t size)
{
    size_t len = 0, end_len = strlen(end);
    while (len < end_len || memcmp(out + len - end_len, end, end_len) != 0) {
        cr_assert_lt(len + 1, size);
        out[len + 1] = '\0';
        cr_assert(client_receive(fake, fd, out + len, 1), "ended after: %s", out);
        len++;
        out[len] = '\0';
    }
}

void fake_restart_events(struct fake *fake)
{
    static uint64_t start_id = 7000;
    fake_restart_worker(fake, PROC_EVENTS, ++start_id);
}
