/* commands.c - what a script can ask for, but for messages (wire.c). Times are in milliseconds; the
 * election timeout is 1000 of them, a heartbeat 100. Each node has a clock of its own.
 *
 *     cluster N [learner=ID] [reads=index] [manual=1] [append=N] [window=N] [lag=N] [first=TERM]
 *     node ID                       one that joins: no member yet
 *     wait MS                       time passes for all; nobody notices
 *     tick ID MS                    time passes for this node alone, and it looks at its clock
 *     timeout ID                    ... until it has something to do: a heartbeat, an election
 *     expire ID                     ... until its promise to a leader is over; it does not notice
 *     lead ID                       makes it leader, settles everything
 *     elect ID with=IDS             makes it leader by these votes; it is heard by nobody else
 *     settle [IDS]                  delivers, syncs and applies until nothing is left, among these
 *     propose ID [N] [term=T]       N entries
 *     sync ID [N]                   the first N queued writes are on the disk, or all
 *     apply ID [INDEX]              its workers have applied so far, or all that is decided
 *     rebuild ID                    its workers lost their maps, and begin with the snapshot
 *     workers ID ok|down
 *     read ID NUMBER                a read index, please
 *     transfer ID TO | change ID add|promote|remove|renew MEMBER | stop ID
 *     peer ID PEER up|down
 *     snapshot ID [cut=INDEX]       makes one of what is applied; the log is cut there
 *     receive ID from=ID            the newest snapshot of another node arrives
 *     sent ID PEER ok|failed        a stream has ended
 *     kill ID [keep=N] [parts=N]    the process; N queued writes and parts of the next stay
 *     power ID [keep=N]             the machine
 *     amnesia ID N                  kills it, and its disk has lost the last N entries; starts it
 *     start ID
 *     show [ID]
 *     timer ID                      when it has something to do
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/script.h"

#define COMMANDS_SETTLE_MAX 1000

/* ---- the cluster -------------------------------------------------------------------------------
 */

static bool sim_script_cluster(struct sim_world *world, const struct script_line *line)
{
    struct raft_config config = {.count = (uint32_t)strtoul(line->words[1], NULL, 10)};
    uint64_t learner = sim_script_number(line, "learner", 0);
    world->now_ns = 5000 * SIM_MS;
    world->profile = (struct sim_profile){
        .election_ns = 1000 * SIM_MS,
        .heartbeat_ns = 100 * SIM_MS,
        .reads = strcmp(sim_script_option(line, "reads", "lease"), "index") == 0 ? RAFT_READS_INDEX
                                                                                 : RAFT_READS_LEASE,
        .manual_promotion = sim_script_number(line, "manual", 0) != 0,
        .append_entries = (uint32_t)sim_script_number(line, "append", SIM_APPEND_MAX),
        .window_messages = (uint32_t)sim_script_number(line, "window", 0),
        .promote_lag = (uint32_t)sim_script_number(line, "lag", 0),
    };
    for (uint32_t i = 0; i < config.count; i++)
        config.members[i] = (struct raft_member){.id = i + 1, .voter = i + 1 != learner};
    const struct raft_config *genesis = sim_keep_config(world, &config);
    for (uint32_t i = 0; i < config.count; i++) {
        sim_node_init(world, i + 1, genesis);
        sim_node_start_machine(world, &world->nodes[i]);
    }
    return true;
}

static bool sim_script_new_node(struct sim_world *world, const struct script_line *line)
{
    sim_node_init(world, strtoull(line->words[1], NULL, 10),
                  sim_keep_config(world, &(struct raft_config){.count = 0}));
    sim_node_start_machine(world, &world->nodes[world->node_count - 1]);
    return true;
}

/* Ids as bits: "1,2,3". */
static uint64_t sim_script_group(const char *text)
{
    uint64_t group = 0;
    for (char *end; *text; text = *end ? end + 1 : end)
        group |= 1ull << strtoull(text, &end, 10);
    return group;
}

static bool sim_script_sync_among(struct sim_world *world, uint64_t group)
{
    bool any = false;
    for (uint32_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        if (!node->raft || node->disk.queued == 0 || !(group >> node->id & 1))
            continue;
        sim_node_synced(world, node, node->disk.queued);
        any = true;
    }
    return any;
}

static bool sim_script_apply(struct sim_world *world, struct sim_node *node, uint64_t index)
{
    uint64_t before = sim_worker_applied(node);
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        sim_worker_apply(world, node, i, index);
    if (sim_worker_applied(node) == before && index == UINT64_MAX)
        return false;
    sim_worker_tell(world, node);
    return true;
}

