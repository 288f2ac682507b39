/* driver_change.c - changes of the cluster that operators ask for: a node is to join, to be removed
 * or to lead.
 *
 * The leader carries them out; a follower passes them on, and the answer back. Each is answered
 * once, at the latest when its time is over.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"
#include "procs/raft/peer_address.h"

#define CHANGE_LOOK_NS (NS_PER_S / 10)
#define CHANGE_INVITE_NS (NS_PER_S / 2)
#define CHANGE_WAIT_NS (RAFT_CHANGE_WAIT_MS * NS_PER_MS)

/* ---- answers ----------------------------------------------------------------------------------
 */

static void driver_answer_change(struct driver *driver, const struct driver_change_origin *origin,
                                 int error, const char *detail)
{
    const struct msg_change_answer answer = {origin->id, (uint64_t)error, slice_text(detail)};
    struct peer *peer;
    struct pack *pack;
    if (!origin->is_peer) {
        const struct reads_origin to = {origin->gateway, origin->connection, origin->id};
        gateways_answer_change(&driver->gateways, &to, &answer);
        return;
    }
    peer = peers_by_id(driver->peers, origin->node);
    if (!peer || peer_begin(peer, PEER_CHANGE_ANSWER, &pack) != 0)
        return; /* it gives up when the connection breaks, or in time */
    peer_change_answer_pack(pack, &answer);
    peer_end(peer);
}

__attribute__((format(printf, 4, 5))) static void driver_end_change(struct driver *driver,
                                                                    struct driver_change *change,
                                                                    int error, const char *format,
                                                                    ...)
{
    static const char *const kinds[] = {"join", "remove", "transfer"};
    char detail[MSG_CHANGE_DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    LOG_INFO("change_ended", LOG_STR("change", kinds[change->kind]),
             LOG_STR("member", change->name), LOG_STR("error", error_text(error)),
             LOG_STR("detail", detail));
    change->stage = DRIVER_CHANGE_FREE;
    driver_answer_change(driver, &change->origin, error, detail);
}

/* ---- joining ----------------------------------------------------------------------------------
 */

static struct peer *driver_find_guest(const struct driver *driver,
                                      const struct driver_change *change)
{
    return peers_by_name(driver->peers, slice_text(change->name));
}

static void driver_invite(struct driver *driver, struct driver_change *change, struct peer *guest)
{
    struct pack *pack;
    uint64_t now_ns = loop_now_ns(driver->loop);
    if (now_ns < change->next_ns || peer_begin(guest, PEER_INVITE, &pack) != 0)
        return;
    peer_end(guest);
    change->next_ns = now_ns + CHANGE_INVITE_NS;
    if (!change->is_met)
        change->due_ns = now_ns + CHANGE_WAIT_NS;
    change->is_met = true;
}

static void driver_serve_join(struct driver *driver, struct driver_change *change)
{
    struct peer *guest = driver_find_guest(driver, change);
    const struct member *member = members_named(&driver->group.members, slice_text(change->name));
    bool is_in = member && guest && peer_info(guest)->is_up && peer_info(guest)->id == member->id;
    if (is_in && driver->group.config_committed)
        driver_end_change(driver, change, 0, "%s", "");
    else if (!is_in && guest && group_leads(&driver->group))
        driver_invite(driver, change, guest);
    else if (!group_leads(&driver->group))
        driver_end_change(driver, change, E_OUTCOME_UNKNOWN,
                          "leadership changed while '%s' was joining", change->name);
}

static void driver_begin_join(struct driver *driver, struct driver_change *change)
{
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES];
    const struct member *member = members_named(&driver->group.members, slice_text(change->name));
    if (peer_address_split(change->address, host, port) != 0 ||
        peer_address_is_any(change->address)) {
        driver_end_change(driver, change, E_BAD_COMMAND, "'%s' is no address to connect to",
                          change->address);
        return;
    }
    if (member && group_is_active(&driver->group, member->id)) {
        driver_end_change(driver, change, E_CONFLICT, "'%s' is a member already", change->name);
        return;
    }
    if (!peers_meet(driver->peers, slice_text(change->name), change->address,
                    RAFT_CHANGE_WAIT_MS)) {
        driver_end_change(driver, change, E_BUSY, "too many nodes are spoken to");
        return;
    }
    change->stage = DRIVER_CHANGE_INVITING;
    driver_serve_join(driver, change);
}

