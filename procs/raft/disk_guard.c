/* disk_guard.c - looks at the free space now and then. */
#include "procs/raft/disk_guard.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"

static int disk_guard_look(const char *folder, struct disk_space *out)
{
    return path_space(folder, &out->free_bytes, &out->total_bytes);
}

void disk_guard_init(struct disk_guard *guard, const char *folder)
{
    *guard = (struct disk_guard){.folder = folder, .look = disk_guard_look};
}

static uint64_t disk_guard_floor(const struct disk_space *space, bool is_full)
{
    uint64_t floor = space->total_bytes / 16;
    if (floor < GUARD_FLOOR_MIN)
        floor = GUARD_FLOOR_MIN;
    if (floor > GUARD_FLOOR_MAX)
        floor = GUARD_FLOOR_MAX;
    return is_full ? floor + floor / 8 : floor; /* so that it does not flutter */
}

uint64_t disk_guard_reserve(const char *folder)
{
    struct disk_space space = {0};
    (void)disk_guard_look(folder, &space); /* what cannot be looked at has the smallest floor */
    return disk_guard_floor(&space, true);
}

static void disk_guard_judge(struct disk_guard *guard)
{
    struct disk_space space;
    if (guard->look(guard->folder, &space) != 0)
        return;
    bool is_full = space.free_bytes < disk_guard_floor(&space, guard->is_full);
    if (is_full && !guard->is_full)
        LOG_WARN("writes_refused", LOG_STR("reason", "the disk is nearly full"),
                 LOG_STR("folder", guard->folder), LOG_U64("free_bytes", space.free_bytes));
    if (!is_full && guard->is_full)
        LOG_INFO("writes_taken_again", LOG_STR("folder", guard->folder),
                 LOG_U64("free_bytes", space.free_bytes));
    guard->is_full = is_full;
}

bool disk_guard_is_full(struct disk_guard *guard, uint64_t now_ns, size_t bytes)
{
    guard->bytes += bytes;
    guard->looked = guard->looked_ns == 0 ||
                    now_ns >= guard->looked_ns + GUARD_LOOK_MS * NS_PER_MS ||
                    guard->bytes >= GUARD_LOOK_BYTES;
    if (guard->looked) {
        disk_guard_judge(guard);
        guard->looked_ns = now_ns;
        guard->bytes = 0;
    }
    return guard->is_full;
}
