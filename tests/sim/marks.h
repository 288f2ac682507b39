/* marks.h - how often each rare thing happened. Over the standard seeds every one of them must
 * have, else the generator is too tame (main.c). */
#ifndef INSI_TESTS_SIM_MARKS_H
#define INSI_TESTS_SIM_MARKS_H

#include <stdint.h>

/* X(name, what it counts) */
#define SIM_MARK_LIST(X)                                                                           \
    X(elections, "leaders elected")                                                                \
    X(vote_lost, "candidates that became followers")                                               \
    X(vote_by_transfer, "votes asked for by a transfer")                                           \
    X(prevote_refused, "pre-votes refused")                                                        \
    X(quorum_lost, "leaders that stepped down without a newer term")                               \
    X(leader_deposed, "leaders that met a newer term")                                             \
    X(truncations, "logs cut because of a conflict")                                               \
    X(append_rejected, "appends that did not fit")                                                 \
    X(append_overtook, "appends that had to wait for the disk at the leader")                      \
    X(old_term_committed, "entries of an earlier term that a leader committed")                    \
    X(acked_after_disk, "answers to appends that waited for the disk")                             \
    X(config_changes, "changes of members taken")                                                  \
    X(config_refused, "changes of members refused")                                                \
    X(config_rollbacks, "configs that were cut away")                                              \
    X(learner_added, "learners added")                                                             \
    X(learner_promoted, "learners promoted")                                                       \
    X(voter_removed, "voters removed")                                                             \
    X(leader_removed, "leaders that removed themselves")                                           \
    X(removed_stands, "candidates that are not in their own config any more")                      \
    X(sole_voter, "leases without end")                                                            \
    X(transfer_done, "transfers that ended with another leader")                                   \
    X(transfer_failed, "transfers given up")                                                       \
    X(stop_planned, "planned stops of a leader")                                                   \
    X(handed_over, "transfers that nobody asked for")                                              \
    X(snapshot_made, "snapshots made")                                                             \
    X(snapshot_lost, "snapshots given up before they were done")                                   \
    X(snapshot_sent, "snapshots sent")                                                             \
    X(snapshot_failed, "snapshots that did not arrive")                                            \
    X(snapshot_installed, "snapshots installed")                                                   \
    X(snapshot_over_conflict, "... over a log that conflicted with it")                            \
    X(snapshot_ignored, "snapshots not needed")                                                    \
    X(snapshot_torn, "crashes within an install")                                                  \
    X(append_while_installing, "appends answered with busy")                                       \
    X(raft_killed, "raft processes killed")                                                        \
    X(machine_killed, "machines without power")                                                    \
    X(writes_lost, "crashes that lost a queued write")                                             \
    X(write_torn, "crashes that kept a part of a write")                                           \
    X(old_suffix_back, "crashes that brought overridden entries back")                             \
    X(vote_in_grace, "votes asked of a node that has just started")                                \
    X(vote_in_promise, "votes asked of a node that has just heard another leader")                 \
    X(worker_killed, "workers killed")                                                             \
    X(worker_rebuilt, "workers that lost their map")                                               \
    X(worker_from_snapshot, "workers that had to load a snapshot")                                 \
    X(disk_stalled, "leaders that stepped down because their disk stood still")                    \
    X(proposal_refused, "proposals refused")                                                       \
    X(proposal_busy, "proposals refused because too much is under way")                            \
    X(proposal_stale, "proposals of an earlier term refused")                                      \
    X(proposed_twice, "commands that are in the log twice")                                        \
    X(write_acked, "writes acknowledged")                                                          \
    X(write_unknown, "writes whose gateway died")                                                  \
    X(read_by_lease, "reads by lease")                                                             \
    X(read_lease_gone, "reads whose lease was gone at the second look")                            \
    X(read_map_behind, "leases that could not be used because a map was behind")                   \
    X(read_by_index, "reads by read index")                                                        \
    X(read_by_follower, "... at a follower")                                                       \
    X(read_refused, "questions refused")                                                           \
    X(read_retried, "questions asked again")                                                       \
    X(lease_dropped, "leases given up")                                                            \
    X(lease_outlived, "leases that outlived their raft process for a while")                       \
    X(some_left_broken, "seeds that ended with some nodes still in trouble")

enum sim_mark {
#define X(name, text) MARK_##name,
    SIM_MARK_LIST(X)
#undef X
        SIM_MARKS
};

struct sim_marks {
    uint64_t count[SIM_MARKS];
};

#endif
