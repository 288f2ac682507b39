/* mutation.h - deliberate faults, for the simulator alone.
 *
 * Compiled with RAFT_MUTATIONS, the core can be told to break one of its rules; the simulator has
 * to notice (tests/sim). In every other build RAFT_MUTANT is the constant false.
 */
#ifndef INSI_RAFT_CORE_MUTATION_H
#define INSI_RAFT_CORE_MUTATION_H

#include <stdbool.h>

/* X(name, the rule that is broken) */
#define RAFT_MUTATION_LIST(X)                                                                      \
    X(VOTE_TWICE, "a second candidate gets this term's vote, too")                                 \
    X(VOTE_NOT_PERSISTED, "a vote leaves before it is on the disk")                                \
    X(VOTE_SHORT_LOG, "a candidate with a shorter log gets the vote")                              \
    X(VOTE_UNDER_PROMISE, "a vote is given within the promise to a leader")                        \
    X(VOTE_AFTER_RESTART, "a restarted voter forgets that it may have promised")                   \
    X(PREVOTE_COUNTS, "an answer to a pre-vote counts as a vote")                                  \
    X(ACK_BEFORE_FSYNC, "entries are acknowledged before they are on the disk")                    \
    X(SELF_BEFORE_FSYNC, "a leader counts itself before its disk has the entry")                   \
    X(PERSISTED_ABA, "an old write's completion marks what overrode it as durable")                \
    X(COMMIT_OLD_TERM, "entries of earlier terms commit by counting")                              \
    X(COMMIT_UNMATCHED, "a follower commits beyond what matches its leader's log")                 \
    X(COMMIT_BY_LEARNERS, "learners count for commit")                                             \
    X(APPLY_UNDURABLE, "entries are applied before they are on the disk")                          \
    X(TRUNCATE_SHORT, "a short or old append cuts the log behind it")                              \
    X(KEEP_CONFLICT, "a conflicting suffix is kept")                                               \
    X(ANNOUNCE_UNAPPLIED, "a commit is announced that the leader has not applied")                 \
    X(LEASE_FROM_RECEIVE, "the lease starts when the answers arrive")                              \
    X(LEASE_WITHOUT_MARGIN, "the lease lasts a whole election timeout, whatever the clocks do")    \
    X(LEASE_BEFORE_NOOP, "a lease is used before the term's first entry is applied")               \
    X(LEASE_OVER_TRANSFER, "the lease is kept while leadership is handed over")                    \
    X(LEASE_OVER_VOTE, "the lease is kept while a vote is granted")                                \
    X(LEASE_BY_LEARNERS, "learners' answers prolong the lease")                                    \
    X(LEASE_OF_REMOVED, "a leader that is no voter any more takes a lease")                        \
    X(TRANSFER_UNENDING, "voters honour a transfer that was given up long ago")                    \
    X(READ_BEFORE_NOOP, "read indexes are given before the term's first commit")                   \
    X(READ_OLD_ROUND, "a round that began before the question confirms it")                        \
    X(READ_NONCE_REUSED, "a restarted follower numbers its questions from 1 again")                \
    X(ANSWER_TO_OLD_TERM, "a refusal of an old term counts as an answer to this term's round")     \
    X(CONF_TWO_AT_ONCE, "a second change starts before the first is committed")                    \
    X(CONF_BEFORE_COMMIT, "a change starts before an own entry is committed")                      \
    X(CONF_KEPT, "a truncated config stays in effect")                                             \
    X(REMOVED_GIVES_UP, "one that is removed does not stand while that is not committed")          \
    X(SNAPSHOT_DROPS_SUFFIX, "a snapshot that the log covers empties the log")                     \
    X(SNAPSHOT_KEEPS_CONFLICT, "a conflicting log survives behind a snapshot")                     \
    X(ACK_WHILE_INSTALLING, "a snapshot is acknowledged before it is on the disk")                 \
    X(NO_CHECK_QUORUM, "a leader that nobody answers leads on")                                    \
    X(NO_HAND_OVER, "a leader whose disk or worker stands still leads on")

#ifdef RAFT_MUTATIONS
enum raft_mutation {
    RAFT_MUTATION_NONE,
#define X(name, text) RAFT_MUTATION_##name,
    RAFT_MUTATION_LIST(X)
#undef X
        RAFT_MUTATION_END
};
extern enum raft_mutation raft_mutation;
#define RAFT_MUTANT(name) (raft_mutation == RAFT_MUTATION_##name)
#else
#define RAFT_MUTANT(name) false
#endif

#endif
