/* driver_base.c - at a start: where the log and the snapshots meet.
 *
 *   1. The log leads to the newest snapshot when it holds the entry of that index, with that term.
 *      If it does not, a crash came after a snapshot was received and before the log was begun anew
 *      behind it: that is done now (N3).
 *   2. The core is told of the log from the oldest good snapshot in it on, because that is where
 *      the membership is known. From its very beginning, if it is all there.
 *   3. A log that begins behind every good snapshot has lost what leads up to it. A node that is
 *      alone stops. One of several knows no members and so leads nobody, but goes on with the log,
 *      and gets a snapshot from the leader.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

static bool driver_take_term(const struct wal_entry *entry, void *arg)
{
    uint64_t *term = arg;
    *term = entry->term;
    return false;
}

/* 0: the log does not hold the entry. */
static uint64_t driver_log_term(struct driver *driver, const struct wal_state *state,
                                uint64_t index)
{
    uint64_t term = 0;
    if (index == state->base_index)
        return state->base_term;
    if (index < state->base_index || index > state->last_index)
        return 0;
    int error = wal_read(driver->wal, index, 1, driver_take_term, &term);
    if (error)
        driver_give_up(driver, error);
    return term;
}

/* Rule 1. */
static void driver_reset_log(struct driver *driver, struct wal_state *state,
                             const struct snapshot *newest)
{
    LOG_WARN("log_begun_anew", LOG_U64("snapshot_index", newest->index),
             LOG_U64("snapshot_term", newest->term), LOG_U64("last_index", state->last_index));
    wal_reset(driver->wal, newest->index, newest->term);
    state->base_index = state->last_index = newest->index;
    state->base_term = state->last_term = newest->term;
}

/* Term and vote of the update that was to go with an install may be lost with it: nothing that
 * depends on them has left. */
static void driver_mend_term(struct wal_state *state)
{
    if (state->term >= state->base_term)
        return;
    state->term = state->base_term;
    state->vote = 0;
}

/* Rule 3. */
static void driver_miss_snapshots(struct driver *driver, const struct wal_state *state)
{
    bool is_alone = driver->skel->config.node_count == 1;
    const char *folder = driver->skel->paths.snapshots;
    const char *reason = "the log begins behind every snapshot that can be used";
    if (is_alone) {
        LOG_ERROR("snapshots_missing", LOG_STR("reason", reason), LOG_STR("folder", folder),
                  LOG_U64("first_index", state->base_index + 1));
        driver_give_up(driver, E_CORRUPT);
    }
    LOG_WARN("snapshots_missing", LOG_STR("reason", reason), LOG_STR("folder", folder),
             LOG_U64("first_index", state->base_index + 1));
}

/* Rule 2. */
static const struct snapshot *driver_oldest_in_log(struct driver *driver,
                                                   const struct wal_state *state)
{
    const struct snapshot_list *list = &driver->snapshots.list;
    for (size_t i = list->count; i > 0; i--) {
        const struct snapshot *snapshot = list->items[i - 1];
        if (driver_log_term(driver, state, snapshot->index) == snapshot->term)
            return snapshot;
    }
    return NULL;
}

void driver_find_base(struct driver *driver, struct wal_state *state, struct driver_base *base)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    if (newest && newest->index >= state->base_index &&
        driver_log_term(driver, state, newest->index) != newest->term)
        driver_reset_log(driver, state, newest);
    driver_mend_term(state);
    *base = (struct driver_base){.index = state->base_index, .term = state->base_term};
    if (newest && newest->index >= state->base_index)
        base->snapshot_index = newest->index;
    if (state->base_index == 0)
        return;
    const struct snapshot *oldest = driver_oldest_in_log(driver, state);
    if (!oldest) {
        base->snapshot_index = base->index;
        driver_miss_snapshots(driver, state);
        return;
    }
    base->index = oldest->index;
    base->term = oldest->term;
    base->config_index = oldest->config_index;
    driver->group.members = oldest->members;
    cluster_time_note(&driver->time, oldest->stamp_ms);
}
