/* request.h - one HTTP request, from its arrival to its answer.
 *
 * The steps: find the route; look at size; take the token; look it up (in the map, in the same
 * transaction as a read of that map); count it; then answer, read, or propose. Whatever cannot be
 * done now waits in read.h's or inflight.h's tables, and the steps after the wait begin anew at the
 * token, so nothing that was read before a wait is ever used after it.
 *
 * An unknown token is told so only after a linearizable look, because the key may have been made a
 * moment ago on another node; but for ?consistency=stale, which asks for this node's own view.
 *
 * The struct lives in the request's memory pool and goes with it. A request that waits holds a
 * guard there too, whose end (the client is gone) takes it out of the tables.
 */
#ifndef INSI_GATEWAY_REQUEST_H
#define INSI_GATEWAY_REQUEST_H

#include "procs/gateway/gateway.h"
#include "procs/gateway/http/query.h"
#include "procs/gateway/http/reply.h"
#include "procs/gateway/route.h"

enum request_verdict {
    REQUEST_UNDECIDED,
    REQUEST_UNKNOWN_TOKEN,
    REQUEST_ADMITTED, /* the token is good, the limiter has counted; not a read */
    REQUEST_ANSWERED  /* the answer is built */
};

struct request {
    struct gateway *gateway;
    h2o_req_t *http;
    const struct route *route;
    uint8_t token_hash[SHA256_BYTES];
    struct identity who;
    uint64_t deadline_ns;

    enum read_mode mode;
    uint64_t index; /* of READ_AT_INDEX */
    enum request_verdict verdict;
    bool is_stale;   /* the client asked for it */
    bool is_counted; /* by the limiter */

    struct request_guard *guard; /* NULL until it waits */
    struct read_wait wait;
    struct reads *waits_at;  /* NULL: it never waited */
    struct reads *obstacle;  /* where the last look came to nothing */
    uint64_t ticket;         /* of inflight.h; 0: none */
    struct pop *pop;         /* of pops.h; NULL: none */
    struct session *session; /* of sessions.h, while it is being placed; NULL: none */
    struct ask ask;          /* of asks.h; the handler says what */

    struct reply reply;
    void *own;         /* the handler's, in the request's memory */
    struct slice kept; /* likewise, request_keep's */
    struct query query;
};

/* Answers, now or later. */
void request_begin(struct gateway *gateway, h2o_req_t *http, enum route_listener listener);

/* arg: a request that waits. */
bool request_client_has_left(void *arg);

/* ---- for handlers ---- */

/* A cleared buffer to build an answer in; then request_reply. One at a time. */
struct buf *request_answer(struct request *request);
void request_reply(struct request *request); /* 200 with what was built */
void request_refuse(struct request *request, enum reply_error error, const char *message);
void request_refuse_about(struct request *request, enum reply_error error, const char *before,
                          struct slice about, const char *after);
void request_refuse_later(struct request *request, const char *message, uint64_t wait_ns); /* 429 */

/* A cleared buffer to encode a command in; then request_propose, which gives it to the log. */
struct buf *request_command(struct request *request);
void request_propose(struct request *request, enum proc worker);

/* Likewise a QUEUE_POP that waits so long for an item. */
void request_pop(struct request *request, struct slice key, uint64_t wait_ms);

/* Makes a session (request_subscribe.c), with the request's scope, token and deadline; the route's
 * subscribed() hands it over. The other members of the wish are the handler's. */
void request_subscribe(struct request *request, const struct session_wish *wish);

/* Copies bytes into the request's memory: request->kept. */
void request_keep(struct request *request, struct slice bytes);

/* Asks raft what request->ask says; the route's asked() hears the answer. */
void request_ask(struct request *request);

/* ---- for request_subscribe.c ---- */

void request_wait_for_it(struct request *request); /* it will be answered later */
void request_send(struct request *request);        /* what was built */

#endif
