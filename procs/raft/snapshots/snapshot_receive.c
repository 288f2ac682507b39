/* snapshot_receive.c - see snapshot_receive.h. */
#include "procs/raft/snapshots/snapshot_receive.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/disk_guard.h"

struct receive_job { /* the helper's while it runs; freed when it is done */
    struct helper_job job;
    struct receive_job *next;
    struct snapshot_receive *receive;
    uint64_t life, from, term;
    struct snapshot *snapshot; /* to begin; then NULL, or what is complete and has its name */
    uint64_t position;         /* a chunk's; then: so much is written */
    int error;
    struct slice bytes; /* of the chunk, or the manifest */
    uint8_t room[];
};

static void receive_on_timer(void *arg);

/* ---- ending -----------------------------------------------------------------------------------
 */

/* The transfer; its files stay. */
static void receive_forget(struct snapshot_receive *receive)
{
    loop_timer_clear(receive->loop, &receive->timer);
    free(receive->snapshot);
    receive->snapshot = NULL;
    receive->is_prepared = false;
    receive->life++;
}

static void receive_end(struct snapshot_receive *receive, int error)
{
    LOG_WARN("snapshot_receive_ended", LOG_U64("index", receive->snapshot->index),
             LOG_U64("transfer", receive->transfer), LOG_U64("position", receive->written),
             LOG_STR("error", error_text(error)));
    receive_forget(receive);
}

static void receive_refuse(struct snapshot_receive *receive, uint64_t to, uint64_t transfer,
                           int error)
{
    const struct peer_snapshot_abort abort = {transfer, (uint64_t)error};
    receive->hooks.abort(receive->hooks.arg, to, &abort);
}

static void receive_give_up(struct snapshot_receive *receive, int error)
{
    receive_refuse(receive, receive->from, receive->transfer, error);
    receive_end(receive, error);
}

static void receive_ack(struct snapshot_receive *receive, uint64_t position)
{
    const struct peer_snapshot_ack ack = {receive->transfer, position};
    receive->acked_ns = loop_now_ns(receive->loop);
    receive->hooks.ack(receive->hooks.arg, receive->from, &ack);
}

/* ---- the helper's work ------------------------------------------------------------------------
 */

static struct receive_job *receive_job_new(struct snapshot_receive *receive, struct slice bytes)
{
    struct receive_job *step = mem_alloc(sizeof(*step) + bytes.len);
    step->receive = receive;
    step->life = receive->life;
    step->from = receive->from;
    step->term = receive->term;
    if (bytes.len > 0)
        memcpy(step->room, bytes.data, bytes.len);
    step->bytes = slice_of(step->room, bytes.len);
    return step;
}

static void receive_give(struct snapshot_receive *receive, struct receive_job *step,
                         void (*run)(struct helper_job *), void (*done)(struct helper_job *))
{
    struct receive_job **end = &receive->jobs;
    if (!receive->helper)
        receive->helper = helper_new(receive->loop);
    while (*end)
        end = &(*end)->next;
    *end = step;
    step->job = (struct helper_job){.run = run, .done = done};
    receive->queued_bytes += step->bytes.len;
    helper_give(receive->helper, &step->job);
}

static void receive_free_first(struct snapshot_receive *receive)
{
    struct receive_job *step = receive->jobs;
    receive->jobs = step->next;
    receive->queued_bytes -= step->bytes.len;
    free(step->snapshot);
    free(step);
}

/* In the helper: what is complete is given its name. */
static void receive_complete(struct receive_job *step)
{
    struct incoming *incoming = &step->receive->incoming;
    free(step->snapshot);
    step->snapshot = NULL;
    if (step->error)
        return;
    step->position = incoming->position;
    if (incoming->part < PROC_WORKER_COUNT)
        return;
    step->snapshot = mem_copy(incoming->snapshot, sizeof(*incoming->snapshot));
    step->error = incoming_finish(incoming);
}

static void receive_run_begin(struct helper_job *job)
{
    struct receive_job *step = (struct receive_job *)job;
    step->error = incoming_begin(&step->receive->incoming, step->bytes, step->snapshot,
                                 disk_guard_reserve(step->receive->folder));
    receive_complete(step);
}

