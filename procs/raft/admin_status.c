/* admin_status.c - see admin_status.h. */
#include "procs/raft/admin_status.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define STATUS_WAIT_NS ((RAFT_CLUSTER_WAIT_MS - 200) * NS_PER_MS)
#define STATUS_HASH_BYTES 8

/* ---- what is known here -----------------------------------------------------------------------
 */

static struct msg_cluster_member admin_status_of_member(const struct member *member)
{
    return (struct msg_cluster_member){.name = slice_text(member->name),
                                       .raft_address = slice_text(member->raft_address),
                                       .http_address = slice_text(member->http_address),
                                       .is_voter = member->voter};
}

static const struct raft_peer_status *admin_status_find(const struct raft_peer_status *peers,
                                                        uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return &peers[i];
    return NULL;
}

/* As the leader sees it. */
static void admin_status_show_progress(const struct admin_status *admin,
                                       const struct raft_peer_status *peer,
                                       struct msg_cluster_member *shown)
{
    uint64_t last = raft_last_index(admin->group->core);
    shown->state = MSG_MEMBER_LEADER;
    shown->match_index = raft_durable_index(admin->group->core);
    if (peer) {
        shown->state = peer->active ? MSG_MEMBER_FOLLOWER : MSG_MEMBER_UNREACHABLE;
        shown->match_index = peer->match_index;
    }
    shown->lag = last > shown->match_index ? last - shown->match_index : 0;
}

/* As any other node does. */
static enum msg_member_state admin_status_state_of(const struct admin_status *admin,
                                                   const struct member *member)
{
    const struct peer *peer = peers_by_id(admin->peers, member->id);
    if (member->id == admin->group->leader)
        return MSG_MEMBER_LEADER;
    bool is_there = member->id == admin->group->raft_id || (peer && peer_info(peer)->is_up);
    return is_there ? MSG_MEMBER_FOLLOWER : MSG_MEMBER_UNREACHABLE;
}

/* People look for names; the log's order is that of the ids. */
static int admin_status_compare(const void *left, const void *right)
{
    const struct member *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static void admin_status_show_members(const struct admin_status *admin, struct peer_status *status)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    const struct member *sorted[RAFT_MEMBERS_MAX] = {NULL};
    bool leads = group_leads(admin->group);
    uint32_t count = leads ? raft_peers(admin->group->core, clock_boot_ns(), peers) : 0;
    status->term = admin->group->term;
    status->leader = slice_text(group_name_of(admin->group, admin->peers, admin->group->leader));
    status->member_count = admin->group->members.count;
    for (uint32_t i = 0; i < admin->group->members.count; i++)
        sorted[i] = &admin->group->members.list[i];
    qsort(sorted, admin->group->members.count, sizeof(sorted[0]), admin_status_compare);
    for (uint32_t i = 0; i < admin->group->members.count; i++) {
        const struct member *member = sorted[i];
        struct msg_cluster_member *shown = &status->members[i];
        *shown = admin_status_of_member(member);
        if (leads)
            admin_status_show_progress(admin, admin_status_find(peers, count, member->id), shown);
        else
            shown->state = admin_status_state_of(admin, member);
    }
}

/* ---- answers to gateways ----------------------------------------------------------------------
 */

static void admin_status_show_workers(const struct admin_status *admin,
                                      struct msg_cluster_answer *answer,
                                      uint8_t hashes[PROC_WORKER_COUNT][STATUS_HASH_BYTES])
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        enum proc worker = (enum proc)(PROC_FIRST_WORKER + (int)i);
        struct apply_status status = apply_status(admin->apply, worker);
        struct msg_cluster_worker *shown = &answer->workers[i];
        *shown = (struct msg_cluster_worker){.applied_index = status.applied_index};
        if (!status.is_known)
            continue;
        for (unsigned byte = 0; byte < STATUS_HASH_BYTES; byte++)
            hashes[i][byte] = (uint8_t)(status.state_hash >> (56 - 8 * byte));
        shown->hash_index = status.applied_index;
        shown->state_hash = slice_of(hashes[i], STATUS_HASH_BYTES);
    }
}

