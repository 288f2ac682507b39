/* clock_sync.c - the sample with the shortest round trip. */
#include "procs/raft/clock_sync.h"

#include <stddef.h>

#include "base/check.h"
#include "base/clock.h"

void clock_sync_forget(struct clock_sync *sync)
{
    sync->count = sync->next = 0;
}

bool clock_sync_note(struct clock_sync *sync, uint64_t asked_ns, uint64_t now_ns,
                     uint64_t cluster_ns)
{
    if (asked_ns > now_ns || cluster_ns > INT64_MAX || now_ns > INT64_MAX)
        return false;
    uint64_t trip_ns = now_ns - asked_ns;
    sync->samples[sync->next] = (struct clock_sample){
        .heard_ns = now_ns,
        .trip_ns = trip_ns,
        .offset_ns = (int64_t)cluster_ns + (int64_t)(trip_ns / 2) - (int64_t)now_ns};
    sync->next = (sync->next + 1) % CLOCK_SYNC_SAMPLES;
    sync->count += sync->count < CLOCK_SYNC_SAMPLES;
    return true;
}

static const struct clock_sample *clock_sync_best(const struct clock_sync *sync, uint64_t now_ns)
{
    const struct clock_sample *best = NULL;
    for (uint32_t i = 0; i < sync->count; i++) {
        const struct clock_sample *sample =
            &sync->samples[(sync->next + CLOCK_SYNC_SAMPLES - 1 - i) % CLOCK_SYNC_SAMPLES];
        bool is_old = now_ns - sample->heard_ns > CLOCK_SYNC_KEEP_NS;
        if (!best || (!is_old && sample->trip_ns < best->trip_ns))
            best = sample;
    }
    return best;
}

static int64_t clock_sync_nearest(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

int64_t clock_sync_offset_ms(const struct clock_sync *sync, uint64_t now_ns, bool is_shown,
                             int64_t shown_ms)
{
    const int64_t ms = (int64_t)NS_PER_MS;
    const struct clock_sample *best = clock_sync_best(sync, now_ns);
    CHECK(best);
    int64_t offset_ms = best->offset_ns / ms - (best->offset_ns % ms < 0);
    int64_t doubt_ms = (int64_t)(best->trip_ns / 2) / ms;
    if (is_shown && doubt_ms >= CLOCK_SYNC_DOUBT_MS)
        offset_ms = clock_sync_nearest(shown_ms, offset_ms - doubt_ms, offset_ms + doubt_ms);
    if (!is_shown || offset_ms >= shown_ms || shown_ms - offset_ms <= CLOCK_SYNC_BACK_MS)
        return offset_ms;
    return shown_ms - CLOCK_SYNC_BACK_MS;
}
