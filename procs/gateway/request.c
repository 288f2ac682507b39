/* request.c - see request.h. */
#include "procs/gateway/request.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/gateway/http/http_framing.h"
#include "procs/gateway/http/http_sweep.h"

#define REQUEST_TRIES 4 /* of a read whose lease changed under it, before it waits */

#define REQUEST_ONE_WRITE_BYTES (16u << 10)

static const char request_unknown_token[] = "the token is missing or unknown";

struct request_guard {
    struct request *request;
};

/* ---- answers ---------------------------------------------------------------------------------
 */

struct buf *request_answer(struct request *request)
{
    buf_clear(&request->gateway->answer);
    return &request->gateway->answer;
}

static void request_seal(struct request *request, unsigned status)
{
    reply_seal(&request->reply, request->http, status, &request->gateway->answer);
    request->verdict = REQUEST_ANSWERED;
}

void request_reply(struct request *request)
{
    request_seal(request, 200);
}

void request_refuse_about(struct request *request, enum reply_error error, const char *before,
                          struct slice about, const char *after)
{
    reply_error_body(request_answer(request), error, before, about, after);
    request_seal(request, reply_error_status(error));
    request->reply.wants_authorization = error == REPLY_AUTHENTICATION_FAILED;
}

void request_refuse(struct request *request, enum reply_error error, const char *message)
{
    request_refuse_about(request, error, message, slice_of(NULL, 0), "");
}

void request_refuse_later(struct request *request, const char *message, uint64_t wait_ns)
{
    request_refuse(request, REPLY_RATE_LIMITED, message);
    request->reply.retry_after_s = wait_ns / NS_PER_S + 1;
}

void request_send(struct request *request)
{
    /* A client that keeps its connection would keep a process that wants to end. */
    if (request->gateway->skel.stopping)
        request->reply.closes = true;
    if (request->guard != NULL)
        http_awaited(request->http, request->reply.body.len > REQUEST_ONE_WRITE_BYTES);
    reply_send(&request->reply, request->http);
}

/* ---- waiting ---------------------------------------------------------------------------------
 */

static void request_on_gone(void *memory)
{
    struct request_guard *guard = memory;
    struct request *request = guard->request;
    if (request->waits_at != NULL)
        read_wait_end(request->waits_at, &request->wait);
    if (request->ticket != 0)
        inflight_detach(request->gateway->inflight, request->ticket);
    if (request->pop != NULL)
        pop_leave(request->pop);
    if (request->session != NULL)
        session_leave(request->session);
    ask_end(&request->gateway->asks, &request->ask);
}

void request_wait_for_it(struct request *request)
{
    if (request->guard != NULL)
        return;
    request->guard =
        h2o_mem_alloc_shared(&request->http->pool, sizeof(*request->guard), request_on_gone);
    request->guard->request = request;
    http_await(request->http);
}

static void request_run(struct request *request);

static void request_refuse_no_leader(struct request *request, const char *why, const char *after)
{
    request_refuse_about(request, REPLY_NO_LEADER,
                         "no leader or no quorum within the request timeout: ", slice_text(why),
                         after);
}

/* A node that nobody will lead, however long it waits, says so at once. True: a refusal was built.
 */
static bool request_is_of_outcast(struct request *request)
{
    struct board_lease lease;
    if (reads_leader_is_known(request->gateway->reads) ||
        board_read_lease(request->gateway->board, &lease) != 0)
        return false;
    if (lease.standing == BOARD_STANDING_REMOVED)
        request_refuse(request, REPLY_NO_LEADER,
                       "this node was removed from its cluster; it stays out until an operator has "
                       "it join again");
    else if (lease.standing == BOARD_STANDING_FOREIGN)
        request_refuse(request, REPLY_NO_LEADER,
                       "this node's data are of another cluster than its peers'; its log says of "
                       "which");
    else
        return false;
    return true;
}

