/* oracle_client.c - what clients are told, by witness: every reply carries its log index, so the
 * order of the log must respect real time, and a value must be the one that the log says.
 *
 *   A write returns its index: higher than any that a client knew of when it was called.
 *   A read returns a value and the index that set it: not older than what a client knew of this key
 *   when it was called, through writes or through other reads.
 */
#include "tests/sim/oracle.h"

void sim_check_asked(struct sim_world *world, struct sim_op *op)
{
    op->floor = world->oracle->known[op->worker][op->key];
    op->asked_high = world->oracle->acked_high;
}

/* A read index must cover what was acknowledged anywhere when it was asked for. */
void sim_check_answer(struct sim_world *world, const struct sim_op *op, uint64_t index)
{
    if (index < op->asked_high)
        sim_fail(world, "read index", "node %lu gets %lu, acknowledged was %lu when it asked",
                 world->nodes[op->node].id, index, op->asked_high);
}

static void sim_check_known(struct sim_world *world, const struct sim_op *op, uint64_t index)
{
    uint64_t *known = &world->oracle->known[op->worker][op->key];
    if (*known < index)
        *known = index;
    if (world->oracle->acked_high < index)
        world->oracle->acked_high = index;
}

void sim_check_write_done(struct sim_world *world, struct sim_op *op, uint64_t index)
{
    if (index <= op->asked_high)
        sim_fail(world, "linearizability",
                 "a write gets index %lu, %lu was known when it was "
                 "called",
                 index, op->asked_high);
    sim_check_known(world, op, index);
    op->state = SIM_OP_DONE;
}

void sim_check_read_done(struct sim_world *world, struct sim_op *op)
{
    const struct sim_oracle *oracle = world->oracle;
    if (op->found_at < op->floor)
        sim_fail(world, "linearizability",
                 "node %lu reads what index %u set, %lu was known when the client asked",
                 world->nodes[op->node].id, op->found_at, op->floor);
    if (op->found_at != 0 && (op->found_at > oracle->committed_count ||
                              oracle->committed[op->found_at - 1].command != op->found_command))
        sim_fail(world, "linearizability", "node %lu reads command %u of index %u, which is not so",
                 world->nodes[op->node].id, op->found_command, op->found_at);
    sim_check_known(world, op, op->found_at);
    op->state = SIM_OP_DONE;
}
