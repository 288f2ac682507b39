/* driver_status.c - who belongs to the cluster and how far they are, for operators.
 *
 * The leader knows; a follower asks it, and says what it knows by itself when no answer comes in
 * time.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "procs/raft/driver_private.h"

#define STATUS_WAIT_NS ((RAFT_CLUSTER_WAIT_MS - 200) * NS_PER_MS)
#define STATUS_HASH_BYTES 8

/* ---- what is known here -----------------------------------------------------------------------
 */

static struct msg_cluster_member driver_show_member(const struct member *member)
{
    return (struct msg_cluster_member){.name = slice_text(member->name),
                                       .raft_address = slice_text(member->raft_address),
                                       .http_address = slice_text(member->http_address),
                                       .is_voter = member->voter};
}

static const struct raft_peer_status *driver_find_status(const struct raft_peer_status *peers,
                                                         uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return &peers[i];
    return NULL;
}

/* As the leader sees it. */
static void driver_show_progress(const struct driver *driver, const struct raft_peer_status *peer,
                                 struct msg_cluster_member *shown)
{
    uint64_t last = raft_last_index(driver->raft);
    shown->state = MSG_MEMBER_LEADER;
    shown->match_index = raft_durable_index(driver->raft);
    if (peer) {
        shown->state = peer->active ? MSG_MEMBER_FOLLOWER : MSG_MEMBER_UNREACHABLE;
        shown->match_index = peer->match_index;
    }
    shown->lag = last > shown->match_index ? last - shown->match_index : 0;
}

/* As any other node does. */
static enum msg_member_state driver_show_state(const struct driver *driver,
                                               const struct member *member)
{
    const struct peer *peer = peers_by_id(driver->peers, member->id);
    if (member->id == driver->group.leader)
        return MSG_MEMBER_LEADER;
    bool is_there = member->id == driver->group.raft_id || (peer && peer_info(peer)->is_up);
    return is_there ? MSG_MEMBER_FOLLOWER : MSG_MEMBER_UNREACHABLE;
}

/* People look for names; the log's order is that of the ids. */
static int driver_compare_members(const void *left, const void *right)
{
    const struct member *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

static void driver_show_members(const struct driver *driver, struct peer_status *status)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    const struct member *sorted[RAFT_MEMBERS_MAX] = {NULL};
    bool leads = group_leads(&driver->group);
    uint32_t count = leads ? raft_peers(driver->raft, clock_boot_ns(), peers) : 0;
    status->term = driver->group.term;
    status->leader = slice_text(group_name_of(&driver->group, driver->peers, driver->group.leader));
    status->member_count = driver->group.members.count;
    for (uint32_t i = 0; i < driver->group.members.count; i++)
        sorted[i] = &driver->group.members.list[i];
    qsort(sorted, driver->group.members.count, sizeof(sorted[0]), driver_compare_members);
    for (uint32_t i = 0; i < driver->group.members.count; i++) {
        const struct member *member = sorted[i];
        struct msg_cluster_member *shown = &status->members[i];
        *shown = driver_show_member(member);
        if (leads)
            driver_show_progress(driver, driver_find_status(peers, count, member->id), shown);
        else
            shown->state = driver_show_state(driver, member);
    }
}

/* ---- answers to gateways ----------------------------------------------------------------------
 */

static void driver_show_workers(const struct driver *driver, struct msg_cluster_answer *answer,
                                uint8_t hashes[PROC_WORKER_COUNT][STATUS_HASH_BYTES])
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        enum proc worker = (enum proc)(PROC_FIRST_WORKER + (int)i);
        struct apply_status status = apply_status(&driver->apply, worker);
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

