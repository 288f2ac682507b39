/* driver_start.c - from the log on disk to a core that runs and links that listen. */
#include "procs/raft/driver_private.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "ipc/entry.h"
#include "procs/raft/discard.h"

#define DRIVER_LOAD_BYTES (4u << 20) /* between two looks at the supervisor */

/* A log that is damaged, or another's, is not mended by starting again. */
void driver_give_up(struct driver *driver, int error)
{
    bool is_final = error == E_CORRUPT || error == E_FOREIGN || error == E_VERSION;
    LOG_ERROR("raft_failed", LOG_STR("error", error_text(error)));
    skel_exit(driver->skel, is_final ? PROC_EXIT_STOP_NODE : 1);
}

/* ---- the log ----------------------------------------------------------------------------------
 */

/* Keeps the supervisor from taking a long recovery for a hang. */
static void driver_on_progress(void *arg)
{
    struct driver *driver = arg;
    skel_drain_control(driver->skel);
}

/* A folder that is made anew has to survive a power cut, or everything in it would not. */
static int driver_make_folder(const struct node_paths *paths)
{
    char parent[PATH_BYTES];
    if (access(paths->log, F_OK) == 0)
        return 0;
    int error = path_make_folder(paths->log);
    error = error ? error : path_sync_folder(paths->data);
    snprintf(parent, sizeof(parent), "%s", paths->data);
    return error ? error : path_sync_folder(dirname(parent));
}

static void driver_open_log(struct driver *driver, struct wal_state *state)
{
    const struct node_paths *paths = &driver->skel->paths;
    const struct wal_options options = {.folder = paths->log,
                                        .node = driver->skel->node,
                                        .progress = driver_on_progress,
                                        .arg = driver};
    if (driver_make_folder(paths) != 0) {
        LOG_ERROR("log_not_made", LOG_STR("folder", paths->log), LOG_ERRNO(errno));
        driver_give_up(driver, E_IO);
    }
    int error = wal_open(&driver->wal, &options, state);
    if (error)
        driver_give_up(driver, error);
}

/* ---- the cluster ------------------------------------------------------------------------------
 */

/* The default leader founds the cluster when its log is empty, unless it belongs to another one's
 * cluster already. A crash may have interrupted it before: then it goes on with the same id. */
static bool driver_may_found(const struct driver *driver, const struct wal_state *state)
{
    bool is_free = !group_has_cluster(&driver->group);
    return strcmp(driver->skel->config.default_leader, driver->skel->node) == 0 &&
           state->base_index == 0 && state->last_index == 0 && (is_free || state->identity.founder);
}

/* ---- the core ---------------------------------------------------------------------------------
 */

static void driver_open_snapshots(struct driver *driver, const struct wal_state *state)
{
    struct snapshots_options options = {.folder = driver->skel->paths.snapshots,
                                        .log_bytes = driver->skel->config.raft.snapshot_log_bytes};
    driver_hook_snapshots(driver, &options.hooks);
    int error = snapshots_open(&driver->snapshots, &options, state->identity.cluster);
    if (error)
        driver_give_up(driver, error);
}

struct driver_loader {
    struct driver *driver;
    uint64_t snapshot_index;
    uint64_t next_index, term; /* term: of the entry before */
    uint64_t max_term;
    struct members found;
    int error;
};

static int driver_load_entry(struct driver_loader *loader, const struct wal_entry *from)
{
    struct driver *driver = loader->driver;
    struct raft_config config;
    struct raft_entry entry = {.term = from->term, .bytes = (uint32_t)from->payload.len};
    uint64_t stamp_ms;
    if (from->term < loader->term || from->term > loader->max_term)
        return E_CORRUPT;
    if (from->kind == WAL_CONFIG) {
        int error = members_decode(&loader->found, from->payload);
        if (error)
            return error;
        driver->group.members = loader->found;
        members_to_config(&driver->group.members, &config);
        entry.config = &config;
    } else if (from->kind == WAL_COMMAND) {
        int error = entry_stamp(from->payload, &stamp_ms);
        if (error)
            return error;
        cluster_time_note(&driver->time, stamp_ms);
    }
    raft_load(driver->raft, from->index, &entry);
    if (from->index > loader->snapshot_index)
        snapshots_note_log(&driver->snapshots, entry.bytes + WAL_ENTRY_HEAD_BYTES);
    loader->term = from->term;
    loader->next_index = from->index + 1;
    return 0;
}

