/* driver_join.c - who belongs to the cluster: founding one, being let into one, letting others in
 * (docs/peers.md).
 *
 *   1. Who hears of no leader asks all it can reach what it is (JOIN), again and again: who is new
 *      at once, who has a log after two election timeouts.
 *   2. The leader lets in whoever is new. Where the name is that of a member that is gone (a disk
 *      was lost), that member is removed first. Ids are never used twice.
 *   3. A new default leader founds a cluster when all configured nodes have said that they are in
 *      none, or after DRIVER_FOUND_NS for those that say nothing; not when anybody is in one.
 *   4. Who was removed while it was away is told so, and stays out.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"
#include "procs/raft/peer_address.h"

#define DRIVER_FOUND_NS (2 * NS_PER_S)
#define DRIVER_ASK_NEW_NS (NS_PER_S / 4)
#define DRIVER_ASK_NS NS_PER_S
#define DRIVER_TELL_NS (60 * NS_PER_S) /* between two lines that say the same */
#define DRIVER_MEET_MS 10000           /* a leader that was named */

bool driver_is_member(const struct driver *driver)
{
    return members_find(&driver->members, driver->raft_id) != NULL;
}

static bool driver_is_of(const struct driver *driver, const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    return memcmp(driver->cluster, cluster, WAL_CLUSTER_BYTES) == 0;
}

static bool driver_is_cluster(const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    static const uint8_t none[WAL_CLUSTER_BYTES];
    return memcmp(cluster, none, sizeof(none)) != 0;
}

/* ---- what this node is ------------------------------------------------------------------------
 */

static void driver_stand(struct driver *driver)
{
    const struct driver_joining *joining = &driver->joining;
    enum board_standing standing = BOARD_STANDING_MEMBER;
    if (driver->leader != RAFT_NONE)
        standing = BOARD_STANDING_MEMBER;
    else if (joining->said == PEER_VERDICT_REMOVED)
        standing = BOARD_STANDING_REMOVED;
    else if (joining->said == PEER_VERDICT_FOREIGN)
        standing = BOARD_STANDING_FOREIGN;
    else if (!driver_is_member(driver) && !joining->may_found)
        standing = BOARD_STANDING_WAITING;
    driver_set_standing(driver, standing);
}

