/* reads.h - questions of gateways for a read index, and the core's answers to them.
 *
 * All questions of a turn share one question to the core, so its answer may belong to many. Pure.
 */
#ifndef INSI_RAFT_READS_H
#define INSI_RAFT_READS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READS_MAX (64u << 10) /* waiting; beyond: refused */

struct reads_origin {    /* where the answer goes */
    uint32_t gateway;    /* index */
    uint32_t connection; /* answers go to no other */
    uint64_t id;         /* the gateway's */
};

struct reads {
    struct reads_question *questions; /* in order of read ids, those not yet asked last */
    size_t count;
    unsigned room;
    size_t asked;     /* how many have a read id */
    uint64_t read_id; /* the last one */
};

bool reads_add(struct reads *reads, const struct reads_origin *origin); /* false: READS_MAX */

/* The id under which the core is to be asked now; 0: nobody wants to know. */
uint64_t reads_ask(struct reads *reads);

/* Calls back for every question that was asked under this id, and forgets them. */
typedef void reads_answer_fn(const struct reads_origin *origin, void *arg);
void reads_answer(struct reads *reads, uint64_t read_id, reads_answer_fn *answer, void *arg);

void reads_fini(struct reads *reads);

#endif
