/* http.c - see http.h. */
#include "procs/gateway/http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/gateway/gateway.h"
#include "procs/gateway/http/http_errors.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/http_sweep.h"
#include "procs/gateway/http/tls.h"
#include "procs/gateway/request.h"

#define HTTP_BODY_SLACK_BYTES (1u << 20)
#define HTTP_ACCEPTS_PER_EVENT 64
#define HTTP_ACCEPT_AGAIN_MS 100
#define HTTP_DISCARD_BYTES 4096
#define HTTP_REST_TELL_S 60 /* it may rest for each connection that comes */

struct http_handler {
    h2o_handler_t super;
    struct gateway *gateway;
    enum route_listener listener;
};

/* ---- requests --------------------------------------------------------------------------------
 */

struct http_yielded { /* in the request's memory; goes with it */
    h2o_linklist_t link;
    struct http_handler *handler;
    h2o_req_t *request;
};

static void http_on_yielded_gone(void *memory)
{
    struct http_yielded *yielded = memory;
    if (h2o_linklist_is_linked(&yielded->link))
        h2o_linklist_unlink(&yielded->link);
}

/* h2o goes on with the next request of a connection at once, before any other connection. Whoever
 * pipelines thousands of them has to let the others in. */
static bool http_must_yield(struct http *http, const h2o_req_t *request)
{
    if (http->turn_connection != request->conn->id) {
        http->turn_connection = request->conn->id;
        http->turn_requests = 0;
    }
    return ++http->turn_requests > HTTP_PIPELINE_TURN;
}

static int http_on_request(h2o_handler_t *super, h2o_req_t *request)
{
    struct http_handler *handler = (struct http_handler *)super;
    struct http *http = &handler->gateway->http;
    if (!http_must_yield(http, request)) {
        request_begin(handler->gateway, request, handler->listener);
        return 0;
    }
    struct http_yielded *yielded =
        h2o_mem_alloc_shared(&request->pool, sizeof(*yielded), http_on_yielded_gone);
    *yielded = (struct http_yielded){.handler = handler, .request = request};
    h2o_linklist_insert(&http->yielded, &yielded->link);
    timer_set_by(&http->yield_timer, 0);
    return 0;
}

static void http_on_yield_timer(void *arg)
{
    struct gateway *gateway = arg;
    h2o_linklist_t now;
    h2o_linklist_init_anchor(&now);
    h2o_linklist_insert_list(&now, &gateway->http.yielded);
    while (!h2o_linklist_is_empty(&now)) {
        struct http_yielded *yielded = H2O_STRUCT_FROM_MEMBER(struct http_yielded, link, now.next);
        h2o_linklist_unlink(&yielded->link);
        request_begin(gateway, yielded->request, yielded->handler->listener);
    }
}

void http_end_turn(struct gateway *gateway)
{
    gateway->http.turn_connection = 0;
}

struct http_connection {
    struct gateway *gateway;
    SSL_CTX *ssl; /* held: h2o looks at it only when a client begins to speak, which may be after a
                     reload; NULL: clear text */
    http_left_fn *left; /* NULL: nobody wants to know */
    void *left_arg;
};

/* Behind an answer that lasts nothing is answered any more. What comes is thrown away, or it would
 * hide the client's end. */
