/* driver_transfer.c - snapshots between nodes: what snapshot_sends.h and snapshot_intake.h need of
 * the core, and their messages. */
#include "base/check.h"
#include "procs/raft/driver_private.h"

/* ---- what they need ---------------------------------------------------------------------------
 */

static void driver_on_sent(void *arg, uint64_t to, uint64_t index, bool ok)
{
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_SENT, .snapshot_sent = {to, index, ok}};
    driver_step(arg, &event);
}

static bool driver_on_received(void *arg, uint64_t from, uint64_t term,
                               const struct snapshot *snapshot)
{
    struct driver *driver = arg;
    struct raft_config config;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_RECEIVED};
    uint64_t index = snapshot->index;
    event.snapshot_received.from = from;
    event.snapshot_received.leader_term = term;
    event.snapshot_received.index = index;
    event.snapshot_received.term = snapshot->term;
    event.snapshot_received.config = &config;
    event.snapshot_received.config_index = snapshot->config_index;
    members_to_config(&snapshot->members, &config);
    driver_step(driver, &event);
    return driver->installing == index;
}

static bool driver_is_installing(void *arg)
{
    const struct driver *driver = arg;
    return driver->installing != 0;
}

static void driver_on_restart(void *arg)
{
    driver_stop(arg);
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static void driver_on_snapshot_offer(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_offer offer;
    if (peer_snapshot_offer_decode(&offer, body) == 0)
        snapshot_intake_on_offer(&driver->intake, from, &offer);
}

static void driver_on_snapshot_chunk(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_chunk chunk;
    if (peer_snapshot_chunk_decode(&chunk, body) == 0)
        snapshot_intake_on_chunk(&driver->intake, from, &chunk);
}

static void driver_on_snapshot_ack(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_ack ack;
    if (peer_snapshot_ack_decode(&ack, body) == 0 &&
        snapshot_sends_on_ack(&driver->sends, from, &ack) != 0)
        unpack_refuse(body);
}

static void driver_on_snapshot_abort(struct driver *driver, uint64_t from, struct unpack *body)
{
    struct peer_snapshot_abort abort;
    if (peer_snapshot_abort_decode(&abort, body) != 0)
        return;
    snapshot_intake_on_abort(&driver->intake, from, &abort);
    snapshot_sends_on_abort(&driver->sends, from, &abort);
}

static void driver_on_snapshot_wanted(struct driver *driver, uint64_t from, struct unpack *body)
{
    uint64_t index;
    if (peer_snapshot_wanted_decode(&index, body) == 0)
        snapshot_sends_on_wanted(&driver->sends, from, index);
}

void driver_on_snapshot_message(struct driver *driver, struct peer *from, enum peer_message number,
                                struct unpack *body)
{
    uint64_t id = peer_info(from)->id;
    switch (number) {
    case PEER_SNAPSHOT_OFFER:
        driver_on_snapshot_offer(driver, id, body);
        break;
    case PEER_SNAPSHOT_CHUNK:
        driver_on_snapshot_chunk(driver, id, body);
        break;
    case PEER_SNAPSHOT_ACK:
        driver_on_snapshot_ack(driver, id, body);
        break;
    case PEER_SNAPSHOT_ABORT:
        driver_on_snapshot_abort(driver, id, body);
        break;
    default:
        driver_on_snapshot_wanted(driver, id, body);
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* Runs before the end of the turn: what it says leaves with it. */
static void driver_on_transfer_turn(void *arg)
{
    struct driver *driver = arg;
    state_watch_turn(&driver->watch);
    snapshot_sends_go_on(&driver->sends);
}

void driver_transfer_init(struct driver *driver)
{
    const char *folder = driver->skel->paths.snapshots;
    const struct snapshot_sends_options sends = {.folder = folder,
                                                 .group = &driver->group,
                                                 .peers = driver->peers,
                                                 .snapshots = &driver->snapshots,
                                                 .loop = driver->loop,
                                                 .sent = driver_on_sent,
                                                 .arg = driver};
    const struct snapshot_intake_options intake = {
        .folder = folder,
        .group = &driver->group,
        .peers = driver->peers,
        .snapshots = &driver->snapshots,
        .apply = &driver->apply,
        .wal = driver->wal,
        .loop = driver->loop,
        .hooks = {driver_on_received, driver_is_installing, driver_on_restart, driver}};
    const struct state_watch_options watch = {.group = &driver->group,
                                              .peers = driver->peers,
                                              .apply = &driver->apply,
                                              .snapshots = &driver->snapshots,
                                              .loop = driver->loop};
    snapshot_sends_init(&driver->sends, &sends);
    snapshot_intake_init(&driver->intake, &intake);
    state_watch_init(&driver->watch, &watch);
    CHECK(loop_add_runner(driver->loop, driver_on_transfer_turn, driver) == 0);
}

void driver_transfer_close(struct driver *driver)
{
    snapshot_sends_close(&driver->sends);
    snapshot_intake_close(&driver->intake);
    state_watch_fini(&driver->watch);
}
