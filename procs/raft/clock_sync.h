/* clock_sync.h - how far this node's boot clock is from cluster time, by asking the leader (I8).
 *
 *   1. A question names this node's boot time when it asked; the answer repeats it and tells
 *      cluster time at the leader. Cluster time now is that and half of the round trip, give or
 *      take that half: so of the answers of the last CLOCK_SYNC_KEEP_NS the one that travelled
 *      fastest counts.
 *   2. What is shown goes forward at once, and back by at most CLOCK_SYNC_BACK_MS per answer: a
 *      reader never sees it run backwards (shm/board.h), so for that long it stands still.
 *   3. An answer that was on its way for long says little, and after a change of leaders it may be
 *      the only one. It moves what is shown only as far as it proves that wrong.
 *
 * Pure: times are handed in.
 */
#ifndef INSI_RAFT_CLOCK_SYNC_H
#define INSI_RAFT_CLOCK_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_SYNC_KEEP_NS 30000000000ull
#define CLOCK_SYNC_SAMPLES 32
#define CLOCK_SYNC_BACK_MS 50
#define CLOCK_SYNC_DOUBT_MS 50 /* half of a round trip from which on rule 3 holds */

struct clock_sample {
    uint64_t heard_ns; /* boot time of the answer */
    uint64_t trip_ns;
    int64_t offset_ns; /* cluster time - boot time */
};

struct clock_sync {                                  /* zeroed before first use */
    struct clock_sample samples[CLOCK_SYNC_SAMPLES]; /* ring */
    uint32_t count, next;
};

/* Another leader: what the last one said does not count any more. */
void clock_sync_forget(struct clock_sync *sync);

/* An answer came at now_ns to the question of asked_ns. False: it cannot be one. */
bool clock_sync_note(struct clock_sync *sync, uint64_t asked_ns, uint64_t now_ns,
                     uint64_t cluster_ns);

/* What is to be shown from now on, after at least one answer. shown_ms: the offset that is shown;
 * is_shown: there is one. */
int64_t clock_sync_offset_ms(const struct clock_sync *sync, uint64_t now_ns, bool is_shown,
                             int64_t shown_ms);

#endif