static void driver_answer_status(struct driver *driver, const struct reads_origin *origin,
                                 const struct peer_status *status, bool is_of_leader)
{
    uint8_t hashes[PROC_WORKER_COUNT][STATUS_HASH_BYTES];
    struct msg_cluster_answer answer = {.id = origin->id,
                                        .leader = status->leader,
                                        .term = status->term,
                                        .is_of_leader = is_of_leader,
                                        .member_count = status->member_count,
                                        .commit_index = driver->apply.commit_index};
    if (group_has_cluster(&driver->group))
        answer.cluster_id = slice_of(driver->group.cluster, sizeof(driver->group.cluster));
    memcpy(answer.members, status->members, status->member_count * sizeof(answer.members[0]));
    driver_show_workers(driver, &answer, hashes);
    gateways_show_cluster(&driver->gateways, origin, &answer);
}

static void driver_answer_alone(struct driver *driver, const struct reads_origin *origin)
{
    struct peer_status status = {0};
    driver_show_members(driver, &status);
    driver_answer_status(driver, origin, &status, group_leads(&driver->group));
}

/* ---- asking the leader ------------------------------------------------------------------------
 */

static struct driver_status_ask *driver_find_ask(struct driver *driver, uint64_t id)
{
    for (unsigned i = 0; i < DRIVER_STATUS_ASKS; i++)
        if (driver->status.asks[i].id == id)
            return &driver->status.asks[i];
    return NULL;
}

static bool driver_ask_status(struct driver *driver, const struct reads_origin *origin)
{
    struct peer *leader = peers_by_id(driver->peers, driver->group.leader);
    struct driver_status_ask *ask = driver_find_ask(driver, 0);
    struct pack *pack;
    if (!leader || !ask || peer_begin(leader, PEER_STATUS_ASK, &pack) != 0)
        return false;
    *ask = (struct driver_status_ask){.id = ++driver->status.last_id,
                                      .due_ns = loop_now_ns(driver->loop) + STATUS_WAIT_NS,
                                      .origin = *origin};
    peer_id_pack(pack, ask->id);
    peer_end(leader);
    if (driver->status.timer.due_ns == 0)
        loop_timer_set(driver->loop, &driver->status.timer, ask->due_ns);
    return true;
}

void driver_on_gateway_asks_status(void *arg, const struct reads_origin *origin)
{
    struct driver *driver = arg;
    if (!driver_ask_status(driver, origin))
        driver_answer_alone(driver, origin);
}

void driver_on_status_timer(void *arg)
{
    struct driver *driver = arg;
    uint64_t now_ns = loop_now_ns(driver->loop), due_ns = 0;
    for (unsigned i = 0; i < DRIVER_STATUS_ASKS; i++) {
        struct driver_status_ask *ask = &driver->status.asks[i];
        if (ask->id == 0)
            continue;
        if (ask->due_ns <= now_ns) {
            ask->id = 0;
            driver_answer_alone(driver, &ask->origin);
        } else if (due_ns == 0 || ask->due_ns < due_ns) {
            due_ns = ask->due_ns;
        }
    }
    if (due_ns != 0)
        loop_timer_set(driver->loop, &driver->status.timer, due_ns);
}

/* ---- between nodes ----------------------------------------------------------------------------
 */

static void driver_on_status_ask(struct driver *driver, struct peer *from, struct unpack *body)
{
    struct peer_status status = {0};
    struct pack *pack;
    if (peer_id_decode(&status.id, body) != 0 || !group_leads(&driver->group))
        return;
    driver_show_members(driver, &status);
    if (peer_begin(from, PEER_STATUS_ANSWER, &pack) != 0)
        return;
    peer_status_pack(pack, &status);
    peer_end(from);
}

static void driver_on_status_answer(struct driver *driver, struct unpack *body)
{
    struct peer_status status;
    if (peer_status_decode(&status, body) != 0)
        return;
    struct driver_status_ask *ask = status.id != 0 ? driver_find_ask(driver, status.id) : NULL;
    if (!ask)
        return; /* too late */
    ask->id = 0;
    driver_answer_status(driver, &ask->origin, &status, true);
}

void driver_status_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                              struct unpack *body)
{
    if (number == PEER_STATUS_ASK)
        driver_on_status_ask(driver, from, body);
    else
        driver_on_status_answer(driver, body);
}
