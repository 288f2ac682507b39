/* driver_transfer.c - snapshots between nodes (docs/snapshots.md).
 *
 *   1. The leader sends its newest snapshot to whom the core names, for their log has been cut off,
 *      and to whoever asks because it has none that leads to its own log's beginning. Some at a
 *      time; the others wait. The core hears of each end, well or not, and asks again.
 *   2. A follower takes one from the leader of its term. When it is in place the core decides: the
 *      log begins anew behind it, or it is one of what the log holds and is kept beside it, or it
 *      is of no use.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

#define DRIVER_SENDS_AT_ONCE 4
#define DRIVER_RESEND_NS NS_PER_S /* after one that failed; doubles with each ... */
#define DRIVER_RESEND_DOUBLINGS 6 /* ... so often */
#define DRIVER_RESEND_DOWN_NS (NS_PER_S / 4)

/* ---- who is sent one --------------------------------------------------------------------------
 */

static struct driver_sending *driver_find_sending(struct driver *driver, uint64_t id)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (driver->transfers.sends[i].to == id)
            return &driver->transfers.sends[i];
    return NULL;
}

/* NULL: more want one than there can be members. */
static struct driver_sending *driver_make_sending(struct driver *driver, uint64_t id)
{
    struct driver_sending *sends = driver->transfers.sends;
    struct driver_sending *sending = driver_find_sending(driver, id);
    if (!sending)
        sending = driver_find_sending(driver, RAFT_NONE);
    for (unsigned i = 0; !sending && i < RAFT_MEMBERS_MAX; i++)
        if (sends[i].state == DRIVER_NO_SENDING)
            sending = &sends[i]; /* only remembers failures */
    if (sending && sending->to != id)
        *sending = (struct driver_sending){.driver = driver, .to = id};
    return sending;
}

static void driver_serve_soon(struct driver *driver, uint64_t due_ns)
{
    struct loop_timer *timer = &driver->transfers.timer;
    if (timer->due_ns == 0 || due_ns < timer->due_ns)
        loop_timer_set(driver->loop, timer, due_ns);
}

static void driver_want_sent(struct driver *driver, uint64_t id, bool for_core)
{
    struct driver_sending *sending = driver_make_sending(driver, id);
    if (!sending)
        return; /* no member, for each of those has a place: it asks again */
    if (sending->state == DRIVER_NO_SENDING)
        sending->state = DRIVER_WAITS;
    sending->for_core |= for_core;
    driver_serve_soon(driver, loop_now_ns(driver->loop));
}

/* A disk over there that damages what it is sent is not sent everything again each second. */
static uint64_t driver_resend_ns(struct driver_sending *sending, int error)
{
    if (error == 0)
        sending->failures = 0;
    if (error == 0)
        return 0;
    if (error == E_PEER_DOWN)
        return DRIVER_RESEND_DOWN_NS;
    uint64_t wait_ns = DRIVER_RESEND_NS << sending->failures;
    if (sending->failures < DRIVER_RESEND_DOUBLINGS)
        sending->failures++;
    return wait_ns;
}

static void driver_set_sent(struct driver_sending *sending, int error)
{
    struct driver *driver = sending->driver;
    snapshot_send_cancel(&sending->send);
    sending->state = DRIVER_SENT;
    sending->error = error;
    sending->due_ns = loop_now_ns(driver->loop) + driver_resend_ns(sending, error);
    driver_serve_soon(driver, sending->due_ns);
}

/* ---- what is said -----------------------------------------------------------------------------
 */

int driver_say(struct driver *driver, uint64_t to, enum peer_message number, struct pack **pack,
               struct peer **peer)
{
    *peer = peers_by_id(driver->peers, to);
    return *peer ? peer_begin(*peer, number, pack) : E_PEER_DOWN;
}

