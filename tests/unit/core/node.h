/* node.h - one core under test, driven by hand: each call is one step; the update is node->update.
 */
#ifndef INSI_TESTS_CORE_NODE_H
#define INSI_TESTS_CORE_NODE_H

#include "procs/raft/core/raft.h"

#define NODE_TIMEOUT_NS 1000000000ull
#define NODE_HEARTBEAT_NS 100000000ull
#define NODE_LEASE_NS (NODE_TIMEOUT_NS / 10 * 9)

struct node {
    struct raft *raft;
    struct raft_options options;
    struct raft_update update;
    uint64_t now_ns;
};

/* A node with id 1 of a group of voters 1..count; count 0: no member yet. Not started. */
void node_new(struct node *node, uint32_t count);
void node_free(struct node *node);
/* Puts count entries of the term behind the log, before the start. */
void node_load(struct node *node, uint64_t term, uint32_t count);

void node_start(struct node *node);
void node_wait(struct node *node, uint64_t ns); /* time passes, then a TIME event */
int node_receive(struct node *node, const struct raft_message *message);
void node_propose(struct node *node, uint32_t count); /* 100 bytes each */
void node_persist(struct node *node);                 /* all writes so far */
void node_persist_only(struct node *node, uint64_t write);
void node_apply(struct node *node, uint64_t index);
void node_read(struct node *node, uint64_t id);
void node_transfer(struct node *node, uint64_t to);
void node_change(struct node *node, enum raft_change_kind kind, uint64_t id);
void node_workers(struct node *node, bool ok);
void node_stop(struct node *node);

/* Lets it win an election at its current term + 1 by the votes of the others, and applies its first
 * entry when a majority acknowledged it. */
void node_lead(struct node *node);

/* The update's only message of this kind to this peer; fails the test when there is none. */
const struct raft_message *node_sent(const struct node *node, enum raft_message_kind kind,
                                     uint64_t to);
uint32_t node_count_sent(const struct node *node, enum raft_message_kind kind);

/* Messages to the node. Terms are those of the sender. */
struct raft_message node_message(enum raft_message_kind kind, uint64_t from, uint64_t term);
struct raft_message node_append(uint64_t from, uint64_t term, uint64_t prev_index,
                                uint64_t prev_term, const struct raft_entry *entries,
                                uint32_t count, uint64_t commit);
struct raft_message node_vote(uint64_t from, uint64_t term, uint64_t last_index,
                              uint64_t last_term);
/* A peer acknowledges the newest round, with this match. */
void node_ack(struct node *node, uint64_t from, uint64_t match);

#endif
