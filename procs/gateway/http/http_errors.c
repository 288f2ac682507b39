/* http_errors.c - see http_errors.h. */
#include "procs/gateway/http/http_errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/check.h"
#include "procs/gateway/gateway.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/reply.h"

#define HTTP_LINGER_READ_BYTES (1u << 20)

struct http_errors_filter {
    h2o_filter_t super;
    struct gateway *gateway;
};

/* ---- lingering -------------------------------------------------------------------------------
 */

struct http_linger {
    struct gateway *gateway;
    h2o_socket_t *socket;
    h2o_timeout_entry_t timeout;
};

static void http_linger_end(struct http_linger *linger)
{
    h2o_timeout_unlink(&linger->timeout);
    h2o_socket_close(linger->socket);
    linger->gateway->http.lingering--;
    free(linger);
}

static void http_linger_on_timeout(h2o_timeout_entry_t *entry)
{
    http_linger_end(H2O_STRUCT_FROM_MEMBER(struct http_linger, timeout, entry));
}

static void http_linger_on_ready(h2o_socket_t *socket, const char *error)
{
    /* MSG_TRUNC: thrown away in the kernel, not copied */
    ssize_t got =
        recv(h2o_socket_get_fd(socket), NULL, HTTP_LINGER_READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (error != NULL || got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        http_linger_end(socket->data);
}

/* Keeps a second descriptor of the connection, so that h2o's closing its own does not end it. */
static void http_linger(struct gateway *gateway, h2o_req_t *request)
{
    h2o_socket_t *client = request->conn->callbacks->get_socket(request->conn);
    if (gateway->http.lingering >= HTTP_LINGERING_MAX || gateway->skel.stopping)
        return;
    int copy = fcntl(h2o_socket_get_fd(client), F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return;
    struct http_linger *linger = mem_alloc(sizeof(*linger));
    gateway->http.lingering++;
    linger->gateway = gateway;
    linger->socket = h2o_evloop_socket_create(gateway->loop, copy, H2O_SOCKET_FLAG_DONT_READ);
    linger->socket->data = linger;
    linger->timeout.cb = http_linger_on_timeout;
    h2o_timeout_link(gateway->loop, &gateway->http.linger_timeout, &linger->timeout);
    h2o_socket_read_start(linger->socket, http_linger_on_ready);
}

/* ---- the filter ------------------------------------------------------------------------------
 */

struct http_errors_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

/* The answer that passes is thrown away, ours goes on. h2o sends its errors in one piece. */
static void http_errors_send(h2o_ostream_t *super, h2o_req_t *request, h2o_iovec_t *bufs,
                             size_t count, h2o_send_state_t state)
{
    struct http_errors_stream *stream = (struct http_errors_stream *)super;
    (void)bufs;
    (void)count;
    h2o_ostream_send_next(super, request, &stream->body, 1, state);
}

static enum reply_error http_errors_of(const h2o_req_t *request, const char **message)
{
    switch (request->res.status) {
    case 413:
        *message = "the body is larger than limits.maxBody";
        return REPLY_PAYLOAD_TOO_LARGE;
    case 417:
        *message = "Expect may be '100-continue' only";
        return REPLY_BAD_REQUEST;
    default:
        *message = "the request is not well-formed HTTP";
        return REPLY_BAD_REQUEST;
    }
}

static void http_errors_on_answer(h2o_filter_t *super, h2o_req_t *request, h2o_ostream_t **slot)
{
    struct gateway *gateway = ((struct http_errors_filter *)super)->gateway;
    struct http_errors_stream *stream =
        (struct http_errors_stream *)h2o_add_ostream(request, sizeof(*stream), slot);
    const char *message;
    struct reply reply;
    enum reply_error error = http_errors_of(request, &message);
    buf_clear(&gateway->answer);
    reply_error_body(&gateway->answer, error, message, slice_of(NULL, 0), "");
    reply_seal(&reply, request, reply_error_status(error), &gateway->answer);
    reply_describe(&reply, request);
    stream->super.do_send = http_errors_send;
    stream->body = reply.body;
    if (!http_is_version_2(request))
        http_linger(gateway, request);
    h2o_setup_next_ostream(request, &stream->super.next);
}

void http_errors_register(struct gateway *gateway, h2o_pathconf_t *fallback)
{
    struct http_errors_filter *filter =
        (struct http_errors_filter *)h2o_create_filter(fallback, sizeof(*filter));
    filter->super.on_setup_ostream = http_errors_on_answer;
    filter->gateway = gateway;
}