static int driver_say_offer(void *arg, const struct peer_snapshot_offer *offer)
{
    struct driver_sending *sending = arg;
    struct pack *pack;
    struct peer *peer;
    int error = driver_say(sending->driver, sending->to, PEER_SNAPSHOT_OFFER, &pack, &peer);
    if (error)
        return error;
    peer_snapshot_offer_pack(pack, offer);
    peer_end(peer);
    return 0;
}

static int driver_say_chunk(void *arg, const struct peer_snapshot_chunk *chunk)
{
    struct driver_sending *sending = arg;
    struct pack *pack;
    struct peer *peer;
    int error = driver_say(sending->driver, sending->to, PEER_SNAPSHOT_CHUNK, &pack, &peer);
    if (error)
        return error;
    peer_snapshot_chunk_pack(pack, chunk);
    sending->driver->transfers.bytes += chunk->bytes.len;
    peer_end(peer);
    return 0;
}

static int driver_say_abort(struct driver *driver, uint64_t to,
                            const struct peer_snapshot_abort *abort)
{
    struct pack *pack;
    struct peer *peer;
    int error = driver_say(driver, to, PEER_SNAPSHOT_ABORT, &pack, &peer);
    if (error)
        return error;
    peer_snapshot_abort_pack(pack, abort);
    peer_end(peer);
    return 0;
}

static int driver_on_send_aborts(void *arg, const struct peer_snapshot_abort *abort)
{
    struct driver_sending *sending = arg;
    return driver_say_abort(sending->driver, sending->to, abort);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

struct driver_doubt { /* whether what was sent is damaged here, or only what arrived */
    struct helper_job job;
    struct driver *driver;
    struct snapshot *snapshot;
    const char *folder;
    int error;
};

static void driver_run_doubt(struct helper_job *job)
{
    struct driver_doubt *doubt = (struct driver_doubt *)job;
    helper_stand_back();
    for (unsigned i = 0; i < PROC_WORKER_COUNT && doubt->error == 0; i++)
        doubt->error =
            snapshot_store_verify(doubt->folder, NULL, doubt->snapshot, SNAPSHOT_PROC(i));
}

static void driver_on_doubt_settled(struct helper_job *job)
{
    struct driver_doubt *doubt = (struct driver_doubt *)job;
    struct driver *driver = doubt->driver;
    if (doubt->error == E_CORRUPT)
        snapshots_set_damaged(&driver->snapshots, doubt->snapshot->index);
    driver->transfers.doubts = false;
    free(doubt->snapshot);
    free(doubt);
}

static void driver_doubt_snapshot(struct driver *driver, uint64_t index)
{
    const struct snapshot *snapshot = snapshots_find(&driver->snapshots, index);
    if (!snapshot || driver->transfers.doubts)
        return;
    struct driver_doubt *doubt = mem_alloc(sizeof(*doubt));
    doubt->job = (struct helper_job){.run = driver_run_doubt, .done = driver_on_doubt_settled};
    doubt->driver = driver;
    doubt->snapshot = mem_copy(snapshot, sizeof(*snapshot));
    doubt->folder = driver->skel->paths.snapshots;
    driver->transfers.doubts = true;
    helper_give(driver->transfers.helper, &doubt->job);
}

static void driver_on_send_ended(void *arg, int error)
{
    struct driver_sending *sending = arg;
    sending->index = snapshot_send_index(sending->send);
    if (error == E_CORRUPT)
        driver_doubt_snapshot(sending->driver, sending->index);
    driver_set_sent(sending, error);
}

static void driver_begin_sending(struct driver_sending *sending, const struct snapshot *snapshot)
{
    struct driver *driver = sending->driver;
    struct driver_transfers *transfers = &driver->transfers;
    if (!transfers->helper)
        transfers->helper = helper_new(driver->loop);
    const struct snapshot_send_options options = {.folder = driver->skel->paths.snapshots,
                                                  .snapshot = snapshot,
                                                  .transfer = ++transfers->last,
                                                  .term = driver->group.term,
                                                  .loop = driver->loop,
                                                  .helper = transfers->helper,
                                                  .hooks = {.offer = driver_say_offer,
                                                            .chunk = driver_say_chunk,
                                                            .abort = driver_on_send_aborts,
                                                            .ended = driver_on_send_ended,
                                                            .arg = sending}};
    sending->state = DRIVER_SENDS;
    sending->send = snapshot_send_new(&options);
}

static void driver_begin_waiting(struct driver *driver)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    struct driver_sending *sends = driver->transfers.sends;
    unsigned busy = 0;
    if (!newest || driver->group.is_stopping) { /* goes on when there is one */
        snapshots_want(&driver->snapshots);
        return;
    }
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        busy += sends[i].state == DRIVER_SENDS ? 1 : 0;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX && busy < DRIVER_SENDS_AT_ONCE; i++) {
        if (sends[i].state != DRIVER_WAITS)
            continue;
        const struct peer *peer = peers_by_id(driver->peers, sends[i].to);
        if (!peer || !peer_info(peer)->is_up) {
            driver_set_sent(&sends[i], E_PEER_DOWN);
            continue;
        }
        driver_begin_sending(&sends[i], newest);
        busy++;
    }
}