static bool sim_script_apply_among(struct sim_world *world, uint64_t group)
{
    bool any = false;
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].raft && group >> world->nodes[i].id & 1)
            any |= sim_script_apply(world, &world->nodes[i], UINT64_MAX);
    return any;
}

/* Until nothing is left to do among these. */
static bool sim_script_settle(struct sim_world *world, uint64_t group)
{
    for (uint32_t i = 0; i < COMMANDS_SETTLE_MAX; i++) {
        bool any = sim_script_deliver_among(world, group);
        any |= sim_script_sync_among(world, group);
        any |= sim_script_apply_among(world, group);
        if (!any)
            return true;
    }
    return false;
}

static bool sim_script_timeout(struct sim_world *world, struct sim_node *node)
{
    sim_node_set_clock(world, node, node->deadline_ns);
    sim_node_happen(world, node, RAFT_EVENT_TIME);
    return true;
}

static void sim_script_expire(struct sim_world *world, uint64_t group)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        if (group >> world->nodes[i].id & 1)
            sim_node_set_clock(world, &world->nodes[i], world->nodes[i].promises[0].until_local);
}

static bool sim_script_lead(struct sim_world *world, struct sim_node *node)
{
    sim_script_settle(world, UINT64_MAX);
    sim_script_expire(world, UINT64_MAX);
    sim_script_timeout(world, node);
    return sim_script_settle(world, UINT64_MAX) && node->role == RAFT_LEADER;
}

/* Only the voters named hear of it; what it sends as a leader is lost. */
static bool sim_script_elect(struct sim_world *world, struct sim_node *node,
                             const struct script_line *line)
{
    uint64_t group = sim_script_group(sim_script_option(line, "with", "")) | 1ull << node->id;
    sim_script_deliver_among(world, 0);
    sim_script_expire(world, group);
    sim_script_timeout(world, node);
    for (uint32_t i = 0; i < COMMANDS_SETTLE_MAX && node->role != RAFT_LEADER; i++) {
        sim_script_deliver_among(world, group);
        if (node->role != RAFT_LEADER)
            sim_script_sync_among(world, group);
    }
    sim_script_deliver_among(world, 0);
    return node->role == RAFT_LEADER;
}

/* ---- a node ------------------------------------------------------------------------------------
 */

static void sim_script_refusal(struct sim_world *world, const struct sim_node *node,
                               enum raft_refusal refusal)
{
    static const char *const names[] = {"taken",   "not leader",   "stale term",
                                        "busy",    "transferring", "not ready",
                                        "invalid", "no quorum",    "behind"};
    if (refusal != RAFT_TAKEN)
        sim_trace(world, "  %lu refuses: %s", node->id, names[refusal]);
}

static bool sim_script_propose(struct sim_world *world, struct sim_node *node,
                               const struct script_line *line)
{
    uint32_t commands[SIM_APPEND_MAX], bytes[SIM_APPEND_MAX];
    uint32_t count = line->count > 2 ? (uint32_t)strtoul(line->words[2], NULL, 10) : 1;
    for (uint32_t i = 0; i < count; i++) {
        commands[i] = ++world->op_count;
        world->ops[commands[i]].state = SIM_OP_UNKNOWN;
        bytes[i] = SIM_ENTRY_BYTES;
    }
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE,
                               .propose = {count, bytes, sim_script_number(line, "term", 0)}};
    struct raft_update update;
    node->proposing = commands;
    sim_node_step(world, node, &event, &update);
    node->proposing = NULL;
    sim_script_refusal(world, node, update.refusal);
    return true;
}

static bool sim_script_kill(struct sim_world *world, struct sim_node *node,
                            const struct script_line *line, bool machine)
{
    sim_disk_keep(&node->disk, (uint32_t)sim_script_number(line, "keep", 0),
                  sim_script_number(line, "parts", 0));
    if (machine)
        sim_node_kill_machine(world, node);
    else
        sim_node_kill_raft(world, node);
    return true;
}

static bool sim_script_start(struct sim_world *world, struct sim_node *node)
{
    if (node->up)
        sim_node_start_raft(world, node);
    else
        sim_node_start_machine(world, node);
    sim_worker_tell(world, node);
    return true;
}

/* What must not happen: a disk that forgets. */
static bool sim_script_amnesia(struct sim_world *world, struct sim_node *node, uint64_t lost)
{
    sim_node_kill_machine(world, node);
    node->disk.log.count -= lost < node->disk.log.count ? lost : node->disk.log.count;
    return sim_script_start(world, node);
}