static bool http_has_discarded(h2o_socket_t *socket)
{
    char bytes[HTTP_DISCARD_BYTES];
    ssize_t count = recv(h2o_socket_get_fd(socket), bytes, sizeof(bytes), MSG_DONTWAIT);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Something came, or the client left: nothing that the waiting request could use, but a pop must
 * not take an item for somebody who is gone. */
static void http_on_ready_while_awaiting(h2o_socket_t *socket, const char *error)
{
    const struct http_connection *connection = socket->on_close.data;
    (void)error;
    if (connection->left != NULL && http_has_discarded(socket))
        return;
    h2o_socket_read_stop(socket);
    if (connection->left != NULL)
        connection->left(connection->left_arg);
    else if (pops_count(connection->gateway->pops) > 0)
        timer_set_by(&connection->gateway->http.left_timer, 0);
}

static void http_on_left_timer(void *arg)
{
    struct gateway *gateway = arg;
    pops_end_left(gateway->pops, request_client_has_left);
}

void http_await(h2o_req_t *request)
{
    if (http_is_version_2(request))
        return;
    h2o_socket_t *socket = request->conn->callbacks->get_socket(request->conn);
    h2o_socket_dont_read(socket, 1);
    h2o_socket_read_start(socket, http_on_ready_while_awaiting);
}

void http_watch(h2o_req_t *request, http_left_fn *left, void *arg)
{
    if (http_is_version_2(request))
        return;
    struct http_connection *connection =
        request->conn->callbacks->get_socket(request->conn)->on_close.data;
    connection->left = left;
    connection->left_arg = arg;
    http_await(request);
}

void http_awaited(h2o_req_t *request, bool large)
{
    if (http_is_version_2(request))
        return;
    h2o_socket_t *socket = request->conn->callbacks->get_socket(request->conn);
    h2o_socket_dont_read(socket, 0);
    if (large)
        h2o_socket_read_stop(socket);
}

/* ---- connections -----------------------------------------------------------------------------
 */

static void http_on_accept(h2o_socket_t *socket, const char *error);

static void http_pause(struct http_listener *listener)
{
    if (listener->socket == NULL || listener->is_paused)
        return;
    listener->is_paused = true;
    h2o_socket_read_stop(listener->socket);
}

static void http_resume(struct http_listener *listener)
{
    if (listener->socket == NULL || !listener->is_paused)
        return;
    listener->is_paused = false;
    h2o_socket_read_start(listener->socket, http_on_accept);
}

static void http_on_accept_timer(void *arg)
{
    struct gateway *gateway = arg;
    http_resume(&gateway->http.public);
    http_resume(&gateway->http.admin);
}

static void http_on_connection_closed(void *data)
{
    struct http_connection *connection = data;
    struct gateway *gateway = connection->gateway;
    SSL_CTX_free(connection->ssl);
    free(connection);
    CHECK(gateway->http.connections-- > 0);
    if (gateway->http.public.is_paused || gateway->http.admin.is_paused)
        timer_set_by(&gateway->http.accept_timer, 0);
    if (gateway->skel.stopping && gateway->http.connections == 0)
        timer_set_by(&gateway->http.stop_timer, 0);
}

/* Nothing more can be accepted now. The event would come again at once, so the listener rests until
 * a connection has closed, or for a moment when the want is the machine's. */
static void http_rest(struct gateway *gateway, int why)
{
    struct http *http = &gateway->http;
    uint64_t now_ns = clock_boot_ns();
    if (why != 0)
        timer_set_by(&http->accept_timer, now_ns + HTTP_ACCEPT_AGAIN_MS * NS_PER_MS);
    if (pace_allows(&http->rest_pace, now_ns, HTTP_REST_TELL_S * NS_PER_S))
        LOG_WARN("accept_paused", LOG_U64("connections", http->connections),
                 LOG_STR("error", why != 0 ? log_errno_text(why) : "too many connections"));
    http_pause(&http->public);
    http_pause(&http->admin);
}

static void http_serve(struct http_listener *listener, h2o_socket_t *client)
{
    struct http *http = &listener->gateway->http;
    struct http_connection *connection = mem_alloc(sizeof(*connection));
    *connection =
        (struct http_connection){.gateway = listener->gateway, .ssl = listener->accept.ssl_ctx};
    if (connection->ssl != NULL)
        SSL_CTX_up_ref(connection->ssl);
    client->on_close.cb = http_on_connection_closed;
    client->on_close.data = connection;
    http->connections++;
    timer_set_by(&http->sweep_timer, clock_boot_ns() + HTTP_SWEEP_MS * NS_PER_MS);
    h2o_accept(&listener->accept, client);
}

static void http_on_accept(h2o_socket_t *socket, const char *error)
{
    struct http_listener *listener = socket->data;
    struct gateway *gateway = listener->gateway;
    struct http *http = &gateway->http;
    if (error != NULL)
        return;
    for (unsigned i = 0; i < HTTP_ACCEPTS_PER_EVENT; i++) {
        if (http->connections >= http->connections_max) {
            http_rest(gateway, 0);
            return;
        }
        h2o_socket_t *client = h2o_evloop_socket_accept(listener->socket);
        if (client == NULL) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                http_rest(gateway, errno);
            return;
        }
        http_serve(listener, client);
    }
}

