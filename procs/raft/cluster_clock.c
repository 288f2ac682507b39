/* cluster_clock.c - stamps that never go back. */
#include "procs/raft/cluster_clock.h"

void cluster_clock_note(struct cluster_clock *clock, uint64_t stamp_ms)
{
    if (stamp_ms > clock->last_ms)
        clock->last_ms = stamp_ms;
}

int64_t cluster_clock_lead(struct cluster_clock *clock, uint64_t boot_ms, uint64_t wall_ms,
                           uint64_t shown_ms)
{
    uint64_t now_ms = shown_ms ? shown_ms : wall_ms;
    if (now_ms <= clock->last_ms)
        now_ms = clock->last_ms + 1;
    clock->offset_ms = (int64_t)now_ms - (int64_t)boot_ms;
    return clock->offset_ms;
}

uint64_t cluster_clock_stamp(struct cluster_clock *clock, uint64_t boot_ms)
{
    int64_t now_ms = (int64_t)boot_ms + clock->offset_ms;
    cluster_clock_note(clock, now_ms > 0 ? (uint64_t)now_ms : 0);
    return clock->last_ms;
}
