/* link_wire.c - see link_wire.h. */
#include "ipc/link_wire.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

#define WIRE_READ_BYTES (64u << 10)  /* read at a time, unless a batch is larger */
#define WIRE_COPY_BYTES (16u << 10)  /* up to here, batches are copied out of the read buffer */
#define WIRE_LARGE_BYTES (16u << 10) /* from here on, the end of sending is told */

/* ---- on the wire ---- */

static size_t wire_read_length(const uint8_t *head)
{
    return (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
}

static void wire_write_length(struct buf *batch)
{
    size_t bytes = batch->len - LINK_WIRE_HEAD_BYTES;
    CHECK(batch->len > LINK_WIRE_HEAD_BYTES && bytes <= LIMIT_MESSAGE_BYTES);
    for (unsigned i = 0; i < LINK_WIRE_HEAD_BYTES; i++)
        batch->data[i] = (uint8_t)(bytes >> (24 - 8 * i));
}

struct slice link_wire_next_batch(struct slice *bytes)
{
    const uint8_t *at = bytes->data;
    CHECK(bytes->len > LINK_WIRE_HEAD_BYTES);
    size_t len = wire_read_length(at);
    CHECK(len > 0 && len <= bytes->len - LINK_WIRE_HEAD_BYTES);
    *bytes = slice_of(at + LINK_WIRE_HEAD_BYTES + len, bytes->len - LINK_WIRE_HEAD_BYTES - len);
    return slice_of(at + LINK_WIRE_HEAD_BYTES, len);
}

/* whole: bytes of whole batches at the front; next: size of the one behind them, 0 when its length
 * is not there yet. False: a length that cannot be. */
static bool wire_measure(const struct buf *in, size_t *whole, size_t *next)
{
    *whole = *next = 0;
    while (in->len - *whole >= LINK_WIRE_HEAD_BYTES) {
        size_t len = wire_read_length(in->data + *whole);
        if (len == 0 || len > LIMIT_MESSAGE_BYTES)
            return false;
        if (in->len - *whole < LINK_WIRE_HEAD_BYTES + len) {
            *next = LINK_WIRE_HEAD_BYTES + len;
            return true;
        }
        *whole += LINK_WIRE_HEAD_BYTES + len;
    }
    return true;
}

/* ---- receiving; the mutex is held ---- */

static void wire_put(struct link_wire *wire, enum link_event_kind kind)
{
    link_inbox_put(wire->inbox, (struct link_event){.kind = kind, .generation = wire->generation});
}

/* Hands the whole batches at the front of the buffer to the owner: a few bytes as a copy, so that
 * the buffer stays; more as they are. Returns whether the inbox has room for more. */
static bool wire_hand_over(struct link_wire *wire, size_t whole)
{
    struct buf *in = &wire->in;
    struct link_event event = {
        .kind = LINK_EVENT_BYTES, .generation = wire->generation, .len = whole};
    if (whole <= WIRE_COPY_BYTES) {
        event.bytes = mem_copy(in->data, whole);
        buf_consume(in, whole);
    } else {
        struct buf rest;
        buf_init(&rest, in->max);
        CHECK(buf_append(&rest, in->data + whole, in->len - whole) == 0);
        event.bytes = in->data;
        *in = rest;
    }
    return link_inbox_put(wire->inbox, event);
}

/* Makes room for the batch whose beginning is there, and no more than that: what is read behind a
 * large batch would have to be moved. */
static void wire_receive(struct link_wire *wire, size_t next)
{
    struct buf *in = &wire->in;
    size_t room = next > WIRE_READ_BYTES ? next : WIRE_READ_BYTES;
    if (in->cap < room) {
        in->data = mem_resize(in->data, room);
        in->cap = room;
    }
    const nng_iov iov = {.iov_buf = in->data + in->len, .iov_len = room - in->len};
    CHECK(in->len < room && nng_aio_set_iov(wire->receive_aio, 1, &iov) == 0);
    wire->is_receiving = true;
    nng_stream_recv(wire->stream, wire->receive_aio);
}

static void wire_on_received(void *arg)
{
    struct link_wire *wire = arg;
    size_t whole = 0, next = 0;
    bool is_sound = false, has_room = true;
    pthread_mutex_lock(&wire->mutex);
    wire->is_receiving = false;
    if (nng_aio_result(wire->receive_aio) == 0) {
        wire->in.len += nng_aio_count(wire->receive_aio);
        is_sound = wire_measure(&wire->in, &whole, &next);
    }
    if (whole > 0)
        has_room = wire_hand_over(wire, whole);
    if (!is_sound)
        wire_put(wire, LINK_EVENT_ENDED);
    else if (has_room && !wire->is_closing)
        wire_receive(wire, next);
    pthread_mutex_unlock(&wire->mutex);
    if (whole > 0 || !is_sound)
        link_inbox_wake(wire->inbox); /* after receiving was begun again: it is a system call */
}

void link_wire_receive(struct link_wire *wire)
{
    size_t whole, next;
    pthread_mutex_lock(&wire->mutex);
    if (wire->stream != NULL && !wire->is_closing && !wire->is_receiving &&
        wire_measure(&wire->in, &whole, &next))
        wire_receive(wire, next);
    pthread_mutex_unlock(&wire->mutex);
}

/* ---- sending ---- */

static void wire_send_rest(struct link_wire *wire)
{
    size_t bytes = wire->out.len - wire->out_sent;
    const nng_iov iov = {.iov_buf = wire->out.data + wire->out_sent, .iov_len = bytes};
    atomic_store(&wire->unsent_bytes, bytes);
    CHECK(nng_aio_set_iov(wire->send_aio, 1, &iov) == 0);
    nng_stream_send(wire->stream, wire->send_aio);
}

/* Returns whether the owner is to hear of it. */
static bool wire_finish_sending(struct link_wire *wire)
{
    bool tells = wire->wants_sent || wire->out.len >= WIRE_LARGE_BYTES;
    wire->is_sending = false;
    wire->wants_sent = false;
    wire->out_sent = 0;
    buf_clear(&wire->out);
    buf_shrink(&wire->out, LINK_WIRE_KEEP_BYTES);
    atomic_store(&wire->unsent_bytes, 0); /* last: who reads it may not hold the mutex */
    return tells;
}

static void wire_on_sent(void *arg)
{
    struct link_wire *wire = arg;
    bool tells = false;
    pthread_mutex_lock(&wire->mutex);
    bool is_sound = nng_aio_result(wire->send_aio) == 0;
    if (is_sound) {
        wire->out_sent += nng_aio_count(wire->send_aio);
        CHECK(wire->out_sent <= wire->out.len);
    }
    if (is_sound && !wire->is_closing && wire->out_sent < wire->out.len)
        wire_send_rest(wire);
    else
        tells = wire_finish_sending(wire);
    if (!is_sound)
        wire_put(wire, LINK_EVENT_ENDED);
    else if (tells)
        wire_put(wire, LINK_EVENT_SENT);
    pthread_mutex_unlock(&wire->mutex);
    if (!is_sound || tells)
        link_inbox_wake(wire->inbox);
}

bool link_wire_send(struct link_wire *wire, struct buf *batch)
{
    wire_write_length(batch);
    pthread_mutex_lock(&wire->mutex);
    CHECK(wire->stream != NULL);
    bool is_free = !wire->is_sending && !wire->is_closing;
    if (is_free) {
        struct buf empty = wire->out;
        CHECK(empty.len == 0);
        wire->out = *batch;
        *batch = empty;
        wire->is_sending = true;
        wire_send_rest(wire);
    } else {
        wire->wants_sent = true;
    }
    pthread_mutex_unlock(&wire->mutex);
    return is_free;
}

size_t link_wire_unsent_bytes(const struct link_wire *wire)
{
    return atomic_load(&wire->unsent_bytes);
}

/* ---- begin and end ---- */

int link_wire_init(struct link_wire *wire, struct link_inbox *inbox)
{
    *wire = (struct link_wire){.inbox = inbox};
    CHECK(pthread_mutex_init(&wire->mutex, NULL) == 0);
    buf_init(&wire->in, LINK_WIRE_HEAD_BYTES + LIMIT_MESSAGE_BYTES);
    buf_init(&wire->out, LINK_WIRE_HEAD_BYTES + LIMIT_MESSAGE_BYTES);
    if (nng_aio_alloc(&wire->receive_aio, wire_on_received, wire) != 0 ||
        nng_aio_alloc(&wire->send_aio, wire_on_sent, wire) != 0)
        return E_IO;
    return 0;
}

void link_wire_fini(struct link_wire *wire)
{
    link_wire_end(wire);
    nng_aio_free(wire->receive_aio);
    nng_aio_free(wire->send_aio);
    buf_fini(&wire->in);
    buf_fini(&wire->out);
    pthread_mutex_destroy(&wire->mutex);
}

void link_wire_begin(struct link_wire *wire, nng_stream *stream)
{
    pthread_mutex_lock(&wire->mutex);
    CHECK(wire->stream == NULL && wire->in.len == 0 && wire->out.len == 0);
    wire->stream = stream;
    wire->generation++;
    wire->is_closing = false;
    wire_receive(wire, 0);
    pthread_mutex_unlock(&wire->mutex);
}

void link_wire_end(struct link_wire *wire)
{
    if (wire->stream == NULL)
        return;
    pthread_mutex_lock(&wire->mutex);
    wire->is_closing = true;
    pthread_mutex_unlock(&wire->mutex);
    nng_stream_close(wire->stream);
    nng_aio_wait(wire->receive_aio);
    nng_aio_wait(wire->send_aio);
    CHECK(!wire->is_receiving && !wire->is_sending);
    nng_stream_free(wire->stream);
    wire->stream = NULL;
    buf_fini(&wire->in);
}

bool link_wire_is_open(const struct link_wire *wire)
{
    return wire->stream != NULL;
}

bool link_wire_is_of(const struct link_wire *wire, const struct link_event *event)
{
    return wire->stream != NULL && wire->generation == event->generation;
}
