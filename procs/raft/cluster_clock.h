/* cluster_clock.h - cluster time at the node that leads (I8): ms since 1970, for stamps of entries.
 *
 *   1. Wall time enters only when a node begins to lead, and never takes cluster time back: cluster
 *      time begins at the latest of wall time, what the log has seen, and what readers were shown.
 *   2. From then on it goes with boot time: a wall clock that jumps changes nothing.
 *   3. A stamp is never less than the one before it in the log.
 *
 * Pure: times are handed in.
 */
#ifndef INSI_RAFT_CLUSTER_CLOCK_H
#define INSI_RAFT_CLUSTER_CLOCK_H

#include <stdint.h>

struct cluster_clock {
    int64_t offset_ms; /* cluster time - boot time, since this node leads */
    uint64_t last_ms;  /* the newest stamp in the log */
};

/* An entry with this stamp is in the log. */
void cluster_clock_note(struct cluster_clock *clock, uint64_t stamp_ms);

/* This node begins to lead. shown_ms: what readers of this node see as cluster time now, 0 if
 * nothing. Returns the offset that they are to be shown from now on. */
int64_t cluster_clock_lead(struct cluster_clock *clock, uint64_t boot_ms, uint64_t wall_ms,
                           uint64_t shown_ms);

/* The stamp for entries that are appended now; only while this node leads. */
uint64_t cluster_clock_stamp(struct cluster_clock *clock, uint64_t boot_ms);

#endif