static void receive_run_write(struct helper_job *job)
{
    struct receive_job *step = (struct receive_job *)job;
    step->error = incoming_write(&step->receive->incoming, step->position, step->bytes);
    receive_complete(step);
}

/* ---- when it is done --------------------------------------------------------------------------
 */

/* It is on the disk, whatever has become of the transfer meanwhile. */
static void receive_take(struct snapshot_receive *receive, struct receive_job *step)
{
    struct snapshot *snapshot = step->snapshot;
    uint64_t bytes = snapshot_bytes(snapshot), from = step->from, term = step->term;
    LOG_INFO("snapshot_received", LOG_U64("index", snapshot->index),
             LOG_U64("term", snapshot->term), LOG_U64("transfer", receive->transfer),
             LOG_U64("bytes", bytes - receive->begin_position),
             LOG_U64("after_ms", (loop_now_ns(receive->loop) - receive->begin_ns) / NS_PER_MS));
    if (receive->snapshot && receive->snapshot->index == snapshot->index) {
        receive_ack(receive, bytes);
        receive_forget(receive);
    }
    step->snapshot = NULL;
    receive_free_first(receive);
    receive->hooks.received(receive->hooks.arg, from, term, snapshot);
}

/* True: the transfer that the job belongs to goes on. */
static bool receive_goes_on(struct snapshot_receive *receive, struct receive_job *step)
{
    bool is_wanted = receive->snapshot && step->life == receive->life;
    if (is_wanted && step->error)
        receive_give_up(receive, step->error);
    return is_wanted && step->error == 0;
}

static void receive_on_written(struct helper_job *job)
{
    struct receive_job *step = (struct receive_job *)job;
    struct snapshot_receive *receive = step->receive;
    if (!step->error && step->snapshot) {
        receive_take(receive, step);
        return;
    }
    if (receive_goes_on(receive, step)) {
        receive->written = step->position;
        receive_ack(receive, receive->written);
    }
    receive_free_first(receive);
}

static void receive_on_begun(struct helper_job *job)
{
    struct receive_job *step = (struct receive_job *)job;
    struct snapshot_receive *receive = step->receive;
    if (!step->error && step->snapshot) { /* all was there */
        receive_take(receive, step);
        return;
    }
    if (receive_goes_on(receive, step)) {
        receive->is_prepared = true;
        receive->written = receive->expected = receive->begin_position = step->position;
        receive->heard_ns = loop_now_ns(receive->loop);
        receive_ack(receive, receive->written);
        receive_on_timer(receive);
    }
    receive_free_first(receive);
}

/* ---- offers -----------------------------------------------------------------------------------
 */

/* The one under way gives way to a newer leader, and to the same sender. */
static bool receive_gives_way(struct snapshot_receive *receive, uint64_t from, uint64_t term)
{
    if (!receive->snapshot)
        return true;
    if (from == receive->from) {
        receive_forget(receive);
        return true;
    }
    if (term <= receive->term)
        return false;
    receive_give_up(receive, E_NO_LEADER);
    return true;
}

static void receive_begin(struct snapshot_receive *receive, uint64_t from,
                          const struct peer_snapshot_offer *offer, struct snapshot *snapshot)
{
    receive->life++;
    receive->snapshot = snapshot;
    receive->from = from;
    receive->transfer = offer->transfer;
    receive->term = offer->term;
    receive->begin_ns = receive->heard_ns = loop_now_ns(receive->loop);
    receive->written = 0;
    LOG_INFO("snapshot_offered", LOG_U64("index", snapshot->index), LOG_U64("term", snapshot->term),
             LOG_U64("transfer", offer->transfer), LOG_U64("bytes", snapshot_bytes(snapshot)));
    struct receive_job *step = receive_job_new(receive, offer->manifest);
    step->snapshot = mem_copy(snapshot, sizeof(*snapshot));
    receive_give(receive, step, receive_run_begin, receive_on_begun);
}

