/* joining.c - see joining.h. */
#include "procs/raft/joining.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

#define JOINING_FOUND_NS (2 * NS_PER_S)
#define JOINING_ASK_NEW_NS (NS_PER_S / 4)
#define JOINING_ASK_NS NS_PER_S
#define JOINING_TELL_NS (60 * NS_PER_S) /* between two lines that say the same */
#define JOINING_MEET_MS 10000           /* a leader that was named */

/* ---- what this node is ------------------------------------------------------------------------
 */

static void joining_stand(struct joining *joining)
{
    enum board_standing standing = BOARD_STANDING_MEMBER;
    if (joining->group->leader != RAFT_NONE)
        standing = BOARD_STANDING_MEMBER;
    else if (joining->said == PEER_VERDICT_REMOVED)
        standing = BOARD_STANDING_REMOVED;
    else if (joining->said == PEER_VERDICT_FOREIGN)
        standing = BOARD_STANDING_FOREIGN;
    else if (!group_is_member(joining->group) && !joining->may_found)
        standing = BOARD_STANDING_WAITING;
    joining->hooks.stand(joining->hooks.arg, standing);
}

static void joining_log_verdict(const struct joining *joining, const struct peer *from,
                                const struct peer_join_answer *answer)
{
    char own[2 * WAL_CLUSTER_BYTES + 1], other[2 * WAL_CLUSTER_BYTES + 1];
    const char *name = peer_info(from)->name;
    hash_hex(joining->group->cluster, WAL_CLUSTER_BYTES, own);
    hash_hex(answer->cluster, WAL_CLUSTER_BYTES, other);
    switch (answer->verdict) {
    case PEER_VERDICT_REMOVED:
        LOG_ERROR("node_removed", LOG_STR("cluster", own), LOG_STR("peer", name),
                  LOG_STR("reason", "this node was removed from its cluster; it stays out until "
                                    "it is told to join again"));
        break;
    case PEER_VERDICT_FOREIGN:
        LOG_ERROR("cluster_differs", LOG_STR("cluster", own), LOG_STR("peer", name),
                  LOG_STR("peer_cluster", other),
                  LOG_STR("reason", "the data of one of the two are of another cluster"));
        break;
    case PEER_VERDICT_NAME_TAKEN:
        LOG_WARN("node_not_let_in", LOG_STR("peer", name),
                 LOG_STR("reason", "a member of this name still answers, or did a moment ago"));
        break;
    default:
        LOG_WARN("node_not_let_in", LOG_STR("peer", name),
                 LOG_STR("reason", "the cluster has as many members as it can have"));
    }
}

/* Two clusters whose nodes know each other: one of them was founded by mistake. */
void joining_on_heard(struct joining *joining, const struct peer *peer)
{
    const struct peer_info *info = peer_info(peer);
    if (!group_has_cluster(joining->group) || !group_is_cluster(info->cluster) ||
        group_is_of(joining->group, info->cluster) ||
        !pace_allows(&joining->foreign_pace, loop_now_ns(joining->loop), JOINING_TELL_NS))
        return;
    struct peer_join_answer answer = {.verdict = PEER_VERDICT_FOREIGN};
    memcpy(answer.cluster, info->cluster, sizeof(answer.cluster));
    joining_log_verdict(joining, peer, &answer);
}

