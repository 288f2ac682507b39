/* apply_snapshot.c - snapshots in the streams: asking workers for their parts, and having those
 * load one that lack what the log no longer holds. */
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/apply.h"
#include "procs/raft/snapshots/snapshot_store.h"

/* ---- making -----------------------------------------------------------------------------------
 */

/* Nothing above a snapshot's index goes out before its worker was asked for its part. */
uint64_t apply_stream_limit(const struct apply_stream *stream)
{
    const struct apply *apply = stream->apply;
    bool waits = stream->part == APPLY_PART_DUE && apply->snapshot.index < apply->commit_index;
    return waits ? apply->snapshot.index : apply->commit_index;
}

void apply_stream_ask(struct apply_stream *stream)
{
    const struct apply *apply = stream->apply;
    char path[SNAPSHOT_PATH_BYTES];
    if (stream->part != APPLY_PART_DUE || stream->cursor.next_index <= apply->snapshot.index)
        return;
    snapshot_part_path(path, apply->snapshot.folder, SNAPSHOT_MAKING, 0, stream->worker);
    const struct msg_snapshot_make make = {.index = apply->snapshot.index,
                                           .reserve_bytes = apply->snapshot.reserve_bytes,
                                           .path = slice_text(path)};
    apply_check_sent(msg_snapshot_make_send(stream->link, &make));
    stream->part = APPLY_PART_ASKED;
}

bool apply_snapshot_begin(struct apply *apply, uint64_t index, const char *folder,
                          uint64_t reserve_bytes)
{
    CHECK(apply->snapshot.index == 0 && index > 0 && index <= apply->commit_index);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        if (!apply->streams[i].cursor.is_flowing)
            return false;
        CHECK(apply->streams[i].cursor.next_index <= index + 1);
    }
    apply->snapshot.index = index;
    apply->snapshot.folder = folder;
    apply->snapshot.reserve_bytes = reserve_bytes;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        apply->streams[i].part = APPLY_PART_DUE;
    loop_run_again(apply->loop);
    return true;
}

static void apply_end_part(struct apply_stream *stream, const struct msg_snapshot_made *made)
{
    struct apply *apply = stream->apply;
    stream->part = APPLY_PART_NONE;
    apply->hooks.part_made(apply->hooks.arg, stream->worker, made);
}

void apply_stream_lose_part(struct apply_stream *stream)
{
    const struct msg_snapshot_made lost = {.index = stream->apply->snapshot.index,
                                           .error = E_PEER_DOWN};
    if (stream->part != APPLY_PART_NONE)
        apply_end_part(stream, &lost);
}

void apply_on_made(struct apply_stream *stream, struct unpack *body)
{
    struct msg_snapshot_made made;
    if (msg_snapshot_made_decode(&made, body) != 0)
        return;
    if (stream->part == APPLY_PART_ASKED && made.index == stream->apply->snapshot.index)
        apply_end_part(stream, &made); /* else it was dropped before */
}

void apply_snapshot_end(struct apply *apply)
{
    const struct msg_snapshot_drop drop = {apply->snapshot.index};
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        if (stream->part == APPLY_PART_ASKED)
            apply_check_sent(msg_snapshot_drop_send(stream->link, &drop));
        stream->part = APPLY_PART_NONE;
    }
    apply->snapshot.index = 0;
}

/* ---- loading ----------------------------------------------------------------------------------
 */

void apply_stream_load(struct apply_stream *stream)
{
    struct apply *apply = stream->apply;
    uint64_t applied_index = stream->cursor.applied_index;
    struct msg_snapshot_load load;
    apply_cursor_down(&stream->cursor);
    apply_stream_lose_part(stream);
    stream->lacks_snapshot =
        !apply->hooks.choose(apply->hooks.arg, stream->worker, applied_index, &load);
    if (stream->lacks_snapshot || stream->loads_index == load.index)
        return;
    stream->loads_index = load.index;
    apply_cursor_load(&stream->cursor, load.index);
    LOG_INFO("worker_sent_to_load", LOG_STR("worker", proc_name(stream->worker)),
             LOG_U64("applied_index", applied_index), LOG_U64("snapshot_index", load.index));
    apply_check_sent(msg_snapshot_load_send(stream->link, &load));
}

void apply_on_loaded(struct apply_stream *stream, struct unpack *body)
{
    struct apply *apply = stream->apply;
    struct msg_snapshot_loaded loaded;
    if (msg_snapshot_loaded_decode(&loaded, body) != 0 || loaded.index != stream->loads_index)
        return; /* of one that is not wanted any more */
    stream->loads_index = 0;
    stream->lacks_snapshot = loaded.error != 0;
    apply->hooks.loaded(apply->hooks.arg, stream->worker, loaded.index, (int)loaded.error);
}

void apply_offer_snapshot(struct apply *apply)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        if (apply->streams[i].lacks_snapshot)
            apply_stream_load(&apply->streams[i]);
}

bool apply_lacks_snapshot(const struct apply *apply)
{
    bool lacks = false;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        lacks |= apply->streams[i].lacks_snapshot;
    return lacks;
}

bool apply_rebuild(struct apply *apply, enum proc worker, uint64_t checkpoint_index)
{
    struct apply_stream *stream = &apply->streams[PROC_WORKER_SLOT(worker)];
    if (!stream->cursor.is_flowing || stream->checkpoint_index < checkpoint_index)
        return false;
    apply_check_sent(msg_rebuild_send(stream->link));
    apply_cursor_down(&stream->cursor);
    apply_stream_lose_part(stream);
    apply_judge(apply);
    return true;
}

/* A worker that is not there now finds itself behind the log's beginning when it resumes; one that
 * came while the log was begun anew has found so already. */
void apply_install(struct apply *apply, uint64_t index)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct apply_stream *stream = &apply->streams[i];
        struct apply_cursor *cursor = &stream->cursor;
        bool has_it = cursor->is_flowing && cursor->applied_index >= index;
        bool is_there = cursor->is_flowing || stream->lacks_snapshot || stream->loads_index != 0;
        if (has_it)
            continue;
        apply_cursor_install(cursor, index);
        if (is_there)
            apply_stream_load(stream);
    }
    apply_judge(apply);
}

/* ---- what is known ----------------------------------------------------------------------------
 */

struct apply_status apply_status(const struct apply *apply, enum proc worker)
{
    const struct apply_stream *stream = &apply->streams[PROC_WORKER_SLOT(worker)];
    return (struct apply_status){.applied_index = stream->cursor.applied_index,
                                 .state_hash = stream->state_hash,
                                 .is_known = stream->cursor.next_index > 0};
}