static void http_on_sweep_timer(void *arg)
{
    struct gateway *gateway = arg;
    if (gateway->http.connections == 0)
        return;
    http_sweep(gateway);
    pops_end_left(gateway->pops, request_client_has_left);
    timer_set_by(&gateway->http.sweep_timer, clock_boot_ns() + HTTP_SWEEP_MS * NS_PER_MS);
}

/* ---- opening ---------------------------------------------------------------------------------
 */

static h2o_hostconf_t *http_host(struct gateway *gateway, const char *name,
                                 enum route_listener listener)
{
    h2o_globalconf_t *config = &gateway->http.config;
    h2o_hostconf_t *host = h2o_config_register_host(config, h2o_iovec_init(name, strlen(name)),
                                                    listener == ROUTE_LISTENER_HTTP ? 65535 : 1);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct http_handler *handler =
        (struct http_handler *)h2o_create_handler(path, sizeof(struct http_handler));
    handler->super.on_req = http_on_request;
    handler->gateway = gateway;
    handler->listener = listener;
    http_errors_register(gateway, &host->fallback_path);
    return host;
}

static void http_set_limits(struct gateway *gateway)
{
    /* A body that is somewhat too large is read and refused by the handler. What is larger still is
     * refused by h2o as soon as it knows: in HTTP/1 by an answer, in HTTP/2 by resetting the
     * stream.
     */
    gateway->http.config.max_request_entity_size =
        gateway->skel.config.limits.max_body_bytes + HTTP_BODY_SLACK_BYTES;
}

static void http_configure(struct gateway *gateway)
{
    h2o_globalconf_t *config = &gateway->http.config;
    h2o_config_init(config);
    config->server_name = h2o_iovec_init(H2O_STRLIT("insi"));
    config->http1.req_timeout = HTTP_IDLE_MS;
    config->http1.upgrade_to_http2 = 0;
    config->http2.idle_timeout = HTTP_IDLE_MS;
    http_set_limits(gateway);
    /* Bodies stay in memory: h2o would move large ones to a file in /tmp. */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
    gateway->http.public.hosts[0] = http_host(gateway, "default", ROUTE_LISTENER_HTTP);
    gateway->http.admin.hosts[0] = http_host(gateway, "admin", ROUTE_LISTENER_ADMIN);
    h2o_context_init(&gateway->http.context, gateway->loop, config);
    h2o_timeout_init(gateway->loop, &gateway->http.linger_timeout, HTTP_LINGER_MS);
}

static void http_listen(struct gateway *gateway, struct http_listener *listener, int fd,
                        SSL_CTX *ssl)
{
    int type = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM) {
        LOG_ERROR("worker_start_failed", LOG_STR("reason", "no listening socket"),
                  LOG_I64("descriptor", fd));
        skel_exit(&gateway->skel, 1);
    }
    listener->gateway = gateway;
    listener->accept =
        (h2o_accept_ctx_t){.ctx = &gateway->http.context, .hosts = listener->hosts, .ssl_ctx = ssl};
    listener->socket = h2o_evloop_socket_create(gateway->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
    h2o_socket_read_start(listener->socket, http_on_accept);
}

/* As many as the limit for this process may be made, which is root's to raise. */
static void http_raise_descriptors(struct rlimit *limit, rlim_t wanted)
{
    rlim_t hard = limit->rlim_max > wanted ? limit->rlim_max : wanted;
    if (limit->rlim_cur >= wanted)
        return;
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){wanted, hard}) != 0)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit->rlim_max, limit->rlim_max});
    CHECK(getrlimit(RLIMIT_NOFILE, limit) == 0);
}