/* Tells the core what has ended, and begins what waits. */
static void driver_on_transfer_timer(void *arg)
{
    struct driver *driver = arg;
    uint64_t now_ns = loop_now_ns(driver->loop);
    bool waits = false;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct driver_sending *sending = &driver->transfers.sends[i];
        waits |= sending->state == DRIVER_WAITS;
        if (sending->state != DRIVER_SENT)
            continue;
        if (sending->due_ns > now_ns) {
            driver_serve_soon(driver, sending->due_ns);
            continue;
        }
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_SENT};
        event.snapshot_sent.peer = sending->to;
        event.snapshot_sent.index = sending->index;
        event.snapshot_sent.ok = sending->error == 0;
        bool for_core = sending->for_core;
        sending->state = DRIVER_NO_SENDING;
        sending->for_core = false;
        if (sending->failures == 0)
            sending->to = RAFT_NONE;
        if (for_core)
            driver_step(driver, &event);
    }
    if (waits)
        driver_begin_waiting(driver);
}

void driver_send_snapshots(struct driver *driver, const struct raft_update *update)
{
    for (uint32_t i = 0; i < update->snapshot_peer_count; i++)
        driver_want_sent(driver, update->snapshot_peers[i], true);
}

void driver_send_on(struct driver *driver)
{
    snapshot_receive_clean(&driver->transfers.receive);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (driver->transfers.sends[i].state == DRIVER_WAITS)
            driver_serve_soon(driver, loop_now_ns(driver->loop));
}

/* Another one leads now, and sends what is to be sent. */
static void driver_stop_sending(struct driver *driver)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct driver_sending *sending = &driver->transfers.sends[i];
        snapshot_send_cancel(&sending->send);
        *sending = (struct driver_sending){0};
    }
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static void driver_on_receive_acks(void *arg, uint64_t to, const struct peer_snapshot_ack *ack)
{
    struct pack *pack;
    struct peer *peer;
    if (driver_say(arg, to, PEER_SNAPSHOT_ACK, &pack, &peer) != 0)
        return;
    peer_snapshot_ack_pack(pack, ack);
    peer_end(peer);
    loop_run_again(((struct driver *)arg)->loop);
}

static void driver_on_receive_aborts(void *arg, uint64_t to,
                                     const struct peer_snapshot_abort *abort)
{
    (void)driver_say_abort(arg, to, abort);
    loop_run_again(((struct driver *)arg)->loop);
}

static bool driver_has_voter(const struct members *members)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].voter)
            return true;
    return false;
}