static void sim_script_show_node(struct sim_world *world, const struct sim_node *node)
{
    char lease[60] = "";
    if (sim_node_has_lease(world, node) && node->board.lease_end_ns == RAFT_LEASE_FOREVER)
        snprintf(lease, sizeof(lease), " lease=forever");
    else if (sim_node_has_lease(world, node))
        snprintf(lease, sizeof(lease), " lease=%lums",
                 (node->board.lease_end_ns - sim_node_clock(world, node)) / SIM_MS);
    if (!node->raft) {
        sim_trace(world, "  %lu down: disk=%lu..%lu term=%lu vote=%lu%s", node->id,
                  node->disk.log.base + 1, sim_log_last(&node->disk.log), node->disk.term,
                  node->disk.vote, lease);
        return;
    }
    sim_trace(world,
              "  %lu %s term=%lu leader=%lu log=%lu..%lu durable=%lu commit=%lu applied=%lu "
              "announced=%lu%s",
              node->id, sim_role_name(node->role), node->term, node->leader, node->log.base + 1,
              sim_log_last(&node->log), raft_durable_index(node->raft), node->commit,
              sim_worker_applied(node), node->board.announced, lease);
}

static bool sim_script_show(struct sim_world *world, const struct script_line *line)
{
    if (line->count > 1) {
        sim_script_show_node(world, sim_script_node(world, line, 1));
        return true;
    }
    for (uint32_t i = 0; i < world->node_count; i++)
        sim_script_show_node(world, &world->nodes[i]);
    return true;
}

/* ---- snapshots ---------------------------------------------------------------------------------
 */

static bool sim_script_snapshot(struct sim_world *world, struct sim_node *node,
                                const struct script_line *line)
{
    struct sim_snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    snapshot->index = sim_worker_applied(node);
    snapshot->term = raft_term_at(node->raft, snapshot->index);
    snapshot->config = sim_keep_config(
        world, raft_config_at(node->raft, snapshot->index, &snapshot->config_index));
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        snapshot->machines[i] = node->workers[i].machine;
    uint64_t cut = sim_script_number(line, "cut", snapshot->index);
    node->disk.newest = *snapshot;
    if (cut == snapshot->index) /* a second one of the same index, so that all may go */
        node->disk.floor = *snapshot;
    struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_MADE,
                               .snapshot_made = {snapshot->index, cut}};
    struct raft_update update;
    sim_node_step(world, node, &event, &update);
    sim_log_cut_front(&node->log, cut);
    sim_log_cut_front(&node->disk.log, cut);
    free(snapshot);
    return true;
}

static bool sim_script_receive(struct sim_world *world, struct sim_node *node,
                               const struct script_line *line)
{
    const struct sim_node *from = sim_node_by_id(world, sim_script_number(line, "from", 0));
    if (!from)
        return false;
    sim_snapshot_arrive(world, node, from->id, sim_script_number(line, "term", from->term),
                        &from->disk.newest);
    return true;
}

/* ---- events that are one step ------------------------------------------------------------------
 */

static bool sim_script_change_kind(const char *word, enum raft_change_kind *kind)
{
    static const char *const names[] = {"add", "promote", "remove", "renew"};
    for (uint32_t i = 0; i < 4; i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        *kind = (enum raft_change_kind)i;
        return true;
    }
    return false;
}

/* Fills the event; false: not one of these commands. */
static bool sim_script_event(const struct script_line *line, struct raft_event *event)
{
    const char *verb = line->words[0];
    uint64_t number = line->count > 2 ? strtoull(line->words[2], NULL, 10) : 0;
    const char *last = line->words[line->count - 1];
    if (strcmp(verb, "stop") == 0) {
        event->kind = RAFT_EVENT_STOP;
    } else if (strcmp(verb, "read") == 0) {
        event->kind = RAFT_EVENT_READ;
        event->read_id = number;
    } else if (strcmp(verb, "transfer") == 0) {
        event->kind = RAFT_EVENT_TRANSFER;
        event->transfer_to = number;
    } else if (strcmp(verb, "workers") == 0) {
        event->kind = RAFT_EVENT_WORKERS;
        event->workers_ok = strcmp(last, "ok") == 0;
    } else if (strcmp(verb, "peer") == 0) {
        event->kind = RAFT_EVENT_PEER;
        event->peer.id = number;
        event->peer.up = strcmp(last, "up") == 0;
    } else if (strcmp(verb, "sent") == 0) {
        event->kind = RAFT_EVENT_SNAPSHOT_SENT;
        event->snapshot_sent.peer = number;
        event->snapshot_sent.ok = strcmp(last, "ok") == 0;
    } else if (strcmp(verb, "change") == 0 && line->count > 3) {
        event->kind = RAFT_EVENT_CHANGE;
        event->change.id = strtoull(line->words[3], NULL, 10);
        return sim_script_change_kind(line->words[2], &event->change.kind);
    } else {
        return false;
    }
    return true;
}

