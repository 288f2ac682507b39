/* gateway.c - reads and writes, as gateways and the drivers of raft processes treat them.
 *
 *   A write stays open until this node's own worker has applied it. It is proposed at once, again
 *   whenever the leader changes, and again after a while; a follower passes it on to the leader,
 *   with the term that it knows (M6).
 *   A read looks at the board; with a lease, and a map that shows all that was announced and all
 *   that its worker ever showed, it reads the map and looks again (I6): the rule of the product's
 *   procs/gateway/read.h. Else it asks for a read index and waits for it to be applied.
 *   Between any two steps the gateway may be stopped for longer than a lease.
 */
#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define GATEWAY_TRY_SHIFT 24
#define GATEWAY_CALM_OPS 64 /* kept for the end, when all must be done */
#define GATEWAY_RETRY_TIMEOUTS 8

static uint32_t sim_gateway_open(struct sim_world *world, struct sim_node *node,
                                 enum sim_op_state state)
{
    uint32_t room = world->calm ? SIM_OPS_MAX : SIM_OPS_MAX - GATEWAY_CALM_OPS;
    if (world->op_count + 1 >= room || node->open_count == SIM_OPEN_MAX)
        return 0;
    uint32_t number = ++world->op_count;
    struct sim_op *op = &world->ops[number];
    *op = (struct sim_op){.state = state,
                          .node = sim_node_number(world, node),
                          .worker = number % SIM_WORKERS,
                          .key = number / SIM_WORKERS % SIM_KEYS};
    sim_check_asked(world, op);
    node->open[node->open_count++] = number;
    return number;
}

static void sim_gateway_close(struct sim_node *node, uint32_t number)
{
    for (uint32_t i = 0; i < node->open_count; i++) {
        if (node->open[i] != number)
            continue;
        node->open[i] = node->open[--node->open_count];
        return;
    }
    CHECK(false);
}

/* The gateways die: nobody will hear the answers. */
void sim_gateway_kill(struct sim_world *world, struct sim_node *node)
{
    for (uint32_t i = 0; i < node->open_count; i++) {
        struct sim_op *op = &world->ops[node->open[i]];
        if (op->state == SIM_OP_WRITE)
            SIM_MARK(world, write_unknown);
        op->state = SIM_OP_UNKNOWN;
        op->try++;
    }
    node->open_count = 0;
}

/* ---- writes -----------------------------------------------------------------------------------
 */

static void sim_gateway_send(struct sim_world *world, const struct sim_node *node,
                             const struct sim_batch *batch)
{
    sim_push(world, (struct sim_event){.time = world->now_ns,
                                       .kind = SIM_PROPOSE,
                                       .node = sim_node_number(world, node),
                                       .pointer = mem_copy(batch, sizeof(*batch))});
}

/* One timer a node: open writes are proposed again at the latest when it rings, less and less
 * often while the leader stays the same. */
static void sim_gateway_set_timer(struct sim_world *world, struct sim_node *node)
{
    uint64_t timeout = world->profile.election_ns;
    if (node->retry_ns > world->now_ns || node->open_count == 0)
        return;
    node->retry_gap_ns = node->retry_gap_ns == 0 ? timeout : 2 * node->retry_gap_ns;
    if (node->retry_gap_ns > GATEWAY_RETRY_TIMEOUTS * timeout)
        node->retry_gap_ns = GATEWAY_RETRY_TIMEOUTS * timeout;
    uint64_t at = world->now_ns + node->retry_gap_ns;
    node->retry_ns = at;
    sim_push(world, (struct sim_event){.time = at,
                                       .kind = SIM_RETRY,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->boot});
}

void sim_gateway_write(struct sim_world *world, struct sim_node *node)
{
    uint32_t number = sim_gateway_open(world, node, SIM_OP_WRITE);
    if (number == 0)
        return;
    sim_gateway_send(world, node, &(struct sim_batch){.count = 1, .commands = {number}});
    sim_gateway_set_timer(world, node);
}

void sim_gateway_propose_open(struct sim_world *world, struct sim_node *node)
{
    struct sim_batch batch = {0};
    for (uint32_t i = 0; i < node->open_count; i++) {
        if (world->ops[node->open[i]].state != SIM_OP_WRITE)
            continue;
        batch.commands[batch.count++] = node->open[i];
        if (batch.count < SIM_BATCH_MAX)
            continue;
        sim_gateway_send(world, node, &batch);
        batch.count = 0;
    }
    if (batch.count > 0)
        sim_gateway_send(world, node, &batch);
    sim_gateway_set_timer(world, node);
}

