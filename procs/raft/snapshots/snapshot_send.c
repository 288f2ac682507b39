/* snapshot_send.c - see snapshot_send.h. */
#include "procs/raft/snapshots/snapshot_send.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

enum send_state {
    SEND_OPENING,
    SEND_OFFERING, /* read to offer, no room yet */
    SEND_OFFERED,
    SEND_FLOWING,
    SEND_OVER
};

struct send_job { /* the helper's while it runs */
    struct helper_job job;
    struct snapshot_send *send;
    uint64_t position;
    size_t len;
    int error;
    uint8_t bytes[SNAPSHOT_SEND_CHUNK_BYTES];
};

struct snapshot_send {
    struct snapshot_send_options options;
    struct snapshot *snapshot;
    struct buf manifest;
    uint64_t total_bytes;
    int fds[PROC_WORKER_COUNT]; /* -1: not open */
    enum send_state state;
    bool is_cancelled;

    struct send_job step;
    bool is_reading, has_chunk; /* step.bytes is being filled; is to be said */
    uint64_t next;              /* to be read */
    uint64_t said, acked;

    uint64_t window;
    uint64_t timed_position, timed_ns; /* when this much was said; 0: nothing is being timed */
    uint64_t begin_ns, begin_position, heard_ns;
    struct loop_timer silence;
};

/* ---- ending -----------------------------------------------------------------------------------
 */

void snapshot_send_free(struct snapshot_send **send_pointer)
{
    struct snapshot_send *send = *send_pointer;
    *send_pointer = NULL;
    if (!send)
        return;
    loop_timer_clear(send->options.loop, &send->silence);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        if (send->fds[i] >= 0)
            close(send->fds[i]);
    buf_fini(&send->manifest);
    free(send->snapshot);
    free(send);
}

void snapshot_send_cancel(struct snapshot_send **send_pointer)
{
    struct snapshot_send *send = *send_pointer;
    *send_pointer = NULL;
    if (!send)
        return;
    loop_timer_clear(send->options.loop, &send->silence);
    if (send->state > SEND_OFFERING && send->state != SEND_OVER) {
        const struct peer_snapshot_abort abort = {send->options.transfer, E_CLOSED};
        (void)send->options.hooks.abort(send->options.hooks.arg, &abort);
    }
    send->state = SEND_OVER;
    send->is_cancelled = true;
    if (!send->is_reading)
        snapshot_send_free(&send);
}