/* What an invited node says. */
void driver_on_invite_answer(struct driver *driver, const struct peer *from, struct unpack *body)
{
    enum peer_invited answer;
    if (peer_invite_answer_decode(&answer, body) != 0)
        return;
    for (unsigned i = 0; i < DRIVER_CHANGES; i++) {
        struct driver_change *change = &driver->changes.list[i];
        if (change->stage != DRIVER_CHANGE_INVITING || driver_find_guest(driver, change) != from)
            continue;
        change->invited = answer;
        if (answer == PEER_INVITED_FOREIGN)
            driver_end_change(driver, change, E_CONFLICT, "'%s' belongs to another cluster",
                              change->name);
    }
}

/* ---- removing, handing over -------------------------------------------------------------------
 */

static bool driver_refused_change(struct driver *driver, struct driver_change *change,
                                  enum raft_refusal refusal)
{
    switch (refusal) {
    case RAFT_TAKEN:
        change->due_ns = loop_now_ns(driver->loop) + CHANGE_WAIT_NS;
        return false;
    case RAFT_REFUSED_BUSY:
    case RAFT_REFUSED_NOT_READY:
    case RAFT_REFUSED_TRANSFERRING:
        return true; /* it is tried again */
    case RAFT_REFUSED_QUORUM:
        driver_end_change(driver, change, E_CONFLICT,
                          "without '%s' the voters that answer are no majority", change->name);
        return true;
    case RAFT_REFUSED_BEHIND:
        driver_end_change(driver, change, E_CONFLICT,
                          "'%s' does not answer, or is behind the leader's log", change->name);
        return true;
    case RAFT_REFUSED_INVALID:
        driver_end_change(driver, change, E_CONFLICT,
                          change->kind == MSG_CHANGE_REMOVE ? "'%s' is the only voter"
                                                            : "'%s' has no vote, so it cannot lead",
                          change->name);
        return true;
    default:
        driver_end_change(driver, change, E_NO_LEADER, "this node does not lead any more");
        return true;
    }
}

static void driver_begin_removal(struct driver *driver, struct driver_change *change,
                                 const struct member *member)
{
    const struct member gone = *member;
    change->target = gone.id;
    if (driver_refused_change(driver, change, driver_change(driver, RAFT_CHANGE_REMOVE, &gone)))
        return;
    LOG_INFO("member_removed", LOG_STR("member", change->name), LOG_U64("raft_id", gone.id));
    change->stage = DRIVER_CHANGE_COMMITTING;
}

static void driver_begin_transfer(struct driver *driver, struct driver_change *change,
                                  const struct member *member)
{
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .transfer_to = member->id};
    if (member->id == driver->group.raft_id) {
        driver_end_change(driver, change, 0, "'%s' leads already", change->name);
        return;
    }
    change->target = member->id;
    if (group_is_active(&driver->group, member->id) && member->voter &&
        !driver_can_take_over(driver, member->id))
        return; /* it has just started: in a moment */
    driver->is_transferring = true;
    if (driver_refused_change(driver, change, driver_step(driver, &event)))
        driver->is_transferring = false;
    else
        change->stage = DRIVER_CHANGE_HANDING_OVER;
}

static void driver_begin_change(struct driver *driver, struct driver_change *change)
{
    const struct member *member = members_named(&driver->group.members, slice_text(change->name));
    if (!group_leads(&driver->group) || driver->group.term != change->term)
        driver_end_change(driver, change, E_NO_LEADER, "this node does not lead any more");
    else if (change->kind == MSG_CHANGE_JOIN)
        driver_begin_join(driver, change);
    else if (!member)
        driver_end_change(driver, change, E_NOT_FOUND, "the cluster has no member '%s'",
                          change->name);
    else if (change->kind == MSG_CHANGE_REMOVE)
        driver_begin_removal(driver, change, member);
    else
        driver_begin_transfer(driver, change, member);
}

