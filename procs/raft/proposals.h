/* proposals.h - the entries that this turn's messages want in the log: one PROPOSE event for all.
 *
 * Their bytes are copied once, into one buffer that is used again and again.
 */
#ifndef INSI_RAFT_PROPOSALS_H
#define INSI_RAFT_PROPOSALS_H

#include "base/buf.h"
#include "base/limits.h"

#define PROPOSALS_MAX 4096            /* of one event */
#define PROPOSALS_BYTES (4u << 20)    /* likewise; one entry may be larger */
#define PROPOSALS_KEEP (256u << 10)   /* of the buffer, between turns */
#define PROPOSAL_OF_WORKER UINT32_MAX /* nobody waits for a refusal */
#define PROPOSAL_OF_PEER (UINT32_MAX - 1)

struct proposal_origin { /* where a refusal goes */
    uint32_t gateway;    /* index, or PROPOSAL_OF_WORKER, PROPOSAL_OF_PEER */
    uint32_t connection;
    uint64_t node; /* OF_PEER: its raft id */
    uint64_t session, sequence;
};

struct proposals {
    struct buf bytes;
    uint32_t count;
    uint32_t sizes[PROPOSALS_MAX];
    size_t offsets[PROPOSALS_MAX];
    struct proposal_origin origins[PROPOSALS_MAX];
};

void proposals_init(struct proposals *proposals);
void proposals_fini(struct proposals *proposals);

/* Not when proposals_is_full. */
void proposals_add(struct proposals *proposals, const struct proposal_origin *origin,
                   struct slice entry);
bool proposals_is_full(const struct proposals *proposals);

/* The entry's own bytes, to be stamped; good until the next add. */
uint8_t *proposals_entry(struct proposals *proposals, uint32_t number);
void proposals_clear(struct proposals *proposals);

#endif
