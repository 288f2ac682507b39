/* stream.c - the worker's end of the apply stream: asking for it, and taking what comes. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/worker/worker_private.h"

#define STREAM_HOLD_NS NS_PER_S

static void stream_set_leader(struct worker *worker, bool is_leader)
{
    worker->is_leader = is_leader;
    if (worker->kind->role_changed != NULL)
        worker->kind->role_changed(worker->kind->arg, worker);
}

void stream_resume(struct worker *worker)
{
    struct msg_resume resume = {.applied_index = worker->applier.last_index,
                                .state_hash = worker->applier.state_hash};

    if (worker->stream == STREAM_ENDED || !link_is_up(worker->raft))
        return;
    if (resume.applied_index > 0)
        memcpy(resume.lineage, worker->applier.lineage, sizeof(resume.lineage));
    worker->stream = STREAM_ASKED;
    int error = msg_resume_send(worker->raft, &resume);
    CHECK(error == 0 || error == E_PEER_DOWN); /* down: again when it is up */
}

static void stream_on_up(void *arg, const struct link_peer *peer)
{
    struct worker *worker = arg;

    (void)peer;
    if (worker->stream == STREAM_ENDED)
        return;
    worker_commit(worker);                     /* of an earlier connection */
    if (!worker_snapshots_are_loading(worker)) /* else when that has ended */
        stream_resume(worker);
}

static void stream_on_down(void *arg)
{
    struct worker *worker = arg;

    if (worker->stream == STREAM_ENDED)
        return;
    worker->stream = STREAM_DOWN;
    loop_timer_clear(worker->loop, &worker->hold_timer);
    worker_snapshots_on_down(worker);
    stream_set_leader(worker, false);
}

static void stream_on_resume_ok(struct worker *worker, struct unpack *body)
{
    struct applier *applier = &worker->applier;
    struct msg_resume_ok msg;

    if (msg_resume_ok_decode(&msg, body) != 0 || worker->stream != STREAM_ASKED)
        return;
    if (applier->last_index > 0 && memcmp(applier->lineage, msg.lineage, sizeof(msg.lineage)) != 0)
        worker_rebuild(worker, "the stream is of another log");
    applier_set_lineage(applier, msg.lineage);
    worker->stream = STREAM_FLOWING;
    worker->told_index = applier->last_index;
    worker_publish(worker); /* only now is it certain that our state is this log's */
    LOG_INFO("stream_resumed", LOG_U64("applied_index", applier->last_index));
}

static void stream_on_apply(struct worker *worker, struct unpack *body)
{
    struct msg_apply msg;

    if (msg_apply_decode(&msg, body) == 0 && worker->stream == STREAM_FLOWING)
        worker_apply(worker, &msg);
}

static void stream_on_apply_end(struct worker *worker, struct unpack *body)
{
    struct msg_apply_end msg;

    if (msg_apply_end_decode(&msg, body) == 0 && worker->stream == STREAM_FLOWING)
        applier_advance(&worker->applier, msg.last_index);
}

static void stream_on_role(struct worker *worker, struct unpack *body)
{
    struct msg_role msg;

    if (msg_role_decode(&msg, body) != 0)
        return;
    LOG_DEBUG("role_told", LOG_STR("role", msg.is_leader ? "leader" : "follower"),
              LOG_U64("term", msg.term));
    stream_set_leader(worker, msg.is_leader);
}

static void stream_on_message(void *arg, enum msg type, struct unpack *body)
{
    struct worker *worker = arg;

    switch (type) {
    case MSG_APPLY:
        stream_on_apply(worker, body);
        break;
    case MSG_APPLY_END:
        stream_on_apply_end(worker, body);
        break;
    case MSG_RESUME_OK:
        stream_on_resume_ok(worker, body);
        break;
    case MSG_REBUILD:
        if (msg_rebuild_decode(body) == 0)
            worker_rebuild(worker, "raft cannot continue it");
        break;
    case MSG_ROLE:
        stream_on_role(worker, body);
        break;
    case MSG_SNAPSHOT_MAKE:
        worker_snapshots_on_make(worker, body);
        break;
    case MSG_SNAPSHOT_DROP:
        worker_snapshots_on_drop(worker, body);
        break;
    case MSG_SNAPSHOT_LOAD:
        worker_snapshots_on_load(worker, body);
        break;
    default:
        unpack_refuse(body);
    }
}

/* ---- no room ---- */

/* What came meanwhile was passed over, so it is asked for again. */
static void stream_on_hold_over(void *arg)
{
    struct worker *worker = arg;

    if (!worker_may_write(worker, worker->held_bytes)) {
        loop_timer_set(worker->loop, &worker->hold_timer,
                       loop_now_ns(worker->loop) + STREAM_HOLD_NS);
        return;
    }
    LOG_INFO("apply_goes_on", LOG_U64("applied_index", worker->applier.last_index));
    stream_resume(worker);
}

void stream_hold(struct worker *worker, uint64_t bytes)
{
    LOG_ERROR("apply_held", LOG_STR("folder", worker->folder),
              LOG_U64("reserve_bytes", worker->kind->reserve_bytes),
              LOG_U64("command_bytes", bytes),
              LOG_U64("applied_index", worker->applier.last_index));
    worker->stream = STREAM_HELD;
    worker->held_bytes = bytes;
    loop_timer_set(worker->loop, &worker->hold_timer, loop_now_ns(worker->loop) + STREAM_HOLD_NS);
}

/* ---- what the others call ---- */

void stream_tell_applied(struct worker *worker)
{
    const struct applier *applier = &worker->applier;
    const struct msg_applied msg = {.index = applier->last_index,
                                    .state_hash = applier->state_hash,
                                    .checkpoint_index = applier->checkpoint_index,
                                    .checkpoint_hash = applier->checkpoint_hash};

    worker->told_index = msg.index;
    if (worker->stream != STREAM_FLOWING && worker->stream != STREAM_HELD)
        return; /* RESUME tells it */
    int error = msg_applied_send(worker->raft, &msg);
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY); /* the next one says more */
}

int stream_open(struct worker *worker)
{
    const struct link_options options = {
        .run_dir = worker->skel.paths.run,
        .node = worker->skel.node,
        .self = worker->kind->proc,
        .peer = PROC_RAFT,
        .start_id = worker->skel.start_id,
        .handlers = {.on_up = stream_on_up,
                     .on_down = stream_on_down,
                     .on_message = stream_on_message},
        .arg = worker,
    };

    worker->hold_timer.fire = stream_on_hold_over;
    worker->hold_timer.arg = worker;
    int error = link_open(&worker->raft, &options);
    return error != 0 ? error : link_attach(worker->raft, worker->loop);
}

int worker_propose(struct worker *worker, struct slice command)
{
    const struct msg_worker_propose msg = {.command = command};

    return worker->raft == NULL ? E_PEER_DOWN : msg_worker_propose_send(worker->raft, &msg);
}

int worker_propose_to_all(struct worker *worker, struct slice command)
{
    const struct msg_worker_propose msg = {.command = command, .is_for_all = true};

    return worker->raft == NULL ? E_PEER_DOWN : msg_worker_propose_send(worker->raft, &msg);
}

bool worker_is_leader(const struct worker *worker)
{
    return worker->is_leader;
}

uint64_t worker_cluster_time_ms(const struct worker *worker)
{
    return board_cluster_time_ms(worker->board);
}
