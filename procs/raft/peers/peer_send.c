/* peer_send.c - what is said to a peer: messages into frames, frames into its socket.
 *
 * Frames are sealed as late as possible. While the socket takes what it is given, a turn's messages
 * are one frame; while it does not, the open frame goes on growing, so a slow peer gets larger
 * frames, not more.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/raft/peers/peers_private.h"

#define SEND_COPY_BYTES 4096 /* what is smaller is copied, and the buffer stays */

/* ---- messages ---------------------------------------------------------------------------------
 */

size_t peer_queued_bytes(const struct peer *peer)
{
    return peer->out.chunk_bytes + peer->out.open.len;
}

struct pack *peer_out_start(struct peer *peer, enum peer_message number)
{
    struct peer_out *out = &peer->out;
    CHECK(!out->in_message);
    out->in_message = true;
    if (out->open.len == 0)
        peer_frame_begin(&out->open);
    out->message_at = out->open.len;
    peer_message_begin(&out->open, &out->pack, number);
    return &out->pack;
}

int peer_begin(struct peer *peer, enum peer_message number, struct pack **pack)
{
    if (!peer || !peer->info.is_up)
        return E_PEER_DOWN;
    if (peer_queued_bytes(peer) >= PEER_QUEUE_BYTES)
        return E_BUSY;
    *pack = peer_out_start(peer, number);
    return 0;
}

/* Sealed and queued; the bytes are moved, or copied when they are few. */
static void peer_out_close_frame(struct peer *peer, size_t sent)
{
    struct peer_out *out = &peer->out;
    struct peer_chunk *chunk = mem_alloc(sizeof(*chunk));
    chunk->len = out->open.len;
    chunk->sent = sent;
    if (chunk->len <= SEND_COPY_BYTES) {
        chunk->data = mem_copy(out->open.data, chunk->len);
        buf_clear(&out->open);
    } else {
        chunk->data = out->open.data;
        buf_init(&out->open, LIMIT_MESSAGE_BYTES);
    }
    if (out->last)
        out->last->next = chunk;
    else
        out->first = chunk;
    out->last = chunk;
    out->chunk_bytes += chunk->len - sent;
}

static void peer_out_seal(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    struct peer_head head;
    peers_fill_head(peer->peers, &head);
    head.direction = PEER_SPOKEN;
    head.receiver = peer->info.id;
    memcpy(head.nonce, out->nonce, sizeof(head.nonce));
    head.number = ++out->number;
    peer_frame_seal(&out->open, peer->peers->key, &head);
    peer->peers->frames_sent++;
}

void peer_end(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    CHECK(out->in_message && pack_result(&out->pack) == 0);
    peer_message_end(&out->open, out->message_at);
    out->in_message = false;
    if (out->open.len < PEER_FRAME_BYTES)
        return;
    peer_out_seal(peer);
    peer_out_close_frame(peer, 0);
}

void peer_cancel(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    CHECK(out->in_message);
    out->in_message = false;
    out->open.len = out->message_at > PEER_BEFORE_BYTES ? out->message_at : 0;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void peer_out_note_progress(struct peer *peer, size_t done, bool is_blocked)
{
    struct peer_out *out = &peer->out;
    if (!is_blocked)
        out->blocked_ns = 0;
    else if (done > 0 || out->blocked_ns == 0)
        out->blocked_ns = loop_now_ns(peer->peers->loop);
}

/* As many bytes as go out; E_IO: the connection is lost. */
static int peer_out_write(struct peer *peer, const uint8_t *data, size_t len, size_t *sent)
{
    struct peer_out *out = &peer->out;
    size_t begin = *sent;
    while (*sent < len) {
        size_t done;
        int error = peer_socket_write(&out->socket, data + *sent, len - *sent, &done);
        if (error)
            return E_IO;
        *sent += done;
        if (done == 0)
            break;
    }
    peer_out_note_progress(peer, *sent - begin, *sent < len);
    return 0;
}

static int peer_out_write_chunks(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    while (out->first) {
        struct peer_chunk *chunk = out->first;
        size_t before = chunk->sent;
        int error = peer_out_write(peer, chunk->data, chunk->len, &chunk->sent);
        if (error)
            return error;
        out->chunk_bytes -= chunk->sent - before;
        if (chunk->sent < chunk->len)
            return 0;
        out->first = chunk->next;
        if (!out->first)
            out->last = NULL;
        free(chunk->data);
        free(chunk);
    }
    return 0;
}

static int peer_out_write_open(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    size_t sent = 0;
    peer_out_seal(peer);
    int error = peer_out_write(peer, out->open.data, out->open.len, &sent);
    if (error)
        return error;
    if (sent < out->open.len)
        peer_out_close_frame(peer, sent);
    buf_clear(&out->open);
    buf_shrink(&out->open, PEER_OUT_KEEP_BYTES);
    return 0;
}

void peer_out_flush(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    if (out->line < PEER_LINE_WELCOMED || (!out->first && out->open.len == 0))
        return;
    CHECK(!out->in_message);
    int error = peer_out_write_chunks(peer);
    if (!error && !out->first && out->open.len > 0)
        error = peer_out_write_open(peer);
    if (error)
        peer_out_hang_up(peer, "the connection was lost");
    else
        peer_out_watch(peer);
}

bool peer_out_is_idle(const struct peer *peer)
{
    return peer_queued_bytes(peer) == 0;
}
