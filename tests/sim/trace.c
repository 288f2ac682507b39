/* trace.c - what happens as text: one line for an event, one for what an update says. */
#include <stdarg.h>
#include <string.h>

#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define DUMP_OPS 20 /* open ones, the oldest */

const char *sim_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    return names[role];
}

void sim_trace(struct sim_world *world, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list list;
    va_start(list, format);
    if (world->scripted)
        fputs("  ", world->trace);
    else
        fprintf(world->trace, "%10.3f  ", (double)world->now_ns / 1e6);
    vfprintf(world->trace, format, list);
    fputc('\n', world->trace);
    va_end(list);
}

static void sim_trace_append(const struct raft_message *m, char *out, size_t size)
{
    snprintf(out, size, "append prev=%lu/%lu count=%u commit=%lu round=%lu floor=%lu",
             m->append.prev_index, m->append.prev_term, m->append.count, m->append.commit,
             m->append.round, m->append.round_floor);
}

static void sim_trace_append_reply(const struct raft_message *m, char *out, size_t size)
{
    if (m->append_reply.busy)
        snprintf(out, size, "append-reply busy round=%lu", m->append_reply.round);
    else if (m->append_reply.ok)
        snprintf(out, size, "append-reply match=%lu round=%lu", m->append_reply.match,
                 m->append_reply.round);
    else
        snprintf(out, size, "append-reply no prev=%lu hint=%lu/%lu round=%lu",
                 m->append_reply.prev_index, m->append_reply.hint_index, m->append_reply.hint_term,
                 m->append_reply.round);
}

static void sim_trace_body(const struct raft_message *m, char *out, size_t size)
{
    switch (m->kind) {
    case RAFT_MESSAGE_VOTE:
        snprintf(out, size, "%svote asked=%lu last=%lu/%lu%s", m->vote.pre ? "pre-" : "",
                 m->vote.asked_term, m->vote.last_index, m->vote.last_term,
                 m->vote.transfer ? " transfer" : "");
        break;
    case RAFT_MESSAGE_VOTE_REPLY:
        snprintf(out, size, "%svote-reply asked=%lu %s", m->vote_reply.pre ? "pre-" : "",
                 m->vote_reply.asked_term, m->vote_reply.granted ? "yes" : "no");
        break;
    case RAFT_MESSAGE_APPEND:
        sim_trace_append(m, out, size);
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        sim_trace_append_reply(m, out, size);
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        snprintf(out, size, "timeout-now round=%lu", m->timeout_now.round);
        break;
    case RAFT_MESSAGE_READ:
        snprintf(out, size, "read");
        break;
    case RAFT_MESSAGE_READ_REPLY:
        snprintf(out, size, "read-reply index=%lu", m->read_reply.index);
        break;
    }
}

void sim_trace_message(struct sim_world *world, const char *verb,
                       const struct raft_message *message)
{
    if (!world->trace)
        return;
    char body[160];
    sim_trace_body(message, body, sizeof(body));
    bool in = strcmp(verb, "<-") == 0;
    sim_trace(world, "%lu %s %lu term=%lu %s", in ? message->to : message->from, verb,
              in ? message->from : message->to, message->term, body);
}

static void sim_trace_config(char *out, size_t size, const struct raft_config *config)
{
    size_t used = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < config->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lu%s", i > 0 ? "," : "",
                                 config->members[i].id, config->members[i].voter ? "" : "?");
}

static void sim_trace_state(struct sim_world *world, const struct sim_node *node,
                            const struct raft_update *update)
{
    if (update->role != node->role || update->term != node->term || update->leader != node->leader)
        sim_trace(world, "  %lu is %s term=%lu leader=%lu", node->id, sim_role_name(update->role),
                  update->term, update->leader);
    if (update->drop_lease && node->board.lease_end_ns != 0)
        sim_trace(world, "  %lu drops its lease", node->id);
    else if ((update->lease_end_ns != 0) != (node->board.lease_end_ns != 0))
        sim_trace(world, "  %lu has %s lease", node->id, update->lease_end_ns != 0 ? "a" : "no");
    if (update->config_changed) {
        char members[200];
        sim_trace_config(members, sizeof(members), update->config);
        sim_trace(world, "  %lu members=%s of %lu%s", node->id, members, update->config_index,
                  update->config_committed ? " committed" : "");
    }
    if (update->commit_index != node->commit)
        sim_trace(world, "  %lu commit=%lu", node->id, update->commit_index);
    if (update->transfer != RAFT_TRANSFER_NONE)
        sim_trace(world, "  %lu transfer %s", node->id,
                  update->transfer == RAFT_TRANSFER_DONE ? "done" : "failed");
}

