/* apply.c - the streams to the state workers. */
#include "procs/raft/apply.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/entry.h"

#define APPLY_READ_BYTES (256u << 10) /* of the log at once */
#define APPLY_COMMAND_COST 64         /* what a command takes beside its bytes */

/* ---- what the workers' state says as a whole --------------------------------------------------
 */

void apply_judge(struct apply *apply)
{
    uint64_t applied = UINT64_MAX;
    bool ok = true;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        const struct apply_stream *stream = &apply->streams[i];
        if (stream->cursor.applied_index < applied)
            applied = stream->cursor.applied_index;
        ok &= stream->cursor.is_flowing && !stream->is_stalled;
    }
    if (ok != apply->is_ok) {
        apply->is_ok = ok;
        apply->hooks.workers_ok(apply->hooks.arg, ok);
    }
    if (applied != apply->applied_index) {
        apply->applied_index = applied;
        apply->hooks.applied(apply->hooks.arg, applied);
    }
}

/* ---- a worker that stands still (E8) ----------------------------------------------------------
 */

/* Set while something is under way, and only looked at when it fires: no work per batch. */
static void apply_watch(struct apply *apply)
{
    uint64_t due = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        const struct apply_stream *stream = &apply->streams[i];
        uint64_t stalls = apply_cursor_stalls_ns(&stream->cursor, apply->stall_ns);
        if (stalls != 0 && !stream->is_stalled && (due == 0 || stalls < due))
            due = stalls;
    }
    if (due != 0)
        loop_timer_set(apply->loop, &apply->stall_timer, due);
}

static void apply_on_stall_timer(void *arg)
{
    struct apply *apply = arg;
    uint64_t now_ns = loop_now_ns(apply->loop);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        uint64_t stalls = apply_cursor_stalls_ns(&stream->cursor, apply->stall_ns);
        if (stalls == 0 || stalls > now_ns || stream->is_stalled)
            continue;
        stream->is_stalled = true;
        LOG_WARN("worker_stalled", LOG_STR("worker", proc_name(stream->worker)),
                 LOG_U64("applied_index", stream->cursor.applied_index));
    }
    apply_judge(apply);
    apply_watch(apply);
}

static void apply_note_progress(struct apply_stream *stream)
{
    if (stream->is_stalled)
        LOG_INFO("worker_goes_on", LOG_STR("worker", proc_name(stream->worker)),
                 LOG_U64("applied_index", stream->cursor.applied_index));
    stream->is_stalled = false;
}

/* ---- what workers say -------------------------------------------------------------------------
 */

/* Only a link that is down refuses: its window is far below what a link takes. */
void apply_check_sent(int error)
{
    CHECK(error == 0 || error == E_PEER_DOWN);
}

static void apply_tell_role(const struct apply_stream *stream)
{
    const struct msg_role role = {stream->apply->is_leader, stream->apply->term};
    apply_check_sent(msg_role_send(stream->link, &role));
}

static void apply_accept(struct apply_stream *stream)
{
    struct msg_resume_ok answer;
    memcpy(answer.lineage, stream->apply->lineage, sizeof(answer.lineage));
    apply_check_sent(msg_resume_ok_send(stream->link, &answer));
    apply_tell_role(stream);
    apply_note_progress(stream);
    LOG_INFO("worker_resumed", LOG_STR("worker", proc_name(stream->worker)),
             LOG_U64("applied_index", stream->cursor.applied_index));
}

static void apply_resume(struct apply_stream *stream)
{
    struct apply *apply = stream->apply;
    const struct msg_resume *resume = &stream->resume;
    enum apply_verdict verdict =
        apply_cursor_resume(&stream->cursor, resume, apply->lineage, wal_first_index(apply->wal),
                            loop_now_ns(apply->loop));
    if (verdict != APPLY_FOREIGN)
        stream->state_hash = resume->state_hash;
    stream->checkpoint_index = 0;
    if (verdict == APPLY_FITS) {
        apply_accept(stream);
    } else if (verdict == APPLY_BEHIND) {
        apply_stream_load(stream);
    } else {
        apply_check_sent(msg_rebuild_send(stream->link));
        LOG_WARN("worker_sent_to_rebuild", LOG_STR("worker", proc_name(stream->worker)),
                 LOG_U64("applied_index", resume->applied_index),
                 LOG_U64("known_index", stream->cursor.ceiling),
                 LOG_U64("first_index", wal_first_index(apply->wal)));
    }
    apply_judge(apply);
}

