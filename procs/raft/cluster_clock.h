/* cluster_clock.h - cluster time at the node that leads (I8): ms since 1970, for stamps of entries.
 *
 *   1. Cluster time goes on: a node that begins to lead begins at what its readers were shown, but
 *      behind the log's last stamp. Wall time enters only where readers were shown nothing yet,
 *      which is when the machine or the whole cluster was down, and never takes cluster time back.
 *      So wall clocks that disagree do not make time jump with every change of the leader.
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

/* This node begins to lead. shown_ms: what readers of this node see as cluster time now; 0: nobody
 * has set it yet. Returns the offset that they are to be shown from now on. */
int64_t cluster_clock_lead(struct cluster_clock *clock, uint64_t boot_ms, uint64_t wall_ms,
                           uint64_t shown_ms);

/* The stamp for entries that are appended now; only while this node leads. */
uint64_t cluster_clock_stamp(struct cluster_clock *clock, uint64_t boot_ms);

#endif