static bool sim_script_one_step(struct sim_world *world, struct sim_node *node,
                                const struct script_line *line)
{
    struct raft_event event = {0};
    struct raft_update update;
    if (!sim_script_event(line, &event))
        return false;
    if (event.kind == RAFT_EVENT_SNAPSHOT_SENT)
        event.snapshot_sent.index = node->disk.newest.index;
    sim_node_step(world, node, &event, &update);
    sim_script_refusal(world, node, update.refusal);
    return true;
}

/* ---- dispatch ----------------------------------------------------------------------------------
 */

static bool sim_script_of_node(struct sim_world *world, const struct script_line *line)
{
    const char *verb = line->words[0];
    struct sim_node *node = sim_script_node(world, line, 1);
    uint64_t number = line->count > 2 ? strtoull(line->words[2], NULL, 10) : UINT64_MAX;
    if (!node)
        return false;
    if (strcmp(verb, "start") == 0)
        return sim_script_start(world, node);
    if (strcmp(verb, "power") == 0)
        return sim_script_kill(world, node, line, true);
    if (!node->raft)
        return false;
    if (strcmp(verb, "kill") == 0)
        return sim_script_kill(world, node, line, false);
    if (strcmp(verb, "amnesia") == 0)
        return sim_script_amnesia(world, node, number);
    if (strcmp(verb, "lead") == 0)
        return sim_script_lead(world, node);
    if (strcmp(verb, "propose") == 0)
        return sim_script_propose(world, node, line);
    if (strcmp(verb, "snapshot") == 0)
        return sim_script_snapshot(world, node, line);
    if (strcmp(verb, "receive") == 0)
        return sim_script_receive(world, node, line);
    if (strcmp(verb, "timeout") == 0)
        return sim_script_timeout(world, node);
    if (strcmp(verb, "timer") == 0) {
        sim_trace(world, "  %lu wakes in %lums", node->id,
                  (node->deadline_ns - sim_node_clock(world, node)) / SIM_MS);
        return true;
    }
    if (strcmp(verb, "elect") == 0)
        return sim_script_elect(world, node, line);
    if (strcmp(verb, "tick") == 0) {
        node->clock_offset += line->count > 2 ? number * SIM_MS : 0;
        sim_node_happen(world, node, RAFT_EVENT_TIME);
    } else if (strcmp(verb, "expire") == 0) {
        sim_script_expire(world, 1ull << node->id);
    } else if (strcmp(verb, "sync") == 0) {
        uint32_t queued = node->disk.queued;
        sim_node_synced(world, node, number < queued ? (uint32_t)number : queued);
    } else if (strcmp(verb, "apply") == 0) {
        sim_script_apply(world, node, number);
    } else if (strcmp(verb, "rebuild") == 0) {
        for (uint32_t i = 0; i < SIM_WORKERS; i++)
            sim_worker_start(world, node, i, true);
        sim_worker_tell(world, node);
    } else {
        return sim_script_one_step(world, node, line);
    }
    return true;
}

bool sim_script_command(struct sim_world *world, const struct script_line *line)
{
    const char *verb = line->words[0];
    if (strcmp(verb, "settle") == 0)
        return sim_script_settle(world,
                                 line->count > 1 ? sim_script_group(line->words[1]) : UINT64_MAX);
    if (strcmp(verb, "show") == 0)
        return sim_script_show(world, line);
    if (strcmp(verb, "wire") == 0)
        return sim_script_wire(world, line);
    if (strcmp(verb, "deliver") == 0)
        return sim_script_deliver(world, line);
    if (strcmp(verb, "drop") == 0)
        return sim_script_drop(world, line);
    if (strcmp(verb, "hold") == 0)
        return sim_script_hold(world, line);
    if (strcmp(verb, "release") == 0)
        return sim_script_release(world);
    if (strcmp(verb, "repeat") == 0)
        return sim_script_repeat(world, line);
    if (line->count < 2)
        return false;
    if (strcmp(verb, "cluster") == 0)
        return sim_script_cluster(world, line);
    if (strcmp(verb, "node") == 0)
        return sim_script_new_node(world, line);
    if (strcmp(verb, "wait") == 0) {
        for (uint32_t i = 0; i < world->node_count; i++)
            world->nodes[i].clock_offset += strtoull(line->words[1], NULL, 10) * SIM_MS;
        return true;
    }
    return sim_script_of_node(world, line);
}
