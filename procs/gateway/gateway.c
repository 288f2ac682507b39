/* gateway.c - see gateway.h: the parts put together, and the loop. */
#include "procs/gateway/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/gateway_raft.h"
#include "ipc/worker_gateway.h"
#include "procs/gateway/events/events_link.h"

/* Of one answer: an escaped value is no longer than the body that brought it was, a list of API
 * keys is as long as there are keys. */
#define GATEWAY_ANSWER_BYTES (2 * (size_t)LIMIT_BODY_MAX)
#define GATEWAY_KEEP_BYTES (64u << 10) /* of the buffers, between requests */

/* ---- the tables' wires to the links ----------------------------------------------------------
 */

static uint64_t gateway_now(void *arg)
{
    (void)arg;
    return clock_boot_ns();
}

static int gateway_send_proposal(void *arg, struct slice entry)
{
    const struct msg_propose msg = {entry};
    return msg_propose_send(links_find(arg, PROC_RAFT), &msg);
}

static int gateway_send_recall(void *arg, enum proc worker, uint64_t session, uint64_t sequence)
{
    const struct msg_recall msg = {session, sequence};
    return msg_recall_send(links_find(arg, worker), &msg);
}

/* Each worker's reads number their questions; raft sees them all. */
static uint64_t gateway_question_id(uint64_t question, enum proc worker)
{
    return question * PROC_WORKER_COUNT + PROC_WORKER_SLOT(worker);
}

void gateway_on_answer(struct gateway *gateway, uint64_t id, int error, uint64_t index)
{
    reads_on_answer(gateway->views[id % PROC_WORKER_COUNT].reads, id / PROC_WORKER_COUNT, error,
                    index);
}

static int gateway_send_question(void *arg, uint64_t question)
{
    const struct gateway_view *view = arg;
    const struct msg_read_index msg = {gateway_question_id(question, view->worker)};
    return msg_read_index_send(links_find(view->gateway, PROC_RAFT), &msg);
}

static int gateway_send_await(void *arg, uint64_t index)
{
    const struct gateway_view *view = arg;
    const struct msg_wait_applied msg = {index};
    return msg_wait_applied_send(links_find(view->gateway, view->worker), &msg);
}

static void gateway_begin_session(void *arg, uint64_t session)
{
    (void)session; /* it is one of them */
    links_tell_sessions(arg);
}

static int gateway_send_cluster_ask(void *arg, const struct msg_cluster_ask *msg)
{
    return msg_cluster_ask_send(links_find(arg, PROC_RAFT), msg);
}

static int gateway_send_change(void *arg, const struct msg_change *msg)
{
    return msg_change_send(links_find(arg, PROC_RAFT), msg);
}

/* ---- turns -----------------------------------------------------------------------------------
 */

/* A worker has forgotten our session. What could be told is told; now a new one begins. */
static void gateway_renew_session(struct gateway *gateway)
{
    uint64_t session;
    do {
        token_random(&session, sizeof(session));
    } while (session == 0);
    inflight_renew(gateway->inflight, session);
    links_tell_sessions(gateway);
}

static void gateway_on_writes_timer(void *arg)
{
    struct gateway *gateway = arg;
    inflight_tick(gateway->inflight);
    if (inflight_wants_renewal(gateway->inflight))
        gateway_renew_session(gateway);
}

static void gateway_on_reads_timer(void *arg)
{
    struct gateway *gateway = arg;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        reads_tick(gateway->views[i].reads);
}

static void gateway_on_pops_timer(void *arg)
{
    struct gateway *gateway = arg;
    pops_tick(gateway->pops);
}

static void gateway_on_sessions_timer(void *arg)
{
    struct gateway *gateway = arg;
    sessions_tick(gateway->sessions);
}

static void gateway_on_asks_timer(void *arg)
{
    struct gateway *gateway = arg;
    asks_tick(&gateway->asks);
}

static void gateway_end_turn(struct gateway *gateway)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        reads_flush(gateway->views[i].reads);
    links_flush(gateway);
    http_end_turn(gateway);
    buf_clear(&gateway->answer);
    buf_shrink(&gateway->answer, GATEWAY_KEEP_BYTES);
    buf_clear(&gateway->command);
    buf_shrink(&gateway->command, GATEWAY_KEEP_BYTES);
    timer_set_by(&gateway->writes_timer, inflight_wants_renewal(gateway->inflight)
                                             ? 0
                                             : inflight_due_ns(gateway->inflight));
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        timer_set_by(&gateway->reads_timer, reads_due_ns(gateway->views[i].reads));
    timer_set_by(&gateway->asks_timer, asks_due_ns(&gateway->asks));
    timer_set_by(&gateway->pops_timer, pops_due_ns(gateway->pops));
    timer_set_by(&gateway->sessions_timer, sessions_due_ns(gateway->sessions));
    timers_arm(gateway->timers);
}

/* ---- the supervisor's wishes -----------------------------------------------------------------
 */

