/* worker_snapshots.c - a worker's part in snapshots: copying its map while it goes on applying, and
 * taking over the state of one. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/worker/store.h"
#include "procs/worker/worker_private.h"

static void loading_finish(struct worker *worker);

/* ---- making ---- */

static void making_answer(struct worker *worker, uint64_t index, int error)
{
    const struct worker_making *making = &worker->making;
    struct msg_snapshot_made msg = {.index = index, .error = (uint64_t)error};

    if (error == 0) {
        msg.bytes = making->copy.bytes;
        msg.sum = slice_of(making->copy.sum, SHA256_BYTES);
        msg.state_hash = making->state_hash;
    }
    error = msg_snapshot_made_send(worker->raft, &msg);
    CHECK(error == 0 || error == E_PEER_DOWN);
}

static void making_run(struct helper_job *job)
{
    struct worker_making *making = (struct worker_making *)job;

    helper_stand_back();
    snapshot_copy_run(&making->copy);
}

/* A map that cannot be copied whole is not worth keeping: it is made anew from an older snapshot
 * and the log, which both are still there. */
static void making_done(struct helper_job *job)
{
    struct worker_making *making = (struct worker_making *)job;
    struct worker *worker = making->worker;

    making->is_running = false;
    if (making->copy.error == E_CORRUPT)
        worker_fail(worker, "copy", E_CORRUPT);
    worker_check_written(worker); /* else the copy may hold what the disk gave back instead */
    FAILPOINT("part_made");
    if (making->index != 0)
        making_answer(worker, making->index, making->copy.error);
    making->index = 0;
    if (worker->loading.is_over)
        loading_finish(worker);
}

/* The map stands exactly at the index, stored. */
static int making_settle(struct worker *worker, uint64_t index)
{
    worker_commit(worker);
    if (worker->stream != STREAM_FLOWING || worker->applier.last_index != index)
        return E_BUSY;
    if (!worker_may_write(worker, 0))
        return E_STORAGE_FULL;
    int error = applier_settle(&worker->applier);
    if (error != 0)
        worker_fail(worker, "settle", error);
    return 0;
}

static int making_begin(struct worker *worker, const struct msg_snapshot_make *msg)
{
    struct worker_making *making = &worker->making;
    char path[RAFT_PATH_BYTES];

    if (making->is_running)
        return E_BUSY;
    int error = making_settle(worker, msg->index);
    if (error != 0)
        return error;
    memcpy(path, msg->path.data, msg->path.len);
    path[msg->path.len] = '\0';
    error = snapshot_copy_begin(&making->copy, worker->map, path, msg->reserve_bytes);
    if (error == E_CORRUPT)
        worker_fail(worker, "copy", error);
    return error;
}

void worker_snapshots_on_make(struct worker *worker, struct unpack *body)
{
    struct worker_making *making = &worker->making;
    struct msg_snapshot_make msg;

    if (msg_snapshot_make_decode(&msg, body) != 0)
        return;
    FAILPOINT("part_asked");
    int error = making_begin(worker, &msg);
    if (error != 0) {
        LOG_WARN("snapshot_part_not_made", LOG_U64("index", msg.index),
                 LOG_STR("error", error_text(error)));
        making_answer(worker, msg.index, error);
        return;
    }
    making->is_running = true;
    making->index = msg.index;
    making->state_hash = worker->applier.state_hash;
    if (making->helper == NULL)
        making->helper = helper_new(worker->loop);
    helper_give(making->helper, &making->job);
}

static void making_drop(struct worker *worker)
{
    worker->making.index = 0;
    if (worker->making.is_running)
        snapshot_copy_cancel(&worker->making.copy);
}

void worker_snapshots_on_drop(struct worker *worker, struct unpack *body)
{
    struct msg_snapshot_drop msg;

    if (msg_snapshot_drop_decode(&msg, body) == 0 && msg.index == worker->making.index)
        making_drop(worker);
}

/* ---- loading ---- */

static void loading_answer(struct worker *worker, uint64_t index, int error)
{
    const struct msg_snapshot_loaded msg = {.index = index, .error = (uint64_t)error};

    error = msg_snapshot_loaded_send(worker->raft, &msg);
    CHECK(error == 0 || error == E_PEER_DOWN);
}

static void loading_run(struct helper_job *job)
{
    struct worker_loading *loading = (struct worker_loading *)job;

    snapshot_load_run(&loading->load);
}

