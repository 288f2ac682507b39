/* volatile_limit.c - see volatile_limit.h. */
#include "procs/gateway/volatile_limit.h"

#include <sys/stat.h>

#include "base/path.h"
#include "shm/map.h"

#define VOLATILE_BLOCK_BYTES 512 /* what stat counts in */

uint64_t volatile_limit_in(uint64_t max_bytes, uint64_t file_bytes, uint64_t free_bytes)
{
    uint64_t room = file_bytes + free_bytes;

    room = room > VOLATILE_LIMIT_RESERVE_BYTES ? room - VOLATILE_LIMIT_RESERVE_BYTES : 0;
    room = room / 100 * VOLATILE_LIMIT_PERCENT;
    return room < max_bytes ? room : max_bytes;
}

static uint64_t volatile_limit_of(const char *folder, uint64_t max_bytes)
{
    char path[PATH_BYTES + 16];
    struct stat status;
    uint64_t free_bytes;

    if (map_file(path, sizeof(path), folder, MAP_VOLATILE) != 0 || stat(path, &status) != 0 ||
        path_space(folder, &free_bytes, NULL) != 0)
        return max_bytes;
    return volatile_limit_in(max_bytes, (uint64_t)status.st_blocks * VOLATILE_BLOCK_BYTES,
                             free_bytes);
}

uint64_t volatile_limit_at(struct volatile_limit *limit, const char *folder, uint64_t max_bytes,
                           uint64_t now_ms)
{
    if (limit->looked_ms != now_ms)
        *limit = (struct volatile_limit){now_ms, volatile_limit_of(folder, max_bytes)};
    return limit->bytes;
}