/* Too much is under way: the driver keeps what is still open and asks again. */
static void sim_gateway_keep(struct sim_world *world, const struct sim_node *node,
                             const struct sim_batch *batch)
{
    struct sim_batch rest = {.term = batch->term};
    for (uint32_t i = 0; i < batch->count; i++)
        if (world->ops[batch->commands[i]].state == SIM_OP_WRITE)
            rest.commands[rest.count++] = batch->commands[i];
    SIM_MARK(world, proposal_busy);
    if (rest.count > 0)
        sim_push(world, (struct sim_event){.time = world->now_ns + world->profile.heartbeat_ns,
                                           .kind = SIM_PROPOSE,
                                           .node = sim_node_number(world, node),
                                           .only_in = node->incarnation,
                                           .pointer = mem_copy(&rest, sizeof(rest))});
}

/* At a raft process. */
void sim_gateway_take(struct sim_world *world, struct sim_node *node, const struct sim_batch *batch)
{
    if (node->role != RAFT_LEADER && batch->term == 0 && node->leader != RAFT_NONE) {
        sim_net_forward(world, node, sim_node_by_id(world, node->leader), batch);
        return;
    }
    uint32_t bytes[SIM_BATCH_MAX];
    for (uint32_t i = 0; i < batch->count; i++)
        bytes[i] = SIM_ENTRY_BYTES;
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE,
                               .propose = {batch->count, bytes, batch->term}};
    struct raft_update update;
    node->proposing = batch->commands;
    sim_trace(world, "%lu is asked to take %u commands, the first %u, of term %lu", node->id,
              batch->count, batch->commands[0], batch->term);
    sim_node_step(world, node, &event, &update);
    node->proposing = NULL;
    if (update.refusal != RAFT_TAKEN)
        sim_trace(world, "  %lu refuses: %d", node->id, (int)update.refusal);
    if (update.refusal == RAFT_REFUSED_BUSY)
        sim_gateway_keep(world, node, batch);
    else if (update.refusal == RAFT_REFUSED_STALE_TERM)
        SIM_MARK(world, proposal_stale);
    else if (update.refusal != RAFT_TAKEN)
        SIM_MARK(world, proposal_refused);
}

/* This node's own worker has done it. */
void sim_gateway_write_done(struct sim_world *world, struct sim_node *node, uint32_t command,
                            uint64_t index)
{
    struct sim_op *op = &world->ops[command];
    if (op->state != SIM_OP_WRITE || op->node != sim_node_number(world, node))
        return;
    SIM_MARK(world, write_acked);
    sim_trace(world, "%lu has written %u at %lu", node->id, command, index);
    sim_check_write_done(world, op, index);
    sim_gateway_close(node, command);
}

/* A worker's map was replaced: it may hold the results of open writes (A3). */
void sim_gateway_results(struct sim_world *world, struct sim_node *node, uint32_t worker)
{
    for (uint32_t number = 1; number <= world->op_count; number++) {
        uint64_t index = node->workers[worker].machine.done[number];
        if (number % SIM_WORKERS == worker && index != 0)
            sim_gateway_write_done(world, node, number, index);
    }
}

/* ---- reads ------------------------------------------------------------------------------------
 */

static void sim_gateway_go_on(struct sim_world *world, const struct sim_node *node, uint32_t number,
                              enum sim_op_state state, uint64_t wait)
{
    world->ops[number].state = state;
    sim_push(world, (struct sim_event){.time = world->now_ns + wait,
                                       .kind = SIM_READ,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->boot,
                                       .a = number,
                                       .b = world->ops[number].try});
}

static uint64_t sim_gateway_pause(struct sim_world *world)
{
    if (world->calm || !sim_chance(world, world->profile.gateway_pause_permille))
        return 0;
    return sim_below(world, 2 * world->profile.election_ns);
}

void sim_gateway_read(struct sim_world *world, struct sim_node *node)
{
    uint32_t number = sim_gateway_open(world, node, SIM_OP_LOOK);
    if (number != 0)
        sim_gateway_go_on(world, node, number, SIM_OP_LOOK, 0);
}

/* Reads the map, if it shows enough. A map that was lost and is being made anew shows less than was
 * there when the lease was looked at. (The product has the index from the board, with the map's
 * generation before and after it; here map and index are one.) */
static bool sim_gateway_load(struct sim_world *world, const struct sim_node *node, uint32_t number)
{
    struct sim_op *op = &world->ops[number];
    const struct sim_machine *map = &node->workers[op->worker].machine;
    op->found_command = map->keys[op->key].command;
    op->found_at = map->keys[op->key].index;
    return map->applied >= op->index;
}

static void sim_gateway_read_done(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    sim_trace(world, "%lu reads %u: command %u of index %u", node->id, number,
              world->ops[number].found_command, world->ops[number].found_at);
    sim_check_read_done(world, &world->ops[number]);
    sim_gateway_close(node, number);
}

static void sim_gateway_ask(struct sim_world *world, const struct sim_node *node, uint32_t number)
{
    struct sim_op *op = &world->ops[number];
    op->try++;
    op->asked_high = world->oracle->acked_high;
    sim_push(world, (struct sim_event){.time = world->now_ns,
                                       .kind = SIM_QUESTION,
                                       .node = sim_node_number(world, node),
                                       .only_in = node->incarnation,
                                       .a = (uint64_t)number << GATEWAY_TRY_SHIFT | op->try});
    sim_gateway_go_on(world, node, number, SIM_OP_ASK, 2 * world->profile.election_ns);
}

