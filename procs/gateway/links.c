/* links.c - see links.h. */
#include "procs/gateway/links.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/gateway_raft.h"
#include "ipc/worker_gateway.h"
#include "procs/gateway/events/events_link.h"
#include "procs/gateway/gateway.h"

/* ---- descriptors in h2o's loop ---------------------------------------------------------------
 */

/* A duplicate, because h2o closes what it watches and the descriptor has an owner already. */
static h2o_socket_t *links_watch(h2o_loop_t *loop, int fd, h2o_socket_cb ready, void *data)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CHECK(copy >= 0);
    h2o_socket_t *watch = h2o_evloop_socket_create(loop, copy, H2O_SOCKET_FLAG_DONT_READ);
    watch->data = data;
    h2o_socket_read_start(watch, ready);
    return watch;
}

static void links_on_control(h2o_socket_t *socket, const char *error)
{
    (void)error;
    skel_drain_control(socket->data);
}

static void links_on_signal(h2o_socket_t *socket, const char *error)
{
    (void)error;
    skel_drain_signals(socket->data);
}

void links_watch_supervisor(struct gateway *gateway)
{
    struct skel *skel = &gateway->skel;
    links_watch(gateway->loop, skel->control_fd, links_on_control, skel);
    links_watch(gateway->loop, skel->signal_fd, links_on_signal, skel);
}

/* ---- raft ------------------------------------------------------------------------------------
 */

static void links_on_raft_up(void *arg, const struct link_peer *peer)
{
    struct link_host *host = arg;
    LOG_INFO("link_up", LOG_STR("peer", proc_name(peer->proc)));
    asks_on_raft_up(&host->gateway->asks);
    /* Nothing else is sent before raft has said whether there is a leader: it does so on every
     * connect. */
}

static void links_on_raft_down(void *arg)
{
    struct link_host *host = arg;
    LOG_INFO("link_down", LOG_STR("peer", proc_name(host->peer)));
    inflight_on_raft_down(host->gateway->inflight);
    pops_on_raft_down(host->gateway->pops);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        reads_on_raft_down(host->gateway->views[i].reads);
    asks_on_raft_down(&host->gateway->asks);
}

static void links_on_leader(struct gateway *gateway, struct unpack *body)
{
    struct msg_leader msg;
    if (msg_leader_decode(&msg, body) != 0)
        return;
    inflight_on_leader(gateway->inflight, msg.is_known);
    pops_on_leader(gateway->pops, msg.is_known);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        reads_on_leader(gateway->views[i].reads, msg.is_known);
}

static void links_on_refuse(struct gateway *gateway, struct unpack *body)
{
    struct msg_refuse msg;
    if (msg_refuse_decode(&msg, body) != 0)
        return;
    inflight_on_refuse(gateway->inflight, msg.session, msg.sequence, (int)msg.error);
    pops_on_refuse(gateway->pops, msg.session, msg.sequence, (int)msg.error);
}

static void links_on_answer(struct gateway *gateway, struct unpack *body)
{
    struct msg_read_index_reply msg;
    if (msg_read_index_reply_decode(&msg, body) == 0)
        gateway_on_answer(gateway, msg.id, (int)msg.error, msg.index);
}

static void links_on_cluster(struct gateway *gateway, struct unpack *body)
{
    struct msg_cluster_answer msg;
    if (msg_cluster_answer_decode(&msg, body) == 0)
        asks_on_cluster(&gateway->asks, &msg);
}

static void links_on_change(struct gateway *gateway, struct unpack *body)
{
    struct msg_change_answer msg;
    if (msg_change_answer_decode(&msg, body) == 0)
        asks_on_change(&gateway->asks, &msg);
}

static void links_on_raft_message(void *arg, enum msg type, struct unpack *body)
{
    struct link_host *host = arg;
    switch (type) {
    case MSG_LEADER:
        links_on_leader(host->gateway, body);
        break;
    case MSG_REFUSE:
        links_on_refuse(host->gateway, body);
        break;
    case MSG_READ_INDEX_REPLY:
        links_on_answer(host->gateway, body);
        break;
    case MSG_CLUSTER_ANSWER:
        links_on_cluster(host->gateway, body);
        break;
    case MSG_CHANGE_ANSWER:
        links_on_change(host->gateway, body);
        break;
    default:
        unpack_refuse(body);
    }
}

_Static_assert(1 + POPS_SESSIONS < WORKER_GATEWAY_SESSIONS, "a worker keeps more than there are");

/* ---- the state workers -----------------------------------------------------------------------
 */

static struct reads *links_view(const struct link_host *host)
{
    return host->gateway->views[PROC_WORKER_SLOT(host->peer)].reads;
}

static void links_tell_session_to(const struct link_host *host, uint64_t session)
{
    const struct msg_session msg = {session};
    int error = msg_session_send(host->link, &msg);
    /* Down: when it comes up. Busy: what does not come of itself is recalled. */
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
}

