/* retention.h - how much the ring may hold on this node.
 *
 * events.retention, or what the node's tmpfs has room for, if that is less: half of what the map's
 * file and the free space beside it are together (data of a little over 2 KiB takes twice its
 * bytes), without a reserve. A map that cannot grow would have the worker wait for room, and
 * everything that is published with it; a ring that drops more makes room within its file.
 *
 * The file never becomes smaller, and it grows a little even where as much is dropped as comes, for
 * a large event needs pages in a row. So when little is free the ring has to be smaller still: the
 * emptier the file, the longer the rows.
 */
#ifndef INSI_PROCS_EVENTS_RETENTION_H
#define INSI_PROCS_EVENTS_RETENTION_H

#include "shm/map.h"

#define RETENTION_RESERVE_BYTES (8u << 20) /* more than what the worker itself keeps free */
#define RETENTION_BYTES_OF_ROOM 2          /* so much room for each byte */
#define RETENTION_TIGHT_BYTES (12u << 20)  /* with less free, each byte that lacks ... */
#define RETENTION_TIGHT_COST 4             /* ... counts as so much less room */

uint64_t retention_in(uint64_t wanted_bytes, uint64_t file_bytes, uint64_t free_bytes);

/* Two system calls; wanted_bytes where they fail. */
uint64_t retention_of(const struct map *map, uint64_t wanted_bytes);

#endif
