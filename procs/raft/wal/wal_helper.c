/* wal_helper.c - the thread for what may take longer: making the next segment, storing the floor,
 * removing segments. */
#include "procs/raft/wal/wal_private.h"

#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "procs/raft/wal/wal_meta.h"

/* ---- the reserve ------------------------------------------------------------------------------
 */

static void wal_helper_make_reserve(struct wal *wal)
{
    int error = wal_prepare_segment(wal->folder, wal->segment_bytes);
    if (error != 0 && error != E_STORAGE_FULL)
        wal_fail(wal, "prepare", errno);
    if (error)
        LOG_WARN("log_reserve_failed", LOG_STR("folder", wal->folder), LOG_ERRNO(errno));
    pthread_mutex_lock(&wal->mutex);
    wal->reserve = error ? WAL_RESERVE_FAILED : WAL_RESERVE_READY;
    pthread_cond_signal(&wal->reserved);
    pthread_mutex_unlock(&wal->mutex);
}

/* What was accepted must go somewhere: where making one failed, it is tried once more. */
void wal_take_reserve(struct wal *wal)
{
    bool tried = false;
    pthread_mutex_lock(&wal->mutex);
    while (wal->reserve != WAL_RESERVE_READY) {
        if (wal->reserve == WAL_RESERVE_FAILED) {
            if (tried)
                wal_fail(wal, "prepare", ENOSPC);
            tried = true;
            wal->reserve = WAL_RESERVE_WANTED;
            pthread_cond_signal(&wal->chores);
        }
        pthread_cond_wait(&wal->reserved, &wal->mutex);
    }
    pthread_mutex_unlock(&wal->mutex);
}

/* ---- the floor --------------------------------------------------------------------------------
 */

void wal_store_wanted_floor(struct wal *wal)
{
    pthread_mutex_lock(&wal->floor_mutex);
    pthread_mutex_lock(&wal->mutex);
    struct wal_floor floor = wal->floor;
    uint64_t raft_id = wal->identity.raft_id;
    bool is_stored = floor.first_sequence == wal->stored_sequence;
    pthread_mutex_unlock(&wal->mutex);
    if (!is_stored && wal_store_floor(wal->folder, raft_id, &floor) != 0)
        wal_fail(wal, "floor", errno);
    pthread_mutex_lock(&wal->mutex);
    wal->stored_sequence = floor.first_sequence;
    wal->removal_due |= !is_stored;
    pthread_cond_signal(&wal->chores);
    pthread_mutex_unlock(&wal->mutex);
    pthread_mutex_unlock(&wal->floor_mutex);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

enum wal_chore {
    WAL_CHORE_NONE,
    WAL_CHORE_STOP,
    WAL_CHORE_FLOOR,
    WAL_CHORE_REMOVE,
    WAL_CHORE_RESERVE
};

/* A reserve first, for the writer may wait for it. A floor that was asked for is stored even at the
 * end. */
static enum wal_chore wal_helper_next(const struct wal *wal)
{
    if (wal->reserve == WAL_RESERVE_WANTED && !wal->helper_stops)
        return WAL_CHORE_RESERVE;
    if (wal->floor.first_sequence != wal->stored_sequence)
        return WAL_CHORE_FLOOR;
    if (wal->removal_due)
        return WAL_CHORE_REMOVE;
    return wal->helper_stops ? WAL_CHORE_STOP : WAL_CHORE_NONE;
}

void *wal_helper_run(void *arg)
{
    struct wal *wal = arg;
    for (;;) {
        pthread_mutex_lock(&wal->mutex);
        enum wal_chore chore;
        while ((chore = wal_helper_next(wal)) == WAL_CHORE_NONE)
            pthread_cond_wait(&wal->chores, &wal->mutex);
        uint64_t first = wal->stored_sequence;
        if (chore == WAL_CHORE_REMOVE)
            wal->removal_due = false;
        pthread_mutex_unlock(&wal->mutex);
        if (chore == WAL_CHORE_STOP)
            return NULL;
        if (chore == WAL_CHORE_RESERVE)
            wal_helper_make_reserve(wal);
        else if (chore == WAL_CHORE_FLOOR)
            wal_store_wanted_floor(wal);
        else if (wal_remove_segments(wal->folder, first) != 0)
            LOG_WARN("log_segments_kept", LOG_STR("folder", wal->folder), LOG_ERRNO(errno));
    }
}
