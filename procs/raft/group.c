/* group.c - see group.h. */
#include "procs/raft/group.h"

#include <string.h>

#include "base/clock.h"
#include "procs/raft/peers/peers.h"

bool group_is_cluster(const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    static const uint8_t none[WAL_CLUSTER_BYTES];
    return memcmp(cluster, none, sizeof(none)) != 0;
}

bool group_has_cluster(const struct group *group)
{
    return group_is_cluster(group->cluster);
}

bool group_is_of(const struct group *group, const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    return memcmp(group->cluster, cluster, WAL_CLUSTER_BYTES) == 0;
}

bool group_is_member(const struct group *group)
{
    return members_find(&group->members, group->raft_id) != NULL;
}

bool group_leads(const struct group *group)
{
    return group->role == RAFT_LEADER;
}

bool group_is_active(const struct group *group, uint64_t id)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint32_t count = raft_peers(group->core, clock_boot_ns(), peers);
    for (uint32_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i].active;
    return id == group->raft_id;
}

const char *group_name_of(const struct group *group, const struct peers *peers, uint64_t id)
{
    const struct member *member = members_find(&group->members, id);
    const struct peer *peer = member ? NULL : peers_by_id(peers, id);
    return member ? member->name : peer ? peer_info(peer)->name : "";
}
