/* stream.c - see stream.h. */
#include "procs/gateway/events/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/check.h"
#include "procs/gateway/http/http.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/tcp.h"

#define STREAM_TEXT(number) #number
#define STREAM_NUMBER(number) STREAM_TEXT(number)

/* An id without data is no event, but where a browser, or insic, goes on: without it, who loses the
 * connection before the first event would not know behind what. */
#define STREAM_HELLO "id: %" PRIu64 "\nretry: " STREAM_NUMBER(STREAM_RETRY_MS) "\n\n"
#define STREAM_HELLO_BYTES 64

struct stream { /* in the request's memory; goes with it */
    h2o_generator_t super;
    h2o_req_t *http;
    struct session *session; /* NULL: it has ended */
    bool is_open;            /* the head of the answer has left */
    bool is_writing;         /* h2o has not asked for more yet */
    bool is_final;           /* nothing may be sent any more */
    struct outbox cut;       /* what was with h2o when the session ended */
    char hello[STREAM_HELLO_BYTES];
};

static int stream_descriptor(const struct stream *stream)
{
    return h2o_socket_get_fd(stream->http->conn->callbacks->get_socket(stream->http->conn));
}

/* ---- the end --------------------------------------------------------------------------------- */

/* May end the stream's memory. */
static void stream_finish(struct stream *stream, h2o_send_state_t state)
{
    stream->is_final = true;
    stream->http->http1_is_persistent = 0;
    h2o_send(stream->http, NULL, 0, state);
}

/* What is with h2o cannot be taken back: then the connection goes, which h2o finds out. Up to there
 * it may still look at the bytes: what an HTTP/2 client has said before that opens its window. */
static void stream_cut(struct stream *stream)
{
    if (stream->is_writing)
        session_take_written(stream->session, &stream->cut);
    stream->session = NULL;
    if (stream->is_writing || stream->is_final)
        shutdown(stream_descriptor(stream), SHUT_RDWR);
    else
        stream_finish(stream, H2O_SEND_STATE_ERROR);
}

static void stream_on_gone(void *memory)
{
    struct stream *stream = memory;
    struct session *session = stream->session;
    stream->session = NULL;
    outbox_fini(&stream->cut);
    if (session != NULL)
        session_lost(session);
}

static void stream_on_left(void *arg)
{
    struct stream *stream = arg;
    struct session *session = stream->session;
    if (session == NULL)
        return;
    stream_cut(stream);
    session_lost(session);
}

/* ---- the session's transport ----------------------------------------------------------------- */

static void stream_write(struct session *session, const struct slice *pieces, unsigned count)
{
    struct stream *stream = session->carrier;
    h2o_iovec_t out[SESSION_WRITE_PIECES];
    CHECK(count <= SESSION_WRITE_PIECES);
    for (unsigned i = 0; i < count; i++)
        out[i] = h2o_iovec_init(pieces[i].data, pieces[i].len);
    stream->is_writing = true;
    h2o_send(stream->http, out, count, H2O_SEND_STATE_IN_PROGRESS);
}

static void stream_close(struct session *session, unsigned code)
{
    (void)code;
    stream_finish(session->carrier, H2O_SEND_STATE_FINAL);
}

static void stream_abort(struct session *session)
{
    stream_cut(session->carrier);
}

static uint64_t stream_taken(struct session *session)
{
    return tcp_acknowledged(stream_descriptor(session->carrier));
}

static const struct session_transport stream_transport = {.is_stream = true,
                                                          .ping = {": ping\n\n", 8},
                                                          .write = stream_write,
                                                          .close = stream_close,
                                                          .abort = stream_abort,
                                                          .taken = stream_taken};

/* ---- h2o's side ------------------------------------------------------------------------------ */

static void stream_on_proceed(h2o_generator_t *super, h2o_req_t *http)
{
    struct stream *stream = (struct stream *)super;
    (void)http;
    stream->is_writing = false;
    if (stream->session == NULL) {
        stream_finish(stream, H2O_SEND_STATE_ERROR);
    } else if (stream->is_open) {
        session_written(stream->session);
    } else {
        stream->is_open = true;
        session_open(stream->session);
    }
}

static void stream_describe(h2o_req_t *http, struct slice origin)
{
    h2o_headers_t *headers = &http->res.headers;
    http->res.status = 200;
    http->res.reason = "OK";
    http->res.content_length = SIZE_MAX;
    h2o_add_header(&http->pool, headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                   H2O_STRLIT("text/event-stream"));
    h2o_add_header(&http->pool, headers, H2O_TOKEN_CACHE_CONTROL, NULL, H2O_STRLIT("no-store"));
    h2o_add_header_by_str(&http->pool, headers, H2O_STRLIT("x-accel-buffering"), 0, NULL,
                          H2O_STRLIT("no")); /* proxies that know it pass events on at once */
    if (origin.len == 0)
        return;
    h2o_add_header(&http->pool, headers, H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN, NULL, origin.data,
                   origin.len);
    h2o_add_header(&http->pool, headers, H2O_TOKEN_VARY, NULL, H2O_STRLIT("origin"));
}

void stream_open(h2o_req_t *http, struct session *session, struct slice origin)
{
    struct stream *stream = h2o_mem_alloc_shared(&http->pool, sizeof(*stream), stream_on_gone);
    *stream = (struct stream){.super = {.proceed = stream_on_proceed},
                              .http = http,
                              .session = session,
                              .is_writing = true};
    session->transport = &stream_transport;
    session->carrier = stream;
    if (!http_is_version_2(http))
        tcp_limit_unsent(stream_descriptor(stream), session->window);
    http_watch(http, stream_on_left, stream);
    stream_describe(http, origin);
    h2o_start_response(http, &stream->super);
    int len = snprintf(stream->hello, sizeof(stream->hello), STREAM_HELLO, session->position);
    h2o_iovec_t hello = h2o_iovec_init(stream->hello, (size_t)len);
    h2o_send(http, &hello, 1, H2O_SEND_STATE_IN_PROGRESS);
}
