/* link_send.c - the sending half of a link: a turn's messages become one batch.
 *
 * One batch is on its way at a time; all other bytes wait here, where they are counted and can be
 * thrown away when the peer goes. Meanwhile the open batch goes on growing, so a slow receiver
 * makes batches larger, not more. There is no timer.
 */
#include "base/check.h"
#include "base/error.h"
#include "ipc/hello.h"
#include "ipc/link_private.h"

#define LINK_NONCES_BYTES 18
#define LINK_FRAME_HEAD_BYTES 5
#define LINK_FRAME_HEAD 0xc6 /* msgpack bin with a length of four bytes */

_Static_assert(LIMIT_BATCH_BYTES + LIMIT_ENTRY_BYTES + 4096 < LIMIT_MESSAGE_BYTES,
               "a batch about to be closed and the largest message are not too large together");
_Static_assert(LINK_QUEUE_BYTES / LIMIT_BATCH_BYTES + 4 < LINK_READY_BATCHES,
               "every batch of a full queue has a place");

static void link_close_batch(struct link *link)
{
    CHECK(link->ready_count < LINK_READY_BATCHES);
    link->ready[link->ready_count++] = link->batch;
    link->ready_bytes += link->batch.len;
    buf_init(&link->batch, link->batch.max);
}

/* Returns whether all closed batches are gone. */
static bool link_send_ready(struct link *link)
{
    unsigned sent = 0;
    while (sent < link->ready_count) {
        size_t bytes = link->ready[sent].len;
        if (!link_wire_send(&link->wire, &link->ready[sent]))
            break;
        link->ready_bytes -= bytes;
        buf_fini(&link->ready[sent++]); /* what came in exchange */
    }
    link->ready_count -= sent;
    if (sent > 0)
        memmove(link->ready, link->ready + sent, link->ready_count * sizeof(link->ready[0]));
    return link->ready_count == 0;
}

void link_forget_unsent(struct link *link)
{
    for (unsigned i = 0; i < link->ready_count; i++)
        buf_fini(&link->ready[i]);
    link->ready_count = 0;
    link->ready_bytes = 0;
    buf_clear(&link->batch);
    buf_shrink(&link->batch, LINK_WIRE_KEEP_BYTES);
}

void link_flush(struct link *link)
{
    CHECK(!link->in_message);
    if (link_send_ready(link) && link->batch.len > 0)
        (void)link_wire_send(&link->wire, &link->batch); /* else it goes on growing */
}

static void link_write_head(struct link *link, uint64_t peer_nonce)
{
    static const uint8_t length[LINK_WIRE_HEAD_BYTES];
    CHECK(buf_append(&link->batch, length, sizeof(length)) == 0);
    pack_init(&link->pack, &link->batch);
    pack_u64_fixed(&link->pack, link->own_nonce);
    pack_u64_fixed(&link->pack, peer_nonce);
    CHECK(link->batch.len == LINK_WIRE_HEAD_BYTES + LINK_NONCES_BYTES);
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
    link_flush(link);
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
    return link->batch.len + link->ready_bytes + link_wire_unsent_bytes(&link->wire);
}

bool link_is_idle(const struct link *link)
{
    return link_queued_bytes(link) == 0;
}
