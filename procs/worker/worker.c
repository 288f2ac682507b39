/* worker.c - the life of a state worker: start, transactions at the end of each turn, stop. */
#include "procs/worker/worker.h"

#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/worker/store.h"
#include "procs/worker/worker_private.h"

#define WORKER_SWEEP_NS NS_PER_S
#define WORKER_WRITTEN_NS (60 * NS_PER_S)     /* the kernel has begun to write by then: 30 s */
#define WORKER_STOP_LOOK_NS NS_PER_MS         /* between two looks at the links */
#define WORKER_STOP_WAIT_NS (300 * NS_PER_MS) /* for peers that do not read */

/* ---- the ends of a worker ---- */

void worker_fail(struct worker *worker, const char *what, int error)
{
    LOG_ERROR("worker_failed", LOG_STR("call", what), LOG_STR("error", error_text(error)),
              LOG_U64("applied_index", worker->applier.last_index));
    if (error == E_CORRUPT) {
        board_write_applied(worker->board, worker->kind->proc, 0);
        (void)store_discard(worker->folder, "corrupt");
    }
    skel_exit(&worker->skel, 1);
}

/* With an empty state there is nothing more to throw away: the log does not begin at its beginning,
 * and trying again would go on for ever. */
void worker_rebuild(struct worker *worker, const char *reason)
{
    struct applier *applier = &worker->applier;

    LOG_ERROR("rebuild_ordered", LOG_STR("reason", reason),
              LOG_U64("applied_index", applier->last_index));
    if (applier->last_index == 0) {
        LOG_ERROR("rebuild_impossible", LOG_STR("reason", "the state is empty already"));
        skel_exit(&worker->skel, PROC_EXIT_STOP_NODE);
    }
    board_write_applied(worker->board, worker->kind->proc, 0);
    applier_close(applier);
    (void)store_discard(worker->folder, reason);
    skel_exit(&worker->skel, 1);
}

void worker_check_written(struct worker *worker)
{
    int error = map_check_written(worker->map);
    if (error != 0)
        worker_fail(worker, "writeback", error);
}

bool worker_may_write(const struct worker *worker, uint64_t bytes)
{
    return map_has_room(worker->map, worker->kind->reserve_bytes + 2 * bytes);
}

static void worker_settle(struct worker *worker)
{
    int error = worker_may_write(worker, 0) ? applier_settle(&worker->applier) : 0;
    if (error != 0)
        worker_fail(worker, "settle", error);
}

static void worker_finish(struct worker *worker)
{
    worker_settle(worker);
    if (map_sync(worker->map) != 0)
        worker_fail(worker, "sync", E_CORRUPT); /* what did not arrive may be gone already */
    /* A copy that is being made reads on until the process ends. */
    if (!worker->making.is_running)
        map_close(&worker->map);
    store_forget_crashes(worker->folder);
    if (store_mark_clean(worker->folder) != 0)
        skel_exit(&worker->skel, 1);
    LOG_INFO("map_closed", LOG_U64("applied_index", worker->applier.last_index));
    skel_exit(&worker->skel, 0);
}

/* Results are remembered, so what does not leave in time is only late. */
static void worker_on_stop_timer(void *arg)
{
    struct worker *worker = arg;
    uint64_t now_ns = loop_now_ns(worker->loop);
    bool is_idle = results_are_idle(worker) && link_is_idle(worker->raft);

    if (is_idle || now_ns >= worker->stop_deadline_ns)
        worker_finish(worker);
    loop_timer_set(worker->loop, &worker->stop_timer, now_ns + WORKER_STOP_LOOK_NS);
}

static void worker_on_stop(void *arg)
{
    struct worker *worker = arg;
    uint64_t now_ns = clock_boot_ns();

    worker_commit(worker);
    worker->stream = STREAM_ENDED;
    worker->stop_deadline_ns = now_ns + WORKER_STOP_WAIT_NS;
    loop_timer_clear(worker->loop, &worker->hold_timer);
    loop_timer_set(worker->loop, &worker->stop_timer, now_ns);
}

/* ---- transactions ---- */

void worker_sweep(struct worker *worker)
{
    int dead = map_sweep(worker->map);

    if (dead != 0)
        LOG_INFO("readers_swept", LOG_I64("count", dead));
}

/* A second after the first commit since the last time. Also stores an applied index that only moved
 * past others' entries, so that a worker which is killed later asks for nothing again. */