static bool driver_load_visit(const struct wal_entry *from, void *arg)
{
    struct driver_loader *loader = arg;
    loader->error = driver_load_entry(loader, from);
    if (loader->error)
        LOG_ERROR("log_refused", LOG_STR("reason", "an entry is not understood"),
                  LOG_U64("index", from->index), LOG_U64("term", from->term),
                  LOG_STR("error", error_text(loader->error)));
    return loader->error == 0;
}

static void driver_load(struct driver *driver, const struct wal_state *state,
                        const struct driver_base *base)
{
    struct driver_loader *loader = mem_alloc(sizeof(*loader));
    *loader = (struct driver_loader){.driver = driver,
                                     .snapshot_index = base->snapshot_index,
                                     .next_index = base->index + 1,
                                     .term = base->term,
                                     .max_term = state->term};
    int error = 0;
    while (loader->next_index <= state->last_index && !error) {
        error =
            wal_read(driver->wal, loader->next_index, DRIVER_LOAD_BYTES, driver_load_visit, loader);
        error = error ? error : loader->error ? E_CORRUPT : 0;
        driver_on_progress(driver);
    }
    free(loader);
    if (error)
        driver_give_up(driver, error);
}

/* base: where its log begins. */
static void driver_make_core(struct driver *driver, const struct wal_state *state,
                             const struct driver_base *base)
{
    const struct config *config = &driver->skel->config;
    struct raft_options options = {
        .self = driver->group.raft_id,
        .election_timeout_ns = config->raft.election_timeout_ms * NS_PER_MS,
        .heartbeat_ns = config->raft.heartbeat_ms * NS_PER_MS,
        .reads = config->raft.reads == CONFIG_READS_LEASE ? RAFT_READS_LEASE : RAFT_READS_INDEX,
        .first_start = state->is_new,
        .term = state->term,
        .vote = state->vote,
        .base_index = base->index,
        .base_term = base->term,
        .config_index = base->config_index,
        .snapshot_index = base->snapshot_index};
    token_random(&options.seed, sizeof(options.seed));
    members_to_config(&driver->group.members, &options.config);
    driver->group.core = driver->raft = raft_new(&options);
}

static void driver_start_core(struct driver *driver)
{
    struct raft_event start = {.kind = RAFT_EVENT_START};
    driver_step(driver, &start);
    wal_flush(driver->wal);
}

/* A crash may have interrupted it before: then it goes on with the same id. */
static void driver_make_cluster(struct driver *driver, bool is_resumed)
{
    char id[2 * WAL_CLUSTER_BYTES + 1];
    int error = members_of_self(&driver->group.members, driver->group.raft_id, driver->skel->self);
    if (!error && !is_resumed) {
        token_random(driver->group.cluster, sizeof(driver->group.cluster));
        error = wal_set_cluster(driver->wal, driver->group.cluster, true);
    }
    if (error)
        driver_give_up(driver, error);
    hash_hex(driver->group.cluster, WAL_CLUSTER_BYTES, id);
    LOG_INFO(is_resumed ? "cluster_founding_resumed" : "cluster_founded", LOG_STR("cluster", id));
}

/* Another core takes the place of the one that runs. */
void driver_found(void *arg)
{
    struct driver *driver = arg;
    const struct wal_state state = {.is_new = true};
    const struct driver_base base = {0};
    CHECK(driver->write == 0 && driver->group.term == 0 && raft_last_index(driver->raft) == 0);
    driver_make_cluster(driver, false);
    raft_free(&driver->raft);
    driver_make_core(driver, &state, &base);
    peers_set_cluster(driver->peers, driver->group.cluster);
    driver_start_core(driver);
    apply_set_lineage(&driver->apply, driver->group.cluster);
}

