/* admission.c - see admission.h. */
#include "procs/raft/admission.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "procs/raft/peers/peer_address.h"

/* ---- letting others in ------------------------------------------------------------------------
 */

/* A member of that name is gone, and comes back as another one. */
static enum peer_verdict admission_replace(const struct admission *admission,
                                           const struct member *old)
{
    struct member member = *old;
    if (group_is_active(admission->group, member.id))
        return PEER_VERDICT_NAME_TAKEN;
    if (admission->change(admission->arg, RAFT_CHANGE_REMOVE, &member) == RAFT_TAKEN)
        LOG_INFO("member_replaced", LOG_STR("member", member.name), LOG_U64("raft_id", member.id));
    return PEER_VERDICT_WAIT;
}

/* What others could not decode must not get into the log. */
static bool admission_make_member(struct member *member, const struct peer_info *info)
{
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES];
    *member = (struct member){.id = info->id};
    snprintf(member->name, sizeof(member->name), "%s", info->name);
    snprintf(member->raft_address, sizeof(member->raft_address), "%s", info->raft_address);
    snprintf(member->http_address, sizeof(member->http_address), "%s", info->http_address);
    return peer_address_split(member->raft_address, host, port) == 0 && member->http_address[0];
}

static enum peer_verdict admission_judge_new(const struct admission *admission,
                                             const struct peer_info *info)
{
    const struct member *old = members_named(&admission->group->members, slice_text(info->name));
    struct member member;
    if (old)
        return admission_replace(admission, old);
    if (admission->group->members.count == RAFT_MEMBERS_MAX ||
        !admission_make_member(&member, info))
        return PEER_VERDICT_FULL;
    return PEER_VERDICT_ACCEPTED;
}

/* When another change is under way nothing happens: it asks again until it hears the leader. */
static void admission_admit(const struct admission *admission, const struct peer_info *info)
{
    struct member member;
    CHECK(admission_make_member(&member, info));
    if (admission->change(admission->arg, RAFT_CHANGE_ADD, &member) == RAFT_TAKEN)
        LOG_INFO("member_added", LOG_STR("member", member.name), LOG_U64("raft_id", member.id),
                 LOG_STR("address", member.raft_address));
}

static enum peer_verdict admission_judge(const struct admission *admission, const struct peer *from,
                                         bool has_log)
{
    const struct peer_info *info = peer_info(from);
    if (!group_has_cluster(admission->group))
        return PEER_VERDICT_NO_CLUSTER;
    if (group_is_cluster(info->cluster) && !group_is_of(admission->group, info->cluster))
        return PEER_VERDICT_FOREIGN;
    if (admission->group->leader == RAFT_NONE)
        return PEER_VERDICT_NO_LEADER;
    if (!group_leads(admission->group))
        return PEER_VERDICT_ASK_LEADER;
    if (members_find(&admission->group->members, info->id))
        return PEER_VERDICT_ACCEPTED;
    if (admission->group->is_stopping ||
        (has_log && !admission->group->config_committed)) /* it may yet be a member */
        return PEER_VERDICT_WAIT;
    return has_log ? PEER_VERDICT_REMOVED : admission_judge_new(admission, info);
}

/* ---- members that have moved ------------------------------------------------------------------
 */

static bool admission_has_moved(const struct admission *admission, const struct member *member,
                                struct member *now)
{
    const struct peer *peer = peers_by_id(admission->peers, member->id);
    struct members self;
    if (member->id == admission->group->raft_id) {
        if (members_of_self(&self, member->id, admission->skel->self) != 0 ||
            peer_address_is_any(self.list[0].raft_address))
            return false;
        *now = self.list[0];
    } else if (!peer || !peer_info(peer)->is_up || !admission_make_member(now, peer_info(peer))) {
        return false;
    }
    return strcmp(now->raft_address, member->raft_address) != 0 ||
           strcmp(now->http_address, member->http_address) != 0;
}

void admission_renew_addresses(const struct admission *admission)
{
    struct member now;
    for (uint32_t i = 0; i < admission->group->members.count; i++) {
        if (!admission_has_moved(admission, &admission->group->members.list[i], &now))
            continue;
        if (admission->change(admission->arg, RAFT_CHANGE_RENEW, &now) == RAFT_TAKEN)
            LOG_INFO("member_moved", LOG_STR("member", now.name),
                     LOG_STR("address", now.raft_address));
        return; /* the next one in a second */
    }
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static const char *admission_leader_address(const struct admission *admission)
{
    const struct peer *peer = peers_by_id(admission->peers, admission->group->leader);
    const struct member *member =
        members_find(&admission->group->members, admission->group->leader);
    return peer ? peer_info(peer)->raft_address : member ? member->raft_address : "";
}

void admission_on_join(const struct admission *admission, struct peer *from, struct unpack *body)
{
    struct peer_join_answer answer;
    uint64_t from_id = peer_info(from)->id;
    bool has_log;
    if (peer_join_decode(&has_log, body) != 0)
        return;
    answer.verdict = admission_judge(admission, from, has_log);
    memcpy(answer.cluster, admission->group->cluster, sizeof(answer.cluster));
    answer.leader =
        slice_text(group_name_of(admission->group, admission->peers, admission->group->leader));
    answer.leader_address = slice_text(admission_leader_address(admission));
    if (peer_say_join_answer(from, &answer) != 0)
        return; /* it asks again */
    /* only now: the answer, which names the cluster, has to be there before its log is */
    if (answer.verdict == PEER_VERDICT_ACCEPTED &&
        !members_find(&admission->group->members, from_id))
        admission_admit(admission, peer_info(from));
}