static void request_on_wake(void *arg, int error, enum read_mode mode, uint64_t index)
{
    struct request *request = arg;
    if (error != 0) {
        if (!request_is_of_outcast(request))
            request_refuse_no_leader(request, read_wait_obstacle(request->waits_at, &request->wait),
                                     "");
        request_send(request);
        return;
    }
    request->mode = mode;
    request->index = index;
    request_run(request);
}

/* For the map to appear, for a linearizable look, or for the worker to come as far as the others'
 * answer says. */
static void request_wait(struct request *request)
{
    if (request->mode != READ_STALE && request_is_of_outcast(request)) {
        request_send(request);
        return;
    }
    request_wait_for_it(request);
    request->wait.wake = request_on_wake;
    request->wait.arg = request;
    request->wait.deadline_ns = request->deadline_ns;
    request->waits_at = request->obstacle;
    if (read_wait_begin(request->waits_at, &request->wait, request->mode, request->index) == 0)
        return;
    request_refuse_later(request, "too many requests wait for a leader", 0);
    request_send(request);
}

/* ---- proposing -------------------------------------------------------------------------------
 */

struct buf *request_command(struct request *request)
{
    buf_clear(&request->gateway->command);
    return &request->gateway->command;
}

static void request_applied(struct request *request, const struct inflight_outcome *outcome)
{
    if (request->route->applied != NULL) {
        request->route->applied(request, outcome);
        return;
    }
    buf_printf(request_answer(request), "{\"index\":%llu}", (unsigned long long)outcome->index);
    request_reply(request);
}

static void request_refuse_outcome(struct request *request, int error)
{
    const char *message;
    enum reply_error type = reply_of_outcome(error, &message);
    if (error == E_CONFLICT && request->route->conflict != NULL)
        message = request->route->conflict;
    if (error == E_NOT_FOUND && request->route->not_found != NULL)
        message = request->route->not_found;
    if (type == REPLY_INTERNAL)
        LOG_ERROR("write_refused", LOG_STR("path", request->route->path),
                  LOG_STR("error", error_name(error)));
    if (type == REPLY_RATE_LIMITED)
        request_refuse_later(request, message, 0);
    else if (error == E_NO_LEADER)
        request_refuse_no_leader(request, reads_obstacle(request->gateway->reads),
                                 "; nothing was written");
    else
        request_refuse(request, type, message);
}

static void request_on_outcome(void *arg, const struct inflight_outcome *outcome)
{
    struct request *request = arg;
    request->ticket = 0;
    request->pop = NULL;
    if (outcome->error == 0)
        request_applied(request, outcome);
    else
        request_refuse_outcome(request, outcome->error);
    request_send(request);
}

void request_propose(struct request *request, enum proc worker)
{
    const struct entry_part part = {worker, buf_slice(&request->gateway->command)};
    const struct inflight_write write = {.parts = &part,
                                         .part_count = 1,
                                         .origin = request->http->conn->id,
                                         .deadline_ns = request->deadline_ns,
                                         .done = request_on_outcome,
                                         .arg = request};
    if (request_is_of_outcast(request))
        return;
    request_wait_for_it(request);
    int error = inflight_add(request->gateway->inflight, &write, &request->ticket);
    if (error != 0)
        request_refuse_outcome(request, error);
}

