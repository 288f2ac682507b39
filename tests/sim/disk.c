/* disk.c - a simulated disk: writes queue in order, a sync makes them durable, and a crash loses
 * what was not synced: all, some, or all but a part of the next. (The log's recovery cuts at the
 * first damaged record, so what is left of an unsynced queue is always a prefix.) */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

/* ---- logs -------------------------------------------------------------------------------------
 */

uint64_t sim_log_last(const struct sim_log *log)
{
    return log->base + log->count;
}

const struct sim_entry *sim_log_at(const struct sim_log *log, uint64_t index)
{
    if (index <= log->base || index > sim_log_last(log))
        return NULL;
    return &log->entries[index - log->base - 1];
}

/* At index, overriding it and what follows. */
void sim_log_append(struct sim_log *log, uint64_t index, const struct sim_entry *entry)
{
    CHECK(index > log->base && index <= sim_log_last(log) + 1);
    log->count = index - log->base - 1;
    if (log->count == log->room) {
        log->room = log->room ? log->room * 2 : 64;
        log->entries = mem_resize(log->entries, log->room * sizeof(log->entries[0]));
    }
    log->entries[log->count++] = *entry;
}

void sim_log_cut_front(struct sim_log *log, uint64_t base)
{
    if (base <= log->base)
        return;
    uint64_t gone = base - log->base < log->count ? base - log->base : log->count;
    log->count -= gone;
    if (log->count > 0)
        memmove(log->entries, log->entries + gone, log->count * sizeof(log->entries[0]));
    log->base = base;
}

void sim_log_reset(struct sim_log *log, uint64_t base)
{
    log->count = 0;
    log->base = base;
}

/* ---- the disk ---------------------------------------------------------------------------------
 */

struct sim_write *sim_disk_queue(struct sim_disk *disk, uint64_t number)
{
    if (disk->queued == disk->room) {
        disk->room = disk->room ? disk->room * 2 : 16;
        disk->queue = mem_resize(disk->queue, disk->room * sizeof(disk->queue[0]));
    }
    struct sim_write *write = &disk->queue[disk->queued++];
    *write = (struct sim_write){.number = number};
    return write;
}

/* The first parts of a write: term and vote, then entries one by one; of an install the snapshot's
 * place, then the log. */
static void sim_disk_store(struct sim_disk *disk, const struct sim_write *write, uint64_t parts)
{
    if (write->snapshot) {
        if (parts > 0)
            disk->newest = disk->floor = *write->snapshot;
        if (parts > 1)
            sim_log_reset(&disk->log, write->snapshot->index);
        return;
    }
    if (write->hard_state) {
        if (parts-- == 0)
            return;
        disk->term = write->term;
        disk->vote = write->vote;
    }
    for (uint64_t i = 0; i < write->count && i < parts; i++)
        if (write->first + i > disk->log.base)
            sim_log_append(&disk->log, write->first + i, &write->entries[i]);
}

static void sim_disk_drop(struct sim_disk *disk, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(disk->queue[i].entries);
        free(disk->queue[i].snapshot);
    }
    disk->queued -= count;
    if (disk->queued > 0)
        memmove(disk->queue, disk->queue + count, disk->queued * sizeof(disk->queue[0]));
}

/* The first count queued writes are on the disk; returns the last one's number. */
uint64_t sim_disk_finish(struct sim_disk *disk, uint32_t count, bool *installed)
{
    uint64_t number = 0;
    *installed = false;
    for (uint32_t i = 0; i < count; i++) {
        sim_disk_store(disk, &disk->queue[i], UINT64_MAX);
        *installed |= disk->queue[i].snapshot != NULL;
        if (disk->queue[i].number > number)
            number = disk->queue[i].number;
    }
    sim_disk_drop(disk, count);
    return number;
}

/* The first count writes are on the disk, and some parts of the next; the rest is lost. */
void sim_disk_keep(struct sim_disk *disk, uint32_t count, uint64_t parts)
{
    bool installed;
    sim_disk_finish(disk, count, &installed);
    if (disk->queued > 0)
        sim_disk_store(disk, &disk->queue[0], parts);
    sim_disk_drop(disk, disk->queued);
    disk->syncing = 0;
}

void sim_disk_lose(struct sim_world *world, struct sim_disk *disk)
{
    bool installed;
    if (world->scripted)
        return; /* the script says what is kept */
    uint32_t kept = (uint32_t)sim_below(world, disk->queued + 1);
    sim_disk_finish(disk, kept, &installed);
    for (uint32_t i = 0; i < disk->queued; i++)
        if (disk->queue[i].count > 0 && disk->queue[i].first <= sim_log_last(&disk->log))
            SIM_MARK(world, old_suffix_back);
    if (disk->queued > 0) {
        SIM_MARK(world, writes_lost);
        const struct sim_write *next = &disk->queue[0];
        uint64_t parts = next->snapshot ? 2 : next->count + next->hard_state;
        uint64_t stored = sim_below(world, parts);
        sim_disk_store(disk, next, stored);
        if (stored > 0 && next->snapshot)
            SIM_MARK(world, snapshot_torn);
        else if (stored > 0)
            SIM_MARK(world, write_torn);
    }
    sim_disk_drop(disk, disk->queued);
    disk->syncing = 0;
}

static bool sim_disk_log_holds(const struct sim_disk *disk, const struct sim_snapshot *snapshot)
{
    const struct sim_entry *entry = sim_log_at(&disk->log, snapshot->index);
    return snapshot->index == disk->log.base || (entry && entry->term == snapshot->term);
}

/* What a start does before anything else: an install that was cut short goes on, for its snapshot
 * is in place, and the log does not lead to it (N2, N3). */
void sim_disk_recover(struct sim_world *world, struct sim_disk *disk)
{
    if (!sim_disk_log_holds(disk, &disk->newest)) {
        disk->floor = disk->newest;
        sim_log_reset(&disk->log, disk->newest.index);
    }
    if (!sim_disk_log_holds(disk, &disk->floor))
        sim_fail(world, "driver", "a log that begins at %lu has lost its snapshot of %lu",
                 disk->log.base, disk->floor.index);
    sim_log_cut_front(&disk->log, disk->floor.index);
}

const struct raft_config *sim_disk_config(const struct sim_disk *disk, uint64_t *config_index)
{
    for (uint64_t index = sim_log_last(&disk->log); index > disk->log.base; index--) {
        const struct sim_entry *entry = sim_log_at(&disk->log, index);
        if (!entry->config)
            continue;
        *config_index = index;
        return entry->config;
    }
    *config_index = disk->floor.config_index;
    return disk->floor.config;
}

void sim_disk_fini(struct sim_disk *disk)
{
    sim_disk_drop(disk, disk->queued);
    free(disk->queue);
    free(disk->log.entries);
}