static int driver_on_offer_judged(void *arg, uint64_t from, uint64_t term,
                                  const struct snapshot *snapshot)
{
    const struct driver *driver = arg;
    bool is_led = group_leads(&driver->group) && driver->group.term >= term;
    if (from == RAFT_NONE || from == driver->group.raft_id || !driver_has_voter(&snapshot->members))
        return E_INVALID;
    if (memcmp(snapshot->cluster, driver->group.cluster, sizeof(snapshot->cluster)) != 0)
        return E_FOREIGN;
    if (term < driver->group.term || is_led)
        return E_NO_LEADER;
    if (driver->group.is_stopping || driver->installing)
        return E_BUSY;
    if (snapshots_find(&driver->snapshots, snapshot->index))
        return E_EXISTS;
    if (snapshot->index > driver->apply.commit_index)
        return 0;
    if (!apply_lacks_snapshot(&driver->apply))
        return E_EXISTS; /* and more than that */
    return snapshot->index + 1 >= wal_first_index(driver->wal) ? 0 : E_NOT_FOUND;
}

/* The log began behind all snapshots, so the core knows no members and would never stand. This
 * snapshot says who they are, which is taken from it at a start (driver_base.c). */
static void driver_learn_members(struct driver *driver)
{
    if (driver->group.members.count > 0 || driver->group.is_stopping)
        return;
    LOG_WARN("raft_restarts", LOG_STR("reason", "the members are known again"));
    driver_stop(driver);
}

/* Rule 2. */
static void driver_on_snapshot_received(void *arg, uint64_t from, uint64_t term,
                                        struct snapshot *snapshot)
{
    struct driver *driver = arg;
    uint64_t index = snapshot->index, snapshot_term = snapshot->term;
    struct raft_config config;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_RECEIVED};
    FAILPOINT("received_named");
    event.snapshot_received.from = from;
    event.snapshot_received.leader_term = term;
    event.snapshot_received.index = index;
    event.snapshot_received.term = snapshot_term;
    event.snapshot_received.config = &config;
    event.snapshot_received.config_index = snapshot->config_index;
    members_to_config(&snapshot->members, &config);
    if (snapshots_find(&driver->snapshots, index)) {
        free(snapshot); /* made here meanwhile */
        return;
    }
    snapshots_add(&driver->snapshots, snapshot);
    if (!group_leads(&driver->group) || driver->group.term < term)
        driver_step(driver, &event);
    loop_run_again(driver->loop);
    if (driver->installing == index)
        return;
    if (raft_term_at(driver->raft, index) == snapshot_term) {
        apply_offer_snapshot(&driver->apply);
        driver_learn_members(driver);
        return;
    }
    LOG_INFO("snapshot_of_no_use", LOG_U64("index", index), LOG_U64("term", snapshot_term));
    snapshots_give_up_one(&driver->snapshots, index);
}

void driver_ask_for_snapshot(struct driver *driver)
{
    struct pack *pack;
    struct peer *leader;
    if (group_leads(&driver->group) || snapshot_receive_is_busy(&driver->transfers.receive) ||
        driver_say(driver, driver->group.leader, PEER_SNAPSHOT_WANTED, &pack, &leader) != 0)
        return; /* asked again in a second */
    peer_snapshot_wanted_pack(pack, wal_first_index(driver->wal) - 1);
    peer_end(leader);
    loop_run_again(driver->loop);
}