void request_keep(struct request *request, struct slice bytes)
{
    void *copy = h2o_mem_alloc_pool(&request->http->pool, bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    request->kept = slice_of(copy, bytes.len);
}

void request_pop(struct request *request, struct slice key, uint64_t wait_ms)
{
    const struct pop_wish wish = {.scope = request->who.scope,
                                  .key = key,
                                  .wait_ms = wait_ms,
                                  .patience_ms =
                                      request->gateway->skel.config.limits.request_timeout_ms,
                                  .origin = request->http->conn->id,
                                  .done = request_on_outcome,
                                  .arg = request};
    if (request_is_of_outcast(request))
        return;
    request_keep(request, key);
    request_wait_for_it(request);
    int error = pop_begin(request->gateway->pops, &wish, &request->pop);
    if (error != 0)
        request_refuse_outcome(request, error);
}

bool request_client_has_left(void *arg)
{
    const struct request *request = arg;
    return http_client_has_left(request->http);
}

/* ---- asking ----------------------------------------------------------------------------------
 */

static void request_on_asked(void *arg, const struct ask_answer *answer)
{
    struct request *request = arg;
    request->route->asked(request, answer);
    request_send(request);
}

void request_ask(struct request *request)
{
    request->ask.deadline_ns = request->deadline_ns;
    request->ask.done = request_on_asked;
    request->ask.arg = request;
    request_wait_for_it(request);
    if (ask_begin(&request->gateway->asks, &request->ask) != 0)
        request_refuse_later(request, "too many requests about the cluster are under way", 0);
}

/* ---- the token -------------------------------------------------------------------------------
 */

/* Browsers cannot set headers on a WebSocket, so the query of a subscription may hold it. */
static bool request_has_token_in_query(struct request *request)
{
    struct slice token;
    if (request->route->kind != ROUTE_SUBSCRIBE || !query_find(&request->query, "token", &token) ||
        token.len == 0)
        return false;
    token_apikey_hash(token, request->token_hash);
    return true;
}

static bool request_has_token(struct request *request)
{
    const h2o_headers_t *headers = &request->http->headers;
    ssize_t at = h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, -1);
    if (at == -1)
        return request_has_token_in_query(request);
    if (h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, at) != -1)
        return false;
    h2o_iovec_t value = headers->entries[at].value;
    return auth_hash_of_header(slice_of(value.base, value.len), request->token_hash);
}

static void request_admit_class(struct request *request)
{
    const struct config *config = &request->gateway->skel.config;
    const struct config_rate *rates[RATE_CLASS_COUNT] = {
        [RATE_VALUES] = &config->rate.values,   [RATE_CACHE] = &config->rate.cache,
        [RATE_ATOMICS] = &config->rate.atomics, [RATE_QUEUES] = &config->rate.queues,
        [RATE_EVENTS] = &config->rate.events,   [RATE_SYSTEM] = &config->rate.system};
    const struct config_rate *rate = rates[request->route->rate_class];
    const struct rate_limit limit = {rate->limit, rate->burst};
    uint64_t wait_ns = 0;
    if (limit.per_second == 0 ||
        rate_allow(request->gateway->rate, (enum rate_class)request->route->rate_class, &limit,
                   clock_boot_ns(), &wait_ns))
        return;
    request_refuse_later(request, "the rate limit of this kind of request is reached", wait_ns);
}

/* The token is good: may it do this, and now? */
static void request_admit(struct request *request)
{
    if (request->route->who == ROUTE_ROOT_ONLY && !request->who.is_root) {
        request_refuse(request, REPLY_FORBIDDEN, "this needs the root token");
        return;
    }
    request->verdict = REQUEST_ADMITTED;
    if (request->is_counted || request->route->rate_class == ROUTE_UNLIMITED)
        return;
    request->is_counted = true; /* once, however often the steps begin anew */
    request_admit_class(request);
}

/* Whether the token is known without looking into the map. */
static bool request_knows_token(struct request *request)
{
    if (request->route->who == ROUTE_ANYBODY)
        return true;
    if (!auth_is_root(&request->gateway->auth, request->token_hash))
        return false;
    auth_root(&request->gateway->auth, &request->who);
    return true;
}

/* ---- the steps -------------------------------------------------------------------------------
 */

static bool request_reads_storage(const struct request *request)
{
    return request->route->kind == ROUTE_READ && !request->route->of_cacheq;
}

static bool request_reads_cacheq(const struct request *request)
{
    return request->route->kind == ROUTE_READ &&
           (request->route->of_cacheq || request->route->of_both);
}

