/* driver_peers.c - what the raft processes of the nodes say to each other, to and from the core. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

#define DRIVER_TICK_NS NS_PER_S

/* ---- out --------------------------------------------------------------------------------------
 */

/* 0, or E_NOT_FOUND: the log was overridden since, the message is void. */
static int driver_pack(struct driver *driver, struct pack *pack, const struct raft_message *message)
{
    if (message->kind != RAFT_MESSAGE_APPEND) {
        peer_raft_pack(pack, message);
        return 0;
    }
    int error = peer_append_pack(pack, message, driver->wal);
    if (error && error != E_NOT_FOUND)
        driver_give_up(driver, error);
    return error;
}

/* What cannot be sent is lost: the core sees to it. */
void driver_send(struct driver *driver, const struct raft_message *message)
{
    struct pack *pack;
    struct peer *to = peers_by_id(driver->peers, message->to);
    if (!to || peer_begin(to, peer_raft_number(message->kind), &pack) != 0)
        return;
    if (driver_pack(driver, pack, message) == 0)
        peer_end(to);
    else
        peer_cancel(to);
}

/* ---- in ---------------------------------------------------------------------------------------
 */

static void driver_on_raft_message(struct driver *driver, struct peer *from,
                                   enum peer_message number, struct unpack *body)
{
    struct raft_message other, *message = &other;
    int error;
    if (number == PEER_APPEND) {
        error = peer_append_decode(&driver->received, body);
        message = &driver->received.message;
    } else {
        error = peer_raft_decode(message, number, body);
    }
    if (error)
        return; /* the connection ends */
    message->from = peer_info(from)->id;
    message->to = driver->group.raft_id;
    if (!driver_receive(driver, message))
        peers_note_refused(driver->peers, from);
}

static void driver_on_peer_message(void *arg, struct peer *from, enum peer_message number,
                                   struct unpack *body)
{
    struct driver *driver = arg;
    switch (number) {
    case PEER_VOTE:
    case PEER_VOTE_REPLY:
    case PEER_APPEND:
    case PEER_APPEND_REPLY:
    case PEER_TIMEOUT_NOW:
    case PEER_READ:
    case PEER_READ_REPLY:
        driver_on_raft_message(driver, from, number, body);
        break;
    case PEER_JOIN:
        admission_on_join(&driver->admission, from, body);
        break;
    case PEER_JOIN_ANSWER:
    case PEER_INVITE:
        joining_on_message(&driver->joining, from, number, body);
        break;
    case PEER_FORWARD:
    case PEER_FORWARD_REFUSED:
    case PEER_FORWARD_AGAIN:
        forwarding_on_message(&driver->forwarding, from, number, body);
        break;
    case PEER_DISK:
        disk_room_on_message(&driver->room, from, body);
        break;
    case PEER_STATUS_ASK:
    case PEER_STATUS_ANSWER:
        admin_status_on_message(&driver->status, from, number, body);
        break;
    case PEER_CHANGE:
    case PEER_CHANGE_ANSWER:
    case PEER_INVITE_ANSWER:
        admin_changes_on_message(&driver->changes, from, number, body);
        break;
    case PEER_CLOCK_ASK:
    case PEER_CLOCK_ANSWER:
        cluster_time_on_message(&driver->time, from, number, body);
        break;
    case PEER_SNAPSHOT_OFFER:
    case PEER_SNAPSHOT_CHUNK:
    case PEER_SNAPSHOT_ACK:
    case PEER_SNAPSHOT_ABORT:
    case PEER_SNAPSHOT_WANTED:
        driver_on_snapshot_message(driver, from, number, body);
        break;
    case PEER_STATE_HASH:
    case PEER_STATE_DIFFERS:
        state_watch_on_message(&driver->watch, from, number, body);
        break;
    default:
        unpack_refuse(body);
    }
    loop_run_again(driver->loop); /* it may have come while a turn ended */
}

/* ---- who is there -----------------------------------------------------------------------------
 */

static void driver_tell_core(struct driver *driver, const struct peer *peer, bool up)
{
    struct raft_event event = {.kind = RAFT_EVENT_PEER};
    event.peer.id = peer_info(peer)->id;
    event.peer.up = up;
    driver_step(driver, &event);
    loop_run_again(driver->loop);
}

static void driver_on_peer_up(void *arg, struct peer *peer)
{
    struct driver *driver = arg;
    handover_note_life(&driver->handover, peer);
    driver_tell_core(driver, peer, true);
    forwarding_tell(&driver->forwarding);
    joining_on_up(&driver->joining, peer);
}

static void driver_on_peer_down(void *arg, struct peer *peer)
{
    struct driver *driver = arg;
    driver_tell_core(driver, peer, false);
    forwarding_tell(&driver->forwarding);
    admin_changes_lose_peer(&driver->changes, peer);
    snapshot_sends_on_peer_gone(&driver->sends, peer_info(peer)->id);
}

/* What it said on its last connection may be lost: a refusal, or that its disk is full. */
static void driver_on_peer_heard(void *arg, struct peer *peer)
{
    struct driver *driver = arg;
    handover_note_life(&driver->handover, peer);
    joining_on_heard(&driver->joining, peer);
    disk_room_on_heard(&driver->room, peer);
    snapshot_intake_on_peer_gone(&driver->intake, peer_info(peer)->id);
    admin_changes_lose_peer(&driver->changes, peer);
    if (peer_info(peer)->id == driver->group.leader)
        forwarding_tell_again(&driver->forwarding);
}

/* A follower has things to say to its leader, a leader looks whether members have moved. */
void driver_on_tick_timer(void *arg)
{
    struct driver *driver = arg;
    struct peer *leader = peers_by_id(driver->peers, driver->group.leader);
    if (leader) {
        cluster_time_ask(leader);
        disk_room_say(&driver->room, leader);
    }
    if (group_leads(&driver->group))
        admission_renew_addresses(&driver->admission);
    if (driver->group.leader != RAFT_NONE && driver->group.members.count > 1)
        loop_timer_set(driver->loop, &driver->tick_timer,
                       loop_now_ns(driver->loop) + DRIVER_TICK_NS);
}

void driver_tell_peers(struct driver *driver)
{
    if (driver->members_are_new)
        peers_set_members(driver->peers, &driver->group.members);
    driver->members_are_new = false;
    peers_seek(driver->peers, driver->joining.seeks);
}

int driver_open_peers(struct driver *driver)
{
    const struct skel *skel = driver->skel;
    struct peers_options options = {.config = &skel->config,
                                    .node = skel->node,
                                    .raft_id = driver->group.raft_id,
                                    .start_id = skel->start_id,
                                    .hooks = {.up = driver_on_peer_up,
                                              .down = driver_on_peer_down,
                                              .heard = driver_on_peer_heard,
                                              .message = driver_on_peer_message,
                                              .arg = driver}};
    memcpy(options.cluster, driver->group.cluster, sizeof(options.cluster));
    return peers_new(&driver->peers, &options, driver->loop);
}
