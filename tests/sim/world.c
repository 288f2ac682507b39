/* world.c - the queue of events, and what each of them is handed to. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define WORLD_STEPS_MAX 2000000 /* a seed that needs more is in a loop */

/* ---- chance -----------------------------------------------------------------------------------
 */

bool sim_chance(struct sim_world *world, uint32_t permille)
{
    return permille > 0 && rng_below(&world->rng, 1000) < permille;
}

uint64_t sim_below(struct sim_world *world, uint64_t bound)
{
    return bound > 0 ? rng_below(&world->rng, bound) : 0;
}

void sim_mix(struct sim_world *world, uint64_t value)
{
    uint64_t hash = (world->hash ^ value) * 0x9e3779b97f4a7c15ull;
    world->hash = hash ^ (hash >> 29);
}

void sim_fail(struct sim_world *world, const char *rule, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int used = snprintf(world->failure, sizeof(world->failure), "%s: ", rule);
    vsnprintf(world->failure + used, sizeof(world->failure) - (size_t)used, format, list);
    va_end(list);
    sim_trace(world, "FAILED %s", world->failure);
    if (!world->failed) {
        fprintf(stderr, "%s\n", world->failure);
        abort();
    }
    longjmp(*world->failed, 1);
}

/* ---- the queue: a binary heap by time, then by order of arrival ---------------------------------
 */

static bool sim_event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->time < b->time || (a->time == b->time && a->order < b->order);
}

void sim_push(struct sim_world *world, struct sim_event event)
{
    CHECK(event.time >= world->now_ns);
    if (world->heap_count == world->heap_room) {
        world->heap_room = world->heap_room ? world->heap_room * 2 : 256;
        world->heap = mem_resize(world->heap, world->heap_room * sizeof(world->heap[0]));
    }
    event.order = ++world->order;
    uint32_t at = world->heap_count++;
    while (at > 0 && sim_event_before(&event, &world->heap[(at - 1) / 2])) {
        world->heap[at] = world->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->heap[at] = event;
}

static struct sim_event sim_pop(struct sim_world *world)
{
    struct sim_event first = world->heap[0];
    struct sim_event last = world->heap[--world->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count &&
            sim_event_before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!sim_event_before(&world->heap[child], &last))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    if (world->heap_count > 0)
        world->heap[at] = last;
    return first;
}

static void sim_event_free(struct sim_event *event)
{
    if (event->kind == SIM_MESSAGE && event->pointer)
        sim_message_free(event->pointer);
    else
        free(event->pointer);
    event->pointer = NULL;
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void sim_dispatch_raft(struct sim_world *world, struct sim_node *node,
                              struct sim_event *event)
{
    switch (event->kind) {
    case SIM_MESSAGE:
        sim_node_receive(world, node, event->pointer);
        break;
    case SIM_SYNCED:
        sim_node_synced(world, node, node->disk.syncing);
        break;
    case SIM_TIMER:
        if (event->a == node->timer)
            sim_node_time(world, node);
        break;
    case SIM_TELL:
        sim_worker_tell(world, node);
        break;
    case SIM_PROPOSE:
        sim_gateway_take(world, node, event->pointer);
        break;
    case SIM_QUESTION:
        sim_gateway_question(world, node, event->a);
        break;
    case SIM_PEER: {
        struct raft_event peer = {.kind = RAFT_EVENT_PEER, .peer = {event->a, event->b != 0}};
        struct raft_update update;
        sim_node_step(world, node, &peer, &update);
        break;
    }
    case SIM_STOP:
        node->stopping = true;
        SIM_MARK(world, stop_planned);
        sim_node_happen(world, node, RAFT_EVENT_STOP);
        break;
    case SIM_SNAPSHOT_WRITTEN:
        sim_snapshot_written(world, node, event->pointer);
        break;
    case SIM_SNAPSHOT_SENT: {
        struct raft_event sent = {.kind = RAFT_EVENT_SNAPSHOT_SENT,
                                  .snapshot_sent = {event->a, event->b, event->c != 0}};
        struct raft_update update;
        sim_node_step(world, node, &sent, &update);
        break;
    }
    case SIM_SNAPSHOT_ARRIVED:
        sim_snapshot_arrive(world, node, event->a, event->b, event->pointer);
        break;
    default:
        CHECK(false);
    }
}

static void sim_dispatch_machine(struct sim_world *world, struct sim_node *node,
                                 const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_WORKER:
        node->workers[event->a].busy = false;
        if (node->workers[event->a].running)
            sim_worker_apply(world, node, (uint32_t)event->a, UINT64_MAX);
        break;
    case SIM_WORKER_START:
        sim_worker_start(world, node, (uint32_t)event->a, event->b != 0);
        break;
    case SIM_RAFT_START:
        if (!node->raft)
            sim_node_start_raft(world, node);
        break;
    case SIM_READ:
        sim_gateway_read_on(world, node, (uint32_t)event->a, event->b);
        break;
    case SIM_RETRY:
        sim_gateway_propose_open(world, node);
        break;
    default:
        CHECK(false);
    }
}

static void sim_client_act(struct sim_world *world)
{
    sim_push(world, (struct sim_event){.time = world->now_ns +
                                               sim_below(world, 2 * world->profile.client_gap_ns),
                                       .kind = SIM_CLIENT});
    struct sim_node *node = sim_nemesis_pick(world);
    for (uint64_t i = 0, burst = 1 + sim_below(world, 4); node && i < burst; i++) {
        if (sim_chance(world, 600))
            sim_gateway_write(world, node);
        else
            sim_gateway_read(world, node);
    }
}

/* What goes on in the world, outside of any node. Returns whether the seed is through. */
static bool sim_dispatch_world(struct sim_world *world, struct sim_node *node,
                               const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_MACHINE_START:
        if (!node->up && !node->gone && (!world->calm || world->core[event->node]))
            sim_node_start_machine(world, node);
        return false;
    case SIM_CLIENT:
        if (!world->calm)
            sim_client_act(world);
        return false;
    case SIM_NEMESIS:
        if (!world->calm)
            sim_nemesis_act(world, event->a);
        return false;
    case SIM_CALM:
        if (!world->calm)
            sim_calm_begin(world);
        sim_push(world, (struct sim_event){.time = world->now_ns + world->profile.heartbeat_ns,
                                           .kind = SIM_CALM});
        return sim_calm_done(world);
    default:
        CHECK(false);
    }
    return false;
}

