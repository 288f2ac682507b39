/* driver_parts.c - the parts beside the driver that talk to peers and gateways: what they are
 * given, and what they need of it. */
#include "base/hash.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

/* ---- joining ----------------------------------------------------------------------------------
 */

static void driver_enter(void *arg, const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    struct driver *driver = arg;
    char id[2 * WAL_CLUSTER_BYTES + 1];
    int error = wal_set_cluster(driver->wal, cluster, false);
    if (error)
        driver_give_up(driver, error);
    memcpy(driver->group.cluster, cluster, WAL_CLUSTER_BYTES);
    hash_hex(cluster, WAL_CLUSTER_BYTES, id);
    LOG_INFO("cluster_joined", LOG_STR("cluster", id));
    peers_set_cluster(driver->peers, cluster);
    apply_set_lineage(&driver->apply, cluster);
}

static void driver_stand(void *arg, enum board_standing standing)
{
    struct driver *driver = arg;
    if (driver->lease.standing == standing)
        return;
    driver->lease.standing = standing;
    board_write_lease(driver->board, &driver->lease);
}

static void driver_want_anew(void *arg)
{
    struct driver *driver = arg;
    driver->begins_anew = true;
}

static void driver_make_joining(struct driver *driver, bool has_log)
{
    const struct joining_options options = {.config = &driver->skel->config,
                                            .node = driver->skel->node,
                                            .group = &driver->group,
                                            .peers = driver->peers,
                                            .loop = driver->loop,
                                            .has_log = has_log,
                                            .hooks = {.found = driver_found,
                                                      .enter = driver_enter,
                                                      .stand = driver_stand,
                                                      .begin_anew = driver_want_anew,
                                                      .arg = driver}};
    joining_init(&driver->joining, &options);
}

/* ---- operators' questions ----------------------------------------------------------------------
 */

static bool driver_can_take_over(void *arg, uint64_t id)
{
    struct driver *driver = arg;
    return handover_can_take_over(&driver->handover, id);
}

static void driver_make_admin(struct driver *driver)
{
    const struct admin_status_options status = {.group = &driver->group,
                                                .peers = driver->peers,
                                                .apply = &driver->apply,
                                                .gateways = &driver->gateways,
                                                .loop = driver->loop};
    const struct admin_changes_options changes = {
        .config = &driver->skel->config,
        .group = &driver->group,
        .peers = driver->peers,
        .gateways = &driver->gateways,
        .loop = driver->loop,
        .hooks = {driver_change, driver_transfer, driver_can_take_over, driver}};
    admin_status_init(&driver->status, &status);
    admin_changes_init(&driver->changes, &changes);
}

/* ---- handing over -----------------------------------------------------------------------------
 */

static void driver_on_handover_ended(void *arg, bool then_stop)
{
    struct driver *driver = arg;
    struct raft_event event = {.kind = RAFT_EVENT_STOP};
    if (then_stop)
        driver_finish_work(driver);
    else
        driver_step(driver, &event); /* and skel_yielded, when it may stop */
}

static void driver_make_handover(struct driver *driver)
{
    const struct handover_options options = {
        .config = &driver->skel->config,
        .group = &driver->group,
        .loop = driver->loop,
        .hooks = {driver_transfer, driver_on_handover_ended, driver}};
    handover_init(&driver->handover, &options);
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static void driver_take_forwarded(void *arg, const struct proposal_origin *origin,
                                  struct slice entry)
{
    driver_take_proposal(arg, origin, entry);
}

void driver_make_parts(struct driver *driver, bool has_log)
{
    driver->admission = (struct admission){.skel = driver->skel,
                                           .group = &driver->group,
                                           .peers = driver->peers,
                                           .change = driver_change,
                                           .arg = driver};
    driver->forwarding = (struct forwarding){.group = &driver->group,
                                             .peers = driver->peers,
                                             .gateways = &driver->gateways,
                                             .take = driver_take_forwarded,
                                             .arg = driver};
    disk_room_init(&driver->room, driver->skel->paths.data, &driver->group, driver->wal,
                   driver->loop);
    driver_make_joining(driver, has_log);
    driver_make_admin(driver);
    driver_make_handover(driver);
}