static void send_end(struct snapshot_send *send, int error)
{
    const struct snapshot_send_hooks *hooks = &send->options.hooks;
    uint64_t took_ms = (loop_now_ns(send->options.loop) - send->begin_ns) / NS_PER_MS;
    if (send->state == SEND_OVER)
        return;
    send->state = SEND_OVER;
    loop_timer_clear(send->options.loop, &send->silence);
    if (error)
        LOG_WARN("snapshot_not_sent", LOG_U64("index", send->snapshot->index),
                 LOG_U64("transfer", send->options.transfer), LOG_U64("position", send->acked),
                 LOG_STR("error", error_text(error)));
    else
        LOG_INFO("snapshot_sent", LOG_U64("index", send->snapshot->index),
                 LOG_U64("transfer", send->options.transfer),
                 LOG_U64("bytes", send->total_bytes - send->begin_position),
                 LOG_U64("after_ms", took_ms));
    hooks->ended(hooks->arg, error);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void send_give(struct snapshot_send *send, void (*run)(struct helper_job *),
                      void (*done)(struct helper_job *))
{
    send->step.job = (struct helper_job){.run = run, .done = done};
    send->is_reading = true;
    helper_give(send->options.helper, &send->step.job);
}

/* False: it was cancelled meanwhile, and is gone. */
static bool send_is_wanted(struct snapshot_send *send)
{
    send->is_reading = false;
    if (send->is_cancelled)
        snapshot_send_free(&send);
    return send != NULL;
}

static void send_run_read(struct helper_job *job)
{
    struct send_job *step = (struct send_job *)job;
    struct snapshot_send *send = step->send;
    uint64_t offset;
    unsigned part = snapshot_part_at(send->snapshot, step->position, &offset);
    uint64_t left = send->snapshot->parts[part].bytes - offset;
    size_t wanted = left < sizeof(step->bytes) ? (size_t)left : sizeof(step->bytes);
    step->len = 0;
    step->error = 0;
    while (step->len < wanted && step->error == 0) {
        ssize_t got = pread(send->fds[part], step->bytes + step->len, wanted - step->len,
                            (off_t)(offset + step->len));
        if (got > 0)
            step->len += (size_t)got;
        else if (got == 0 || errno != EINTR)
            step->error = got == 0 ? E_CORRUPT : E_IO;
    }
}

static void send_say_chunk(struct snapshot_send *send);

static void send_on_read(struct helper_job *job)
{
    struct snapshot_send *send = ((struct send_job *)job)->send;
    if (!send_is_wanted(send) || send->state != SEND_FLOWING)
        return;
    if (send->step.error) {
        send_end(send, send->step.error);
        return;
    }
    send->has_chunk = true;
    send_say_chunk(send);
}

static void send_read(struct snapshot_send *send)
{
    bool is_full = send->next - send->acked >= send->window;
    if (send->state != SEND_FLOWING || send->is_reading || send->has_chunk || is_full ||
        send->next == send->total_bytes)
        return;
    send->step.position = send->next;
    send_give(send, send_run_read, send_on_read);
}

/* ---- saying -----------------------------------------------------------------------------------
 */

static void send_say_chunk(struct snapshot_send *send)
{
    const struct snapshot_send_hooks *hooks = &send->options.hooks;
    const struct peer_snapshot_chunk chunk = {.transfer = send->options.transfer,
                                              .position = send->step.position,
                                              .bytes = slice_of(send->step.bytes, send->step.len)};
    int error = hooks->chunk(hooks->arg, &chunk);
    if (error == E_BUSY)
        return;
    if (error) {
        send_end(send, error);
        return;
    }
    send->has_chunk = false;
    send->next = send->said = send->step.position + send->step.len;
    if (send->timed_ns == 0) {
        send->timed_position = send->said;
        send->timed_ns = loop_now_ns(send->options.loop);
    }
    send_read(send);
}

static void send_say_offer(struct snapshot_send *send)
{
    const struct snapshot_send_hooks *hooks = &send->options.hooks;
    const struct peer_snapshot_offer offer = {.transfer = send->options.transfer,
                                              .term = send->options.term,
                                              .manifest = buf_slice(&send->manifest)};
    int error = hooks->offer(hooks->arg, &offer);
    if (error == 0)
        send->state = SEND_OFFERED;
    else if (error != E_BUSY)
        send_end(send, error);
}

void snapshot_send_go_on(struct snapshot_send *send)
{
    if (send->state == SEND_OFFERING)
        send_say_offer(send);
    else if (send->state == SEND_FLOWING && send->has_chunk)
        send_say_chunk(send);
}

/* ---- hearing ----------------------------------------------------------------------------------
 */

static void send_measure(struct snapshot_send *send)
{
    uint64_t took_ms = (loop_now_ns(send->options.loop) - send->timed_ns) / NS_PER_MS;
    if (send->timed_ns == 0 || send->acked < send->timed_position)
        return;
    send->timed_ns = 0;
    if (took_ms < SNAPSHOT_SEND_SOON_MS && send->window < SNAPSHOT_SEND_WINDOW_MAX)
        send->window += SNAPSHOT_SEND_WINDOW_MIN;
    if (took_ms > SNAPSHOT_SEND_LATE_MS && send->window > SNAPSHOT_SEND_WINDOW_MIN)
        send->window -= SNAPSHOT_SEND_WINDOW_MIN;
}

static void send_begin_flow(struct snapshot_send *send, uint64_t position)
{
    send->state = SEND_FLOWING;
    send->next = send->said = send->acked = send->begin_position = position;
    loop_timer_set(send->options.loop, &send->silence,
                   send->heard_ns + SNAPSHOT_SEND_SILENCE_MS * NS_PER_MS);
    LOG_INFO("snapshot_send_begun", LOG_U64("index", send->snapshot->index),
             LOG_U64("transfer", send->options.transfer), LOG_U64("position", position),
             LOG_U64("bytes", send->total_bytes));
}

int snapshot_send_on_ack(struct snapshot_send *send, const struct peer_snapshot_ack *ack)
{
    bool is_heard = send->state == SEND_OFFERED || send->state == SEND_FLOWING;
    if (ack->transfer != send->options.transfer || !is_heard)
        return 0;
    if (ack->position > send->total_bytes ||
        (send->state == SEND_FLOWING && ack->position > send->said))
        return E_INVALID;
    send->heard_ns = loop_now_ns(send->options.loop);
    if (ack->position == send->total_bytes) {
        send->acked = ack->position;
        send_end(send, 0);
        return 0;
    }
    if (send->state == SEND_OFFERED)
        send_begin_flow(send, ack->position);
    if (ack->position > send->acked)
        send->acked = ack->position;
    send_measure(send);
    send_read(send);
    return 0;
}

void snapshot_send_on_abort(struct snapshot_send *send, const struct peer_snapshot_abort *abort)
{
    if (abort->transfer == send->options.transfer)
        send_end(send, (int)abort->error);
}

void snapshot_send_on_peer_gone(struct snapshot_send *send)
{
    send_end(send, E_PEER_DOWN);
}

static void send_on_silence(void *arg)
{
    struct snapshot_send *send = arg;
    bool is_flowing = send->state == SEND_FLOWING;
    uint64_t wait_ms = is_flowing ? SNAPSHOT_SEND_SILENCE_MS : SNAPSHOT_SEND_PATIENCE_MS;
    uint64_t due_ns = send->heard_ns + wait_ms * NS_PER_MS;
    if (loop_now_ns(send->options.loop) >= due_ns) {
        const struct peer_snapshot_abort abort = {send->options.transfer, E_TIMEOUT};
        (void)send->options.hooks.abort(send->options.hooks.arg, &abort);
        send_end(send, E_TIMEOUT);
        return;
    }
    loop_timer_set(send->options.loop, &send->silence, due_ns);
}

/* ---- beginning --------------------------------------------------------------------------------
 */

static void send_run_open(struct helper_job *job)
{
    struct send_job *step = (struct send_job *)job;
    struct snapshot_send *send = step->send;
    char path[SNAPSHOT_PATH_BYTES];
    struct stat info;
    step->error = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT && step->error == 0; i++) {
        snapshot_part_path(path, send->options.folder, NULL, send->snapshot->index,
                           SNAPSHOT_PROC(i));
        send->fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (send->fds[i] < 0)
            step->error = errno == ENOENT ? E_CORRUPT : E_IO;
        else if (fstat(send->fds[i], &info) != 0)
            step->error = E_IO;
        else if ((uint64_t)info.st_size != send->snapshot->parts[i].bytes)
            step->error = E_CORRUPT;
    }
}

