/* driver_snapshot.c - what ties snapshots to the core: making one, cutting the log behind it,
 * having workers load one, and going on from one that was received. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

/* ---- members as of an index -------------------------------------------------------------------
 */

struct driver_members_read {
    struct members *out;
    int error;
};

static bool driver_take_members(const struct wal_entry *entry, void *arg)
{
    struct driver_members_read *read = arg;
    read->error =
        entry->kind == WAL_CONFIG ? members_decode(read->out, entry->payload) : E_NOT_FOUND;
    return false;
}

/* The config entry may be gone from the log: then the newest snapshot has the same members. */
int driver_members_at(struct driver *driver, uint64_t config_index, struct members *out)
{
    struct driver_members_read read = {.out = out};
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    if (config_index >= wal_first_index(driver->wal)) {
        int error = wal_read(driver->wal, config_index, 1, driver_take_members, &read);
        return error ? error : read.error;
    }
    if (!newest || newest->config_index != config_index)
        return E_NOT_FOUND;
    *out = newest->members;
    return 0;
}

/* ---- making -----------------------------------------------------------------------------------
 */

static bool driver_on_snapshot_begins(void *arg, struct snapshot *out)
{
    struct driver *driver = arg;
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    uint64_t index = driver->apply.commit_index;
    if (driver->group.is_stopping || driver->installing || index == 0 ||
        (newest && newest->index >= index))
        return false;
    out->index = index;
    out->term = raft_term_at(driver->raft, index);
    out->stamp_ms = cluster_time_last_ms(&driver->time);
    memcpy(out->cluster, driver->apply.lineage, sizeof(out->cluster));
    (void)raft_config_at(driver->raft, index, &out->config_index);
    int error =
        out->term != 0 ? driver_members_at(driver, out->config_index, &out->members) : E_NOT_FOUND;
    if (error)
        LOG_WARN("snapshot_not_begun", LOG_U64("index", index), LOG_STR("error", error_text(error)),
                 LOG_STR("reason", "the members are not known"));
    return error == 0;
}

/* ---- cutting the log --------------------------------------------------------------------------
 */

/* What a peer that answers still lacks is kept for it, or a snapshot would chase the last one; but
 * not more than so much, or one that crawls would fill the disk (N5). */
static bool driver_may_keep_more(struct driver *driver)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    uint64_t period = snapshots_period_bytes(&driver->snapshots);
    uint64_t extra = driver->skel->config.raft.snapshot_log_bytes;
    if (newest && snapshot_bytes(newest) > extra)
        extra = snapshot_bytes(newest);
    return wal_kept_bytes(driver->wal) < 2 * period + extra;
}

static uint64_t driver_floor(struct driver *driver)
{
    const struct snapshot *older = snapshots_older(&driver->snapshots);
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint64_t floor = older ? older->index : 0;
    if (!group_leads(&driver->group) || floor == 0 || !driver_may_keep_more(driver))
        return floor;
    uint32_t count = raft_peers(driver->raft, clock_boot_ns(), peers);
    for (uint32_t i = 0; i < count; i++) {
        bool is_there = peers[i].active || peers[i].snapshot;
        if (is_there && peers[i].match_index < floor)
            floor = peers[i].match_index;
    }
    return floor;
}

/* As far as it is not needed. */
static void driver_cut_log(struct driver *driver)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    uint64_t floor = driver_floor(driver);
    if (!newest || newest->index > driver->apply.commit_index)
        return;
    uint64_t term = raft_term_at(driver->raft, floor);
    if (term == 0) /* cut before, or not there: nothing to cut */
        floor = 0;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_MADE,
                               .snapshot_made = {newest->index, floor}};
    driver_step(driver, &event);
    if (floor == 0)
        return;
    wal_cut(driver->wal, floor, term);
    LOG_INFO("log_cut", LOG_U64("index", floor), LOG_U64("snapshot_index", newest->index));
    FAILPOINT("log_cut");
}

static void driver_on_snapshot_made(void *arg)
{
    struct driver *driver = arg;
    driver_cut_log(driver);
    snapshot_intake_on_newest(&driver->intake);
    snapshot_sends_on_newest(&driver->sends);
}

void driver_hook_snapshots(struct driver *driver, struct snapshots_hooks *hooks)
{
    *hooks = (struct snapshots_hooks){driver_on_snapshot_begins, driver_on_snapshot_made, driver};
}

/* ---- workers load one -------------------------------------------------------------------------
 */

