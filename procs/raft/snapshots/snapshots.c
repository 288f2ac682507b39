/* snapshots.c - see snapshots.h. */
#include "procs/raft/snapshots/snapshots.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/raft/disk_guard.h"

/* ---- which there are --------------------------------------------------------------------------
 */

const struct snapshot *snapshots_newest(const struct snapshots *snapshots)
{
    return snapshots->list.count > 0 ? snapshots->list.items[0] : NULL;
}

const struct snapshot *snapshots_older(const struct snapshots *snapshots)
{
    return snapshots->list.count > 1 ? snapshots->list.items[1] : NULL;
}

const struct snapshot *snapshots_leading_to(const struct snapshots *snapshots, uint64_t first_index)
{
    const struct snapshot *newest = snapshots_newest(snapshots);
    return newest && newest->index + 1 >= first_index ? newest : NULL;
}

const struct snapshot *snapshots_find(const struct snapshots *snapshots, uint64_t index)
{
    for (size_t i = 0; i < snapshots->list.count; i++)
        if (snapshots->list.items[i]->index == index)
            return snapshots->list.items[i];
    return NULL;
}

uint64_t snapshots_period_bytes(const struct snapshots *snapshots)
{
    const struct snapshot *newest = snapshots_newest(snapshots);
    uint64_t half = newest ? snapshot_bytes(newest) / 2 : 0;
    return half > snapshots->options.log_bytes ? half : snapshots->options.log_bytes;
}

/* ---- the helper's work ------------------------------------------------------------------------
 */

static void snapshots_give(struct snapshots *snapshots, struct snapshots_job *step,
                           void (*run)(struct helper_job *), void (*done)(struct helper_job *))
{
    step->job = (struct helper_job){.run = run, .done = done};
    step->snapshots = snapshots;
    step->folder = snapshots->options.folder;
    helper_give(snapshots->helper, &step->job);
}

static void snapshots_run_begin(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    step->reserve_bytes = disk_guard_reserve(step->folder);
    step->error =
        snapshot_store_begin(step->folder, SNAPSHOT_MAKING, step->bytes, step->reserve_bytes);
}

static void snapshots_run_finish(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    step->error = snapshot_store_finish(step->folder, SNAPSHOT_MAKING, step->snapshot);
}

static void snapshots_run_forget(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    step->error = snapshot_store_forget(step->folder, SNAPSHOT_MAKING);
}

static void snapshots_run_remove(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    if (step->index != 0 && snapshot_store_remove(step->folder, step->index) == 0)
        LOG_INFO("snapshot_removed", LOG_U64("index", step->index));
    if (step->removes_damaged)
        (void)snapshot_store_remove_damaged(step->folder);
}

static void snapshots_run_damaged(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    (void)snapshot_store_set_damaged(step->folder, step->index);
}

static void snapshots_free_job(struct helper_job *job)
{
    free(job);
}

/* ---- giving up --------------------------------------------------------------------------------
 */

static void snapshots_take_out(struct snapshots *snapshots, size_t at)
{
    struct snapshot_list *list = &snapshots->list;
    free(list->items[at]);
    list->count--;
    memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof(list->items[0]));
}

static void snapshots_remove(struct snapshots *snapshots, uint64_t index)
{
    struct snapshots_job *step = mem_alloc(sizeof(*step));
    step->index = index;
    snapshots_give(snapshots, step, snapshots_run_remove, snapshots_free_job);
}

static void snapshots_remove_last(struct snapshots *snapshots)
{
    struct snapshot_list *list = &snapshots->list;
    snapshots_remove(snapshots, list->items[list->count - 1]->index);
    snapshots_take_out(snapshots, list->count - 1);
}

/* Damaged ones are of no use any more, and none was lost, when there are enough newer ones. */
static void snapshots_keep_few(struct snapshots *snapshots)
{
    struct snapshot_list *list = &snapshots->list;
    while (list->count > SNAPSHOT_KEEP)
        snapshots_remove_last(snapshots);
    if (list->count < SNAPSHOT_KEEP || list->damaged == 0)
        return;
    struct snapshots_job *step = mem_alloc(sizeof(*step));
    step->removes_damaged = true;
    list->damaged = 0;
    snapshots_give(snapshots, step, snapshots_run_remove, snapshots_free_job);
}

