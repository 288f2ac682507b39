/* admin_changes.c - see admin_changes.h. */
#include "procs/raft/admin_changes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/peers/peer_address.h"

#define CHANGE_LOOK_NS (NS_PER_S / 10)
#define CHANGE_INVITE_NS (NS_PER_S / 2)
#define CHANGE_WAIT_NS (RAFT_CHANGE_WAIT_MS * NS_PER_MS)

/* ---- answers ----------------------------------------------------------------------------------
 */

static void admin_changes_answer(struct admin_changes *changes,
                                 const struct admin_change_origin *origin, int error,
                                 const char *detail)
{
    const struct msg_change_answer answer = {origin->id, (uint64_t)error, slice_text(detail)};
    if (!origin->is_peer) {
        const struct reads_origin to = {origin->gateway, origin->connection, origin->id};
        gateways_answer_change(changes->gateways, &to, &answer);
        return;
    }
    /* if it is not there: it gives up when the connection breaks, or in time */
    (void)peer_say_change_answer(peers_by_id(changes->peers, origin->node), &answer);
}

__attribute__((format(printf, 4, 5))) static void admin_changes_end(struct admin_changes *changes,
                                                                    struct admin_change *change,
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
    change->stage = ADMIN_CHANGE_FREE;
    admin_changes_answer(changes, &change->origin, error, detail);
}

/* ---- joining ----------------------------------------------------------------------------------
 */

static struct peer *admin_changes_guest(const struct admin_changes *changes,
                                        const struct admin_change *change)
{
    return peers_by_name(changes->peers, slice_text(change->name));
}

static void admin_changes_invite(struct admin_changes *changes, struct admin_change *change,
                                 struct peer *guest)
{
    uint64_t now_ns = loop_now_ns(changes->loop);
    if (now_ns < change->next_ns || peer_say_invite(guest) != 0)
        return;
    change->next_ns = now_ns + CHANGE_INVITE_NS;
    if (!change->is_met)
        change->due_ns = now_ns + CHANGE_WAIT_NS;
    change->is_met = true;
}

static void admin_changes_serve_join(struct admin_changes *changes, struct admin_change *change)
{
    struct peer *guest = admin_changes_guest(changes, change);
    const struct member *member = members_named(&changes->group->members, slice_text(change->name));
    bool is_in = member && guest && peer_info(guest)->is_up && peer_info(guest)->id == member->id;
    if (is_in && changes->group->config_committed)
        admin_changes_end(changes, change, 0, "%s", "");
    else if (!is_in && guest && group_leads(changes->group))
        admin_changes_invite(changes, change, guest);
    else if (!group_leads(changes->group))
        admin_changes_end(changes, change, E_OUTCOME_UNKNOWN,
                          "leadership changed while '%s' was joining", change->name);
}

static void admin_changes_begin_join(struct admin_changes *changes, struct admin_change *change)
{
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES];
    const struct member *member = members_named(&changes->group->members, slice_text(change->name));
    if (peer_address_split(change->address, host, port) != 0 ||
        peer_address_is_any(change->address)) {
        admin_changes_end(changes, change, E_BAD_COMMAND, "'%s' is no address to connect to",
                          change->address);
        return;
    }
    if (member && group_is_active(changes->group, member->id)) {
        admin_changes_end(changes, change, E_CONFLICT, "'%s' is a member already", change->name);
        return;
    }
    if (!peers_meet(changes->peers, slice_text(change->name), change->address,
                    RAFT_CHANGE_WAIT_MS)) {
        admin_changes_end(changes, change, E_BUSY, "too many nodes are spoken to");
        return;
    }
    change->stage = ADMIN_CHANGE_INVITING;
    admin_changes_serve_join(changes, change);
}