/* When it can be handled: a stopped process hears things later. */
static uint64_t sim_event_waits(const struct sim_node *node, const struct sim_event *event)
{
    uint64_t until = event->kind < SIM_MACHINE_START ? node->paused_until : 0;
    if (event->kind < SIM_WORKER && node->raft_paused_until > until)
        until = node->raft_paused_until;
    return until;
}

static bool sim_dispatch(struct sim_world *world, struct sim_event *event)
{
    struct sim_node *node = &world->nodes[event->node];
    if (event->kind >= SIM_MACHINE_START)
        return sim_dispatch_world(world, node, event);
    bool for_raft = event->kind < SIM_WORKER;
    if (event->only_in != 0 && event->only_in != (for_raft ? node->incarnation : node->boot))
        return false;
    if (for_raft ? !node->raft : !node->up)
        return false;
    uint64_t until = sim_event_waits(node, event);
    if (until > world->now_ns) {
        event->time = until;
        sim_push(world, *event);
        event->pointer = NULL;
        return false;
    }
    if (for_raft)
        sim_dispatch_raft(world, node, event);
    else
        sim_dispatch_machine(world, node, event);
    if (node->raft && node->stopping && node->may_stop) {
        sim_node_kill_raft(world, node);
        sim_push(world, (struct sim_event){.time = world->now_ns +
                                                   sim_below(world, world->profile.election_ns),
                                           .kind = SIM_RAFT_START,
                                           .node = event->node,
                                           .only_in = node->boot});
    }
    return false;
}

void sim_run(struct sim_world *world)
{
    const struct sim_profile *profile = &world->profile;
    for (uint32_t i = 0; i < profile->voters; i++)
        sim_push(world, (struct sim_event){.time = sim_below(world, 50 * SIM_MS),
                                           .kind = SIM_MACHINE_START,
                                           .node = i});
    sim_push(world, (struct sim_event){.time = profile->election_ns, .kind = SIM_CLIENT});
    sim_push(world, (struct sim_event){.time = 2 * profile->election_ns, .kind = SIM_NEMESIS});
    sim_push(world, (struct sim_event){.time = profile->chaos_ns, .kind = SIM_CALM});
    bool through = false;
    while (!through) {
        CHECK(world->heap_count > 0);
        struct sim_event event = sim_pop(world);
        world->now_ns = event.time;
        sim_mix(world, event.time);
        sim_mix(world, event.kind * 64 + event.node);
        through = sim_dispatch(world, &event);
        sim_event_free(&event);
        if (world->steps > WORLD_STEPS_MAX)
            sim_fail(world, "progress", "%lu steps and no end", world->steps);
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

static bool sim_config_equal(const struct raft_config *a, const struct raft_config *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->members[i].id != b->members[i].id || a->members[i].voter != b->members[i].voter)
            return false;
    return true;
}

const struct raft_config *sim_keep_config(struct sim_world *world, const struct raft_config *config)
{
    for (uint32_t i = 0; i < world->config_count; i++)
        if (sim_config_equal(world->configs[i], config))
            return world->configs[i];
    if (world->config_count == world->config_room) {
        world->config_room = world->config_room ? world->config_room * 2 : 16;
        world->configs =
            mem_resize(world->configs, world->config_room * sizeof(struct raft_config *));
    }
    struct raft_config *copy = mem_copy(config, sizeof(*config));
    world->configs[world->config_count++] = copy;
    return copy;
}

struct sim_node *sim_node_by_id(struct sim_world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].id == id)
            return &world->nodes[i];
    return NULL;
}

uint32_t sim_node_number(const struct sim_world *world, const struct sim_node *node)
{
    return (uint32_t)(node - world->nodes);
}

void sim_world_init(struct sim_world *world, uint64_t seed, struct sim_marks *marks)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->marks = marks;
    rng_init(&world->rng, seed);
    world->oracle = sim_oracle_new();
}

static void sim_free_messages(struct sim_message *message)
{
    while (message) {
        struct sim_message *next = message->next;
        sim_message_free(message);
        message = next;
    }
}

void sim_world_fini(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->heap_count; i++)
        sim_event_free(&world->heap[i]);
    free(world->heap);
    sim_free_messages(world->wire);
    sim_free_messages(world->held);
    for (uint32_t i = 0; i < world->node_count; i++)
        sim_node_fini(&world->nodes[i]);
    for (uint32_t i = 0; i < world->config_count; i++)
        free(world->configs[i]);
    free(world->configs);
    sim_oracle_free(&world->oracle);
}