void snapshot_receive_on_offer(struct snapshot_receive *receive, uint64_t from,
                               const struct peer_snapshot_offer *offer)
{
    const struct snapshot_receive_hooks *hooks = &receive->hooks;
    struct snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    int error = snapshot_decode(snapshot, offer->manifest);
    if (!error && snapshot->term > offer->term)
        error = E_INVALID;
    if (!error)
        error = hooks->judge(hooks->arg, from, offer->term, snapshot);
    if (!error && !receive_gives_way(receive, from, offer->term))
        error = E_BUSY;
    if (!error) {
        receive_begin(receive, from, offer, snapshot);
        return;
    }
    if (error == E_EXISTS) {
        const struct peer_snapshot_ack all = {offer->transfer, snapshot_bytes(snapshot)};
        hooks->ack(hooks->arg, from, &all);
    } else {
        LOG_DEBUG("snapshot_refused", LOG_U64("index", snapshot->index),
                  LOG_STR("error", error_text(error)));
        receive_refuse(receive, from, offer->transfer, error);
    }
    free(snapshot);
}

/* ---- chunks -----------------------------------------------------------------------------------
 */

int snapshot_receive_on_chunk(struct snapshot_receive *receive, uint64_t from,
                              const struct peer_snapshot_chunk *chunk)
{
    if (!receive->snapshot || from != receive->from || chunk->transfer != receive->transfer)
        return 0; /* of one that has ended */
    if (!receive->is_prepared || chunk->position != receive->expected ||
        receive->queued_bytes + chunk->bytes.len > SNAPSHOT_RECEIVE_QUEUE_BYTES) {
        receive_give_up(receive, E_INVALID);
        return E_INVALID;
    }
    receive->heard_ns = loop_now_ns(receive->loop);
    receive->expected += chunk->bytes.len;
    struct receive_job *step = receive_job_new(receive, chunk->bytes);
    step->position = chunk->position;
    receive_give(receive, step, receive_run_write, receive_on_written);
    return 0;
}

void snapshot_receive_on_abort(struct snapshot_receive *receive, uint64_t from,
                               const struct peer_snapshot_abort *abort)
{
    if (receive->snapshot && from == receive->from && abort->transfer == receive->transfer)
        receive_end(receive, (int)abort->error);
}

void snapshot_receive_on_peer_gone(struct snapshot_receive *receive, uint64_t from)
{
    if (receive->snapshot && from == receive->from)
        receive_end(receive, E_PEER_DOWN);
}

static void receive_on_timer(void *arg)
{
    struct snapshot_receive *receive = arg;
    uint64_t now_ns = loop_now_ns(receive->loop);
    bool is_idle = receive->written == receive->expected;
    if (is_idle && now_ns >= receive->heard_ns + SNAPSHOT_RECEIVE_SILENCE_MS * NS_PER_MS) {
        receive_give_up(receive, E_TIMEOUT);
        return;
    }
    if (now_ns >= receive->acked_ns + SNAPSHOT_RECEIVE_ACK_MS * NS_PER_MS)
        receive_ack(receive, receive->written);
    loop_timer_set(receive->loop, &receive->timer, now_ns + SNAPSHOT_RECEIVE_ACK_MS * NS_PER_MS);
}

/* ---- what is left -----------------------------------------------------------------------------
 */

static void receive_run_clean(struct helper_job *job)
{
    struct receive_job *step = (struct receive_job *)job;
    step->error = incoming_clean(&step->receive->incoming);
}

static void receive_on_cleaned(struct helper_job *job)
{
    receive_free_first(((struct receive_job *)job)->receive);
}

void snapshot_receive_clean(struct snapshot_receive *receive)
{
    if (receive->snapshot || !incoming_is_there(&receive->incoming))
        return;
    struct receive_job *step = receive_job_new(receive, (struct slice){0});
    receive_give(receive, step, receive_run_clean, receive_on_cleaned);
}

/* ---- life -------------------------------------------------------------------------------------
 */

bool snapshot_receive_is_busy(const struct snapshot_receive *receive)
{
    return receive->snapshot != NULL;
}

void snapshot_receive_init(struct snapshot_receive *receive, const char *folder, struct loop *loop,
                           const struct snapshot_receive_hooks *hooks)
{
    *receive = (struct snapshot_receive){.folder = folder, .loop = loop, .hooks = *hooks};
    receive->timer = (struct loop_timer){.fire = receive_on_timer, .arg = receive};
    incoming_init(&receive->incoming, folder);
}

void snapshot_receive_fini(struct snapshot_receive *receive)
{
    receive_forget(receive);
    helper_free(&receive->helper);
    while (receive->jobs)
        receive_free_first(receive);
    incoming_fini(&receive->incoming);
}