/* What an invited node says. */
static void admin_changes_on_invite_answer(struct admin_changes *changes, const struct peer *from,
                                           struct unpack *body)
{
    enum peer_invited answer;
    if (peer_invite_answer_decode(&answer, body) != 0)
        return;
    for (unsigned i = 0; i < ADMIN_CHANGES; i++) {
        struct admin_change *change = &changes->list[i];
        if (change->stage != ADMIN_CHANGE_INVITING || admin_changes_guest(changes, change) != from)
            continue;
        change->invited = answer;
        if (answer == PEER_INVITED_FOREIGN)
            admin_changes_end(changes, change, E_CONFLICT, "'%s' belongs to another cluster",
                              change->name);
    }
}

/* ---- removing, handing over -------------------------------------------------------------------
 */

static bool admin_changes_is_refused(struct admin_changes *changes, struct admin_change *change,
                                     enum raft_refusal refusal)
{
    switch (refusal) {
    case RAFT_TAKEN:
        change->due_ns = loop_now_ns(changes->loop) + CHANGE_WAIT_NS;
        return false;
    case RAFT_REFUSED_BUSY:
    case RAFT_REFUSED_NOT_READY:
    case RAFT_REFUSED_TRANSFERRING:
        return true; /* it is tried again */
    case RAFT_REFUSED_QUORUM:
        admin_changes_end(changes, change, E_CONFLICT,
                          "without '%s' the voters that answer are no majority", change->name);
        return true;
    case RAFT_REFUSED_BEHIND:
        admin_changes_end(changes, change, E_CONFLICT,
                          "'%s' does not answer, or is behind the leader's log", change->name);
        return true;
    case RAFT_REFUSED_INVALID:
        admin_changes_end(changes, change, E_CONFLICT,
                          change->kind == MSG_CHANGE_REMOVE ? "'%s' is the only voter"
                                                            : "'%s' has no vote, so it cannot lead",
                          change->name);
        return true;
    default:
        admin_changes_end(changes, change, E_NO_LEADER, "this node does not lead any more");
        return true;
    }
}

static void admin_changes_begin_removal(struct admin_changes *changes, struct admin_change *change,
                                        const struct member *member)
{
    const struct member gone = *member;
    change->target = gone.id;
    if (admin_changes_is_refused(
            changes, change, changes->hooks.change(changes->hooks.arg, RAFT_CHANGE_REMOVE, &gone)))
        return;
    LOG_INFO("member_removed", LOG_STR("member", change->name), LOG_U64("raft_id", gone.id));
    change->stage = ADMIN_CHANGE_COMMITTING;
}

static void admin_changes_begin_transfer(struct admin_changes *changes, struct admin_change *change,
                                         const struct member *member)
{
    if (member->id == changes->group->raft_id) {
        admin_changes_end(changes, change, 0, "'%s' leads already", change->name);
        return;
    }
    change->target = member->id;
    if (group_is_active(changes->group, member->id) && member->voter &&
        !changes->hooks.can_take_over(changes->hooks.arg, member->id))
        return; /* it has just started: in a moment */
    if (!admin_changes_is_refused(changes, change,
                                  changes->hooks.transfer(changes->hooks.arg, member->id)))
        change->stage = ADMIN_CHANGE_HANDING_OVER;
}

static void admin_changes_begin(struct admin_changes *changes, struct admin_change *change)
{
    const struct member *member = members_named(&changes->group->members, slice_text(change->name));
    if (!group_leads(changes->group) || changes->group->term != change->term)
        admin_changes_end(changes, change, E_NO_LEADER, "this node does not lead any more");
    else if (change->kind == MSG_CHANGE_JOIN)
        admin_changes_begin_join(changes, change);
    else if (!member)
        admin_changes_end(changes, change, E_NOT_FOUND, "the cluster has no member '%s'",
                          change->name);
    else if (change->kind == MSG_CHANGE_REMOVE)
        admin_changes_begin_removal(changes, change, member);
    else
        admin_changes_begin_transfer(changes, change, member);
}

static void admin_changes_serve_removal(struct admin_changes *changes, struct admin_change *change)
{
    bool is_gone = !members_find(&changes->group->members, change->target);
    if (is_gone && changes->group->config_committed)
        admin_changes_end(changes, change, 0, "%s", "");
    else if (!group_leads(changes->group) || changes->group->term != change->term)
        admin_changes_end(changes, change, E_OUTCOME_UNKNOWN,
                          "leadership changed while '%s' was being removed", change->name);
}