void sim_trace_update(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update)
{
    static const char *const kinds[] = {"", " proposed", " empty", " config", " received"};
    if (!world->trace)
        return;
    sim_trace_state(world, node, update);
    if (update->write != 0) {
        char entries[80] = "";
        if (update->append_kind != RAFT_APPEND_NONE)
            snprintf(entries, sizeof(entries), " entries %lu..%lu%s%s", update->append_first,
                     update->append_last, kinds[update->append_kind],
                     update->truncated ? " after a cut" : "");
        char state[80] = "";
        if (update->hard_state_changed)
            snprintf(state, sizeof(state), " term=%lu vote=%lu", update->term, update->vote);
        sim_trace(world, "  %lu writes #%lu%s%s", node->id, update->write, state, entries);
    }
    if (update->install)
        sim_trace(world, "  %lu installs snapshot %lu", node->id, update->install_index);
    for (uint32_t i = 0; i < update->read_count; i++)
        sim_trace(world, "  %lu read %s index=%lu", node->id,
                  update->reads[i].refused ? "refused" : "answered", update->reads[i].index);
    for (uint32_t i = 0; i < update->message_count; i++)
        sim_trace_message(world, "->", &update->messages[i]);
}

/* ---- the state of everything -------------------------------------------------------------------
 */

static void sim_dump_node(struct sim_world *world, const struct sim_node *node, FILE *out)
{
    char members[200];
    sim_trace_config(members, sizeof(members), node->config);
    fprintf(out,
            "  node %lu: %s%s %s term=%lu leader=%lu log=%lu..%lu disk=%lu..%lu term=%lu "
            "vote=%lu queued=%u commit=%lu announced=%lu applied=%lu,%lu,%lu snapshots=%lu,%lu%s "
            "members=%s of %lu%s open=%u%s%s%s\n",
            node->id, node->gone ? "gone " : "", node->up ? "" : "down",
            node->raft ? sim_role_name(node->role) : "no-raft", node->term, node->leader,
            node->log.base + 1, sim_log_last(&node->log), node->disk.log.base + 1,
            sim_log_last(&node->disk.log), node->disk.term, node->disk.vote, node->disk.queued,
            node->commit, node->board.announced, node->workers[0].machine.applied,
            node->workers[1].machine.applied, node->workers[2].machine.applied,
            node->disk.floor.index, node->disk.newest.index, node->installing ? " installing" : "",
            members, node->config_index, node->config_committed ? " committed" : "",
            node->open_count, node->paused_until > world->now_ns ? " stopped" : "",
            node->raft_paused_until > world->now_ns ? " raft-stopped" : "",
            world->calm && world->core[sim_node_number(world, node)] ? " core" : "");
}

static void sim_dump_peers(struct sim_world *world, const struct sim_node *node, FILE *out)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint32_t count = raft_peers(node->raft, sim_node_clock(world, node), peers);
    for (uint32_t i = 0; i < count; i++)
        fprintf(out, "    peer %lu: match=%lu%s%s\n", peers[i].id, peers[i].match_index,
                peers[i].active ? " active" : "", peers[i].snapshot ? " snapshot" : "");
}

void sim_dump(struct sim_world *world, FILE *out)
{
    sim_profile_print(world, out);
    fprintf(out, "  time=%.3fms steps=%lu decided=%lu announced=%lu calm=%d\n",
            (double)world->now_ns / 1e6, world->steps, world->oracle->committed_count,
            world->oracle->announced, world->calm);
    for (uint32_t i = 0; i < world->node_count; i++) {
        sim_dump_node(world, &world->nodes[i], out);
        if (sim_node_leads(&world->nodes[i]))
            sim_dump_peers(world, &world->nodes[i], out);
    }
    uint32_t shown = 0;
    for (uint32_t i = 1; i <= world->op_count && shown < DUMP_OPS; i++) {
        const struct sim_op *op = &world->ops[i];
        if (op->state < SIM_OP_DONE && ++shown)
            fprintf(out, "  op %u at node %lu: state %d index=%lu effect=%u\n", i,
                    world->nodes[op->node].id, (int)op->state, op->index, world->oracle->effect[i]);
    }
}