static int loading_start(struct worker *worker)
{
    struct worker_loading *loading = &worker->loading;
    struct snapshot_load *load = &loading->load;
    char path[STORE_PATH_BYTES];

    loading->next.is_due = false;
    loading->index = loading->next.index;
    loading->state_hash = loading->next.state_hash;
    int error = store_stage(worker->folder, worker->kind->map_kind, path);
    if (error != 0)
        return error;
    load->bytes = loading->next.bytes;
    load->reserve_bytes = worker->kind->reserve_bytes;
    memcpy(load->sum, loading->next.sum, sizeof(load->sum));
    snprintf(load->path, sizeof(load->path), "%s", loading->next.path);
    snprintf(load->copy, sizeof(load->copy), "%s", path);
    atomic_store(&load->is_cancelled, false);
    loading->is_running = true;
    if (loading->helper == NULL)
        loading->helper = helper_new(worker->loop);
    helper_give(loading->helper, &loading->job);
    LOG_INFO("snapshot_load_begun", LOG_U64("index", loading->index),
             LOG_STR("path", loading->next.path));
    return 0;
}

static void loading_begin(struct worker *worker)
{
    int error = loading_start(worker);
    if (error != 0)
        loading_answer(worker, worker->loading.index, error);
}

/* E_CORRUPT: the file is whole, but the map in it is not what it should be. */
static int loading_check(const struct worker_loading *loading, struct map *staged)
{
    uint64_t state_hash = 0;
    MDB_txn *txn;

    int error = map_write_begin(staged, &txn);
    if (error != 0)
        return E_CORRUPT;
    error = map_meta_get(staged, txn, "state_hash", &state_hash);
    map_write_abort(staged);
    bool is_right = error == 0 && map_applied_index(staged) == loading->index &&
                    state_hash == loading->state_hash;
    return is_right ? 0 : E_CORRUPT;
}

static int loading_take(struct worker *worker)
{
    struct worker_loading *loading = &worker->loading;
    struct map *staged;

    if (loading->load.error != 0)
        return loading->load.error;
    int error = store_open_staged(&staged, worker->folder, worker->kind->map_kind);
    if (error != 0)
        return error == E_IO ? E_IO : E_CORRUPT;
    error = loading_check(loading, staged);
    if (error != 0) {
        map_close(&staged);
        return error;
    }
    FAILPOINT("load_checked");
    worker_replace_map(worker, staged);
    LOG_INFO("snapshot_loaded", LOG_U64("index", loading->index));
    return 0;
}

static void loading_finish(struct worker *worker)
{
    struct worker_loading *loading = &worker->loading;

    loading->is_running = false;
    loading->is_over = false;
    if (worker->stream == STREAM_ENDED)
        return;
    if (loading->next.is_due) {
        loading_begin(worker);
        return;
    }
    bool is_void = atomic_load(&loading->load.is_cancelled);
    int error = is_void ? E_CLOSED : loading_take(worker);
    if (!is_void)
        loading_answer(worker, loading->index, error);
    if (is_void || error == 0)
        stream_resume(worker);
}

/* The map is about to be closed, which must not be while it is copied. That copy was dropped when
 * the loading began. */
static void loading_done(struct helper_job *job)
{
    struct worker_loading *loading = (struct worker_loading *)job;

    if (loading->worker->making.is_running)
        loading->is_over = true;
    else
        loading_finish(loading->worker);
}

void worker_snapshots_on_load(struct worker *worker, struct unpack *body)
{
    struct worker_loading *loading = &worker->loading;
    struct msg_snapshot_load msg;

    if (msg_snapshot_load_decode(&msg, body) != 0 || worker->stream == STREAM_ENDED)
        return;
    FAILPOINT("load_asked");
    worker_commit(worker);
    worker->stream = STREAM_LOADING;
    loop_timer_clear(worker->loop, &worker->hold_timer);
    making_drop(worker);
    loading->next.is_due = true;
    loading->next.index = msg.index;
    loading->next.bytes = msg.bytes;
    loading->next.state_hash = msg.state_hash;
    memcpy(loading->next.sum, msg.sum.data, sizeof(loading->next.sum));
    memcpy(loading->next.path, msg.path.data, msg.path.len);
    loading->next.path[msg.path.len] = '\0';
    if (loading->is_running)
        snapshot_load_cancel(&loading->load);
    else
        loading_begin(worker);
}

/* ---- both ---- */

bool worker_snapshots_are_loading(const struct worker *worker)
{
    return worker->loading.is_running;
}

void worker_snapshots_on_down(struct worker *worker)
{
    making_drop(worker);
    worker->loading.next.is_due = false;
    if (worker->loading.is_running)
        snapshot_load_cancel(&worker->loading.load);
}

void worker_snapshots_init(struct worker *worker)
{
    worker->making.worker = worker;
    worker->making.job = (struct helper_job){.run = making_run, .done = making_done};
    worker->loading.worker = worker;
    worker->loading.job = (struct helper_job){.run = loading_run, .done = loading_done};
}