static void driver_on_wanted(struct driver *driver, uint64_t from, struct unpack *body)
{
    const struct snapshot *newest = snapshots_newest(&driver->snapshots);
    uint64_t index;
    if (peer_snapshot_wanted_decode(&index, body) != 0 || !group_leads(&driver->group))
        return;
    if (newest && newest->index >= index)
        driver_want_sent(driver, from, false);
    else
        snapshots_want(&driver->snapshots); /* it asks again */
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static void driver_on_ack(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_ack ack;
    struct driver_sending *sending = driver_find_sending(driver, from);
    if (peer_snapshot_ack_decode(&ack, body) != 0 || !sending || !sending->send)
        return;
    if (snapshot_send_on_ack(sending->send, &ack) != 0)
        unpack_refuse(body);
}

static void driver_on_chunk(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_chunk chunk;
    if (peer_snapshot_chunk_decode(&chunk, body) != 0)
        return;
    driver->transfers.bytes += chunk.bytes.len;
    (void)snapshot_receive_on_chunk(&driver->transfers.receive, from, &chunk); /* answered */
}

static void driver_on_abort(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_abort abort;
    struct driver_sending *sending = driver_find_sending(driver, from);
    if (peer_snapshot_abort_decode(&abort, body) != 0)
        return;
    snapshot_receive_on_abort(&driver->transfers.receive, from, &abort);
    if (sending && sending->send)
        snapshot_send_on_abort(sending->send, &abort);
}

void driver_on_snapshot_message(struct driver *driver, struct peer *from, enum peer_message number,
                                struct unpack *body)
{
    uint64_t id = peer_info(from)->id;
    struct peer_snapshot_offer offer;
    switch (number) {
    case PEER_SNAPSHOT_OFFER:
        if (peer_snapshot_offer_decode(&offer, body) == 0)
            snapshot_receive_on_offer(&driver->transfers.receive, id, &offer);
        break;
    case PEER_SNAPSHOT_CHUNK:
        driver_on_chunk(driver, id, body);
        break;
    case PEER_SNAPSHOT_ACK:
        driver_on_ack(driver, id, body);
        break;
    case PEER_SNAPSHOT_ABORT:
        driver_on_abort(driver, id, body);
        break;
    case PEER_SNAPSHOT_WANTED:
        driver_on_wanted(driver, id, body);
        break;
    default:
        driver_on_state_message(driver, id, number, body);
    }
}

void driver_snapshot_peer_gone(struct driver *driver, struct peer *peer)
{
    struct driver_sending *sending = driver_find_sending(driver, peer_info(peer)->id);
    if (!sending || sending->to == RAFT_NONE)
        return;
    if (sending->send)
        snapshot_send_on_peer_gone(sending->send);
    else if (sending->state == DRIVER_WAITS)
        driver_set_sent(sending, E_PEER_DOWN);
}

void driver_snapshot_peer_heard(struct driver *driver, struct peer *peer)
{
    snapshot_receive_on_peer_gone(&driver->transfers.receive, peer_info(peer)->id);
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* Runs before the end of the turn: what it says leaves with it. */
static void driver_on_transfer_turn(void *arg)
{
    struct driver *driver = arg;
    struct driver_transfers *transfers = &driver->transfers;
    uint64_t term = group_leads(&driver->group) ? driver->group.term : 0;
    if (term != transfers->term) {
        driver_stop_sending(driver);
        state_check_forget(transfers->check);
        transfers->term = term;
    }
    for (unsigned i = 0; term != 0 && i < RAFT_MEMBERS_MAX; i++)
        if (transfers->sends[i].send)
            snapshot_send_go_on(transfers->sends[i].send);
}

void driver_transfer_init(struct driver *driver)
{
    struct driver_transfers *transfers = &driver->transfers;
    const struct snapshot_receive_hooks receive = {.ack = driver_on_receive_acks,
                                                   .abort = driver_on_receive_aborts,
                                                   .judge = driver_on_offer_judged,
                                                   .received = driver_on_snapshot_received,
                                                   .arg = driver};
    transfers->timer = (struct loop_timer){.fire = driver_on_transfer_timer, .arg = driver};
    transfers->check = driver_state_check_new(driver);
    CHECK(loop_add_runner(driver->loop, driver_on_transfer_turn, driver) == 0);
    snapshot_receive_init(&transfers->receive, driver->skel->paths.snapshots, driver->loop,
                          &receive);
}

void driver_transfer_close(struct driver *driver)
{
    struct driver_transfers *transfers = &driver->transfers;
    loop_timer_clear(driver->loop, &transfers->timer);
    helper_free(&transfers->helper);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        snapshot_send_free(&transfers->sends[i].send);
    snapshot_receive_fini(&transfers->receive);
    state_check_free(&transfers->check);
}
