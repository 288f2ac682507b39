/* pace.h - what is said at most so often, however often it happens: log lines above all.
 *
 * A pace that is zeroed lets the first one through at once; zeroed again, the next one. Times are
 * handed in, in ns since boot (base/clock.h).
 */
#ifndef INSI_BASE_PACE_H
#define INSI_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t next_ns; /* not before */
};

/* Whether it may be said now. If so, not again until wait_ns have passed. */
static inline bool pace_allows(struct pace *pace, uint64_t now_ns, uint64_t wait_ns)
{
    if (now_ns < pace->next_ns)
        return false;
    pace->next_ns = now_ns + wait_ns;
    return true;
}

#endif