/* A node of no cluster cannot say whether the state is of its log: it may get one any time. A
 * worker that was told to load a snapshot and has not answered said this before it heard of it. */
static void apply_on_resume(struct apply_stream *stream, struct unpack *body)
{
    static const uint8_t none[RAFT_LINEAGE_BYTES];
    struct msg_resume resume;
    if (msg_resume_decode(&resume, body) != 0 || stream->loads_index != 0)
        return;
    stream->resume = resume;
    apply_stream_lose_part(stream);
    stream->lacks_snapshot = false;
    stream->waits_for_lineage = memcmp(stream->apply->lineage, none, sizeof(none)) == 0;
    if (!stream->waits_for_lineage)
        apply_resume(stream);
}

static void apply_on_applied(struct apply_stream *stream, struct unpack *body)
{
    struct apply *apply = stream->apply;
    struct msg_applied applied;
    if (msg_applied_decode(&applied, body) != 0 || !stream->cursor.is_flowing)
        return;
    if (!apply_cursor_applied(&stream->cursor, applied.index, loop_now_ns(apply->loop))) {
        unpack_refuse(body); /* the link goes down, and the worker asks anew */
        return;
    }
    stream->state_hash = applied.state_hash;
    apply_note_progress(stream);
    apply_judge(apply);
    if (applied.checkpoint_index <= stream->checkpoint_index)
        return;
    stream->checkpoint_index = applied.checkpoint_index;
    apply->hooks.checkpoint(apply->hooks.arg, stream->worker, applied.checkpoint_index,
                            applied.checkpoint_hash);
}

static void apply_on_propose(struct apply_stream *stream, struct unpack *body)
{
    struct apply *apply = stream->apply;
    struct msg_worker_propose propose;
    if (msg_worker_propose_decode(&propose, body) == 0)
        apply->hooks.propose(apply->hooks.arg, stream->worker, propose.command, propose.is_for_all);
}

static void apply_on_message(void *arg, enum msg type, struct unpack *body)
{
    switch (type) {
    case MSG_RESUME:
        apply_on_resume(arg, body);
        break;
    case MSG_APPLIED:
        apply_on_applied(arg, body);
        break;
    case MSG_WORKER_PROPOSE:
        apply_on_propose(arg, body);
        break;
    case MSG_SNAPSHOT_MADE:
        apply_on_made(arg, body);
        break;
    case MSG_SNAPSHOT_LOADED:
        apply_on_loaded(arg, body);
        break;
    default:
        unpack_refuse(body);
    }
}

static void apply_on_up(void *arg, const struct link_peer *peer)
{
    (void)arg; /* it says RESUME first */
    (void)peer;
}

static void apply_on_down(void *arg)
{
    struct apply_stream *stream = arg;
    if (stream->cursor.is_flowing)
        LOG_INFO("worker_gone", LOG_STR("worker", proc_name(stream->worker)),
                 LOG_U64("applied_index", stream->cursor.applied_index));
    apply_cursor_down(&stream->cursor);
    stream->is_stalled = false;
    stream->waits_for_lineage = false;
    stream->lacks_snapshot = false;
    stream->loads_index = 0;
    apply_stream_lose_part(stream);
    apply_judge(stream->apply);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void apply_send_part(struct apply_stream *stream, const struct wal_entry *from,
                            const struct entry *entry, const struct entry_part *part)
{
    const struct msg_apply msg = {.index = from->index,
                                  .term = from->term,
                                  .stamp_ms = entry->stamp_ms,
                                  .session = entry->session,
                                  .sequence = entry->sequence,
                                  .floor = entry->floor,
                                  .command = part->command};
    apply_check_sent(msg_apply_send(stream->link, &msg));
    stream->bytes += part->command.len + APPLY_COMMAND_COST;
}

static bool apply_visit(const struct wal_entry *from, void *arg)
{
    struct apply_stream *stream = arg;
    struct apply *apply = stream->apply;
    struct entry entry;
    if (from->kind == WAL_COMMAND) {
        int error = entry_decode(&entry, from->payload);
        if (error) {
            LOG_ERROR("entry_not_understood", LOG_U64("index", from->index),
                      LOG_STR("error", error_text(error)));
            apply->hooks.failed(apply->hooks.arg, E_CORRUPT);
            return false;
        }
        for (uint32_t i = 0; i < entry.part_count; i++)
            if (entry.parts[i].worker == stream->worker)
                apply_send_part(stream, from, &entry, &entry.parts[i]);
    }
    stream->last_index = from->index;
    return from->index < apply_stream_limit(stream) &&
           stream->cursor.flying_bytes + stream->bytes < RAFT_WORKER_WINDOW_BYTES;
}

/* At most APPLY_READ_BYTES at a time: a worker that is far behind must not keep the others, nor the
 * clients, waiting. */
static void apply_pump_stream(struct apply_stream *stream)
{
    struct apply *apply = stream->apply;
    struct apply_cursor *cursor = &stream->cursor;
    apply_stream_ask(stream);
    if (cursor->next_index > apply_stream_limit(stream) || !apply_cursor_has_room(cursor))
        return;
    if (cursor->next_index < wal_first_index(apply->wal)) {
        apply_stream_load(stream); /* it was catching up, and the log has been begun anew or cut */
        apply_judge(apply);
        return;
    }
    stream->bytes = 0;
    stream->last_index = 0;
    int error = wal_read(apply->wal, cursor->next_index, APPLY_READ_BYTES, apply_visit, stream);
    if (error) {
        apply->hooks.failed(apply->hooks.arg, error);
        return;
    }
    const struct msg_apply_end end = {stream->last_index};
    apply_check_sent(msg_apply_end_send(stream->link, &end));
    apply->sent_bytes += stream->bytes;
    apply_cursor_sent(cursor, stream->last_index, stream->bytes, loop_now_ns(apply->loop));
    apply_stream_ask(stream);
    if (cursor->next_index <= apply->commit_index && apply_cursor_has_room(cursor))
        loop_run_again(apply->loop);
}

void apply_pump(struct apply *apply)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        apply_pump_stream(&apply->streams[i]);
    if (apply->stall_timer.due_ns == 0)
        apply_watch(apply);
}