static void worker_on_sweep_timer(void *arg)
{
    struct worker *worker = arg;

    worker_sweep(worker);
    worker_check_written(worker);
    worker_commit(worker);
    worker_settle(worker);
}

/* Long after the last commit: what was still to be written at the last sweep has been tried. */
static void worker_on_written_timer(void *arg)
{
    worker_check_written(arg);
}

void worker_publish(struct worker *worker)
{
    const enum proc proc = worker->kind->proc;

    if (board_read_applied(worker->board, proc) < worker->applier.last_index)
        board_write_applied(worker->board, proc, worker->applier.last_index);
    results_tell_waiting(worker);
}

static void worker_set_sweep(struct worker *worker)
{
    uint64_t now_ns = loop_now_ns(worker->loop);

    loop_timer_set(worker->loop, &worker->sweep_timer, now_ns + WORKER_SWEEP_NS);
    if (!worker->kind->is_volatile)
        loop_timer_set(worker->loop, &worker->written_timer, now_ns + WORKER_WRITTEN_NS);
}

void worker_commit(struct worker *worker)
{
    struct applier *applier = &worker->applier;

    if (applier->txn == NULL && applier->last_index == worker->told_index)
        return;
    bool has_to_write = applier->txn != NULL;
    int error = has_to_write || worker_may_write(worker, 0) ? applier_commit(applier) : 0;
    if (error != 0)
        worker_fail(worker, "commit", error);
    worker_publish(worker);
    results_send(worker);
    stream_tell_applied(worker);
    if (worker->sweep_timer.due_ns == 0) /* an idle worker does not wake up */
        worker_set_sweep(worker);
    if (worker->kind->committed != NULL)
        worker->kind->committed(worker->kind->arg, worker);
}

static void worker_note_finals(struct worker *worker)
{
    for (unsigned i = 0; i < worker->applier.final_count; i++) {
        struct session_result result;
        uint64_t session, sequence;
        applier_final(&worker->applier, i, &session, &sequence, &result);
        results_note(worker, session, sequence, &result);
    }
}

void worker_apply(struct worker *worker, const struct msg_apply *entry)
{
    struct applier *applier = &worker->applier;
    struct session_result result;

    if (applier_is_full(applier, entry->command.len))
        worker_commit(worker);
    if (applier->txn == NULL && !worker_may_write(worker, entry->command.len)) {
        stream_hold(worker, entry->command.len);
        return;
    }
    int error = applier_apply(applier, entry, &result);
    if (error != 0)
        worker_fail(worker, "apply", error);
    if (result.index != 0)
        results_note(worker, entry->session, entry->sequence, &result);
    worker_note_finals(worker);
}

static void worker_on_turn_end(void *arg)
{
    struct worker *worker = arg;

    worker_commit(worker);
    if (worker->kind->turn_ended != NULL)
        worker->kind->turn_ended(worker->kind->arg, worker);
}

/* ---- what a kind may ask for ---- */

MDB_txn *worker_read_begin(struct worker *worker)
{
    MDB_txn *txn;

    CHECK(worker->applier.txn == NULL);
    int error = map_write_begin(worker->map, &txn);
    if (error != 0)
        worker_fail(worker, "read", error);
    return txn;
}

void worker_read_end(struct worker *worker)
{
    map_write_abort(worker->map);
}

bool worker_keep_house(struct worker *worker)
{
    worker_commit(worker);
    if (!worker_may_write(worker, 0))
        return false;
    int error = applier_touch(&worker->applier);
    if (error != 0)
        worker_fail(worker, "housekeeping", error);
    return true;
}

uint64_t worker_applied_index(const struct worker *worker)
{
    return worker->applier.last_index;
}

struct loop *worker_loop(struct worker *worker)
{
    return worker->loop;
}

/* ---- another state ---- */

static void worker_open_applier(struct worker *worker)
{
    int error = applier_open(&worker->applier, worker->map, worker->kind);
    if (error != 0)
        worker_fail(worker, "load", error);
    worker->told_index = worker->applier.last_index;
    LOG_INFO("map_opened", LOG_STR("folder", worker->folder),
             LOG_U64("applied_index", worker->applier.last_index),
             LOG_U64("sessions", sessions_count(worker->applier.sessions)));
}

/* Readers that have the old files open go on with the old state until they see the generation. It
 * is raised before the new files count: a crash in between makes them anew, and raises it again. */
