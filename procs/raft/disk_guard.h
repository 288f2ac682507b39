/* disk_guard.h - refuses writes before the disk is full, and takes them again by itself.
 *
 * A full disk would stop the log, and is a SIGBUS for a map that grows. So proposals are refused
 * while less than a floor is free; what was accepted before still has room. The disk is looked at
 * when somebody wants to write, at most every GUARD_LOOK_MS or GUARD_LOOK_BYTES: no timer.
 */
#ifndef INSI_RAFT_DISK_GUARD_H
#define INSI_RAFT_DISK_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_LOOK_MS 100
#define GUARD_LOOK_BYTES (4u << 20)
/* The floor is a sixteenth of the file system, within these. The state workers want 32 MiB and
 * twice what is being applied. */
#define GUARD_FLOOR_MIN (64ull << 20)
#define GUARD_FLOOR_MAX (256ull << 20)

struct disk_space {
    uint64_t total_bytes, free_bytes; /* free: for this user */
};

struct disk_guard {
    const char *folder;                                      /* the owner's */
    int (*look)(const char *folder, struct disk_space *out); /* 0, or E_IO: then nothing changes */
    bool is_full;
    bool looked; /* at the last disk_guard_is_full */
    uint64_t looked_ns;
    size_t bytes; /* asked for since */
};

void disk_guard_init(struct disk_guard *guard, const char *folder);

/* What has to stay free of the folder's file system, so that writes go on: for those who need space
 * that is not the log's. Blocks no longer than statvfs. */
uint64_t disk_guard_reserve(const char *folder);

/* Somebody wants to write so many bytes: true when that is to be refused. */
bool disk_guard_is_full(struct disk_guard *guard, uint64_t now_ns, size_t bytes);

#endif