/* Nothing here leads to what the log holds. A node that is alone has nobody to ask. */
static void driver_lack_snapshot(struct driver *driver, enum proc worker, uint64_t applied_index)
{
    bool is_alone = driver->skel->config.node_count == 1 && driver->group.members.count <= 1;
    uint64_t now_ns = loop_now_ns(driver->loop);
    if (pace_allows(&driver->lack_pace, now_ns, DRIVER_LACK_NS))
        LOG_ERROR("snapshot_missing", LOG_STR("worker", proc_name(worker)),
                  LOG_U64("applied_index", applied_index),
                  LOG_U64("first_index", wal_first_index(driver->wal)),
                  LOG_STR("reason", "no snapshot that can be used leads to the log's beginning"));
    if (is_alone)
        driver_give_up(driver, E_CORRUPT);
    snapshot_intake_ask(&driver->intake);
    loop_timer_set(driver->loop, &driver->load_timer, now_ns + DRIVER_LOAD_NS);
}

bool driver_on_worker_lacks(void *arg, enum proc worker, uint64_t applied_index,
                            struct msg_snapshot_load *load)
{
    struct driver *driver = arg;
    const struct snapshot *snapshot =
        snapshots_leading_to(&driver->snapshots, wal_first_index(driver->wal));
    if (!snapshot) {
        driver_lack_snapshot(driver, worker, applied_index);
        return false;
    }
    const struct snapshot_part *part = &snapshot->parts[PROC_WORKER_SLOT(worker)];
    snapshot_part_path(driver->load_path, driver->skel->paths.snapshots, NULL, snapshot->index,
                       worker);
    *load = (struct msg_snapshot_load){.index = snapshot->index,
                                       .bytes = part->bytes,
                                       .sum = slice_of(part->sum, sizeof(part->sum)),
                                       .state_hash = part->state_hash,
                                       .path = slice_text(driver->load_path)};
    return true;
}

void driver_on_load_timer(void *arg)
{
    struct driver *driver = arg;
    apply_offer_snapshot(&driver->apply);
}

void driver_on_worker_loaded(void *arg, enum proc worker, uint64_t index, int error)
{
    struct driver *driver = arg;
    if (error == 0)
        return;
    if (error == E_NOT_FOUND && !snapshots_find(&driver->snapshots, index)) {
        apply_offer_snapshot(&driver->apply); /* removed before the worker had opened it */
        return;
    }
    LOG_WARN("worker_not_loaded", LOG_STR("worker", proc_name(worker)),
             LOG_U64("snapshot_index", index), LOG_STR("error", error_text(error)));
    if (error == E_CORRUPT || error == E_NOT_FOUND) {
        snapshots_set_damaged(&driver->snapshots, index);
        apply_offer_snapshot(&driver->apply);
        return;
    }
    /* no room, say: it may be there soon */
    loop_timer_set(driver->loop, &driver->load_timer, loop_now_ns(driver->loop) + DRIVER_LOAD_NS);
}

void driver_on_part_made(void *arg, enum proc worker, const struct msg_snapshot_made *made)
{
    struct driver *driver = arg;
    snapshots_on_part(&driver->snapshots, worker, made);
}

/* ---- going on from one that was received ------------------------------------------------------
 */

/* Everything written before is on its way to the disk; behind that, the log begins anew. The
 * snapshot is in place already: a crash from here on ends where this ends. */
void driver_install(struct driver *driver, const struct raft_update *update)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    CHECK(newest && newest->index == update->install_index);
    FAILPOINT("install_begun");
    LOG_INFO("snapshot_install_begun", LOG_U64("index", update->install_index),
             LOG_U64("term", update->install_term));
    snapshots_drop(&driver->snapshots);
    driver->installing = update->install_index;
    driver->group.members = newest->members;
    driver->members_are_new = true;
    if (group_is_member(&driver->group))
        joining_note_member(&driver->joining);
    cluster_time_note(&driver->time, newest->stamp_ms);
    wal_reset(driver->wal, update->install_index, update->install_term);
    wal_flush(driver->wal);
}

/* The log's new beginning is on the disk. */
void driver_on_reset(struct driver *driver, uint64_t index)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_INSTALLED, .installed_index = index};
    if (driver->installing == 0 || driver->installing != index)
        return;
    FAILPOINT("install_reset");
    driver->installing = 0;
    snapshots_remove_below(&driver->snapshots, index);
    apply_install(&driver->apply, index);
    FAILPOINT("install_told");
    LOG_INFO("snapshot_installed", LOG_U64("index", index));
    driver_step(driver, &event);
}
