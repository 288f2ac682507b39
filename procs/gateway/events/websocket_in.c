/* websocket_in.c - see websocket_in.h. wslay would answer by itself; what it wants to send is
 * looked at and thrown away, for the answers have to stand in line with the events. */
#include "procs/gateway/events/websocket_in.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/check.h"

#define WEBSOCKET_TAKE_BYTES (16u << 10) /* at once: its answers take memory until they are gone */
#define WEBSOCKET_MASK_BYTES 4
#define WEBSOCKET_LATER_CODE_FIRST 1012 /* registered since RFC 6455; wslay takes them for wrong */
#define WEBSOCKET_LATER_CODE_LAST 1014

struct websocket_in {
    struct wslay_event_context *context;
    struct slice left;         /* not given to wslay yet */
    uint64_t taken;            /* bytes that wslay has, since there was nothing under way ... */
    uint64_t framed;           /* ... and those that were whole frames */
    uint64_t frame_bytes;      /* of the present frame */
    bool is_control, is_final; /* likewise */
    bool is_in_message;        /* fragments have come, the last has not */
    bool is_cut_close;         /* a close with half a code */
    bool is_close, is_whole;   /* the present frame */
    uint8_t code[WEBSOCKET_CODE_BYTES]; /* its first bytes, a close's code */
    unsigned code_len;
    struct websocket_news *news;
};

/* ---- wslay's questions ----------------------------------------------------------------------- */

static ssize_t websocket_in_recv(wslay_event_context_ptr context, uint8_t *out, size_t len,
                                 int flags, void *arg)
{
    struct websocket_in *in = arg;
    (void)flags;
    if (in->left.len == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    len = len < in->left.len ? len : in->left.len;
    memcpy(out, in->left.data, len);
    in->left = slice_of((const uint8_t *)in->left.data + len, in->left.len - len);
    in->taken += len;
    return (ssize_t)len;
}

static ssize_t websocket_in_send(wslay_event_context_ptr context, const uint8_t *data, size_t len,
                                 int flags, void *arg)
{
    (void)context;
    (void)data;
    (void)flags;
    (void)arg;
    return (ssize_t)len;
}

static void websocket_in_on_frame(wslay_event_context_ptr context,
                                  const struct wslay_event_on_frame_recv_start_arg *frame,
                                  void *arg)
{
    struct websocket_in *in = arg;
    (void)context;
    in->frame_bytes = 2 + WEBSOCKET_MASK_BYTES + frame->payload_length;
    if (frame->payload_length > UINT16_MAX)
        in->frame_bytes += 8;
    else if (frame->payload_length > 125)
        in->frame_bytes += 2;
    in->is_control = wslay_is_ctrl_frame(frame->opcode);
    in->is_close = frame->opcode == WSLAY_CONNECTION_CLOSE;
    in->is_whole = false;
    in->code_len = 0;
    in->is_final = frame->fin != 0;
}

static void websocket_in_on_chunk(wslay_event_context_ptr context,
                                  const struct wslay_event_on_frame_recv_chunk_arg *chunk,
                                  void *arg)
{
    struct websocket_in *in = arg;
    (void)context;
    for (size_t i = 0; i < chunk->data_length && in->code_len < WEBSOCKET_CODE_BYTES; i++)
        in->code[in->code_len++] = chunk->data[i];
}

static void websocket_in_on_frame_end(wslay_event_context_ptr context, void *arg)
{
    struct websocket_in *in = arg;
    (void)context;
    in->framed += in->frame_bytes;
    in->is_whole = true;
    if (!in->is_control)
        in->is_in_message = !in->is_final;
}

static void websocket_in_on_message(wslay_event_context_ptr context,
                                    const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
    struct websocket_in *in = arg;
    (void)context;
    if (message->opcode == WSLAY_CONNECTION_CLOSE)
        in->is_cut_close = message->msg_length == 1;
    if (message->opcode != WSLAY_PING)
        return;
    CHECK(message->msg_length <= WEBSOCKET_PING_BYTES);
    in->news->has_ping = true;
    in->news->ping_len = (uint8_t)message->msg_length;
    if (message->msg_length > 0)
        memcpy(in->news->ping, message->msg, message->msg_length);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static struct websocket_in *websocket_in_new(void)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = websocket_in_recv,
        .send_callback = websocket_in_send,
        .on_frame_recv_start_callback = websocket_in_on_frame,
        .on_frame_recv_chunk_callback = websocket_in_on_chunk,
        .on_frame_recv_end_callback = websocket_in_on_frame_end,
        .on_msg_recv_callback = websocket_in_on_message};
    struct websocket_in *in = mem_alloc(sizeof(*in));
    CHECK(wslay_event_context_server_init(&in->context, &callbacks, in) == 0);
    wslay_event_config_set_max_recv_msg_length(in->context, WEBSOCKET_MESSAGE_BYTES);
    return in;
}

void websocket_in_free(struct websocket_in **in)
{
    if (*in == NULL)
        return;
    wslay_event_context_free((*in)->context);
    free(*in);
    *in = NULL;
}

static bool websocket_in_has_later_code(const struct websocket_in *in, unsigned *code)
{
    *code = (unsigned)in->code[0] << 8 | in->code[1];
    return in->is_close && in->is_whole && in->code_len == WEBSOCKET_CODE_BYTES &&
           *code >= WEBSOCKET_LATER_CODE_FIRST && *code <= WEBSOCKET_LATER_CODE_LAST;
}

/* What wslay made of it, when it reads no more: it has queued a close with the code of what it
 * found; without one where a frame's head was wrong. */
static void websocket_in_end(struct websocket_in *in, struct websocket_news *news)
{
    unsigned code = wslay_event_get_status_code_sent(in->context);
    news->is_over = true;
    news->was_closed = wslay_event_get_close_received(in->context) && !in->is_cut_close;
    if (websocket_in_has_later_code(in, &news->code))
        news->was_closed = true;
    else if (news->was_closed)
        news->code = code == WSLAY_CODE_NO_STATUS_RCVD ? 0 : code;
    else if (code == WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA || code == WSLAY_CODE_MESSAGE_TOO_BIG)
        news->code = code;
    else
        news->code = WSLAY_CODE_PROTOCOL_ERROR;
}

static bool websocket_in_take_some(struct websocket_in *in, struct slice bytes,
                                   struct websocket_news *news)
{
    in->left = bytes;
    in->news = news;
    bool is_right = wslay_event_recv(in->context) == 0;
    is_right = wslay_event_send(in->context) == 0 && is_right;
    if (is_right && wslay_event_want_read(in->context))
        return true;
    websocket_in_end(in, news);
    return false;
}

void websocket_in_take(struct websocket_in **in, struct slice bytes, struct websocket_news *news)
{
    bool goes_on = true;
    *news = (struct websocket_news){0};
    if (*in == NULL)
        *in = websocket_in_new();
    while (bytes.len > 0 && goes_on) {
        size_t len = bytes.len < WEBSOCKET_TAKE_BYTES ? bytes.len : WEBSOCKET_TAKE_BYTES;
        goes_on = websocket_in_take_some(*in, slice_of(bytes.data, len), news);
        bytes = slice_of((const uint8_t *)bytes.data + len, bytes.len - len);
    }
    if (!goes_on || ((*in)->taken == (*in)->framed && !(*in)->is_in_message))
        websocket_in_free(in);
}