static void send_on_opened(struct helper_job *job)
{
    struct snapshot_send *send = ((struct send_job *)job)->send;
    if (!send_is_wanted(send) || send->state != SEND_OPENING)
        return;
    if (send->step.error) {
        send_end(send, send->step.error);
        return;
    }
    send->state = SEND_OFFERING;
    send->heard_ns = loop_now_ns(send->options.loop);
    send_on_silence(send);
    send_say_offer(send);
}

struct snapshot_send *snapshot_send_new(const struct snapshot_send_options *options)
{
    struct snapshot_send *send = mem_alloc(sizeof(*send));
    send->options = *options;
    send->snapshot = mem_copy(options->snapshot, sizeof(*options->snapshot));
    send->options.snapshot = send->snapshot;
    send->total_bytes = snapshot_bytes(send->snapshot);
    send->window = SNAPSHOT_SEND_WINDOW_MIN;
    send->step.send = send;
    send->silence = (struct loop_timer){.fire = send_on_silence, .arg = send};
    send->begin_ns = loop_now_ns(options->loop);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        send->fds[i] = -1;
    buf_init(&send->manifest, SNAPSHOT_MANIFEST_BYTES);
    snapshot_encode(&send->manifest, send->snapshot);
    send_give(send, send_run_open, send_on_opened);
    return send;
}

uint64_t snapshot_send_index(const struct snapshot_send *send)
{
    return send->snapshot->index;
}
