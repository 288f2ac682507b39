/* http_sweep.c - see http_sweep.h. h2o tells of every connection's present request; what it is
 * doing shows in its timestamps, which are of the wall clock. A clock that jumps may cost a slow
 * client its connection, or give it more time once.
 */
#include "procs/gateway/http/http_sweep.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/log.h"
#include "procs/gateway/gateway.h"
#include "procs/gateway/http/http_request.h"

static h2o_socket_t *http_socket_of(const h2o_req_t *request)
{
    return request->conn->callbacks->get_socket(request->conn);
}

bool http_socket_has_ended(h2o_socket_t *socket)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int fd = h2o_socket_get_fd(socket);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state != TCP_ESTABLISHED;
}

bool http_client_has_left(const h2o_req_t *request)
{
    return !http_is_version_2(request) && http_socket_has_ended(http_socket_of(request));
}

static struct timeval http_now(struct gateway *gateway)
{
    return *h2o_get_timestamp(&gateway->http.context, NULL, NULL);
}

static uint64_t http_age_ms(struct gateway *gateway, struct timeval since)
{
    struct timeval now = http_now(gateway);
    int64_t age_ms =
        (now.tv_sec - since.tv_sec) * INT64_C(1000) + (now.tv_usec - since.tv_usec) / 1000;
    return age_ms > 0 ? (uint64_t)age_ms : 0;
}

/* A request of which so many bytes have come has not arrived in time. */
static bool http_is_late(struct gateway *gateway, const h2o_req_t *request, uint64_t bytes)
{
    return http_age_ms(gateway, request->timestamps.request_begin_at) >
           HTTP_REQUEST_MS + bytes * 1000 / HTTP_BODY_BYTES_PER_S;
}

static bool http_is_not_taken(struct gateway *gateway, const h2o_req_t *request)
{
    if (request->timestamps.response_start_at.tv_sec == 0)
        return false; /* ours to answer, by its deadline */
    /* An answer whose length is not known is a stream, and may last. */
    return request->res.content_length != SIZE_MAX &&
           http_age_ms(gateway, request->timestamps.response_start_at) > HTTP_ANSWER_MS;
}

static void http_shut(const h2o_req_t *request, int how)
{
    shutdown(h2o_socket_get_fd(http_socket_of(request)), how);
}

/* Requests that are not complete lie in memory, and nobody knows yet whose they are. The oldest
 * keep their place; those beyond the bound go. */
static bool http_is_too_much(struct gateway *gateway, const h2o_req_t *request)
{
    struct http *http = &gateway->http;
    http->arriving_bytes += http_socket_of(request)->input->size;
    if (http->arriving_bytes <= HTTP_ARRIVING_BODIES * gateway->skel.config.limits.max_body_bytes)
        return false;
    http->arriving_dropped++;
    return true;
}

static int http1_sweep(h2o_req_t *request, void *arg)
{
    if (request->timestamps.request_begin_at.tv_sec == 0) {
        /* Idle: h2o's own timeout. Somebody who never said anything does not get as long. */
        if (http_socket_of(request)->bytes_written == 0 &&
            http_age_ms(arg, request->conn->connected_at) > HTTP_REQUEST_MS)
            http_shut(request, SHUT_RDWR);
        return 0;
    }
    if (request->processed_at.at.tv_sec == 0
            ? http_is_late(arg, request, http_socket_of(request)->input->size) ||
                  http_is_too_much(arg, request)
            : http_is_not_taken(arg, request))
        http_shut(request, SHUT_RDWR);
    return 0;
}

/* h2o notes no times for streams, and does not tell how much of a body has come. So the first sweep
 * that sees one in a state notes it, and each is given what the largest body may take. */
static int http2_sweep(h2o_req_t *request, void *arg)
{
    struct gateway *gateway = arg;
    if (request->timestamps.request_begin_at.tv_sec == 0)
        request->timestamps.request_begin_at = http_now(gateway);
    if (request->res.status != 0 && request->timestamps.response_start_at.tv_sec == 0)
        request->timestamps.response_start_at = http_now(gateway);
    if (request->processed_at.at.tv_sec == 0
            ? http_is_late(gateway, request, gateway->skel.config.limits.max_body_bytes)
            : http_is_not_taken(gateway, request))
        http_shut(request, SHUT_RDWR);
    return 0;
}

void http_sweep(struct gateway *gateway)
{
    struct http *http = &gateway->http;
    h2o_globalconf_t *config = &http->config;
    http->arriving_bytes = http->arriving_dropped = 0;
    config->http1.callbacks.foreach_request(&gateway->http.context, http1_sweep, gateway);
    if (http->arriving_dropped > 0)
        LOG_WARN("requests_dropped", LOG_U64("count", http->arriving_dropped),
                 LOG_STR("reason", "too many bytes of requests that are not complete"),
                 LOG_U64("bytes", http->arriving_bytes));
    config->http2.callbacks.foreach_request(&gateway->http.context, http2_sweep, gateway);
}

static int http1_let_go(h2o_req_t *request, void *arg)
{
    (void)arg;
    /* What has arrived meanwhile is still read and answered. */
    if (request->timestamps.request_begin_at.tv_sec == 0)
        http_shut(request, SHUT_RD);
    return 0;
}

void http_let_go(struct gateway *gateway)
{
    gateway->http.config.http1.callbacks.foreach_request(&gateway->http.context, http1_let_go,
                                                         gateway);
}