static void joining_hear_verdict(struct joining *joining, const struct peer *from,
                                 const struct peer_join_answer *answer)
{
    if (joining->said != answer->verdict)
        joining->said_pace = (struct pace){0};
    if (pace_allows(&joining->said_pace, loop_now_ns(joining->loop), JOINING_TELL_NS))
        joining_log_verdict(joining, from, answer);
    joining->said = answer->verdict;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* One that is not up is asked when it is. */
static void joining_ask(const struct joining *joining, struct peer *peer)
{
    (void)peer_say_join(peer, joining->was_member);
}

/* Nodes that went together do not ask in step. */
static void joining_ask_later(struct joining *joining, uint64_t wait_ns)
{
    uint64_t now_ns = loop_now_ns(joining->loop);
    uint64_t spread_ns = (joining->group->raft_id ^ now_ns) % (wait_ns / 2 + 1);
    uint64_t due_ns = now_ns + wait_ns * 3 / 4 + spread_ns;
    if (joining->may_found && due_ns > joining->found_ns)
        due_ns = joining->found_ns;
    loop_timer_set(joining->loop, &joining->timer, due_ns);
}

static void joining_on_timer(void *arg)
{
    struct joining *joining = arg;
    if (joining->group->leader != RAFT_NONE || joining->group->is_stopping)
        return;
    if (joining->may_found && loop_now_ns(joining->loop) >= joining->found_ns) {
        joining->may_found = false;
        joining->hooks.found(joining->hooks.arg);
        return;
    }
    joining->seeks = true;
    for (struct peer *peer = NULL; (peer = peers_next(joining->peers, peer));)
        joining_ask(joining, peer);
    joining_stand(joining);
    joining_ask_later(joining, joining->was_member ? JOINING_ASK_NS : JOINING_ASK_NEW_NS);
}

void joining_on_leader(struct joining *joining)
{
    uint64_t timeout_ns = joining->config->raft.election_timeout_ms * NS_PER_MS;
    if (joining->group->leader == RAFT_NONE) {
        joining_ask_later(joining, joining->was_member ? 2 * timeout_ns : JOINING_ASK_NEW_NS);
    } else {
        joining->seeks = joining->may_found = false;
        joining->said = PEER_VERDICT_NO_CLUSTER;
        loop_timer_clear(joining->loop, &joining->timer);
    }
    joining_stand(joining);
}

void joining_on_up(struct joining *joining, struct peer *peer)
{
    if (joining->seeks && joining->group->leader == RAFT_NONE)
        joining_ask(joining, peer);
}

/* ---- being told -------------------------------------------------------------------------------
 */

/* Rule 2. */
static void joining_note_found(struct joining *joining, const struct peer *from,
                               const struct peer_join_answer *answer)
{
    const struct config *config = joining->config;
    if (group_is_cluster(answer->cluster)) {
        joining->may_found = false;
        LOG_INFO("cluster_found", LOG_STR("peer", peer_info(from)->name));
        return;
    }
    bool all = true;
    for (unsigned i = 0; i < config->node_count; i++) {
        const char *name = config->nodes[i].id;
        if (strcmp(name, peer_info(from)->name) == 0)
            joining->none_mask |= 1ull << i;
        all &= (joining->none_mask >> i & 1) || strcmp(name, joining->node) == 0;
    }
    if (!all)
        return;
    joining->may_found = false;
    joining->hooks.found(joining->hooks.arg);
}

static void joining_meet_leader(struct joining *joining, const struct peer_join_answer *answer)
{
    char address[MEMBER_ADDRESS_BYTES];
    if (answer->leader.len == 0 || slice_equal(answer->leader, slice_text(joining->node)))
        return;
    snprintf(address, sizeof(address), "%.*s", (int)answer->leader_address.len,
             (const char *)answer->leader_address.data);
    (void)peers_meet(joining->peers, answer->leader, address, JOINING_MEET_MS);
}

static void joining_on_answer(struct joining *joining, const struct peer *from, struct unpack *body)
{
    struct peer_join_answer answer;
    if (peer_join_answer_decode(&answer, body) != 0 || joining->group->leader != RAFT_NONE)
        return;
    if (joining->may_found)
        joining_note_found(joining, from, &answer);
    if (joining->said == PEER_VERDICT_FOREIGN && group_is_of(joining->group, answer.cluster))
        joining->said = PEER_VERDICT_NO_CLUSTER;
    switch (answer.verdict) {
    case PEER_VERDICT_ASK_LEADER:
        joining_meet_leader(joining, &answer);
        break;
    case PEER_VERDICT_ACCEPTED:
        if (!group_has_cluster(joining->group) && group_is_cluster(answer.cluster))
            joining->hooks.enter(joining->hooks.arg, answer.cluster);
        joining->said = PEER_VERDICT_NO_CLUSTER;
        break;
    case PEER_VERDICT_REMOVED:
    case PEER_VERDICT_FOREIGN:
    case PEER_VERDICT_NAME_TAKEN:
    case PEER_VERDICT_FULL:
        joining_hear_verdict(joining, from, &answer);
        break;
    default:
        break; /* it is asked again */
    }
    joining_stand(joining);
}

/* ---- being invited ----------------------------------------------------------------------------
 */

/* By an operator, through the leader. Who was removed begins anew; who only believes to be a member
 * is told first what it is. */
static enum peer_invited joining_be_invited(struct joining *joining, struct peer *from)
{
    if (group_has_cluster(joining->group) && !group_is_of(joining->group, peer_info(from)->cluster))
        return PEER_INVITED_FOREIGN;
    if (joining->group->leader != RAFT_NONE)
        return PEER_INVITED_MEMBER;
    if (joining->was_member && joining->said == PEER_VERDICT_REMOVED) {
        joining->hooks.begin_anew(joining->hooks.arg);
        return PEER_INVITED_STARTS;
    }
    joining_ask(joining, from);
    return joining->was_member ? PEER_INVITED_MEMBER : PEER_INVITED_COMES;
}

static void joining_on_invite(struct joining *joining, struct peer *from, struct unpack *body)
{
    if (unpack_end(body) != 0)
        return;
    LOG_INFO("node_invited", LOG_STR("peer", peer_info(from)->name));
    /* if it is gone: it asks again */
    (void)peer_say_invite_answer(from, joining_be_invited(joining, from));
}

/* ---- all of it --------------------------------------------------------------------------------
 */

void joining_on_message(struct joining *joining, struct peer *from, enum peer_message number,
                        struct unpack *body)
{
    if (number == PEER_JOIN_ANSWER)
        joining_on_answer(joining, from, body);
    else
        joining_on_invite(joining, from, body);
}

void joining_note_member(struct joining *joining)
{
    joining->was_member = true;
}

void joining_init(struct joining *joining, const struct joining_options *options)
{
    *joining = (struct joining){.config = options->config,
                                .node = options->node,
                                .group = options->group,
                                .peers = options->peers,
                                .loop = options->loop,
                                .hooks = options->hooks,
                                .timer = {.fire = joining_on_timer, .arg = joining},
                                .was_member = options->has_log};
}

void joining_begin(struct joining *joining, bool may_found)
{
    joining->may_found = may_found;
    joining->found_ns = loop_now_ns(joining->loop) + JOINING_FOUND_NS;
    joining->seeks = !joining->was_member;
    if (joining->group->leader == RAFT_NONE)
        joining_on_leader(joining);
}
