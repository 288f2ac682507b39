/* group.h - what this node knows of its Raft group at this moment: who it is, who belongs to the
 * cluster, who leads.
 *
 * The driver owns it and is the only one to write it, as the core's updates say. The parts of the
 * process borrow it for life and read it whenever they are called; nobody is told of a change by
 * it, that is what the parts' own functions are for. Of the core they may ask, and no more.
 */
#ifndef INSI_RAFT_GROUP_H
#define INSI_RAFT_GROUP_H

#include "procs/raft/members.h"
#include "procs/raft/wal/wal_format.h"

struct peers;

struct group {
    const struct raft *core;
    uint64_t raft_id;                   /* this node's */
    uint8_t cluster[WAL_CLUSTER_BYTES]; /* zeros: none yet */
    struct members members; /* of the newest config in the log, with names and addresses */
    bool config_committed;  /* that one */
    enum raft_role role;
    uint64_t term, leader; /* leader: its raft id, or RAFT_NONE */
    bool is_transferring;  /* leadership is about to go to another, as was asked for */
    bool is_stopping;      /* nothing new is begun */
};

bool group_is_cluster(const uint8_t cluster[WAL_CLUSTER_BYTES]); /* not zeros */
bool group_has_cluster(const struct group *group);
bool group_is_of(const struct group *group, const uint8_t cluster[WAL_CLUSTER_BYTES]);
bool group_is_member(const struct group *group); /* this node, of the newest config */
bool group_leads(const struct group *group);     /* this node */

/* At the leader: whether this member answers. */
bool group_is_active(const struct group *group, uint64_t id);

/* Borrowed until members or peers change; "" when nobody knows. */
const char *group_name_of(const struct group *group, const struct peers *peers, uint64_t id);

#endif