static void sim_gateway_look(struct sim_world *world, const struct sim_node *node, uint32_t number)
{
    struct sim_op *op = &world->ops[number];
    if (!sim_node_has_lease(world, node)) {
        sim_gateway_ask(world, node, number);
        return;
    }
    op->index = node->board.announced;
    if (op->index < node->board.shown[op->worker])
        op->index = node->board.shown[op->worker];
    op->epoch = node->board.epoch;
    op->term = node->board.term;
    sim_gateway_go_on(world, node, number, SIM_OP_LOAD, sim_gateway_pause(world));
}

static void sim_gateway_again(struct sim_world *world, struct sim_node *node, uint32_t number)
{
    const struct sim_op *op = &world->ops[number];
    if (sim_node_has_lease(world, node) && node->board.epoch == op->epoch &&
        node->board.term == op->term) {
        SIM_MARK(world, read_by_lease);
        sim_gateway_read_done(world, node, number);
        return;
    }
    SIM_MARK(world, read_lease_gone);
    sim_gateway_ask(world, node, number);
}

void sim_gateway_read_on(struct sim_world *world, struct sim_node *node, uint32_t number,
                         uint64_t try)
{
    struct sim_op *op = &world->ops[number];
    if (op->try != try)
        return;
    switch (op->state) {
    case SIM_OP_LOOK:
        sim_gateway_look(world, node, number);
        break;
    case SIM_OP_LOAD:
        if (sim_gateway_load(world, node, number)) {
            sim_gateway_go_on(world, node, number, SIM_OP_AGAIN, sim_gateway_pause(world));
            break;
        }
        SIM_MARK(world, read_map_behind);
        sim_gateway_ask(world, node, number);
        break;
    case SIM_OP_AGAIN:
        sim_gateway_again(world, node, number);
        break;
    case SIM_OP_ASK: /* no answer came */
    case SIM_OP_WAIT:
        SIM_MARK(world, read_retried);
        op->try++;
        sim_gateway_look(world, node, number);
        break;
    case SIM_OP_WRITE:
    case SIM_OP_DONE:
    case SIM_OP_UNKNOWN:
        break;
    }
}

static void sim_gateway_ask_again(struct sim_world *world, const struct sim_node *node,
                                  uint32_t number)
{
    SIM_MARK(world, read_refused);
    world->ops[number].try++;
    sim_gateway_go_on(world, node, number, SIM_OP_LOOK,
                      1 + sim_below(world, world->profile.election_ns));
}

/* At the raft process. */
void sim_gateway_question(struct sim_world *world, struct sim_node *node, uint64_t read_id)
{
    uint32_t number = (uint32_t)(read_id >> GATEWAY_TRY_SHIFT);
    struct raft_event event = {.kind = RAFT_EVENT_READ, .read_id = read_id};
    struct raft_update update;
    struct sim_op *op = &world->ops[number];
    bool current = op->try == (read_id & ((1u << GATEWAY_TRY_SHIFT) - 1));
    if (current)
        op->asked_ns = sim_node_clock(world, node);
    sim_node_step(world, node, &event, &update);
    if (update.refusal != RAFT_TAKEN && current && op->state == SIM_OP_ASK)
        sim_gateway_ask_again(world, node, number);
}

void sim_gateway_answer(struct sim_world *world, struct sim_node *node,
                        const struct raft_read *read)
{
    uint32_t number = (uint32_t)(read->id >> GATEWAY_TRY_SHIFT);
    struct sim_op *op = &world->ops[number];
    if (world->scripted || op->state != SIM_OP_ASK ||
        op->try != (read->id & ((1u << GATEWAY_TRY_SHIFT) - 1)))
        return; /* asked again, or given up */
    if (read->refused) {
        sim_gateway_ask_again(world, node, number);
        return;
    }
    sim_check_answer(world, op, read->index);
    if (sim_node_leads(node))
        sim_check_confirmed(world, node, op->asked_ns);
    op->index = read->index;
    op->state = SIM_OP_WAIT;
    sim_gateway_applied(world, node, op->worker);
}

/* A worker's map shows more, or another one is in its place: whose read waited for it? */
void sim_gateway_applied(struct sim_world *world, struct sim_node *node, uint32_t worker)
{
    for (uint32_t i = 0; i < node->open_count;) {
        uint32_t number = node->open[i];
        const struct sim_op *op = &world->ops[number];
        if (op->state != SIM_OP_WAIT || op->worker != worker ||
            !sim_gateway_load(world, node, number)) {
            i++;
            continue;
        }
        SIM_MARK(world, read_by_index);
        if (!sim_node_leads(node))
            SIM_MARK(world, read_by_follower);
        sim_gateway_read_done(world, node, number); /* another one takes its place */
    }
}
