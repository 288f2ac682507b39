/* retention.c - see retention.h. */
#include "procs/events/retention.h"

static uint64_t retention_less(uint64_t bytes, uint64_t by)
{
    return bytes > by ? bytes - by : 0;
}

uint64_t retention_in(uint64_t wanted_bytes, uint64_t file_bytes, uint64_t free_bytes)
{
    uint64_t room = retention_less(file_bytes + free_bytes, RETENTION_RESERVE_BYTES);
    uint64_t short_bytes = retention_less(RETENTION_TIGHT_BYTES, free_bytes);

    room = retention_less(room, RETENTION_TIGHT_COST * short_bytes) / RETENTION_BYTES_OF_ROOM;
    return room < wanted_bytes ? room : wanted_bytes;
}

uint64_t retention_of(const struct map *map, uint64_t wanted_bytes)
{
    uint64_t file_bytes, free_bytes;

    if (map_space(map, &file_bytes, &free_bytes) != 0)
        return wanted_bytes;
    return retention_in(wanted_bytes, file_bytes, free_bytes);
}
