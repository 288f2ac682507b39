/* oracle_log.c - what is in logs, what is decided, what is applied. */
#include <stdlib.h>

#include "base/check.h"
#include "tests/sim/oracle.h"

struct sim_oracle *sim_oracle_new(void)
{
    return mem_alloc(sizeof(struct sim_oracle));
}

void sim_oracle_free(struct sim_oracle **oracle)
{
    struct sim_oracle *old = *oracle;
    *oracle = NULL;
    if (!old)
        return;
    free(old->committed);
    free(old->leaders);
    free(old->votes);
    free(old->slots);
    free(old);
}

/* ---- log matching -----------------------------------------------------------------------------
 */

static struct sim_slot *sim_slot_find(struct sim_oracle *oracle, uint64_t index, uint64_t term)
{
    uint64_t at = (index * 0x9e3779b97f4a7c15ull ^ term * 0xc2b2ae3d27d4eb4full) >> 20;
    for (;; at++) {
        struct sim_slot *slot = &oracle->slots[at & (oracle->slot_room - 1)];
        if (slot->index == 0 || (slot->index == index && slot->term == term))
            return slot;
    }
}

static void sim_slot_make_room(struct sim_oracle *oracle)
{
    if (oracle->slot_count < oracle->slot_room / 2)
        return;
    struct sim_slot *old = oracle->slots;
    uint64_t old_room = oracle->slot_room;
    oracle->slot_room = old_room ? old_room * 2 : 1024;
    oracle->slots = mem_alloc(oracle->slot_room * sizeof(oracle->slots[0]));
    for (uint64_t i = 0; i < old_room; i++)
        if (old[i].index != 0)
            *sim_slot_find(oracle, old[i].index, old[i].term) = old[i];
    free(old);
}

/* The entry at index, just put into the node's log. */
void sim_check_entry(struct sim_world *world, const struct sim_node *node, uint64_t index)
{
    struct sim_oracle *oracle = world->oracle;
    const struct sim_entry *entry = sim_log_at(&node->log, index);
    uint64_t prev_term = raft_term_at(node->raft, index - 1);
    sim_slot_make_room(oracle);
    struct sim_slot *slot = sim_slot_find(oracle, index, entry->term);
    if (slot->index == 0) {
        oracle->slot_count++;
        *slot = (struct sim_slot){index, entry->term, prev_term, entry->command, entry->config};
        return;
    }
    if (slot->command != entry->command || slot->config != entry->config ||
        slot->prev_term != prev_term)
        sim_fail(world, "log matching",
                 "node %lu has another entry %lu of term %lu (command %lu after term %lu) than was "
                 "seen before (%lu after %lu)",
                 node->id, index, entry->term, entry->command, prev_term, slot->command,
                 slot->prev_term);
}

/* ---- deciding ---------------------------------------------------------------------------------
 */

/* The highest index up to which a disk agrees with the leader's log. */
static uint64_t sim_oracle_match(const struct sim_node *leader, const struct sim_node *node)
{
    uint64_t index = sim_log_last(&node->disk.log);
    if (index > sim_log_last(&leader->log))
        index = sim_log_last(&leader->log);
    for (; index > node->disk.log.base; index--) {
        if (index <= leader->log.base)
            return index; /* decided long ago */
        if (sim_log_at(&node->disk.log, index)->term == sim_log_at(&leader->log, index)->term)
            return index;
    }
    return index;
}

/* Up to where is this node's log on the disks of a majority? */
static uint64_t sim_oracle_everywhere(struct sim_world *world, const struct sim_node *leader,
                                      const struct raft_config *config)
{
    uint64_t matches[RAFT_MEMBERS_MAX];
    uint32_t voters = 0;
    for (uint32_t i = 0; i < config->count; i++) {
        if (!config->members[i].voter)
            continue;
        uint64_t match = sim_oracle_match(leader, sim_node_by_id(world, config->members[i].id));
        uint32_t at = voters++;
        for (; at > 0 && matches[at - 1] < match; at--)
            matches[at] = matches[at - 1];
        matches[at] = match;
    }
    return voters > 0 ? matches[voters / 2] : 0;
}

/* Is the entry at index, in this node's log, on a majority's disks, and under an entry of this term
 * that is, too (G3)? Term 0: any. */
static bool sim_oracle_decides(struct sim_world *world, const struct sim_node *leader,
                               const struct raft_config *config, uint64_t term, uint64_t index)
{
    uint64_t everywhere = sim_oracle_everywhere(world, leader, config);
    return everywhere >= index && (term == 0 || raft_term_at(leader->raft, everywhere) == term);
}

static void sim_oracle_commit(struct sim_world *world, const struct sim_node *node, uint64_t index)
{
    struct sim_oracle *oracle = world->oracle;
    while (oracle->committed_count < index) {
        if (oracle->committed_count == oracle->committed_room) {
            oracle->committed_room = oracle->committed_room ? oracle->committed_room * 2 : 256;
            oracle->committed = mem_resize(oracle->committed,
                                           oracle->committed_room * sizeof(oracle->committed[0]));
        }
        const struct sim_entry *entry = sim_log_at(&node->log, oracle->committed_count + 1);
        if (!entry)
            sim_fail(world, "commit", "node %lu decides %lu, which its log has not", node->id,
                     oracle->committed_count + 1);
        if (entry->term < node->term && node->role == RAFT_LEADER)
            SIM_MARK(world, old_term_committed);
        oracle->committed[oracle->committed_count++] = *entry;
    }
}