/* ---- all of it --------------------------------------------------------------------------------
 */

/* has_log: when it was opened. */
static void driver_open_links(struct driver *driver, const struct wal_state *state, bool has_log)
{
    const struct skel *skel = driver->skel;
    struct apply_options apply = {.run_dir = skel->paths.run,
                                  .node = skel->node,
                                  .start_id = skel->start_id,
                                  .stall_ns = skel->config.raft.election_timeout_ms * NS_PER_MS,
                                  .last_index = state->last_index};
    struct gateways_options gateways = {.run_dir = skel->paths.run,
                                        .node = skel->node,
                                        .start_id = skel->start_id,
                                        .count = config_gateway_count(&skel->config)};
    driver_hook_workers(driver, &apply.hooks);
    driver_hook_gateways(driver, &gateways.hooks);
    apply_init(&driver->apply, &apply, driver->wal, driver->loop);
    apply_set_lineage(&driver->apply, driver->group.cluster);
    snapshots_start(&driver->snapshots, driver->loop, &driver->apply);
    gateways_init(&driver->gateways, &gateways);
    int error = driver_open_peers(driver);
    if (error)
        driver_give_up(driver, error);
    driver_transfer_init(driver);
    driver_make_parts(driver, has_log);
    driver_start_core(driver);
    /* before the links' own runners: what a turn has to say leaves with it */
    CHECK(loop_add_runner(driver->loop, driver_on_turn_end, driver) == 0);
    CHECK(loop_add_fd(driver->loop, wal_fd(driver->wal), driver_on_durable, driver) == 0);
    error = apply_open(&driver->apply, &apply);
    error = error ? error : gateways_open(&driver->gateways, &gateways, driver->loop);
    if (error)
        driver_give_up(driver, error);
    peers_listen(driver->peers);
}

static void driver_note_identity(struct driver *driver, const struct wal_state *state)
{
    driver->group.raft_id = state->identity.raft_id;
    memcpy(driver->group.cluster, state->identity.cluster, sizeof(driver->group.cluster));
}

struct driver *driver_start(struct skel *skel, struct loop *loop, struct board *board,
                            uint64_t epoch)
{
    struct driver *driver = mem_alloc(sizeof(*driver));
    struct wal_state state;
    struct driver_base base;
    uint64_t begin_ns = clock_boot_ns();
    driver->skel = skel;
    driver->loop = loop;
    driver->board = board;
    driver->epoch = epoch;
    driver->timer = (struct loop_timer){.fire = driver_on_timer, .arg = driver};
    driver->stop_timer = (struct loop_timer){.fire = driver_on_stop_timer, .arg = driver};
    driver->tick_timer = (struct loop_timer){.fire = driver_on_tick_timer, .arg = driver};
    driver->load_timer = (struct loop_timer){.fire = driver_on_load_timer, .arg = driver};
    driver->trim.timer = (struct loop_timer){.fire = driver_on_trim_timer, .arg = driver};
    cluster_time_init(&driver->time, &driver->group, board);
    proposals_init(&driver->proposals);
    buf_init(&driver->scratch, LIMIT_ENTRY_BYTES);
    int error = discard_finish(&skel->paths);
    if (error)
        driver_give_up(driver, error);
    driver_open_log(driver, &state);
    driver_note_identity(driver, &state);
    bool has_log = state.last_index > 0;
    driver_open_snapshots(driver, &state);
    driver_find_base(driver, &state, &base);
    bool may_found = driver_may_found(driver, &state);
    if (may_found && (state.identity.founder || skel->config.node_count == 1)) {
        driver_make_cluster(driver, state.identity.founder);
        may_found = false;
    }
    driver_make_core(driver, &state, &base);
    driver_load(driver, &state, &base);
    LOG_INFO("log_recovered", LOG_U64("last_index", state.last_index), LOG_U64("term", state.term),
             LOG_U64("torn_bytes", state.torn_bytes),
             LOG_U64("after_ms", (clock_boot_ns() - begin_ns) / NS_PER_MS));
    driver_open_links(driver, &state, has_log);
    joining_begin(&driver->joining, may_found);
    return driver;
}