void snapshots_remove_below(struct snapshots *snapshots, uint64_t index)
{
    struct snapshot_list *list = &snapshots->list;
    while (list->count > 0 && list->items[list->count - 1]->index < index)
        snapshots_remove_last(snapshots);
}

void snapshots_set_damaged(struct snapshots *snapshots, uint64_t index)
{
    struct snapshot_list *list = &snapshots->list;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->index != index)
            continue;
        struct snapshots_job *step = mem_alloc(sizeof(*step));
        step->index = index;
        snapshots_take_out(snapshots, i);
        list->damaged++;
        snapshots->is_wanted = true;
        snapshots_give(snapshots, step, snapshots_run_damaged, snapshots_free_job);
        return;
    }
}

void snapshots_distrust(struct snapshots *snapshots)
{
    while (snapshots->list.count > 0)
        snapshots_set_damaged(snapshots, snapshots->list.items[0]->index);
    snapshots_drop(snapshots);
}

void snapshots_give_up_one(struct snapshots *snapshots, uint64_t index)
{
    for (size_t i = 0; i < snapshots->list.count; i++) {
        if (snapshots->list.items[i]->index != index)
            continue;
        snapshots_remove(snapshots, index);
        snapshots_take_out(snapshots, i);
        return;
    }
}

void snapshots_add(struct snapshots *snapshots, struct snapshot *snapshot)
{
    struct snapshot_list *list = &snapshots->list;
    size_t at = list->count++;
    list->items = mem_resize(list->items, list->count * sizeof(list->items[0]));
    for (; at > 0 && list->items[at - 1]->index < snapshot->index; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = snapshot;
    snapshots_keep_few(snapshots);
}

/* ---- making one -------------------------------------------------------------------------------
 */

static void snapshots_set_retry(struct snapshots *snapshots)
{
    uint64_t wait_ns = snapshots->retry_wait_ns * 2;
    if (wait_ns < SNAPSHOTS_RETRY_MIN_NS)
        wait_ns = SNAPSHOTS_RETRY_MIN_NS;
    if (wait_ns > SNAPSHOTS_RETRY_MAX_NS)
        wait_ns = SNAPSHOTS_RETRY_MAX_NS;
    snapshots->retry_wait_ns = wait_ns;
    loop_timer_set(snapshots->loop, &snapshots->retry, loop_now_ns(snapshots->loop) + wait_ns);
}

static void snapshots_on_forgotten(struct helper_job *job)
{
    struct snapshots *snapshots = ((struct snapshots_job *)job)->snapshots;
    snapshots->state = SNAPSHOTS_IDLE;
}

/* What is there of it goes; then it is tried again, later. */
static void snapshots_give_up(struct snapshots *snapshots, int error)
{
    if (!snapshots->is_dropped)
        LOG_WARN("snapshot_not_made", LOG_STR("error", error_text(error)),
                 LOG_U64("index", snapshots->making ? snapshots->making->index : 0));
    free(snapshots->making);
    snapshots->making = NULL;
    apply_snapshot_end(snapshots->apply);
    snapshots_set_retry(snapshots);
    snapshots->state = SNAPSHOTS_FINISHING;
    snapshots_give(snapshots, &snapshots->step, snapshots_run_forget, snapshots_on_forgotten);
}

static void snapshots_on_finished(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    struct snapshots *snapshots = step->snapshots;
    FAILPOINT("snapshot_finished");
    if (step->error) {
        snapshots_give_up(snapshots, step->error);
        return;
    }
    struct snapshot *made = snapshots->making;
    if (snapshots->is_dropped) { /* just too late */
        snapshots_remove(snapshots, made->index);
        snapshots_give_up(snapshots, E_CLOSED);
        return;
    }
    LOG_INFO("snapshot_made", LOG_U64("index", made->index), LOG_U64("term", made->term),
             LOG_U64("bytes", snapshot_bytes(made)));
    snapshots->making = NULL;
    snapshots->state = SNAPSHOTS_IDLE;
    snapshots->retry_wait_ns = 0;
    snapshots->grown_bytes -= snapshots->kept_bytes;
    snapshots->is_wanted = false;
    snapshots_add(snapshots, made);
    snapshots->options.hooks.made(snapshots->options.hooks.arg);
}

void snapshots_on_part(struct snapshots *snapshots, enum proc worker,
                       const struct msg_snapshot_made *made)
{
    if (snapshots->state != SNAPSHOTS_COPYING)
        return;
    if (made->error != 0) {
        snapshots_give_up(snapshots, (int)made->error);
        return;
    }
    struct snapshot_part *part = &snapshots->making->parts[PROC_WORKER_SLOT(worker)];
    part->bytes = made->bytes;
    part->state_hash = made->state_hash;
    memcpy(part->sum, made->sum.data, sizeof(part->sum));
    if (--snapshots->missing > 0)
        return;
    FAILPOINT("snapshot_parts_made");
    apply_snapshot_end(snapshots->apply);
    snapshots->state = SNAPSHOTS_FINISHING;
    snapshots->step.snapshot = snapshots->making;
    snapshots_give(snapshots, &snapshots->step, snapshots_run_finish, snapshots_on_finished);
}

static void snapshots_on_prepared(struct helper_job *job)
{
    struct snapshots_job *step = (struct snapshots_job *)job;
    struct snapshots *snapshots = step->snapshots;
    const struct snapshots_hooks *hooks = &snapshots->options.hooks;
    if (step->error || snapshots->is_dropped) {
        snapshots_give_up(snapshots, step->error);
        return;
    }
    struct snapshot *making = snapshots->making = mem_alloc(sizeof(*making));
    if (!hooks->begin(hooks->arg, making) ||
        !apply_snapshot_begin(snapshots->apply, making->index, snapshots->options.folder,
                              step->reserve_bytes)) {
        snapshots->is_dropped = true; /* not worth a line: a worker is just not there */
        snapshots_give_up(snapshots, E_BUSY);
        return;
    }
    LOG_INFO("snapshot_begun", LOG_U64("index", making->index), LOG_U64("term", making->term));
    snapshots->kept_bytes = snapshots->grown_bytes;
    snapshots->missing = PROC_WORKER_COUNT;
    snapshots->state = SNAPSHOTS_COPYING;
}

void snapshots_drop(struct snapshots *snapshots)
{
    if (snapshots->state == SNAPSHOTS_IDLE || snapshots->is_dropped)
        return;
    snapshots->is_dropped = true;
    if (snapshots->state == SNAPSHOTS_COPYING)
        snapshots_give_up(snapshots, E_CLOSED);
}

void snapshots_consider(struct snapshots *snapshots)
{
    const struct snapshot *newest = snapshots_newest(snapshots);
    bool is_due =
        snapshots->is_wanted || snapshots->grown_bytes >= snapshots_period_bytes(snapshots);
    if (newest && newest->index >= snapshots->apply->commit_index)
        return;
    if (!is_due || snapshots->state != SNAPSHOTS_IDLE || snapshots->retry.due_ns != 0)
        return;
    snapshots->is_dropped = false;
    snapshots->state = SNAPSHOTS_PREPARING;
    snapshots->step.bytes = newest ? snapshot_bytes(newest) : 0;
    snapshots_give(snapshots, &snapshots->step, snapshots_run_begin, snapshots_on_prepared);
}

void snapshots_want(struct snapshots *snapshots)
{
    snapshots->is_wanted = true;
    loop_run_again(snapshots->loop);
}

void snapshots_note_log(struct snapshots *snapshots, uint64_t bytes)
{
    snapshots->grown_bytes += bytes;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void snapshots_on_retry(void *arg)
{
    snapshots_consider(arg);
}

int snapshots_open(struct snapshots *snapshots, const struct snapshots_options *options,
                   const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    *snapshots = (struct snapshots){.options = *options};
    int error = snapshot_store_open(options->folder, cluster, &snapshots->list);
    snapshots->is_wanted = snapshots->list.damaged > 0 && snapshots->list.count < SNAPSHOT_KEEP;
    return error;
}

void snapshots_start(struct snapshots *snapshots, struct loop *loop, struct apply *apply)
{
    snapshots->loop = loop;
    snapshots->apply = apply;
    snapshots->helper = helper_new(loop);
    snapshots->retry = (struct loop_timer){.fire = snapshots_on_retry, .arg = snapshots};
    snapshots_keep_few(snapshots);
}

void snapshots_close(struct snapshots *snapshots)
{
    loop_timer_clear(snapshots->loop, &snapshots->retry);
    helper_free(&snapshots->helper);
    free(snapshots->making);
    snapshot_list_fini(&snapshots->list);
}
