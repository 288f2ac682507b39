/* results.c - what this node's gateways are told: results after each commit, those of before when a
 * gateway says who it is, and how far this worker is for those who wait for that. What else a
 * gateway says is for the kind of worker. */
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/worker_gateway.h"
#include "procs/worker/worker_private.h"

#define REPLIES_FIRST 64
#define DETAILS_KEEP_BYTES (64u << 10)

static unsigned gateway_index(const struct worker_gateway *gateway)
{
    return (unsigned)(gateway - gateway->worker->gateways);
}

/* Where it is; session_count: it was not told. */
static unsigned gateway_find_session(const struct worker_gateway *gateway, uint64_t session)
{
    unsigned at = 0;

    while (at < gateway->session_count && gateway->sessions[at] != session)
        at++;
    return at;
}

static bool gateway_has_session(const struct worker_gateway *gateway, uint64_t session)
{
    return gateway_find_session(gateway, session) < gateway->session_count;
}

/* It is the last one told; the first one goes if there is no room for a new one. */
static void gateway_learn_session(struct worker_gateway *gateway, uint64_t session)
{
    unsigned at = gateway_find_session(gateway, session);

    if (at == WORKER_GATEWAY_SESSIONS)
        at = 0;
    else if (at == gateway->session_count)
        gateway->session_count++;
    memmove(&gateway->sessions[at], &gateway->sessions[at + 1],
            (gateway->session_count - at - 1) * sizeof(gateway->sessions[0]));
    gateway->sessions[gateway->session_count - 1] = session;
}

static struct worker_gateway *results_find_gateway(struct worker *worker, uint64_t session)
{
    for (unsigned i = 0; session != 0 && i < worker->gateway_count; i++) {
        if (gateway_has_session(&worker->gateways[i], session))
            return &worker->gateways[i];
    }
    return NULL;
}

/* A gateway that does not read for so long has clients that no longer wait: they were told that the
 * outcome is unknown. */
static void gateway_send_result(struct worker_gateway *gateway, const struct msg_result *msg)
{
    int error = msg_result_send(gateway->link, msg);

    if (error != E_BUSY || gateway->drops_results)
        return;
    gateway->drops_results = true;
    LOG_WARN("results_dropped", LOG_U64("gateway", gateway_index(gateway)),
             LOG_U64("queued_bytes", link_queued_bytes(gateway->link)));
}

/* What the board shows is what reads go by. */
static void gateway_tell_applied(struct worker_gateway *gateway)
{
    const struct worker *worker = gateway->worker;
    const struct msg_applied_at msg = {.index =
                                           board_read_applied(worker->board, worker->kind->proc)};

    int error = msg_applied_at_send(gateway->link, &msg);
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
    if (error == 0 && msg.index >= gateway->awaited_index)
        gateway->awaited_index = 0;
}

void results_tell_waiting(struct worker *worker)
{
    for (unsigned i = 0; i < worker->gateway_count; i++) {
        if (worker->gateways[i].awaited_index != 0)
            gateway_tell_applied(&worker->gateways[i]);
    }
}

/* ---- results of the open transaction ---- */

void results_note(struct worker *worker, uint64_t session, uint64_t sequence,
                  const struct session_result *result)
{
    if (results_find_gateway(worker, session) == NULL)
        return;
    if (worker->reply_count == worker->reply_capacity)
        worker->replies = mem_grow(worker->replies, &worker->reply_capacity,
                                   sizeof(worker->replies[0]), REPLIES_FIRST);
    worker->replies[worker->reply_count++] = (struct worker_reply){
        .session = session,
        .sequence = sequence,
        .index = result->index,
        .error = result->error,
        .detail_at = worker->details.len,
        .detail_len = result->detail.len,
    };
    CHECK(buf_append(&worker->details, result->detail.data, result->detail.len) == 0);
}

void results_send(struct worker *worker)
{
    for (unsigned i = 0; i < worker->reply_count; i++) {
        const struct worker_reply *reply = &worker->replies[i];
        struct worker_gateway *gateway = results_find_gateway(worker, reply->session);
        if (gateway == NULL)
            continue; /* gone meanwhile; if it comes back, it is told */
        const struct msg_result msg = {
            .session = reply->session,
            .sequence = reply->sequence,
            .index = reply->index,
            .error = (uint64_t)reply->error,
            .detail = reply->detail_len > 0
                          ? slice_of(worker->details.data + reply->detail_at, reply->detail_len)
                          : slice_of(NULL, 0),
        };
        gateway_send_result(gateway, &msg);
    }
    worker->reply_count = 0;
    buf_clear(&worker->details);
    buf_shrink(&worker->details, DETAILS_KEEP_BYTES);
}

/* ---- results of before ---- */

struct results_recall { /* of one session */
    struct worker_gateway *gateway;
    uint64_t session;
};

static void results_on_remembered(void *arg, uint64_t sequence, const struct session_result *result)
{
    const struct results_recall *recall = arg;
    const struct msg_result msg = {.session = recall->session,
                                   .sequence = sequence,
                                   .index = result->index,
                                   .error = (uint64_t)result->error,
                                   .detail = result->detail};

    gateway_send_result(recall->gateway, &msg);
}