/* Each gateway process may have all of the node's subscribers, and needs room for all others. */
static void http_count_descriptors(struct gateway *gateway)
{
    struct http *http = &gateway->http;
    struct rlimit limit = {.rlim_cur = 1024};
    rlim_t wanted =
        HTTP_RESERVED_FDS + HTTP_REQUEST_FDS + gateway->skel.config.sessions.max_connections;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    http_raise_descriptors(&limit, wanted);
    if (limit.rlim_cur < wanted)
        LOG_WARN("descriptors_short", LOG_U64("limit", limit.rlim_cur), LOG_U64("wanted", wanted),
                 LOG_STR("reason", "sessions.maxConnections needs more open files than the limit "
                                   "of this process (RLIMIT_NOFILE) allows"));
    http->connections_max = HTTP_RESERVED_FDS; /* at least; then descriptors may run out */
    if (limit.rlim_cur / 2 > HTTP_RESERVED_FDS && limit.rlim_cur < UINT32_MAX)
        http->connections_max = (unsigned)limit.rlim_cur - HTTP_RESERVED_FDS;
}

static void http_on_idle_timer(void *arg);
static void http_on_stop_timer(void *arg);

void http_open(struct gateway *gateway)
{
    struct http *http = &gateway->http;
    SSL_CTX *ssl = NULL;
    if (gateway->skel.config.tls.enabled && tls_make(&ssl, &gateway->skel.config) != 0)
        skel_exit(&gateway->skel, 1);
    timers_add(gateway->timers, &http->sweep_timer, http_on_sweep_timer, gateway);
    timers_add(gateway->timers, &http->yield_timer, http_on_yield_timer, gateway);
    timers_add(gateway->timers, &http->accept_timer, http_on_accept_timer, gateway);
    timers_add(gateway->timers, &http->idle_timer, http_on_idle_timer, gateway);
    timers_add(gateway->timers, &http->stop_timer, http_on_stop_timer, gateway);
    timers_add(gateway->timers, &http->left_timer, http_on_left_timer, gateway);
    h2o_linklist_init_anchor(&http->yielded);
    http_count_descriptors(gateway);
    http_configure(gateway);
    http_listen(gateway, &http->public, PROC_FD_HTTP, ssl);
    if (gateway->skel.index == 0 && gateway->skel.self->admin.host != NULL)
        http_listen(gateway, &http->admin, PROC_FD_ADMIN, NULL);
}

void http_reload(struct gateway *gateway)
{
    struct http_listener *listener = &gateway->http.public;
    SSL_CTX *fresh = NULL, *old = listener->accept.ssl_ctx;
    http_set_limits(gateway);
    http_count_descriptors(gateway);
    if (!gateway->skel.config.tls.enabled || old == NULL)
        return; /* whether there is TLS is settled at the start */
    if (tls_make(&fresh, &gateway->skel.config) != 0)
        return;
    listener->accept.ssl_ctx = fresh;
    SSL_CTX_free(old); /* connections hold it as long as they need it */
}

/* ---- the end ---------------------------------------------------------------------------------
 */

static void http_close_listener(struct http_listener *listener)
{
    if (listener->socket != NULL)
        h2o_socket_close(listener->socket);
    listener->socket = NULL;
}

void http_stop(struct gateway *gateway)
{
    struct http *http = &gateway->http;
    uint64_t now_ns = clock_boot_ns();
    http_close_listener(&http->public);
    http_close_listener(&http->admin);
    h2o_context_request_shutdown(&http->context);
    timer_set_by(&http->idle_timer, now_ns + HTTP_STOP_IDLE_MS * NS_PER_MS);
    timer_set_by(&http->stop_timer, http->connections > 0 ? now_ns + HTTP_STOP_MS * NS_PER_MS : 0);
}

/* Idle connections had a moment for the request that was on its way; they are let go now. */
static void http_on_idle_timer(void *arg)
{
    struct gateway *gateway = arg;
    http_let_go(gateway);
    timer_set_by(&gateway->http.idle_timer, clock_boot_ns() + HTTP_STOP_IDLE_MS * NS_PER_MS);
}

static void http_on_stop_timer(void *arg)
{
    struct gateway *gateway = arg;
    if (gateway->http.connections > 0)
        LOG_WARN("connections_dropped", LOG_U64("count", gateway->http.connections));
    skel_exit(&gateway->skel, 0);
}
