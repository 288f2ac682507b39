/* rate.h - the rate limiters of a node, shared by its gateway processes.
 *
 * One small file in the node's shm folder holds one 64-bit atomic word per class: the theoretical
 * arrival time of the generic cell rate algorithm (GCRA), in ns of boot time. A request moves the
 * word on by the time that one request is worth, unless that would be more than a burst ahead of
 * now; then it is refused and nothing changes. Zero means "nothing used", so a fresh file needs no
 * initialisation and whichever gateway comes first may make it. Limits are not kept in the file:
 * every process brings those of its configuration, so a reload needs no hand-over.
 */
#ifndef INSI_SHM_RATE_H
#define INSI_SHM_RATE_H

#include <stdbool.h>
#include <stdint.h>

enum rate_class {
    RATE_VALUES,
    RATE_CACHE,
    RATE_ATOMICS,
    RATE_QUEUES,
    RATE_EVENTS,
    RATE_SYSTEM,
    RATE_CLASS_COUNT
};

struct rate_limit {
    uint64_t per_second; /* 0: no limit */
    uint64_t burst;      /* requests that may come at once; 0 counts as 1 */
};

struct rate;

/* Makes the file (mode 0600) when it is not there. E_IO with errno, E_INVALID when it is something
 * else. */
int rate_open(struct rate **out, const char *path);
void rate_close(struct rate **rate);

/* Whether one more request of the class may pass now. If not, *wait_ns is the time after which one
 * would. Any number of processes and threads may ask at the same time. */
bool rate_allow(struct rate *rate, enum rate_class class, const struct rate_limit *limit,
                uint64_t now_ns, uint64_t *wait_ns);

#endif
