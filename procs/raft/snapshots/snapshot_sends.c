/* snapshot_sends.c - see snapshot_sends.h. */
#include "procs/raft/snapshots/snapshot_sends.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define SENDING_AGAIN_NS NS_PER_S /* after one that failed; doubles with each ... */
#define SENDING_DOUBLINGS 6       /* ... so often */
#define SENDING_DOWN_NS (NS_PER_S / 4)

/* ---- who is sent one --------------------------------------------------------------------------
 */

static struct sending *sends_find(struct snapshot_sends *sends, uint64_t id)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sends->list[i].to == id)
            return &sends->list[i];
    return NULL;
}

/* NULL: more want one than there can be members. */
static struct sending *sends_make(struct snapshot_sends *sends, uint64_t id)
{
    struct sending *sending = sends_find(sends, id);
    if (!sending)
        sending = sends_find(sends, RAFT_NONE);
    for (unsigned i = 0; !sending && i < RAFT_MEMBERS_MAX; i++)
        if (sends->list[i].state == SENDING_NONE)
            sending = &sends->list[i]; /* only remembers failures */
    if (sending && sending->to != id)
        *sending = (struct sending){.sends = sends, .to = id};
    return sending;
}

static void sends_serve_soon(struct snapshot_sends *sends, uint64_t due_ns)
{
    struct loop_timer *timer = &sends->timer;
    if (timer->due_ns == 0 || due_ns < timer->due_ns)
        loop_timer_set(sends->loop, timer, due_ns);
}

void snapshot_sends_want(struct snapshot_sends *sends, uint64_t id, bool for_core)
{
    struct sending *sending = sends_make(sends, id);
    if (!sending)
        return; /* no member, for each of those has a place: it asks again */
    if (sending->state == SENDING_NONE)
        sending->state = SENDING_WAITS;
    sending->for_core |= for_core;
    sends_serve_soon(sends, loop_now_ns(sends->loop));
}

/* A disk over there that damages what it is sent is not sent everything again each second. */
static uint64_t sending_wait_ns(struct sending *sending, int error)
{
    if (error == 0)
        sending->failures = 0;
    if (error == 0)
        return 0;
    if (error == E_PEER_DOWN)
        return SENDING_DOWN_NS;
    uint64_t wait_ns = SENDING_AGAIN_NS << sending->failures;
    if (sending->failures < SENDING_DOUBLINGS)
        sending->failures++;
    return wait_ns;
}

static void sending_end(struct sending *sending, int error)
{
    struct snapshot_sends *sends = sending->sends;
    snapshot_send_cancel(&sending->send);
    sending->state = SENDING_ENDED;
    sending->error = error;
    sending->due_ns = loop_now_ns(sends->loop) + sending_wait_ns(sending, error);
    sends_serve_soon(sends, sending->due_ns);
}

/* ---- what is said -----------------------------------------------------------------------------
 */

static struct peer *sending_peer(const struct sending *sending)
{
    return peers_by_id(sending->sends->peers, sending->to);
}

static int sending_offer(void *arg, const struct peer_snapshot_offer *offer)
{
    return peer_say_snapshot_offer(sending_peer(arg), offer);
}

static int sending_chunk(void *arg, const struct peer_snapshot_chunk *chunk)
{
    struct sending *sending = arg;
    int error = peer_say_snapshot_chunk(sending_peer(sending), chunk);
    if (error == 0)
        sending->sends->bytes += chunk->bytes.len;
    return error;
}

static int sending_abort(void *arg, const struct peer_snapshot_abort *abort)
{
    return peer_say_snapshot_abort(sending_peer(arg), abort);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

struct sends_doubt { /* whether what was sent is damaged here, or only what arrived */
    struct helper_job job;
    struct snapshot_sends *sends;
    struct snapshot *snapshot;
    const char *folder;
    int error;
};

static void sends_run_doubt(struct helper_job *job)
{
    struct sends_doubt *doubt = (struct sends_doubt *)job;
    helper_stand_back();
    for (unsigned i = 0; i < PROC_WORKER_COUNT && doubt->error == 0; i++)
        doubt->error =
            snapshot_store_verify(doubt->folder, NULL, doubt->snapshot, SNAPSHOT_PROC(i));
}

static void sends_on_doubt_settled(struct helper_job *job)
{
    struct sends_doubt *doubt = (struct sends_doubt *)job;
    struct snapshot_sends *sends = doubt->sends;
    if (doubt->error == E_CORRUPT)
        snapshots_set_damaged(sends->snapshots, doubt->snapshot->index);
    sends->doubts = false;
    free(doubt->snapshot);
    free(doubt);
}

static void sends_doubt_snapshot(struct snapshot_sends *sends, uint64_t index)
{
    const struct snapshot *snapshot = snapshots_find(sends->snapshots, index);
    if (!snapshot || sends->doubts)
        return;
    struct sends_doubt *doubt = mem_alloc(sizeof(*doubt));
    doubt->job = (struct helper_job){.run = sends_run_doubt, .done = sends_on_doubt_settled};
    doubt->sends = sends;
    doubt->snapshot = mem_copy(snapshot, sizeof(*snapshot));
    doubt->folder = sends->folder;
    sends->doubts = true;
    helper_give(sends->helper, &doubt->job);
}

static void sending_on_ended(void *arg, int error)
{
    struct sending *sending = arg;
    sending->index = snapshot_send_index(sending->send);
    if (error == E_CORRUPT)
        sends_doubt_snapshot(sending->sends, sending->index);
    sending_end(sending, error);
}

static void sending_begin(struct sending *sending, const struct snapshot *snapshot)
{
    struct snapshot_sends *sends = sending->sends;
    if (!sends->helper)
        sends->helper = helper_new(sends->loop);
    const struct snapshot_send_options options = {.folder = sends->folder,
                                                  .snapshot = snapshot,
                                                  .transfer = ++sends->last,
                                                  .term = sends->group->term,
                                                  .loop = sends->loop,
                                                  .helper = sends->helper,
                                                  .hooks = {.offer = sending_offer,
                                                            .chunk = sending_chunk,
                                                            .abort = sending_abort,
                                                            .ended = sending_on_ended,
                                                            .arg = sending}};
    sending->state = SENDING_RUNS;
    sending->send = snapshot_send_new(&options);
}

static void sends_begin_waiting(struct snapshot_sends *sends)
{
    const struct snapshot *newest = snapshots_newest(sends->snapshots);
    unsigned busy = 0;
    if (!newest || sends->group->is_stopping) { /* goes on when there is one */
        snapshots_want(sends->snapshots);
        return;
    }
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        busy += sends->list[i].state == SENDING_RUNS ? 1 : 0;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX && busy < SNAPSHOT_SENDS_AT_ONCE; i++) {
        struct sending *sending = &sends->list[i];
        if (sending->state != SENDING_WAITS)
            continue;
        const struct peer *peer = peers_by_id(sends->peers, sending->to);
        if (!peer || !peer_info(peer)->is_up) {
            sending_end(sending, E_PEER_DOWN);
            continue;
        }
        sending_begin(sending, newest);
        busy++;
    }
}