static void driver_log_verdict(const struct driver *driver, const struct peer *from,
                               const struct peer_join_answer *answer)
{
    char own[2 * WAL_CLUSTER_BYTES + 1], other[2 * WAL_CLUSTER_BYTES + 1];
    const char *name = peer_info(from)->name;
    hash_hex(driver->cluster, WAL_CLUSTER_BYTES, own);
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
void driver_join_on_heard(struct driver *driver, const struct peer *peer)
{
    const struct peer_info *info = peer_info(peer);
    uint64_t now_ns = loop_now_ns(driver->loop);
    if (!driver_has_cluster(driver) || !driver_is_cluster(info->cluster) ||
        driver_is_of(driver, info->cluster) || now_ns < driver->joining.differs_ns)
        return;
    struct peer_join_answer answer = {.verdict = PEER_VERDICT_FOREIGN};
    memcpy(answer.cluster, info->cluster, sizeof(answer.cluster));
    driver_log_verdict(driver, peer, &answer);
    driver->joining.differs_ns = now_ns + DRIVER_TELL_NS;
}

static void driver_hear_verdict(struct driver *driver, const struct peer *from,
                                const struct peer_join_answer *answer)
{
    struct driver_joining *joining = &driver->joining;
    uint64_t now_ns = loop_now_ns(driver->loop);
    if (joining->said != answer->verdict || now_ns >= joining->told_ns + DRIVER_TELL_NS) {
        driver_log_verdict(driver, from, answer);
        joining->told_ns = now_ns;
    }
    joining->said = answer->verdict;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static void driver_ask_to_join(struct driver *driver, struct peer *peer)
{
    struct pack *pack;
    if (peer_begin(peer, PEER_JOIN, &pack) != 0)
        return; /* when it is up */
    peer_join_pack(pack, driver->joining.was_member);
    peer_end(peer);
}

/* Nodes that went together do not ask in step. */
static void driver_ask_later(struct driver *driver, uint64_t wait_ns)
{
    uint64_t now_ns = loop_now_ns(driver->loop);
    uint64_t spread_ns = (driver->raft_id ^ now_ns) % (wait_ns / 2 + 1);
    uint64_t due_ns = now_ns + wait_ns * 3 / 4 + spread_ns;
    if (driver->joining.may_found && due_ns > driver->joining.found_ns)
        due_ns = driver->joining.found_ns;
    loop_timer_set(driver->loop, &driver->joining.timer, due_ns);
}

static void driver_on_join_timer(void *arg)
{
    struct driver *driver = arg;
    struct driver_joining *joining = &driver->joining;
    if (driver->leader != RAFT_NONE || driver->stopping)
        return;
    if (joining->may_found && loop_now_ns(driver->loop) >= joining->found_ns) {
        joining->may_found = false;
        driver_found(driver);
        return;
    }
    joining->seeks = true;
    for (struct peer *peer = NULL; (peer = peers_next(driver->peers, peer));)
        driver_ask_to_join(driver, peer);
    driver_stand(driver);
    driver_ask_later(driver, joining->was_member ? DRIVER_ASK_NS : DRIVER_ASK_NEW_NS);
}

void driver_join_on_leader(struct driver *driver)
{
    struct driver_joining *joining = &driver->joining;
    uint64_t timeout_ns = driver->skel->config.raft.election_timeout_ms * NS_PER_MS;
    if (driver->leader == RAFT_NONE) {
        driver_ask_later(driver, joining->was_member ? 2 * timeout_ns : DRIVER_ASK_NEW_NS);
    } else {
        joining->seeks = joining->may_found = false;
        joining->said = PEER_VERDICT_NO_CLUSTER;
        loop_timer_clear(driver->loop, &joining->timer);
    }
    driver_stand(driver);
}

void driver_join_on_up(struct driver *driver, struct peer *peer)
{
    if (driver->joining.seeks && driver->leader == RAFT_NONE)
        driver_ask_to_join(driver, peer);
}

/* ---- being told -------------------------------------------------------------------------------
 */

static void driver_join_cluster(struct driver *driver, const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    char id[2 * WAL_CLUSTER_BYTES + 1];
    int error = wal_set_cluster(driver->wal, cluster, false);
    if (error)
        driver_give_up(driver, error);
    memcpy(driver->cluster, cluster, WAL_CLUSTER_BYTES);
    hash_hex(cluster, WAL_CLUSTER_BYTES, id);
    LOG_INFO("cluster_joined", LOG_STR("cluster", id));
    peers_set_cluster(driver->peers, cluster);
    apply_set_lineage(&driver->apply, cluster);
}

/* Rule 3. */
static void driver_note_found(struct driver *driver, const struct peer *from,
                              const struct peer_join_answer *answer)
{
    struct driver_joining *joining = &driver->joining;
    const struct config *config = &driver->skel->config;
    if (driver_is_cluster(answer->cluster)) {
        joining->may_found = false;
        LOG_INFO("cluster_found", LOG_STR("peer", peer_info(from)->name));
        return;
    }
    bool all = true;
    for (unsigned i = 0; i < config->node_count; i++) {
        const char *name = config->nodes[i].id;
        if (strcmp(name, peer_info(from)->name) == 0)
            joining->none_mask |= 1ull << i;
        all &= (joining->none_mask >> i & 1) || strcmp(name, driver->skel->node) == 0;
    }
    if (!all)
        return;
    joining->may_found = false;
    driver_found(driver);
}

static void driver_meet_leader(struct driver *driver, const struct peer_join_answer *answer)
{
    char address[MEMBER_ADDRESS_BYTES];
    if (answer->leader.len == 0 || slice_equal(answer->leader, slice_text(driver->skel->node)))
        return;
    snprintf(address, sizeof(address), "%.*s", (int)answer->leader_address.len,
             (const char *)answer->leader_address.data);
    (void)peers_meet(driver->peers, answer->leader, address, DRIVER_MEET_MS);
}

static void driver_on_join_answer(struct driver *driver, const struct peer *from,
                                  struct unpack *body)
{
    struct driver_joining *joining = &driver->joining;
    struct peer_join_answer answer;
    if (peer_join_answer_decode(&answer, body) != 0 || driver->leader != RAFT_NONE)
        return;
    if (joining->may_found)
        driver_note_found(driver, from, &answer);
    if (joining->said == PEER_VERDICT_FOREIGN && driver_is_of(driver, answer.cluster))
        joining->said = PEER_VERDICT_NO_CLUSTER;
    switch (answer.verdict) {
    case PEER_VERDICT_ASK_LEADER:
        driver_meet_leader(driver, &answer);
        break;
    case PEER_VERDICT_ACCEPTED:
        if (!driver_has_cluster(driver) && driver_is_cluster(answer.cluster))
            driver_join_cluster(driver, answer.cluster);
        joining->said = PEER_VERDICT_NO_CLUSTER;
        break;
    case PEER_VERDICT_REMOVED:
    case PEER_VERDICT_FOREIGN:
    case PEER_VERDICT_NAME_TAKEN:
    case PEER_VERDICT_FULL:
        driver_hear_verdict(driver, from, &answer);
        break;
    default:
        break; /* it is asked again */
    }
    driver_stand(driver);
}

/* ---- being invited ----------------------------------------------------------------------------
 */

/* By an operator, through the leader. Who was removed begins anew; who only believes to be a member
 * is told first what it is. */
static enum peer_invited driver_be_invited(struct driver *driver, struct peer *from)
{
    const struct driver_joining *joining = &driver->joining;
    if (driver_has_cluster(driver) && !driver_is_of(driver, peer_info(from)->cluster))
        return PEER_INVITED_FOREIGN;
    if (driver->leader != RAFT_NONE)
        return PEER_INVITED_MEMBER;
    if (joining->was_member && joining->said == PEER_VERDICT_REMOVED) {
        driver->begins_anew = true;
        return PEER_INVITED_STARTS;
    }
    driver_ask_to_join(driver, from);
    return joining->was_member ? PEER_INVITED_MEMBER : PEER_INVITED_COMES;
}

static void driver_on_invite(struct driver *driver, struct peer *from, struct unpack *body)
{
    struct pack *pack;
    if (unpack_end(body) != 0)
        return;
    LOG_INFO("node_invited", LOG_STR("peer", peer_info(from)->name));
    enum peer_invited answer = driver_be_invited(driver, from);
    if (peer_begin(from, PEER_INVITE_ANSWER, &pack) != 0)
        return; /* it asks again */
    peer_invite_answer_pack(pack, answer);
    peer_end(from);
}

/* ---- letting others in ------------------------------------------------------------------------
 */

bool driver_is_active(const struct driver *driver, uint64_t id)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint32_t count = raft_peers(driver->raft, clock_boot_ns(), peers);
    for (uint32_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i].active;
    return id == driver->raft_id;
}

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
    if (driver_is_active(driver, member.id))
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
    const struct member *old = members_named(&driver->members, slice_text(info->name));
    struct member member;
    if (old)
        return driver_replace(driver, old);
    if (driver->members.count == RAFT_MEMBERS_MAX || !driver_make_member(&member, info))
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
    if (!driver_has_cluster(driver))
        return PEER_VERDICT_NO_CLUSTER;
    if (driver_is_cluster(info->cluster) && !driver_is_of(driver, info->cluster))
        return PEER_VERDICT_FOREIGN;
    if (driver->leader == RAFT_NONE)
        return PEER_VERDICT_NO_LEADER;
    if (driver->role != RAFT_LEADER)
        return PEER_VERDICT_ASK_LEADER;
    if (members_find(&driver->members, info->id))
        return PEER_VERDICT_ACCEPTED;
    if (driver->stopping || (has_log && !driver->config_committed)) /* it may yet be a member */
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
    if (member->id == driver->raft_id) {
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
    for (uint32_t i = 0; i < driver->members.count; i++) {
        if (!driver_has_moved(driver, &driver->members.list[i], &now))
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
    const struct peer *peer = peers_by_id(driver->peers, driver->leader);
    const struct member *member = members_find(&driver->members, driver->leader);
    return peer ? peer_info(peer)->raft_address : member ? member->raft_address : "";
}

static void driver_on_join(struct driver *driver, struct peer *from, struct unpack *body)
{
    struct peer_join_answer answer;
    uint64_t from_id = peer_info(from)->id;
    struct pack *pack;
    bool has_log;
    if (peer_join_decode(&has_log, body) != 0)
        return;
    answer.verdict = driver_judge(driver, from, has_log);
    memcpy(answer.cluster, driver->cluster, sizeof(answer.cluster));
    answer.leader = slice_text(driver_leader_name(driver));
    answer.leader_address = slice_text(driver_leader_address(driver));
    if (peer_begin(from, PEER_JOIN_ANSWER, &pack) != 0)
        return; /* it asks again */
    peer_join_answer_pack(pack, &answer);
    peer_end(from);
    /* only now: the answer, which names the cluster, has to be there before its log is */
    if (answer.verdict == PEER_VERDICT_ACCEPTED && !members_find(&driver->members, from_id))
        driver_admit(driver, peer_info(from));
}

void driver_join_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                            struct unpack *body)
{
    switch (number) {
    case PEER_JOIN:
        driver_on_join(driver, from, body);
        break;
    case PEER_JOIN_ANSWER:
        driver_on_join_answer(driver, from, body);
        break;
    case PEER_INVITE:
        driver_on_invite(driver, from, body);
        break;
    default:
        driver_on_invite_answer(driver, from, body);
    }
}

void driver_join_init(struct driver *driver, bool has_log)
{
    driver->joining.timer = (struct loop_timer){.fire = driver_on_join_timer, .arg = driver};
    driver->joining.was_member = has_log;
}

void driver_join_begin(struct driver *driver, bool may_found)
{
    struct driver_joining *joining = &driver->joining;
    joining->may_found = may_found;
    joining->found_ns = loop_now_ns(driver->loop) + DRIVER_FOUND_NS;
    joining->seeks = !joining->was_member;
    if (driver->leader == RAFT_NONE)
        driver_join_on_leader(driver);
}
