/* quorum.c - majorities. One function serves commit (of matches), leases (of send times), read
 * rounds (of answered rounds) and check-quorum (of times of contact). */
#include "procs/raft/core/quorum.h"

uint64_t raft_quorum_value(uint64_t *values, uint32_t count)
{
    if (count == 0)
        return 0;
    for (uint32_t i = 1; i < count; i++) { /* descending; groups are small */
        uint64_t value = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] < value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[raft_majority(count) - 1];
}