void worker_replace_map(struct worker *worker, struct map *staged)
{
    const enum proc proc = worker->kind->proc;

    applier_close(&worker->applier);
    map_close(&worker->map);
    worker->map = staged;
    board_write_applied(worker->board, proc, 0);
    if (store_place(staged, worker->folder) != 0)
        skel_exit(&worker->skel, 1);
    FAILPOINT("map_placed");
    board_raise_generation(worker->board, proc);
    if (store_accept(worker->folder) != 0)
        skel_exit(&worker->skel, 1);
    FAILPOINT("map_accepted");
    worker_open_applier(worker);
    results_push(worker); /* results that no stream has brought */
}

/* ---- start ---- */

/* The map has lasted so long that it is not what ends this process (store.h). */
static void worker_on_lasted_timer(void *arg)
{
    struct worker *worker = arg;

    store_forget_crashes(worker->folder);
}

static void worker_check_tmpfs(const struct worker *worker)
{
    struct statfs status;

    if (worker->kind->is_volatile && statfs(worker->folder, &status) == 0 &&
        status.f_type != TMPFS_MAGIC)
        LOG_WARN("map_not_on_tmpfs", LOG_STR("folder", worker->folder));
}

/* What the board says of the map is taken back before there is another one (shm/board.h). */
static void worker_on_losing(void *arg)
{
    struct worker *worker = arg;

    board_write_applied(worker->board, worker->kind->proc, 0);
}

static void worker_open_state(struct worker *worker)
{
    const struct worker_kind *kind = worker->kind;
    const struct store_options options = {.folder = worker->folder,
                                          .kind = kind->map_kind,
                                          .room_bytes = kind->reserve_bytes,
                                          .losing = worker_on_losing,
                                          .arg = worker};

    int error = board_open(&worker->board, worker->skel.paths.board, true);
    if (error != 0) {
        LOG_ERROR("board_open_failed", LOG_STR("path", worker->skel.paths.board),
                  LOG_CAUSE(error, errno));
        skel_exit(&worker->skel, 1);
    }
    if (store_open(&worker->map, &options) != 0)
        skel_exit(&worker->skel, 1);
    worker_check_tmpfs(worker);
    FAILPOINT("map_made");
    if (map_is_fresh(worker->map) || board_read_generation(worker->board, kind->proc) == 0)
        board_raise_generation(worker->board, kind->proc);
    if (map_is_fresh(worker->map) && store_accept(worker->folder) != 0)
        skel_exit(&worker->skel, 1);
    worker_open_applier(worker);
}

static void worker_open_links(struct worker *worker)
{
    worker->loop = loop_new();
    worker->sweep_timer = (struct loop_timer){.fire = worker_on_sweep_timer, .arg = worker};
    worker->written_timer = (struct loop_timer){.fire = worker_on_written_timer, .arg = worker};
    worker->stop_timer = (struct loop_timer){.fire = worker_on_stop_timer, .arg = worker};
    worker->lasted_timer = (struct loop_timer){.fire = worker_on_lasted_timer, .arg = worker};
    loop_timer_set(worker->loop, &worker->lasted_timer, clock_boot_ns() + STORE_CRASH_S * NS_PER_S);
    worker_snapshots_init(worker);
    /* Before the links' own runners, so that results leave in the turn of their commit. */
    CHECK(loop_add_runner(worker->loop, worker_on_turn_end, worker) == 0);
    int error = results_open(worker);
    if (error == 0)
        error = stream_open(worker);
    if (error != 0) {
        LOG_ERROR("worker_start_failed", LOG_STR("path", worker->skel.paths.run),
                  LOG_CAUSE(error, errno));
        skel_exit(&worker->skel, 1);
    }
}

static void worker_configure(void *arg)
{
    struct worker *worker = arg;

    if (worker->kind->configured != NULL)
        worker->kind->configured(worker->kind->arg, &worker->skel.config);
}

void worker_run(const struct worker_kind *kind, int argc, char **argv)
{
    struct worker *worker = mem_alloc(sizeof(*worker));

    worker->kind = kind;
    skel_start(&worker->skel, kind->proc, argc, argv);
    worker->folder = (const char *)&worker->skel.paths + kind->folder;
    skel_set_hooks(&worker->skel, &(struct skel_hooks){.on_stop = worker_on_stop,
                                                       .on_reload = worker_configure,
                                                       .arg = worker});
    worker_configure(worker);
    worker_open_state(worker);
    worker_open_links(worker);
    skel_attach(&worker->skel, worker->loop);
    skel_ready(&worker->skel);
    loop_run(worker->loop);
    CHECK(false); /* a worker ends in one of the ways above */
}
