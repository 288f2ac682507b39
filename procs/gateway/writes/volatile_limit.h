/* volatile_limit.h - how much cache and queues may hold, as the writes of this node say it.
 *
 * cache.maxBytes, or what this node's tmpfs has room for, if that is less: the map's file and what
 * is free beside it, without a reserve, of which logical bytes may be VOLATILE_LIMIT_PERCENT. (A
 * map that cannot grow would have its worker wait for room, and everything of its kind with it.)
 * The limit goes into each command, so what comes of it is the same on all nodes.
 */
#ifndef INSI_GATEWAY_VOLATILE_LIMIT_H
#define INSI_GATEWAY_VOLATILE_LIMIT_H

#include <stdint.h>

#define VOLATILE_LIMIT_RESERVE_BYTES (8u << 20) /* more than what the worker itself keeps free */
#define VOLATILE_LIMIT_PERCENT 70               /* pages are not full, and deadlines take some */

uint64_t volatile_limit_in(uint64_t max_bytes, uint64_t file_bytes, uint64_t free_bytes);

/* Of the map in this folder, as of now_ms: two system calls the first time that it is asked for,
 * none for whatever else comes in that millisecond. max_bytes where they fail. */
struct volatile_limit {
    uint64_t looked_ms, bytes; /* zeros: not yet */
};
uint64_t volatile_limit_at(struct volatile_limit *limit, const char *folder, uint64_t max_bytes,
                           uint64_t now_ms);

#endif
