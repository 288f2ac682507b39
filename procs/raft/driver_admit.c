/* driver_admit.c - who may belong to this cluster: letting in the nodes that ask (joining.h is
 * their side), and noting where members have moved to (docs/peers.md).
 *
 *   1. The leader lets in whoever is new. Where the name is that of a member that is gone (a disk
 *      was lost), that member is removed first. Ids are never used twice.
 *   2. Who was removed while it was away is told so.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"
#include "procs/raft/peer_address.h"

/* ---- letting others in ------------------------------------------------------------------------
 */

enum raft_refusal driver_change(struct driver *driver, enum raft_change_kind kind,
                                const struct member *member)
{
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE};
    event.change.kind = kind;
    event.change.id = member->id;
    driver->changing = *member;
    enum raft_refusal refusal = driver_step(driver, &event);
    driver->changing.id = RAFT_NONE;
    return refusal;
}

/* A member of that name is gone, and comes back as another one. */
static enum peer_verdict driver_replace(struct driver *driver, const struct member *old)
{
    struct member member = *old;
    if (group_is_active(&driver->group, member.id))
        return PEER_VERDICT_NAME_TAKEN;
    if (driver_change(driver, RAFT_CHANGE_REMOVE, &member) == RAFT_TAKEN)
        LOG_INFO("member_replaced", LOG_STR("member", member.name), LOG_U64("raft_id", member.id));
    return PEER_VERDICT_WAIT;
}

/* What others could not decode must not get into the log. */
static bool driver_make_member(struct member *member, const struct peer_info *info)
{
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES];
    *member = (struct member){.id = info->id};
    snprintf(member->name, sizeof(member->name), "%s", info->name);
    snprintf(member->raft_address, sizeof(member->raft_address), "%s", info->raft_address);
    snprintf(member->http_address, sizeof(member->http_address), "%s", info->http_address);
    return peer_address_split(member->raft_address, host, port) == 0 && member->http_address[0];
}

static enum peer_verdict driver_judge_new(struct driver *driver, const struct peer_info *info)
{
    const struct member *old = members_named(&driver->group.members, slice_text(info->name));
    struct member member;
    if (old)
        return driver_replace(driver, old);
    if (driver->group.members.count == RAFT_MEMBERS_MAX || !driver_make_member(&member, info))
        return PEER_VERDICT_FULL;
    return PEER_VERDICT_ACCEPTED;
}

/* When another change is under way nothing happens: it asks again until it hears the leader. */
static void driver_admit(struct driver *driver, const struct peer_info *info)
{
    struct member member;
    CHECK(driver_make_member(&member, info));
    if (driver_change(driver, RAFT_CHANGE_ADD, &member) == RAFT_TAKEN)
        LOG_INFO("member_added", LOG_STR("member", member.name), LOG_U64("raft_id", member.id),
                 LOG_STR("address", member.raft_address));
}

static enum peer_verdict driver_judge(struct driver *driver, const struct peer *from, bool has_log)
{
    const struct peer_info *info = peer_info(from);
    if (!group_has_cluster(&driver->group))
        return PEER_VERDICT_NO_CLUSTER;
    if (group_is_cluster(info->cluster) && !group_is_of(&driver->group, info->cluster))
        return PEER_VERDICT_FOREIGN;
    if (driver->group.leader == RAFT_NONE)
        return PEER_VERDICT_NO_LEADER;
    if (!group_leads(&driver->group))
        return PEER_VERDICT_ASK_LEADER;
    if (members_find(&driver->group.members, info->id))
        return PEER_VERDICT_ACCEPTED;
    if (driver->group.is_stopping ||
        (has_log && !driver->group.config_committed)) /* it may yet be a member */
        return PEER_VERDICT_WAIT;
    return has_log ? PEER_VERDICT_REMOVED : driver_judge_new(driver, info);
}

/* ---- members that have moved ------------------------------------------------------------------
 */

static bool driver_has_moved(const struct driver *driver, const struct member *member,
                             struct member *now)
{
    const struct peer *peer = peers_by_id(driver->peers, member->id);
    struct members self;
    if (member->id == driver->group.raft_id) {
        if (members_of_self(&self, member->id, driver->skel->self) != 0 ||
            peer_address_is_any(self.list[0].raft_address))
            return false;
        *now = self.list[0];
    } else if (!peer || !peer_info(peer)->is_up || !driver_make_member(now, peer_info(peer))) {
        return false;
    }
    return strcmp(now->raft_address, member->raft_address) != 0 ||
           strcmp(now->http_address, member->http_address) != 0;
}

void driver_renew_addresses(struct driver *driver)
{
    struct member now;
    for (uint32_t i = 0; i < driver->group.members.count; i++) {
        if (!driver_has_moved(driver, &driver->group.members.list[i], &now))
            continue;
        if (driver_change(driver, RAFT_CHANGE_RENEW, &now) == RAFT_TAKEN)
            LOG_INFO("member_moved", LOG_STR("member", now.name),
                     LOG_STR("address", now.raft_address));
        return; /* the next one in a second */
    }
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static const char *driver_leader_address(const struct driver *driver)
{
    const struct peer *peer = peers_by_id(driver->peers, driver->group.leader);
    const struct member *member = members_find(&driver->group.members, driver->group.leader);
    return peer ? peer_info(peer)->raft_address : member ? member->raft_address : "";
}

void driver_on_join(struct driver *driver, struct peer *from, struct unpack *body)
{
    struct peer_join_answer answer;
    uint64_t from_id = peer_info(from)->id;
    struct pack *pack;
    bool has_log;
    if (peer_join_decode(&has_log, body) != 0)
        return;
    answer.verdict = driver_judge(driver, from, has_log);
    memcpy(answer.cluster, driver->group.cluster, sizeof(answer.cluster));
    answer.leader = slice_text(group_name_of(&driver->group, driver->peers, driver->group.leader));
    answer.leader_address = slice_text(driver_leader_address(driver));
    if (peer_begin(from, PEER_JOIN_ANSWER, &pack) != 0)
        return; /* it asks again */
    peer_join_answer_pack(pack, &answer);
    peer_end(from);
    /* only now: the answer, which names the cluster, has to be there before its log is */
    if (answer.verdict == PEER_VERDICT_ACCEPTED && !members_find(&driver->group.members, from_id))
        driver_admit(driver, peer_info(from));
}