/* What this node says is decided. */
void sim_check_commit(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update)
{
    struct sim_oracle *oracle = world->oracle;
    uint64_t commit = update->commit_index;
    if (commit < node->commit)
        sim_fail(world, "commit", "node %lu goes back from %lu to %lu", node->id, node->commit,
                 commit);
    if (commit == node->commit)
        return;
    const struct sim_entry *stored = sim_log_at(&node->disk.log, commit);
    if (commit > node->disk.log.base &&
        (!stored || stored->term != raft_term_at(node->raft, commit)))
        sim_fail(world, "durability", "node %lu says %lu may be applied, its disk ends at %lu",
                 node->id, commit, sim_log_last(&node->disk.log));
    if (commit > oracle->committed_count) {
        /* one that led knows what it could not say while its own disk was behind */
        uint64_t term = update->role == RAFT_LEADER ? update->term : 0;
        if (commit > oracle->decided &&
            !sim_oracle_decides(world, node, node->config, term, commit) &&
            !sim_oracle_decides(world, node, update->config, term, commit))
            sim_fail(world, "commit", "node %lu says %lu is decided, and no majority has it",
                     node->id, commit);
        sim_oracle_commit(world, node, commit);
    }
    for (uint64_t i = node->commit > node->log.base ? node->commit + 1 : node->log.base + 1;
         i <= commit; i++) {
        const struct sim_entry *mine = sim_log_at(&node->log, i), *all = &oracle->committed[i - 1];
        if (mine->term != all->term || mine->command != all->command)
            sim_fail(world, "state machine safety",
                     "node %lu has another entry at %lu than was "
                     "decided",
                     node->id, i);
    }
}

/* ---- membership --------------------------------------------------------------------------------
 */

static uint32_t sim_config_voters_missing(const struct raft_config *a, const struct raft_config *b)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        bool found = !a->members[i].voter;
        for (uint32_t k = 0; k < b->count && !found; k++)
            found = b->members[k].id == a->members[i].id && b->members[k].voter;
        missing += !found;
    }
    return missing;
}

static void sim_config_marks(struct sim_world *world, const struct sim_node *node,
                             const struct raft_config *before, const struct raft_config *after)
{
    SIM_MARK(world, config_changes);
    if (after->count > before->count)
        SIM_MARK(world, learner_added);
    else if (sim_config_voters_missing(after, before) > 0)
        SIM_MARK(world, learner_promoted);
    if (sim_config_voters_missing(before, after) == 0)
        return;
    SIM_MARK(world, voter_removed);
    for (uint32_t i = 0; i < after->count; i++)
        if (after->members[i].id == node->id)
            return;
    SIM_MARK(world, leader_removed);
}

/* A leader has put a config into its log; node->config is still the one before. */
void sim_check_config(struct sim_world *world, const struct sim_node *node, uint64_t index)
{
    const struct raft_config *before = node->config, *after = sim_log_at(&node->log, index)->config;
    world->changed_ns = world->now_ns;
    if (node->config_index == 0 && before == after)
        return; /* the first of all */
    struct sim_oracle *oracle = world->oracle;
    if (sim_config_voters_missing(before, after) + sim_config_voters_missing(after, before) > 1)
        sim_fail(world, "membership", "node %lu changes more than one voter at %lu", node->id,
                 index);
    bool known = node->config_index <= oracle->committed_count && oracle->committed_count > 0 &&
                 oracle->committed[oracle->committed_count - 1].term == node->term;
    if (!known && !sim_oracle_decides(world, node, before, node->term, node->config_index))
        sim_fail(world, "membership",
                 "node %lu changes the members at %lu, and the last change at "
                 "%lu or an entry of its own is not decided",
                 node->id, index, node->config_index);
    uint64_t everywhere = sim_oracle_everywhere(world, node, before);
    if (everywhere > oracle->decided && raft_term_at(node->raft, everywhere) == node->term)
        oracle->decided = everywhere; /* those who counted so far have decided it */
    sim_config_marks(world, node, before, after);
}

/* ---- state machines ----------------------------------------------------------------------------
 */

void sim_check_applied(struct sim_world *world, const struct sim_node *node, uint64_t index)
{
    const struct sim_oracle *oracle = world->oracle;
    const struct sim_entry *entry = sim_log_at(&node->log, index);
    if (index > oracle->committed_count || oracle->committed[index - 1].term != entry->term ||
        oracle->committed[index - 1].command != entry->command)
        sim_fail(world, "state machine safety",
                 "node %lu applies an entry at %lu that was not "
                 "decided",
                 node->id, index);
}

void sim_check_effect(struct sim_world *world, const struct sim_node *node, uint32_t command,
                      uint64_t index)
{
    uint32_t *effect = &world->oracle->effect[command];
    if (*effect != 0 && *effect != index)
        sim_fail(world, "at most once", "command %u takes effect at %lu on node %lu, it did at %u",
                 command, index, node->id, *effect);
    *effect = (uint32_t)index;
}

void sim_check_converged(struct sim_world *world, const struct sim_node *a,
                         const struct sim_node *b)
{
    for (uint32_t i = 0; i < SIM_WORKERS; i++)
        if (a->workers[i].machine.hash != b->workers[i].machine.hash)
            sim_fail(world, "state machine safety",
                     "worker %u has different states on nodes %lu and %lu, both at %lu", i, a->id,
                     b->id, a->workers[i].machine.applied);
}