static bool request_subscribes(const struct request *request)
{
    return request->route->kind == ROUTE_SUBSCRIBE;
}

/* Within a read transaction of the storage worker's map: the token, then what a read reads. */
static int request_look(struct map *map, MDB_txn *txn, void *arg)
{
    struct request *request = arg;
    if (!request_knows_token(request)) {
        int error = auth_find_apikey(map, txn, request->token_hash, &request->who);
        if (error == E_NOT_FOUND)
            request->verdict = REQUEST_UNKNOWN_TOKEN;
        if (error != 0)
            return error == E_NOT_FOUND ? 0 : error;
    }
    request_admit(request);
    if (request->verdict != REQUEST_ADMITTED || !request_reads_storage(request))
        return 0;
    return request->route->look(request, map, txn);
}

static int request_look_there(struct map *map, MDB_txn *txn, void *arg)
{
    struct request *request = arg;
    return request->route->look(request, map, txn);
}

/* That this is called says that the worker has applied what anybody was told of. */
static int request_look_at_nothing(struct map *map, MDB_txn *txn, void *arg)
{
    (void)map;
    (void)txn;
    (void)arg;
    return 0;
}

static struct reads *request_reads_of(struct request *request, enum proc worker)
{
    request->obstacle = request->gateway->views[PROC_WORKER_SLOT(worker)].reads;
    return request->obstacle;
}

/* Decides what can be decided now: the verdict. E_BUSY: not now; wait at request->obstacle. */
static int request_decide(struct request *request)
{
    int error = 0;
    request->verdict = REQUEST_UNDECIDED;
    if (request_reads_storage(request) || !request_knows_token(request))
        error = read_now(request_reads_of(request, PROC_STORAGE), request->mode, request->index,
                         request_look, request);
    else
        request_admit(request);
    if (error == 0 && request_reads_cacheq(request) &&
        (request->verdict == REQUEST_ADMITTED || request->route->of_both))
        error = read_now(request_reads_of(request, PROC_CACHEQ), request->mode, request->index,
                         request_look_there, request);
    if (error == 0 && request_subscribes(request) && request->verdict == REQUEST_ADMITTED)
        error = read_now(request_reads_of(request, PROC_EVENTS), request->mode, request->index,
                         request_look_at_nothing, request);
    return error;
}

/* What remains when the look is over and may be told. */
static void request_go_on(struct request *request)
{
    if (request->verdict == REQUEST_UNKNOWN_TOKEN)
        request_refuse(request, REPLY_AUTHENTICATION_FAILED, request_unknown_token);
    else if (request->verdict == REQUEST_ADMITTED && request->route->kind == ROUTE_WRITE)
        request->route->write(request);
    else if (request->verdict == REQUEST_ADMITTED && request->route->kind == ROUTE_LOCAL)
        request->route->answer(request);
    else if (request->verdict == REQUEST_ADMITTED && request_subscribes(request))
        request->route->subscribe(request);
    if (request->verdict == REQUEST_ANSWERED)
        request_send(request);
    else
        CHECK(request->ticket != 0 || request->pop != NULL || request->session != NULL ||
              request->ask.is_open);
}

static void request_run(struct request *request)
{
    int error;
    for (unsigned tries = 0;; tries++) {
        error = request_decide(request);
        if (error == 0 && request->verdict == REQUEST_UNKNOWN_TOKEN && !request->is_stale &&
            request->mode == READ_STALE)
            request->mode = READ_LINEARIZABLE;
        else if (error != E_BUSY || tries >= REQUEST_TRIES)
            break;
    }
    if (error == 0) {
        request_go_on(request);
    } else if (error == E_BUSY) {
        request_wait(request);
    } else {
        LOG_ERROR("read_failed", LOG_STR("path", request->route->path),
                  LOG_STR("error", error_name(error)));
        request_refuse(request, REPLY_INTERNAL, "the node could not read its data");
        request_send(request);
    }
}