static void admin_changes_serve_transfer(struct admin_changes *changes, struct admin_change *change)
{
    if (changes->group->leader == change->target)
        admin_changes_end(changes, change, 0, "%s", "");
    else if (changes->group->leader != RAFT_NONE && changes->group->term != change->term)
        admin_changes_end(changes, change, E_CONFLICT, "another node than '%s' was elected",
                          change->name);
    else if (group_leads(changes->group) && !changes->group->is_transferring)
        admin_changes_end(changes, change, E_CONFLICT, "'%s' did not take over in time",
                          change->name);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static void admin_changes_end_late(struct admin_changes *changes, struct admin_change *change)
{
    const char *name = change->name;
    switch (change->stage) {
    case ADMIN_CHANGE_BEGINNING:
        admin_changes_end(changes, change, E_BUSY,
                          change->kind == MSG_CHANGE_TRANSFER ? "'%s' cannot take over yet"
                                                              : "'%s': another change is under way",
                          name);
        break;
    case ADMIN_CHANGE_INVITING:
        if (!change->is_met)
            admin_changes_end(changes, change, E_NO_LEADER, "'%s' cannot be reached at %s", name,
                              change->address);
        else if (change->invited == PEER_INVITED_MEMBER)
            admin_changes_end(changes, change, E_CONFLICT, "'%s' takes itself for a member", name);
        else
            admin_changes_end(changes, change, E_OUTCOME_UNKNOWN, "'%s' was asked to join", name);
        break;
    default:
        admin_changes_end(changes, change, E_OUTCOME_UNKNOWN, "the change was not decided in time");
    }
}

static void admin_changes_serve_one(struct admin_changes *changes, struct admin_change *change)
{
    switch (change->stage) {
    case ADMIN_CHANGE_BEGINNING:
        admin_changes_begin(changes, change);
        break;
    case ADMIN_CHANGE_COMMITTING:
        admin_changes_serve_removal(changes, change);
        break;
    case ADMIN_CHANGE_INVITING:
        admin_changes_serve_join(changes, change);
        break;
    case ADMIN_CHANGE_HANDING_OVER:
        admin_changes_serve_transfer(changes, change);
        break;
    default:
        break;
    }
    if (change->stage != ADMIN_CHANGE_FREE && loop_now_ns(changes->loop) >= change->due_ns)
        admin_changes_end_late(changes, change);
}

void admin_changes_serve(struct admin_changes *changes)
{
    bool any = false;
    if (!changes->is_any)
        return;
    for (unsigned i = 0; i < ADMIN_CHANGES; i++) {
        struct admin_change *change = &changes->list[i];
        if (change->stage != ADMIN_CHANGE_FREE)
            admin_changes_serve_one(changes, change);
        any |= change->stage != ADMIN_CHANGE_FREE;
    }
    if (any && changes->timer.due_ns == 0)
        loop_timer_set(changes->loop, &changes->timer, loop_now_ns(changes->loop) + CHANGE_LOOK_NS);
    changes->is_any = any;
}

static void admin_changes_on_timer(void *arg)
{
    (void)arg; /* they are served at the end of each turn */
}

static int admin_changes_pass_on(struct admin_changes *changes, struct admin_change *change)
{
    struct peer *leader = peers_by_id(changes->peers, changes->group->leader);
    struct msg_change msg = {.id = ++changes->last_id,
                             .kind = change->kind,
                             .name = slice_text(change->name),
                             .raft_address = slice_text(change->address)};
    if (peer_say_change(leader, &msg) != 0)
        return E_NO_LEADER;
    change->passed_id = msg.id;
    change->target = changes->group->leader;
    change->due_ns = loop_now_ns(changes->loop) + CHANGE_WAIT_NS;
    change->stage = ADMIN_CHANGE_PASSED_ON;
    return 0;
}

static void admin_changes_open(struct admin_changes *changes,
                               const struct admin_change_origin *origin,
                               const struct msg_change *msg)
{
    struct admin_change *change = NULL;
    for (unsigned i = 0; i < ADMIN_CHANGES && !change; i++)
        if (changes->list[i].stage == ADMIN_CHANGE_FREE)
            change = &changes->list[i];
    if (!change) {
        admin_changes_answer(changes, origin, E_BUSY, "too many changes are under way");
        return;
    }
    /* an answer before the client gives up; later ones only for what was begun */
    uint64_t wait_ns = changes->config->limits.request_timeout_ms * NS_PER_MS / 5 * 3;
    *change = (struct admin_change){.stage = ADMIN_CHANGE_BEGINNING,
                                    .origin = *origin,
                                    .kind = msg->kind,
                                    .term = changes->group->term,
                                    .due_ns = loop_now_ns(changes->loop) + wait_ns};
    CHECK(msg->name.len < sizeof(change->name) && msg->raft_address.len < sizeof(change->address));
    memcpy(change->name, msg->name.data, msg->name.len);
    if (msg->raft_address.len > 0)
        memcpy(change->address, msg->raft_address.data, msg->raft_address.len);
    changes->is_any = true;
    if (group_leads(changes->group))
        return; /* at the end of this turn */
    if (origin->is_peer || admin_changes_pass_on(changes, change) != 0)
        admin_changes_end(changes, change, E_NO_LEADER, "no leader is known");
}

void admin_changes_ask(struct admin_changes *changes, const struct reads_origin *origin,
                       const struct msg_change *msg)
{
    const struct admin_change_origin from = {
        .gateway = origin->gateway, .connection = origin->connection, .id = origin->id};
    admin_changes_open(changes, &from, msg);
}

static void admin_changes_on_change(struct admin_changes *changes, const struct peer *from,
                                    struct unpack *body)
{
    struct msg_change msg;
    if (peer_change_decode(&msg, body) != 0)
        return;
    const struct admin_change_origin origin = {
        .is_peer = true, .node = peer_info(from)->id, .id = msg.id};
    admin_changes_open(changes, &origin, &msg);
}

static void admin_changes_on_answer(struct admin_changes *changes, const struct peer *from,
                                    struct unpack *body)
{
    struct msg_change_answer answer;
    if (peer_change_answer_decode(&answer, body) != 0)
        return;
    for (unsigned i = 0; i < ADMIN_CHANGES; i++) {
        struct admin_change *change = &changes->list[i];
        if (change->stage != ADMIN_CHANGE_PASSED_ON || change->passed_id != answer.id ||
            change->target != peer_info(from)->id)
            continue;
        admin_changes_end(changes, change, (int)answer.error, "%.*s", (int)answer.detail.len,
                          (const char *)answer.detail.data);
    }
}

void admin_changes_lose_peer(struct admin_changes *changes, const struct peer *peer)
{
    for (unsigned i = 0; i < ADMIN_CHANGES; i++) {
        struct admin_change *change = &changes->list[i];
        if (change->stage == ADMIN_CHANGE_PASSED_ON && change->target == peer_info(peer)->id)
            admin_changes_end(changes, change, E_OUTCOME_UNKNOWN,
                              "the connection to the leader was lost");
    }
}

void admin_changes_on_message(struct admin_changes *changes, struct peer *from,
                              enum peer_message number, struct unpack *body)
{
    if (number == PEER_CHANGE)
        admin_changes_on_change(changes, from, body);
    else if (number == PEER_CHANGE_ANSWER)
        admin_changes_on_answer(changes, from, body);
    else
        admin_changes_on_invite_answer(changes, from, body);
}

void admin_changes_init(struct admin_changes *changes, const struct admin_changes_options *options)
{
    *changes = (struct admin_changes){.config = options->config,
                                      .group = options->group,
                                      .peers = options->peers,
                                      .gateways = options->gateways,
                                      .loop = options->loop,
                                      .hooks = options->hooks,
                                      .timer = {.fire = admin_changes_on_timer}};
}