static void gateway_on_stop(void *arg)
{
    struct gateway *gateway = arg;
    pops_stop(gateway->pops);
    sessions_stop(gateway->sessions);
    http_stop(gateway);
}

static void gateway_on_reload(void *arg)
{
    http_reload(arg);
}

/* ---- start -----------------------------------------------------------------------------------
 */

/* When the node was started: its supervisor is our parent. Boot time, from /proc/<pid>/stat, field
 * 22 (in clock ticks). */
static uint64_t gateway_node_start_ns(void)
{
    char path[64], line[1024];
    unsigned long long ticks = 0;
    uint64_t now_ns = clock_boot_ns();
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)getppid());
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return now_ns;
    const char *at = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    for (unsigned field = 2; at != NULL && field < 22; field++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at != NULL)
        ticks = strtoull(at, NULL, 10);
    uint64_t start_ns = ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
    return ticks > 0 && start_ns < now_ns ? start_ns : now_ns;
}

static void gateway_open_shared(struct gateway *gateway)
{
    const char *path = gateway->skel.paths.board;
    int error = board_open(&gateway->board, path, false);
    if (error == 0) {
        path = gateway->skel.paths.rate;
        error = rate_open(&gateway->rate, path);
    }
    if (error == 0)
        return;
    LOG_ERROR("worker_start_failed", LOG_STR("path", path), LOG_CAUSE(error, errno));
    skel_exit(&gateway->skel, 1);
}

static void gateway_open_view(struct gateway *gateway, enum proc worker, enum map_kind kind,
                              const char *folder)
{
    struct gateway_view *view = &gateway->views[PROC_WORKER_SLOT(worker)];
    const struct read_wire wire = {.ask = gateway_send_question,
                                   .await = gateway_send_await,
                                   .now_ns = gateway_now,
                                   .arg = view};
    *view = (struct gateway_view){gateway, worker,
                                  reads_new(gateway->board, folder, kind, worker, &wire)};
}

static void gateway_open_views(struct gateway *gateway)
{
    const struct node_paths *paths = &gateway->skel.paths;
    gateway_open_view(gateway, PROC_STORAGE, MAP_VALUES, paths->values);
    gateway_open_view(gateway, PROC_CACHEQ, MAP_VOLATILE, paths->volatile_map);
    gateway_open_view(gateway, PROC_EVENTS, MAP_EVENTS, paths->events_map);
    gateway->reads = gateway->views[PROC_WORKER_SLOT(PROC_STORAGE)].reads;
}

static void gateway_open_tables(struct gateway *gateway)
{
    const struct inflight_wire writes = {.propose = gateway_send_proposal,
                                         .recall = gateway_send_recall,
                                         .now_ns = gateway_now,
                                         .arg = gateway};
    const struct asks_wire asks = {.ask_cluster = gateway_send_cluster_ask,
                                   .change = gateway_send_change,
                                   .now_ns = gateway_now,
                                   .arg = gateway};
    const struct pops_wire pops = {
        .writes = writes, .begin_session = gateway_begin_session, .arg = gateway};
    gateway->inflight = inflight_new(gateway->skel.start_id, &writes);
    gateway->pops = pops_new(&pops);
    asks_init(&gateway->asks, &asks);
    gateway_open_views(gateway);
    timers_add(gateway->timers, &gateway->writes_timer, gateway_on_writes_timer, gateway);
    timers_add(gateway->timers, &gateway->reads_timer, gateway_on_reads_timer, gateway);
    timers_add(gateway->timers, &gateway->asks_timer, gateway_on_asks_timer, gateway);
    timers_add(gateway->timers, &gateway->pops_timer, gateway_on_pops_timer, gateway);
    timers_add(gateway->timers, &gateway->sessions_timer, gateway_on_sessions_timer, gateway);
}

static void gateway_start(struct gateway *gateway, int argc, char **argv)
{
    skel_start(&gateway->skel, PROC_GATEWAY, argc, argv);
    const struct skel_hooks hooks = {
        .on_stop = gateway_on_stop, .on_reload = gateway_on_reload, .arg = gateway};
    gateway->started_ns = gateway_node_start_ns();
    gateway->loop = h2o_evloop_create();
    gateway->timers = timers_new(gateway->loop);
    buf_init(&gateway->answer, GATEWAY_ANSWER_BYTES);
    buf_init(&gateway->command, LIMIT_ENTRY_BYTES);
    gateway_open_shared(gateway);
    auth_init(&gateway->auth, &gateway->skel.config);
    gateway_open_tables(gateway);
    events_link_open(gateway);
    links_open(gateway);
    http_open(gateway);
    links_watch_supervisor(gateway);
    skel_set_hooks(&gateway->skel, &hooks);
    skel_ready(&gateway->skel);
}

void gateway_run(int argc, char **argv)
{
    struct gateway *gateway = mem_alloc(sizeof(*gateway));
    gateway_start(gateway, argc, argv);
    gateway_end_turn(gateway);
    for (;;) {
        h2o_evloop_run(gateway->loop, INT32_MAX); /* -1 only when a signal woke it */
        gateway_end_turn(gateway);
    }
}