/* ---- the beginning ---------------------------------------------------------------------------
 */

static bool request_headers_fit(const h2o_req_t *http)
{
    size_t bytes = http->input.method.len + http->input.path.len;
    for (size_t i = 0; i < http->headers.size; i++)
        bytes += http->headers.entries[i].name->len + http->headers.entries[i].value.len + 4;
    return bytes <= LIMIT_HEADER_BYTES;
}

/* The query of a read. Writes have none. */
static bool request_take_query(struct request *request)
{
    const h2o_req_t *http = request->http;
    struct slice text = slice_of(NULL, 0), consistency;
    if (http->input.query_at != SIZE_MAX)
        text = slice_of(http->input.path.base + http->input.query_at + 1,
                        http->input.path.len - http->input.query_at - 1);
    const char *wrong =
        query_parse(&request->query, text, h2o_mem_alloc_pool(&request->http->pool, text.len + 1));
    if (wrong == NULL && query_find(&request->query, "consistency", &consistency)) {
        request->is_stale = slice_equal(consistency, slice_text("stale"));
        if (!request->is_stale && !slice_equal(consistency, slice_text("linearizable")))
            wrong = "consistency must be 'linearizable' or 'stale'";
    }
    if (wrong != NULL)
        request_refuse(request, REPLY_BAD_REQUEST, wrong);
    return wrong == NULL;
}

/* False after building a refusal. */
static bool request_is_acceptable(struct request *request, const char *allow)
{
    const struct config *config = &request->gateway->skel.config;
    if (!http_framing_is_clear(request->http)) {
        request_refuse(request, REPLY_BAD_REQUEST,
                       "more than one Content-Length or Transfer-Encoding");
        request->reply.closes = true;
    } else if (request->route == NULL && allow != NULL) {
        request_refuse(request, REPLY_METHOD_NOT_ALLOWED,
                       "this path is called otherwise: see Allow");
        request->reply.allow = allow;
    } else if (request->route == NULL) {
        request_refuse(request, REPLY_NOT_FOUND, "there is no such path");
    } else if (!request_headers_fit(request->http)) {
        request_refuse(request, REPLY_BAD_REQUEST, "request line and headers are too long");
    } else if (request->http->entity.len > config->limits.max_body_bytes) {
        request_refuse(request, REPLY_PAYLOAD_TOO_LARGE, "the body is larger than limits.maxBody");
    } else if (request_subscribes(request) && !request_take_query(request)) {
        return false; /* it may hold the token */
    } else if (request->route->who != ROUTE_ANYBODY && !request_has_token(request)) {
        request_refuse(request, REPLY_AUTHENTICATION_FAILED, request_unknown_token);
    } else {
        return request->route->kind != ROUTE_READ || request_take_query(request);
    }
    return false;
}

void request_begin(struct gateway *gateway, h2o_req_t *http, enum route_listener listener)
{
    struct request *request = h2o_mem_alloc_pool(&http->pool, sizeof(*request));
    const char *allow;
    struct slice path = slice_of(http->input.path.base, http->input.path.len);
    if (http->input.query_at != SIZE_MAX)
        path.len = http->input.query_at;
    memset(request, 0, offsetof(struct request, query));
    request->gateway = gateway;
    request->http = http;
    request->route = route_find(listener, slice_of(http->input.method.base, http->input.method.len),
                                path, &allow);
    if (!request_is_acceptable(request, allow)) {
        request_send(request);
        return;
    }
    uint64_t patience_ms = request->route->patience_ms != 0
                               ? request->route->patience_ms
                               : gateway->skel.config.limits.request_timeout_ms;
    request->deadline_ns = clock_boot_ns() + patience_ms * NS_PER_MS;
    bool is_linearizable = request->route->kind == ROUTE_READ || request_subscribes(request);
    request->mode = is_linearizable && !request->is_stale ? READ_LINEARIZABLE : READ_STALE;
    request_run(request);
}
