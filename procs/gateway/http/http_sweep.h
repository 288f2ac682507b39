/* http_sweep.h - connections that take too long, and connections to be let go at the end.
 *
 * Nothing here frees anything: a connection that has to go is shut down, and h2o finds it closed.
 */
#ifndef INSI_GATEWAY_HTTP_SWEEP_H
#define INSI_GATEWAY_HTTP_SWEEP_H

#include <stdbool.h>

#include <h2o.h>

struct gateway;

/* Requests that arrive too slowly, answers that are taken too slowly. */
void http_sweep(struct gateway *gateway);

/* The client of a request over HTTP/1.1 has closed its end, or the connection broke. h2o does not
 * look while a request waits for its answer; over HTTP/2 it tells by itself (false here). */
bool http_client_has_left(const h2o_req_t *request);

bool http_socket_has_ended(h2o_socket_t *socket); /* likewise, of any connection */

/* HTTP/1 connections without a request. (Those of HTTP/2 end by h2o's GOAWAY.) */
void http_let_go(struct gateway *gateway);

#endif
