/* disk_room.h - whether there is room for what is proposed: on this node's disk, and at the leader
 * on those of the others, who say so once a second.
 *
 * A leader takes nothing while a voter that answers has no room for it: a majority of full disks
 * would stop them all, and worse than by refusing. One that is gone holds nobody up.
 *
 * All that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_DISK_ROOM_H
#define INSI_RAFT_DISK_ROOM_H

#include "ipc/loop.h"
#include "procs/raft/disk_guard.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"
#include "procs/raft/wal/wal.h"

struct disk_room {
    const struct group *group;
    struct wal *wal;
    struct loop *loop;
    struct disk_guard guard;
    uint64_t full[RAFT_MEMBERS_MAX]; /* raft ids of those whose disk is full */
    uint32_t full_count;
    bool said_full; /* the leader believes that this node's disk is full */
};

void disk_room_init(struct disk_room *room, const char *folder, const struct group *group,
                    struct wal *wal, struct loop *loop);

/* Somebody wants to write so many bytes here: true when that is to be refused. */
bool disk_room_is_full(struct disk_room *room, size_t bytes);
/* At the leader: the same of the other voters. */
bool disk_room_others_are_full(const struct disk_room *room);

/* A follower tells its leader, if that is news; another leader knows nothing yet. */
void disk_room_say(struct disk_room *room, struct peer *leader);
void disk_room_on_leader(struct disk_room *room);
/* DISK; the body is consumed or refused. */
void disk_room_on_message(struct disk_room *room, const struct peer *from, struct unpack *body);
/* It speaks on a new connection, and will say it again. */
void disk_room_on_heard(struct disk_room *room, const struct peer *from);

#endif