static void gateway_push_to(struct worker_gateway *gateway, uint64_t session)
{
    struct worker *worker = gateway->worker;
    struct results_recall recall = {gateway, session};

    int error = applier_recall_all(&worker->applier, session, results_on_remembered, &recall);
    if (error != 0)
        worker_fail(worker, "recall", error);
}

void results_push(struct worker *worker)
{
    for (unsigned i = 0; i < worker->gateway_count; i++) {
        struct worker_gateway *gateway = &worker->gateways[i];
        for (unsigned j = 0; j < gateway->session_count; j++)
            gateway_push_to(gateway, gateway->sessions[j]);
    }
}

/* ---- links ---- */

static void gateway_begin_anew(struct worker_gateway *gateway)
{
    gateway->session_count = 0;
    gateway->awaited_index = 0;
    gateway->drops_results = false;
}

static void results_on_up(void *arg, const struct link_peer *peer)
{
    struct worker_gateway *gateway = arg;
    struct worker *worker = gateway->worker;

    (void)peer;
    gateway_begin_anew(gateway);
    if (worker->kind->gateway_up != NULL)
        worker->kind->gateway_up(worker->kind->arg, worker, gateway_index(gateway));
}

static void results_on_down(void *arg)
{
    struct worker_gateway *gateway = arg;
    struct worker *worker = gateway->worker;

    gateway_begin_anew(gateway);
    if (worker->kind->gateway_down != NULL)
        worker->kind->gateway_down(worker->kind->arg, worker, gateway_index(gateway));
    worker_sweep(worker); /* it may have died within a read */
}

static void results_on_other(struct worker_gateway *gateway, enum msg type, struct unpack *body)
{
    struct worker *worker = gateway->worker;

    if (worker->kind->gateway_message == NULL) {
        unpack_refuse(body);
        return;
    }
    worker_commit(worker);
    worker->kind->gateway_message(worker->kind->arg, worker, gateway_index(gateway), type, body);
}

static void results_on_session(struct worker_gateway *gateway, struct unpack *body)
{
    struct worker *worker = gateway->worker;
    struct msg_session msg;

    if (msg_session_decode(&msg, body) != 0)
        return;
    worker_commit(worker); /* what is told must hold */
    bool is_news = !gateway_has_session(gateway, msg.session);
    gateway_learn_session(gateway, msg.session);
    if (is_news)
        gateway_push_to(gateway, msg.session);
}

static void results_on_recall(struct worker_gateway *gateway, struct unpack *body)
{
    struct worker *worker = gateway->worker;
    struct session_result result;
    struct msg_recall msg;

    if (msg_recall_decode(&msg, body) != 0)
        return;
    worker_commit(worker);
    if (!gateway_has_session(gateway, msg.session))
        gateway_learn_session(gateway, msg.session); /* its SESSION found the link full */
    int error = applier_recall(&worker->applier, msg.session, msg.sequence, &result);
    if (error == E_NOT_FOUND)
        return; /* comes in due time, or is proposed again */
    if (error != 0)
        worker_fail(worker, "recall", error);
    struct results_recall recall = {gateway, msg.session};
    results_on_remembered(&recall, msg.sequence, &result);
}

static void results_on_wait_applied(struct worker_gateway *gateway, struct unpack *body)
{
    struct worker *worker = gateway->worker;
    struct msg_wait_applied msg;

    if (msg_wait_applied_decode(&msg, body) != 0)
        return;
    worker_commit(worker);
    if (msg.index <= board_read_applied(worker->board, worker->kind->proc))
        gateway_tell_applied(gateway);
    else if (msg.index > gateway->awaited_index)
        gateway->awaited_index = msg.index;
}

static void results_on_message(void *arg, enum msg type, struct unpack *body)
{
    switch (type) {
    case MSG_SESSION:
        results_on_session(arg, body);
        break;
    case MSG_RECALL:
        results_on_recall(arg, body);
        break;
    case MSG_WAIT_APPLIED:
        results_on_wait_applied(arg, body);
        break;
    default:
        results_on_other(arg, type, body);
    }
}

int results_open(struct worker *worker)
{
    struct link_options options = {
        .run_dir = worker->skel.paths.run,
        .node = worker->skel.node,
        .self = worker->kind->proc,
        .peer = PROC_GATEWAY,
        .start_id = worker->skel.start_id,
        .handlers = {.on_up = results_on_up,
                     .on_down = results_on_down,
                     .on_message = results_on_message},
    };
    int error = 0;

    buf_init(&worker->details, LIMIT_MESSAGE_BYTES);
    worker->gateway_count = config_gateway_count(&worker->skel.config);
    CHECK(worker->gateway_count <= LIMIT_GATEWAYS);
    for (unsigned i = 0; i < worker->gateway_count && error == 0; i++) {
        struct worker_gateway *gateway = &worker->gateways[i];
        gateway->worker = worker;
        options.peer_index = i;
        options.arg = gateway;
        error = link_open(&gateway->link, &options);
        if (error == 0)
            error = link_attach(gateway->link, worker->loop);
    }
    return error;
}

struct link *worker_gateway_link(struct worker *worker, unsigned gateway)
{
    CHECK(gateway < worker->gateway_count);
    return worker->gateways[gateway].link;
}

bool results_are_idle(struct worker *worker)
{
    for (unsigned i = 0; i < worker->gateway_count; i++) {
        if (!link_is_idle(worker->gateways[i].link))
            return false;
    }
    return true;
}