/* ---- what the driver calls --------------------------------------------------------------------
 */

static int apply_open_stream(struct apply_stream *stream, const struct apply_options *options)
{
    const struct link_options link = {.run_dir = options->run_dir,
                                      .node = options->node,
                                      .self = PROC_RAFT,
                                      .peer = stream->worker,
                                      .start_id = options->start_id,
                                      .handlers = {.on_up = apply_on_up,
                                                   .on_down = apply_on_down,
                                                   .on_message = apply_on_message},
                                      .arg = stream};
    int error = link_open(&stream->link, &link);
    return error ? error : link_attach(stream->link, stream->apply->loop);
}

void apply_init(struct apply *apply, const struct apply_options *options, struct wal *wal,
                struct loop *loop)
{
    *apply = (struct apply){
        .hooks = options->hooks, .wal = wal, .loop = loop, .stall_ns = options->stall_ns};
    apply->stall_timer = (struct loop_timer){.fire = apply_on_stall_timer, .arg = apply};
    apply->is_ok = true; /* as the core believes until it is told otherwise */
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        stream->apply = apply;
        stream->worker = (enum proc)(PROC_FIRST_WORKER + (int)i);
        apply_cursor_init(&stream->cursor, options->last_index);
    }
}

int apply_open(struct apply *apply, const struct apply_options *options)
{
    int error = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT && !error; i++)
        error = apply_open_stream(&apply->streams[i], options);
    if (!error)
        apply_judge(apply);
    return error;
}

void apply_close(struct apply *apply)
{
    loop_timer_clear(apply->loop, &apply->stall_timer);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        link_close(&apply->streams[i].link);
}

void apply_set_lineage(struct apply *apply, const uint8_t lineage[RAFT_LINEAGE_BYTES])
{
    memcpy(apply->lineage, lineage, RAFT_LINEAGE_BYTES);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        if (!stream->waits_for_lineage)
            continue;
        stream->waits_for_lineage = false;
        apply_resume(stream);
    }
}

void apply_commit(struct apply *apply, uint64_t commit_index)
{
    apply->commit_index = commit_index;
}

void apply_truncated(struct apply *apply, uint64_t last_index)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        if (apply->streams[i].cursor.ceiling > last_index)
            apply->streams[i].cursor.ceiling = last_index;
}

void apply_set_role(struct apply *apply, bool is_leader, uint64_t term)
{
    if (apply->is_leader == is_leader && apply->term == term)
        return;
    apply->is_leader = is_leader;
    apply->term = term;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        if (apply->streams[i].cursor.is_flowing)
            apply_tell_role(&apply->streams[i]);
}

bool apply_is_settled(struct apply *apply)
{
    bool settled = true;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        bool behind =
            stream->cursor.is_flowing && stream->cursor.applied_index < apply->commit_index;
        settled &= !behind && link_is_idle(stream->link);
    }
    return settled;
}