static void admin_status_answer(struct admin_status *admin, const struct reads_origin *origin,
                                const struct peer_status *status, bool is_of_leader)
{
    uint8_t hashes[PROC_WORKER_COUNT][STATUS_HASH_BYTES];
    struct msg_cluster_answer answer = {.id = origin->id,
                                        .leader = status->leader,
                                        .term = status->term,
                                        .is_of_leader = is_of_leader,
                                        .member_count = status->member_count,
                                        .commit_index = admin->apply->commit_index};
    if (group_has_cluster(admin->group))
        answer.cluster_id = slice_of(admin->group->cluster, WAL_CLUSTER_BYTES);
    memcpy(answer.members, status->members, status->member_count * sizeof(answer.members[0]));
    admin_status_show_workers(admin, &answer, hashes);
    gateways_show_cluster(admin->gateways, origin, &answer);
}

static void admin_status_answer_alone(struct admin_status *admin, const struct reads_origin *origin)
{
    struct peer_status status = {0};
    admin_status_show_members(admin, &status);
    admin_status_answer(admin, origin, &status, group_leads(admin->group));
}

/* ---- asking the leader ------------------------------------------------------------------------
 */

static struct admin_status_ask *admin_status_find_ask(struct admin_status *admin, uint64_t id)
{
    for (unsigned i = 0; i < ADMIN_STATUS_ASKS; i++)
        if (admin->asks[i].id == id)
            return &admin->asks[i];
    return NULL;
}

static bool admin_status_ask_leader(struct admin_status *admin, const struct reads_origin *origin)
{
    struct peer *leader = peers_by_id(admin->peers, admin->group->leader);
    struct admin_status_ask *ask = admin_status_find_ask(admin, 0);
    if (!ask || peer_say_status_ask(leader, admin->last_id + 1) != 0)
        return false;
    *ask = (struct admin_status_ask){.id = ++admin->last_id,
                                     .due_ns = loop_now_ns(admin->loop) + STATUS_WAIT_NS,
                                     .origin = *origin};
    if (admin->timer.due_ns == 0)
        loop_timer_set(admin->loop, &admin->timer, ask->due_ns);
    return true;
}

void admin_status_ask(struct admin_status *admin, const struct reads_origin *origin)
{
    if (!admin_status_ask_leader(admin, origin))
        admin_status_answer_alone(admin, origin);
}

static void admin_status_on_timer(void *arg)
{
    struct admin_status *admin = arg;
    uint64_t now_ns = loop_now_ns(admin->loop), due_ns = 0;
    for (unsigned i = 0; i < ADMIN_STATUS_ASKS; i++) {
        struct admin_status_ask *ask = &admin->asks[i];
        if (ask->id == 0)
            continue;
        if (ask->due_ns <= now_ns) {
            ask->id = 0;
            admin_status_answer_alone(admin, &ask->origin);
        } else if (due_ns == 0 || ask->due_ns < due_ns) {
            due_ns = ask->due_ns;
        }
    }
    if (due_ns != 0)
        loop_timer_set(admin->loop, &admin->timer, due_ns);
}

/* ---- between nodes ----------------------------------------------------------------------------
 */

static void admin_status_on_ask(struct admin_status *admin, struct peer *from, struct unpack *body)
{
    struct peer_status status = {0};
    if (peer_id_decode(&status.id, body) != 0 || !group_leads(admin->group))
        return;
    admin_status_show_members(admin, &status);
    (void)peer_say_status_answer(from, &status);
}

static void admin_status_on_answer(struct admin_status *admin, struct unpack *body)
{
    struct peer_status status;
    if (peer_status_decode(&status, body) != 0)
        return;
    struct admin_status_ask *ask = status.id != 0 ? admin_status_find_ask(admin, status.id) : NULL;
    if (!ask)
        return; /* too late */
    ask->id = 0;
    admin_status_answer(admin, &ask->origin, &status, true);
}

void admin_status_on_message(struct admin_status *admin, struct peer *from,
                             enum peer_message number, struct unpack *body)
{
    if (number == PEER_STATUS_ASK)
        admin_status_on_ask(admin, from, body);
    else
        admin_status_on_answer(admin, body);
}

void admin_status_init(struct admin_status *admin, const struct admin_status_options *options)
{
    *admin = (struct admin_status){.group = options->group,
                                   .peers = options->peers,
                                   .apply = options->apply,
                                   .gateways = options->gateways,
                                   .loop = options->loop,
                                   .timer = {.fire = admin_status_on_timer, .arg = admin}};
}
