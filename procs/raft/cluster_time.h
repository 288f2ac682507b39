/* cluster_time.h - cluster time at this node (I8): made by the leader (cluster_clock.h), followed
 * by the others (clock_sync.h), and shown on the board.
 *
 * Group and board are borrowed for life.
 */
#ifndef INSI_RAFT_CLUSTER_TIME_H
#define INSI_RAFT_CLUSTER_TIME_H

#include "procs/raft/clock_sync.h"
#include "procs/raft/cluster_clock.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"
#include "shm/board.h"

struct cluster_time {
    const struct group *group;
    struct board *board;
    struct cluster_clock clock;
    struct clock_sync sync;
};

void cluster_time_init(struct cluster_time *time, const struct group *group, struct board *board);

/* An entry with this stamp is in the log; the newest one. */
void cluster_time_note(struct cluster_time *time, uint64_t stamp_ms);
uint64_t cluster_time_last_ms(const struct cluster_time *time);

/* This node begins to lead; the stamp for what it appends now. */
void cluster_time_lead(struct cluster_time *time);
uint64_t cluster_time_stamp(struct cluster_time *time);

/* Another leader: what the last one said does not count any more. */
void cluster_time_on_leader(struct cluster_time *time);
/* A follower asks its leader, once a second. */
void cluster_time_ask(struct peer *leader);
/* CLOCK_ASK or CLOCK_ANSWER; the body is consumed or refused. */
void cluster_time_on_message(struct cluster_time *time, struct peer *from, enum peer_message number,
                             struct unpack *body);

#endif