static void driver_serve_removal(struct driver *driver, struct driver_change *change)
{
    bool is_gone = !members_find(&driver->group.members, change->target);
    if (is_gone && driver->group.config_committed)
        driver_end_change(driver, change, 0, "%s", "");
    else if (!group_leads(&driver->group) || driver->group.term != change->term)
        driver_end_change(driver, change, E_OUTCOME_UNKNOWN,
                          "leadership changed while '%s' was being removed", change->name);
}

static void driver_serve_transfer(struct driver *driver, struct driver_change *change)
{
    if (driver->group.leader == change->target)
        driver_end_change(driver, change, 0, "%s", "");
    else if (driver->group.leader != RAFT_NONE && driver->group.term != change->term)
        driver_end_change(driver, change, E_CONFLICT, "another node than '%s' was elected",
                          change->name);
    else if (group_leads(&driver->group) && !driver->is_transferring)
        driver_end_change(driver, change, E_CONFLICT, "'%s' did not take over in time",
                          change->name);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static void driver_end_late(struct driver *driver, struct driver_change *change)
{
    const char *name = change->name;
    switch (change->stage) {
    case DRIVER_CHANGE_BEGINNING:
        driver_end_change(driver, change, E_BUSY,
                          change->kind == MSG_CHANGE_TRANSFER ? "'%s' cannot take over yet"
                                                              : "'%s': another change is under way",
                          name);
        break;
    case DRIVER_CHANGE_INVITING:
        if (!change->is_met)
            driver_end_change(driver, change, E_NO_LEADER, "'%s' cannot be reached at %s", name,
                              change->address);
        else if (change->invited == PEER_INVITED_MEMBER)
            driver_end_change(driver, change, E_CONFLICT, "'%s' takes itself for a member", name);
        else
            driver_end_change(driver, change, E_OUTCOME_UNKNOWN, "'%s' was asked to join", name);
        break;
    default:
        driver_end_change(driver, change, E_OUTCOME_UNKNOWN, "the change was not decided in time");
    }
}

static void driver_serve_change(struct driver *driver, struct driver_change *change)
{
    switch (change->stage) {
    case DRIVER_CHANGE_BEGINNING:
        driver_begin_change(driver, change);
        break;
    case DRIVER_CHANGE_COMMITTING:
        driver_serve_removal(driver, change);
        break;
    case DRIVER_CHANGE_INVITING:
        driver_serve_join(driver, change);
        break;
    case DRIVER_CHANGE_HANDING_OVER:
        driver_serve_transfer(driver, change);
        break;
    default:
        break;
    }
    if (change->stage != DRIVER_CHANGE_FREE && loop_now_ns(driver->loop) >= change->due_ns)
        driver_end_late(driver, change);
}

void driver_serve_changes(struct driver *driver)
{
    bool any = false;
    for (unsigned i = 0; i < DRIVER_CHANGES; i++) {
        struct driver_change *change = &driver->changes.list[i];
        if (change->stage != DRIVER_CHANGE_FREE)
            driver_serve_change(driver, change);
        any |= change->stage != DRIVER_CHANGE_FREE;
    }
    if (any && driver->changes.timer.due_ns == 0)
        loop_timer_set(driver->loop, &driver->changes.timer,
                       loop_now_ns(driver->loop) + CHANGE_LOOK_NS);
    driver->changes.is_any = any;
}

void driver_on_change_timer(void *arg)
{
    (void)arg; /* they are served at the end of each turn */
}

static int driver_pass_change_on(struct driver *driver, struct driver_change *change)
{
    struct peer *leader = peers_by_id(driver->peers, driver->group.leader);
    struct msg_change msg = {.id = ++driver->changes.last_id,
                             .kind = change->kind,
                             .name = slice_text(change->name),
                             .raft_address = slice_text(change->address)};
    struct pack *pack;
    if (!leader || peer_begin(leader, PEER_CHANGE, &pack) != 0)
        return E_NO_LEADER;
    peer_change_pack(pack, &msg);
    peer_end(leader);
    change->passed_id = msg.id;
    change->target = driver->group.leader;
    change->due_ns = loop_now_ns(driver->loop) + CHANGE_WAIT_NS;
    change->stage = DRIVER_CHANGE_PASSED_ON;
    return 0;
}

static void driver_open_change(struct driver *driver, const struct driver_change_origin *origin,
                               const struct msg_change *msg)
{
    struct driver_change *change = NULL;
    for (unsigned i = 0; i < DRIVER_CHANGES && !change; i++)
        if (driver->changes.list[i].stage == DRIVER_CHANGE_FREE)
            change = &driver->changes.list[i];
    if (!change) {
        driver_answer_change(driver, origin, E_BUSY, "too many changes are under way");
        return;
    }
    /* an answer before the client gives up; later ones only for what was begun */
    uint64_t wait_ns = driver->skel->config.limits.request_timeout_ms * NS_PER_MS / 5 * 3;
    *change = (struct driver_change){.stage = DRIVER_CHANGE_BEGINNING,
                                     .origin = *origin,
                                     .kind = msg->kind,
                                     .term = driver->group.term,
                                     .due_ns = loop_now_ns(driver->loop) + wait_ns};
    CHECK(msg->name.len < sizeof(change->name) && msg->raft_address.len < sizeof(change->address));
    memcpy(change->name, msg->name.data, msg->name.len);
    if (msg->raft_address.len > 0)
        memcpy(change->address, msg->raft_address.data, msg->raft_address.len);
    driver->changes.is_any = true;
    if (group_leads(&driver->group))
        return; /* at the end of this turn */
    if (origin->is_peer || driver_pass_change_on(driver, change) != 0)
        driver_end_change(driver, change, E_NO_LEADER, "no leader is known");
}

void driver_on_gateway_changes(void *arg, const struct reads_origin *origin,
                               const struct msg_change *msg)
{
    const struct driver_change_origin from = {
        .gateway = origin->gateway, .connection = origin->connection, .id = origin->id};
    driver_open_change(arg, &from, msg);
}

static void driver_on_change(struct driver *driver, const struct peer *from, struct unpack *body)
{
    struct msg_change msg;
    if (peer_change_decode(&msg, body) != 0)
        return;
    const struct driver_change_origin origin = {
        .is_peer = true, .node = peer_info(from)->id, .id = msg.id};
    driver_open_change(driver, &origin, &msg);
}

static void driver_on_change_answer(struct driver *driver, const struct peer *from,
                                    struct unpack *body)
{
    struct msg_change_answer answer;
    if (peer_change_answer_decode(&answer, body) != 0)
        return;
    for (unsigned i = 0; i < DRIVER_CHANGES; i++) {
        struct driver_change *change = &driver->changes.list[i];
        if (change->stage != DRIVER_CHANGE_PASSED_ON || change->passed_id != answer.id ||
            change->target != peer_info(from)->id)
            continue;
        driver_end_change(driver, change, (int)answer.error, "%.*s", (int)answer.detail.len,
                          (const char *)answer.detail.data);
    }
}

/* The connection to or from it is lost, and with it perhaps the answer. */
void driver_changes_lose_peer(struct driver *driver, const struct peer *peer)
{
    for (unsigned i = 0; i < DRIVER_CHANGES; i++) {
        struct driver_change *change = &driver->changes.list[i];
        if (change->stage == DRIVER_CHANGE_PASSED_ON && change->target == peer_info(peer)->id)
            driver_end_change(driver, change, E_OUTCOME_UNKNOWN,
                              "the connection to the leader was lost");
    }
}

void driver_change_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                              struct unpack *body)
{
    if (number == PEER_CHANGE)
        driver_on_change(driver, from, body);
    else
        driver_on_change_answer(driver, from, body);
}
