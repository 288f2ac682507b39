/* oracle.h - what must be true, checked after every step against everything that is known.
 *
 *   election safety      one leader a term; a vote a term from each disk; the new leader's log
 *                        holds all that is committed, and nobody else has a lease (oracle_lead.c)
 *   durability           what a message says is on the disk of who sends it (oracle_message.c)
 *   log matching         (index, term) is the same entry everywhere, with the same one before it
 *   commit               decided is what a majority of the voters in effect has on disk, up to an
 *                        entry of the leader's own term; it never changes (oracle_log.c)
 *   state machines       each applies exactly what is committed; a command takes effect once
 *   membership           one change at a time, of one voter at most, after an own commit
 *   leases               one at a time; given up before TIMEOUT_NOW (oracle_lead.c); backed by
 *                        promises of a majority of the voters, which are kept (oracle_promise.c)
 *   linearizability      by witness: replies carry the log index, log order must respect real time
 *                        (oracle_client.c)
 */
#ifndef INSI_TESTS_SIM_ORACLE_H
#define INSI_TESTS_SIM_ORACLE_H

#include "tests/sim/sim.h"

struct sim_slot { /* what (index, term) is, whoever has it */
    uint64_t index, term, prev_term, command;
    const struct raft_config *config;
};

struct sim_leader {
    uint64_t term, id;
};

struct sim_vote { /* a real vote that has left a node */
    uint64_t id, term, candidate;
};

struct sim_oracle {
    struct sim_entry *committed; /* [0] is index 1 */
    uint64_t committed_count, committed_room;
    uint64_t announced; /* the highest that a leader announced rightly */
    uint64_t decided;   /* by the voters before the last change, though not yet said by anybody */
    struct sim_leader *leaders; /* one a term, the newest last */
    uint32_t leader_count, leader_room;
    struct sim_vote *votes;
    uint32_t vote_count, vote_room;
    struct sim_slot *slots; /* open hash table */
    uint64_t slot_count, slot_room;
    uint32_t effect[SIM_OPS_MAX];          /* by command: where it took effect */
    uint64_t known[SIM_WORKERS][SIM_KEYS]; /* the index of the newest write a client knows of */
    uint64_t acked_high;                   /* the highest index a client knows of */
};

struct sim_oracle *sim_oracle_new(void);
void sim_oracle_free(struct sim_oracle **oracle);

/* oracle_log.c */
void sim_check_entry(struct sim_world *world, const struct sim_node *node, uint64_t index);
void sim_check_config(struct sim_world *world, const struct sim_node *node, uint64_t index);
void sim_check_commit(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update);
void sim_check_applied(struct sim_world *world, const struct sim_node *node, uint64_t index);
void sim_check_effect(struct sim_world *world, const struct sim_node *node, uint32_t command,
                      uint64_t index);
void sim_check_converged(struct sim_world *world, const struct sim_node *a,
                         const struct sim_node *b);

/* oracle_message.c */
void sim_check_message(struct sim_world *world, const struct sim_node *from,
                       const struct raft_message *message);

/* oracle_lead.c: before node's old role and board are overwritten */
void sim_check_update(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update);
void sim_check_lease(struct sim_world *world, const struct sim_node *node);
bool sim_node_has_lease(const struct sim_world *world, const struct sim_node *node);
const struct sim_leader *sim_oracle_leader(const struct sim_oracle *oracle, uint64_t term);

/* oracle_promise.c */
void sim_promise_hear(struct sim_world *world, struct sim_node *node,
                      const struct raft_message *append);
void sim_check_promise(struct sim_world *world, const struct sim_node *node,
                       const struct raft_update *update);
void sim_check_backed(struct sim_world *world, const struct sim_node *node);
void sim_check_confirmed(struct sim_world *world, const struct sim_node *node, uint64_t asked_ns);

/* oracle_client.c */
void sim_check_asked(struct sim_world *world, struct sim_op *op);
void sim_check_answer(struct sim_world *world, const struct sim_op *op, uint64_t index);
void sim_check_write_done(struct sim_world *world, struct sim_op *op, uint64_t index);
void sim_check_read_done(struct sim_world *world, struct sim_op *op);

#endif
