/* state_check.h - whether the nodes' states are still the same (docs/snapshots.md): compares the
 * hashes that workers have at the same index, and finds who differs from the majority.
 *
 * The leader keeps what is reported, its own included, of the last STATE_CHECK_POINTS checkpoints
 * of each worker; what comes later than that is not compared. A hash is right when more than half
 * of the voters report it. Every node that reports another one differs, learners too. Without such
 * a majority nobody is to blame: that there is a difference is all that is known. Pure.
 */
#ifndef INSI_RAFT_STATE_CHECK_H
#define INSI_RAFT_STATE_CHECK_H

#include "procs/raft/members.h"
#include "procs/raft/snapshots/peer_snapshot.h"

#define STATE_CHECK_POINTS 32

struct state_check_hooks {
    /* Node id differs; right is what the majority has. Once for each node and checkpoint. */
    void (*differs)(void *arg, uint64_t id, const struct peer_state_hash *right);
    /* Two nodes differ, and no majority can say who is right any more: it is impossible, or did not
     * come until newer checkpoints took this one's place. Once for each checkpoint. */
    void (*open)(void *arg, const struct peer_state_hash *one, const struct peer_state_hash *other);
    void *arg;
};

struct state_check;

struct state_check *state_check_new(const struct state_check_hooks *hooks);
void state_check_free(struct state_check **check);
void state_check_forget(struct state_check *check); /* all that was reported */

/* Node id has reported. Who is no member is not heard. */
void state_check_note(struct state_check *check, const struct members *members, uint64_t id,
                      const struct peer_state_hash *state);

#endif
