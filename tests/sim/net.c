/* net.c - the network: loss, delay, order, duplicates, cut and clogged links. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

void sim_message_free(struct sim_message *message)
{
    free(message->entries);
    free(message);
}

bool sim_net_is_cut(const struct sim_world *world, uint32_t from, uint32_t to)
{
    return world->cut_until[from][to] > world->now_ns;
}

uint64_t sim_net_delay(struct sim_world *world)
{
    const struct sim_profile *profile = &world->profile;
    uint64_t delay = profile->delay_ns / 2 + sim_below(world, profile->delay_ns + 1);
    if (!world->calm && sim_chance(world, profile->tail_permille))
        delay += sim_below(world, profile->delay_tail_ns);
    return delay;
}

/* Another one like it. */
struct sim_message *sim_message_copy(const struct sim_message *message)
{
    struct sim_message *copy = mem_copy(message, sizeof(*message));
    copy->next = NULL;
    if (copy->entries)
        copy->entries =
            mem_copy(message->entries, message->raft.append.count * sizeof(copy->entries[0]));
    return copy;
}

/* With the payloads that the log holds now, as the driver attaches them. */
static struct sim_message *sim_net_copy(struct sim_world *world, const struct sim_node *from,
                                        const struct raft_message *message)
{
    struct sim_message *copy = mem_alloc(sizeof(*copy));
    copy->raft = *message;
    if (message->kind != RAFT_MESSAGE_APPEND || message->append.count == 0)
        return copy;
    uint32_t count = message->append.count;
    copy->entries = mem_alloc(count * sizeof(copy->entries[0]));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = message->append.prev_index + 1 + i;
        const struct sim_entry *entry = sim_log_at(&from->log, index);
        if (!entry)
            sim_fail(world, "contract", "node %lu sends entry %lu, which its log has not", from->id,
                     index);
        copy->entries[i] = *entry;
    }
    if (copy->entries[count - 1].term != message->append.last_term)
        sim_fail(world, "contract", "node %lu sends another term than it says", from->id);
    return copy;
}

/* When what leaves now arrives; 0: never. */
static uint64_t sim_net_arrival(struct sim_world *world, uint32_t from, uint32_t to)
{
    const struct sim_profile *profile = &world->profile;
    if (sim_net_is_cut(world, from, to) ||
        (!world->calm && sim_chance(world, profile->loss_permille)))
        return 0;
    uint64_t at = world->now_ns + sim_net_delay(world);
    if (at < world->clog_until[from][to])
        at = world->clog_until[from][to];
    if ((!profile->reorder || world->calm) && at < world->link_free_ns[from][to])
        at = world->link_free_ns[from][to];
    world->link_free_ns[from][to] = at;
    return at;
}

static void sim_net_marks(struct sim_world *world, const struct sim_node *from,
                          const struct raft_message *message)
{
    const struct raft_message *m = message;
    if (m->kind == RAFT_MESSAGE_APPEND &&
        m->append.prev_index + m->append.count > sim_log_last(&from->disk.log))
        SIM_MARK(world, append_overtook);
    if (m->kind == RAFT_MESSAGE_APPEND_REPLY && m->append_reply.ok && !from->receiving)
        SIM_MARK(world, acked_after_disk);
    if (m->kind == RAFT_MESSAGE_APPEND_REPLY && m->append_reply.busy && from->installing)
        SIM_MARK(world, append_while_installing);
    else if (m->kind == RAFT_MESSAGE_APPEND_REPLY && !m->append_reply.ok)
        SIM_MARK(world, append_rejected);
    if (m->kind == RAFT_MESSAGE_VOTE_REPLY && m->vote_reply.pre && !m->vote_reply.granted)
        SIM_MARK(world, prevote_refused);
    if (m->kind == RAFT_MESSAGE_VOTE && m->vote.transfer)
        SIM_MARK(world, vote_by_transfer);
    if (m->kind == RAFT_MESSAGE_TIMEOUT_NOW && !from->asked_transfer)
        SIM_MARK(world, handed_over);
}

void sim_net_send(struct sim_world *world, struct sim_node *from,
                  const struct raft_message *message)
{
    sim_check_message(world, from, message);
    if (from->term_high < message->term)
        from->term_high = message->term;
    if (message->kind == RAFT_MESSAGE_TIMEOUT_NOW) {
        from->timeout_now.term = message->term;
        from->timeout_now.round = message->timeout_now.round;
    }
    sim_net_marks(world, from, message);
    struct sim_node *to = sim_node_by_id(world, message->to);
    if (!to)
        sim_fail(world, "contract", "node %lu sends to nobody", from->id);
    sim_mix(world, message->kind * 64ul + message->to);
    if (world->scripted) {
        struct sim_message **end = &world->wire;
        while (*end)
            end = &(*end)->next;
        *end = sim_net_copy(world, from, message);
        return;
    }
    uint32_t a = sim_node_number(world, from), b = sim_node_number(world, to);
    uint32_t copies = 1 + (!world->calm && sim_chance(world, world->profile.duplicate_permille));
    for (; copies > 0; copies--) {
        uint64_t at = sim_net_arrival(world, a, b);
        if (at != 0)
            sim_push(world, (struct sim_event){.time = at,
                                               .kind = SIM_MESSAGE,
                                               .node = b,
                                               .pointer = sim_net_copy(world, from, message)});
    }
}

/* Proposals that a follower's raft process passes on. */
void sim_net_forward(struct sim_world *world, const struct sim_node *from, struct sim_node *to,
                     const struct sim_batch *batch)
{
    uint32_t a = sim_node_number(world, from), b = sim_node_number(world, to);
    uint64_t at = sim_net_arrival(world, a, b);
    if (at == 0)
        return;
    struct sim_batch *copy = mem_copy(batch, sizeof(*batch));
    copy->term = from->term;
    sim_push(world,
             (struct sim_event){.time = at, .kind = SIM_PROPOSE, .node = b, .pointer = copy});
}