static void links_tell_sessions_to(const struct link_host *host)
{
    uint64_t sessions[POPS_SESSIONS];
    unsigned count = pops_sessions(host->gateway->pops, sessions);
    links_tell_session_to(host, inflight_session(host->gateway->inflight));
    for (unsigned i = 0; i < count; i++)
        links_tell_session_to(host, sessions[i]);
}

static void links_on_worker_up(void *arg, const struct link_peer *peer)
{
    struct link_host *host = arg;
    LOG_INFO("link_up", LOG_STR("peer", proc_name(peer->proc)));
    links_tell_sessions_to(host);
    inflight_on_worker_up(host->gateway->inflight, host->peer);
    pops_on_worker_up(host->gateway->pops, host->peer);
    reads_on_worker_up(links_view(host));
    if (host->peer == PROC_EVENTS)
        events_link_on_up(host->gateway);
}

static void links_on_worker_down(void *arg)
{
    struct link_host *host = arg;
    LOG_INFO("link_down", LOG_STR("peer", proc_name(host->peer)));
    reads_on_worker_down(links_view(host));
    if (host->peer == PROC_EVENTS)
        events_link_on_down(host->gateway);
}

static void links_on_result(struct link_host *host, struct unpack *body)
{
    struct msg_result msg;
    if (msg_result_decode(&msg, body) != 0)
        return;
    const struct inflight_outcome outcome = {(int)msg.error, msg.index, msg.detail};
    inflight_on_result(host->gateway->inflight, host->peer, msg.session, msg.sequence, &outcome);
    pops_on_result(host->gateway->pops, host->peer, msg.session, msg.sequence, &outcome);
}

static void links_on_applied(struct link_host *host, struct unpack *body)
{
    struct msg_applied_at msg;
    if (msg_applied_at_decode(&msg, body) == 0)
        reads_on_applied(links_view(host), msg.index);
}

static void links_on_worker_message(void *arg, enum msg type, struct unpack *body)
{
    struct link_host *host = arg;
    switch (type) {
    case MSG_RESULT:
        links_on_result(host, body);
        break;
    case MSG_APPLIED_AT:
        links_on_applied(host, body);
        break;
    default:
        if (host->peer != PROC_EVENTS || !events_link_on_message(host->gateway, type, body))
            unpack_refuse(body);
    }
}

static void links_on_worker_batch_end(void *arg)
{
    struct link_host *host = arg;
    if (host->peer == PROC_EVENTS)
        events_link_on_batch_end(host->gateway);
}

/* ---- open, flush ----------------------------------------------------------------------
 */

static void links_on_ready(h2o_socket_t *socket, const char *error)
{
    struct link_host *host = socket->data;
    (void)error;
    link_drain(host->link);
}

static void links_open_one(struct gateway *gateway, struct link_host *host, enum proc peer)
{
    static const struct link_handlers of_raft = {.on_up = links_on_raft_up,
                                                 .on_down = links_on_raft_down,
                                                 .on_message = links_on_raft_message};
    static const struct link_handlers of_worker = {.on_up = links_on_worker_up,
                                                   .on_down = links_on_worker_down,
                                                   .on_message = links_on_worker_message,
                                                   .on_batch_end = links_on_worker_batch_end};
    const struct link_options options = {.run_dir = gateway->skel.paths.run,
                                         .node = gateway->skel.node,
                                         .self = PROC_GATEWAY,
                                         .self_index = gateway->skel.index,
                                         .peer = peer,
                                         .start_id = gateway->skel.start_id,
                                         .handlers = peer == PROC_RAFT ? of_raft : of_worker,
                                         .arg = host};
    host->gateway = gateway;
    host->peer = peer;
    int error = link_open(&host->link, &options);
    if (error != 0) {
        LOG_ERROR("worker_start_failed", LOG_STR("reason", "link"),
                  LOG_STR("peer", proc_name(peer)), LOG_STR("error", error_text(error)));
        skel_exit(&gateway->skel, 1);
    }
    host->watch = links_watch(gateway->loop, link_fd(host->link), links_on_ready, host);
}

void links_open(struct gateway *gateway)
{
    struct link_host *hosts = gateway->links.hosts;
    links_open_one(gateway, &hosts[0], PROC_RAFT);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        links_open_one(gateway, &hosts[1 + i], (enum proc)(PROC_FIRST_WORKER + i));
}

void links_flush(struct gateway *gateway)
{
    for (unsigned i = 0; i < LINKS_COUNT; i++)
        link_flush(gateway->links.hosts[i].link);
}

struct link *links_find(struct gateway *gateway, enum proc peer)
{
    for (unsigned i = 0; i < LINKS_COUNT; i++) {
        if (gateway->links.hosts[i].peer == peer)
            return gateway->links.hosts[i].link;
    }
    CHECK(!"a process that the gateway has no link to");
    return NULL;
}

void links_tell_sessions(struct gateway *gateway)
{
    for (unsigned i = 0; i < LINKS_COUNT; i++) {
        if (gateway->links.hosts[i].peer != PROC_RAFT)
            links_tell_sessions_to(&gateway->links.hosts[i]);
    }
}
