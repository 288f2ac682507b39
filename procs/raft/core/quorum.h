/* quorum.h - majorities. */
#ifndef INSI_RAFT_CORE_QUORUM_H
#define INSI_RAFT_CORE_QUORUM_H

#include <stdint.h>

/* The smallest majority of count voters. */
static inline uint32_t raft_majority(uint32_t count)
{
    return count / 2 + 1;
}

/* The largest value that a majority of the count values reaches; 0 when count is 0. Reorders the
 * values. */
uint64_t raft_quorum_value(uint64_t *values, uint32_t count);

#endif
