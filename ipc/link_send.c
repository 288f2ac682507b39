/* link_send.c - the sending half of a link: messages into batches, batches into NNG.
 *
 * NNG's own send buffer stays at 0: one message is on its way and one waits in send_aio; all other
 * bytes wait here, where they are counted and can be thrown away when the peer goes. While NNG is
 * busy the open batch goes on growing, so a slow receiver makes batches larger, not more. There is
 * no timer.
 */
#include <poll.h>

#include "base/check.h"
#include "base/error.h"
#include "ipc/hello.h"
#include "ipc/link_private.h"

#define LINK_KEEP_BYTES (64u << 10) /* of the batch buffer, while idle */
#define LINK_HEAD_BYTES 18
#define LINK_FRAME_HEAD_BYTES 5
#define LINK_FRAME_HEAD 0xc6 /* msgpack bin with a length of four bytes */

_Static_assert(LIMIT_BATCH_BYTES + LIMIT_ENTRY_BYTES + 4096 < LIMIT_MESSAGE_BYTES,
               "a batch about to be closed and the largest message fit one NNG message");
_Static_assert(LINK_QUEUE_BYTES / LIMIT_BATCH_BYTES + 4 < LINK_READY_BATCHES,
               "every batch of a full queue has a place");

static void link_close_batch(struct link *link)
{
    if (link->batch.len == 0)
        return;
    nng_msg *message = NULL;
    CHECK(link->ready_count < LINK_READY_BATCHES);
    CHECK(nng_msg_alloc(&message, 0) == 0);
    CHECK(nng_msg_append(message, link->batch.data, link->batch.len) == 0);
    link->ready[link->ready_count++] = message;
    link->ready_bytes += link->batch.len;
    buf_clear(&link->batch);
    buf_shrink(&link->batch, LINK_KEEP_BYTES);
}

/* Gives NNG what it takes; the first message that it does not take goes to send_aio, whose
 * completion wakes the owner. */
static void link_send_ready(struct link *link)
{
    unsigned sent = 0;
    while (sent < link->ready_count && !link->is_sending) {
        nng_msg *message = link->ready[sent++];
        size_t bytes = nng_msg_len(message);
        link->ready_bytes -= bytes;
        int rv = nng_sendmsg(link->socket, message, NNG_FLAG_NONBLOCK);
        if (rv == 0)
            continue;
        CHECK(rv == NNG_EAGAIN);
        link->is_sending = true;
        link->sending_bytes = bytes;
        nng_aio_set_msg(link->send_aio, message);
        nng_send_aio(link->socket, link->send_aio);
    }
    link->ready_count -= sent;
    for (unsigned i = 0; i < link->ready_count; i++)
        link->ready[i] = link->ready[sent + i];
}

void link_forget_unsent(struct link *link)
{
    for (unsigned i = 0; i < link->ready_count; i++)
        nng_msg_free(link->ready[i]);
    link->ready_count = 0;
    link->ready_bytes = 0;
    buf_clear(&link->batch);
    buf_shrink(&link->batch, LINK_KEEP_BYTES);
    if (link->is_sending)
        nng_aio_cancel(link->send_aio);
}

void link_on_send_done(struct link *link)
{
    CHECK(link->is_sending);
    link->is_sending = false;
    link->sending_bytes = 0;
    if (nng_aio_result(link->send_aio) != 0)
        nng_msg_free(nng_aio_get_msg(link->send_aio));
    nng_aio_set_msg(link->send_aio, NULL);
}

void link_flush(struct link *link)
{
    CHECK(!link->in_message);
    if (link->ready_count == 0 && (link->batch.len == 0 || link->is_sending))
        return; /* while NNG is busy the open batch goes on growing */
    link_send_ready(link);
    if (!link->is_sending) {
        link_close_batch(link);
        link_send_ready(link);
    }
}

static void link_write_head(struct link *link, uint64_t peer_nonce)
{
    pack_init(&link->pack, &link->batch);
    pack_u64_fixed(&link->pack, link->own_nonce);
    pack_u64_fixed(&link->pack, peer_nonce);
    CHECK(link->batch.len == LINK_HEAD_BYTES);
}

static void link_begin_frame(struct link *link)
{
    static const uint8_t head[LINK_FRAME_HEAD_BYTES] = {LINK_FRAME_HEAD};
    link->frame_start = link->batch.len;
    CHECK(buf_append(&link->batch, head, sizeof(head)) == 0);
}

static void link_end_frame(struct link *link)
{
    CHECK(pack_result(&link->pack) == 0);
    uint8_t *length = link->batch.data + link->frame_start + 1;
    size_t bytes = link->batch.len - link->frame_start - LINK_FRAME_HEAD_BYTES;
    for (unsigned i = 0; i < 4; i++)
        length[i] = (uint8_t)(bytes >> (24 - 8 * i));
}

void link_send_hello(struct link *link)
{
    struct hello hello = {.version = LINK_PROTOCOL_VERSION,
                          .proc = (uint64_t)link->options.self,
                          .index = link->options.self_index,
                          .node = slice_text(link->node),
                          .start_id = link->options.start_id};
    CHECK(link->batch.len == 0 && link->ready_count == 0);
    link_write_head(link, 0);
    link_begin_frame(link);
    hello_pack(&link->pack, &hello);
    link_end_frame(link);
    link_close_batch(link);
    link_send_ready(link);
}

int link_begin(struct link *link, enum msg type, uint32_t element_count, struct pack **pack)
{
    CHECK(!link->in_message && (int)element_count == msg_elements((int)type));
    if (!link->is_up)
        return E_PEER_DOWN;
    if (link_queued_bytes(link) >= LINK_QUEUE_BYTES)
        return E_BUSY;
    if (link->batch.len == 0)
        link_write_head(link, link->peer_nonce);
    link_begin_frame(link);
    link->in_message = true;
    pack_array(&link->pack, 1 + element_count);
    pack_u64(&link->pack, (uint64_t)type);
    *pack = &link->pack;
    return 0;
}

void link_end(struct link *link)
{
    CHECK(link->in_message);
    link_end_frame(link);
    link->in_message = false;
    if (link->batch.len >= LIMIT_BATCH_BYTES)
        link_close_batch(link);
    if (link->loop != NULL)
        loop_run_again(link->loop);
}

size_t link_queued_bytes(const struct link *link)
{
    return link->batch.len + link->ready_bytes + link->sending_bytes;
}

bool link_is_idle(struct link *link)
{
    if (link_queued_bytes(link) > 0)
        return false;
    if (link->pipe == 0)
        return true;
    if (link->send_fd < 0)
        CHECK(nng_socket_get_int(link->socket, NNG_OPT_SENDFD, &link->send_fd) == 0);
    struct pollfd writable = {.fd = link->send_fd, .events = POLLIN};
    return poll(&writable, 1, 0) == 1;
}
