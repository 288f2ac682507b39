/* volatile_limit.c - see volatile_limit.h. */
#include "procs/gateway/writes/volatile_limit.h"

#include "shm/map.h"

uint64_t volatile_limit_in(uint64_t max_bytes, uint64_t file_bytes, uint64_t free_bytes)
{
    uint64_t room = file_bytes + free_bytes;

    room = room > VOLATILE_LIMIT_RESERVE_BYTES ? room - VOLATILE_LIMIT_RESERVE_BYTES : 0;
    room = room / 100 * VOLATILE_LIMIT_PERCENT;
    return room < max_bytes ? room : max_bytes;
}

static uint64_t volatile_limit_of(const char *folder, uint64_t max_bytes)
{
    uint64_t file_bytes, free_bytes;

    if (map_space_in(folder, MAP_VOLATILE, &file_bytes, &free_bytes) != 0)
        return max_bytes;
    return volatile_limit_in(max_bytes, file_bytes, free_bytes);
}

uint64_t volatile_limit_at(struct volatile_limit *limit, const char *folder, uint64_t max_bytes,
                           uint64_t now_ms)
{
    if (limit->looked_ms != now_ms)
        *limit = (struct volatile_limit){now_ms, volatile_limit_of(folder, max_bytes)};
    return limit->bytes;
}