/* Tells the core what has ended, and begins what waits. */
static void sends_on_timer(void *arg)
{
    struct snapshot_sends *sends = arg;
    uint64_t now_ns = loop_now_ns(sends->loop);
    bool waits = false;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct sending *sending = &sends->list[i];
        waits |= sending->state == SENDING_WAITS;
        if (sending->state != SENDING_ENDED)
            continue;
        if (sending->due_ns > now_ns) {
            sends_serve_soon(sends, sending->due_ns);
            continue;
        }
        const struct sending ended = *sending;
        sending->state = SENDING_NONE;
        sending->for_core = false;
        if (sending->failures == 0)
            sending->to = RAFT_NONE;
        if (ended.for_core)
            sends->sent(sends->arg, ended.to, ended.index, ended.error == 0);
    }
    if (waits)
        sends_begin_waiting(sends);
}

void snapshot_sends_on_newest(struct snapshot_sends *sends)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sends->list[i].state == SENDING_WAITS)
            sends_serve_soon(sends, loop_now_ns(sends->loop));
}

/* Another one leads now, and sends what is to be sent. */
static void sends_stop(struct snapshot_sends *sends)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct sending *sending = &sends->list[i];
        snapshot_send_cancel(&sending->send);
        *sending = (struct sending){0};
    }
}

void snapshot_sends_go_on(struct snapshot_sends *sends)
{
    uint64_t term = group_leads(sends->group) ? sends->group->term : 0;
    if (term != sends->term)
        sends_stop(sends);
    sends->term = term;
    for (unsigned i = 0; term != 0 && i < RAFT_MEMBERS_MAX; i++)
        if (sends->list[i].send)
            snapshot_send_go_on(sends->list[i].send);
}

/* ---- what receivers say -----------------------------------------------------------------------
 */

void snapshot_sends_on_wanted(struct snapshot_sends *sends, uint64_t from, uint64_t index)
{
    const struct snapshot *newest = snapshots_newest(sends->snapshots);
    if (!group_leads(sends->group))
        return;
    if (newest && newest->index >= index)
        snapshot_sends_want(sends, from, false);
    else
        snapshots_want(sends->snapshots); /* it asks again */
}

int snapshot_sends_on_ack(struct snapshot_sends *sends, uint64_t from,
                          const struct peer_snapshot_ack *ack)
{
    struct sending *sending = sends_find(sends, from);
    return sending && sending->send ? snapshot_send_on_ack(sending->send, ack) : 0;
}

void snapshot_sends_on_abort(struct snapshot_sends *sends, uint64_t from,
                             const struct peer_snapshot_abort *abort)
{
    struct sending *sending = sends_find(sends, from);
    if (sending && sending->send)
        snapshot_send_on_abort(sending->send, abort);
}

void snapshot_sends_on_peer_gone(struct snapshot_sends *sends, uint64_t id)
{
    struct sending *sending = sends_find(sends, id);
    if (!sending || sending->to == RAFT_NONE)
        return;
    if (sending->send)
        snapshot_send_on_peer_gone(sending->send);
    else if (sending->state == SENDING_WAITS)
        sending_end(sending, E_PEER_DOWN);
}

/* ---- life -------------------------------------------------------------------------------------
 */

void snapshot_sends_init(struct snapshot_sends *sends, const struct snapshot_sends_options *options)
{
    *sends = (struct snapshot_sends){.folder = options->folder,
                                     .group = options->group,
                                     .peers = options->peers,
                                     .snapshots = options->snapshots,
                                     .loop = options->loop,
                                     .sent = options->sent,
                                     .arg = options->arg,
                                     .timer = {.fire = sends_on_timer, .arg = sends}};
}

void snapshot_sends_close(struct snapshot_sends *sends)
{
    loop_timer_clear(sends->loop, &sends->timer);
    helper_free(&sends->helper);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        snapshot_send_free(&sends->list[i].send);
}
