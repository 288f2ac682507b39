/* http.h - h2o: listeners, connections, TLS, and the end of all that.
 *
 * Clear text speaks HTTP/1.1 only; with tls: configured the public listener speaks HTTPS, and
 * HTTP/2 when gateway.http2 allows it. The admin listener (gateway 0, when adminBinding is set) is
 * clear text and answers for health only.
 *
 * Bounds. Connections: as many as there are descriptors, less HTTP_RESERVED_FDS for everything
 * else; then nothing is accepted and clients wait in the backlog. The limit of descriptors is
 * raised to what sessions.maxConnections needs, as far as the system allows. An idle connection is
 * closed after HTTP_IDLE_MS. A request has HTTP_REQUEST_MS to arrive, and a second more for each
 * HTTP_BODY_BYTES_PER_S that it has brought; an answer has HTTP_ANSWER_MS to be taken. A connection
 * that pipelines gets HTTP_PIPELINE_TURN answers in a row, then the others have their turn.
 */
#ifndef INSI_GATEWAY_HTTP_H
#define INSI_GATEWAY_HTTP_H

#include <stdbool.h>

#include <h2o.h>

#include "base/pace.h"
#include "procs/gateway/timers.h"

#define HTTP_IDLE_MS 75000
#define HTTP_REQUEST_MS 10000
#define HTTP_BODY_BYTES_PER_S (64u << 10)
#define HTTP_ANSWER_MS 60000
#define HTTP_SWEEP_MS 1000
#define HTTP_ARRIVING_BODIES 128 /* times limits.maxBody: of all requests that are not complete */
#define HTTP_RESERVED_FDS 128u
#define HTTP_REQUEST_FDS 1024u /* besides sessions.maxConnections: wanted for all other clients */
#define HTTP_PIPELINE_TURN 64
#define HTTP_STOP_IDLE_MS 100 /* for connections that are idle when the process is to end */
#define HTTP_STOP_MS 6000     /* for all; the supervisor gives 10 s for the whole node */

struct gateway;

struct http_listener {
    struct gateway *gateway;
    h2o_socket_t *socket; /* NULL: none */
    h2o_accept_ctx_t accept;
    h2o_hostconf_t *hosts[2]; /* NULL terminated */
    bool is_paused;
};

struct http {
    h2o_globalconf_t config;
    h2o_context_t context;
    struct http_listener public, admin;
    struct timer sweep_timer, yield_timer, accept_timer, idle_timer, stop_timer, left_timer;
    h2o_linklist_t yielded; /* requests that wait for their connection's next turn */
    uint64_t turn_connection;
    unsigned turn_requests; /* in a row, of that connection */
    unsigned connections, connections_max;
    uint64_t arriving_bytes, arriving_dropped; /* of the present sweep */
    struct pace rest_pace;                     /* of lines that say that no more can be accepted */
    h2o_timeout_t linger_timeout;              /* http_errors.h */
    unsigned lingering;
};

/* Takes over the inherited sockets. Ends the process when there is none, or when the certificate
 * cannot be used. */
void http_open(struct gateway *gateway);

/* Limits and certificates of a new configuration; what cannot be used is logged and the old one
 * stays. */
void http_reload(struct gateway *gateway);

/* No new connections; the process ends (skel_exit) when those there are have been served. */
void http_stop(struct gateway *gateway);

void http_end_turn(struct gateway *gateway);

/* Around the time in which a request waits for its answer. h2o stops reading meanwhile, which costs
 * two calls of epoll_ctl for each write; so the socket goes on being watched, and nothing is read.
 * large: the answer will not fit one write. */
void http_await(h2o_req_t *request);
void http_awaited(h2o_req_t *request, bool large);

/* Of an answer over HTTP/1 that lasts: calls left once when the client has closed its end, or the
 * connection broke. (Over HTTP/2 h2o ends the request.) What the client sends is thrown away. */
typedef void http_left_fn(void *arg);
void http_watch(h2o_req_t *request, http_left_fn *left, void *arg);

#endif
