/* spool.h - files that are written from front to back, without keeping the disk from others.
 *
 * A file written the ordinary way leaves all its bytes to the page cache, which hands them to the
 * disk in one flood; a log that wants its own few kilobytes synced meanwhile waits for them. Here
 * the disk gets a step at a time: while one step is written, the one before is waited for, so that
 * never more than SPOOL_STEP_BYTES * 2 are under way. The bytes do not stay in the page cache,
 * unless asked for.
 *
 * A file that nobody waits for is written with rests: each step is on the disk before the spool
 * sleeps for `rest` times as long as the step took, with all that its user did meanwhile (at most
 * SPOOL_REST_MAX_NS). So its user takes one part in rest + 1 of disk and processor, however fast or
 * busy they are.
 *
 * Blocks; meant for helper threads. Errors: E_STORAGE_FULL, E_IO, with errno; the spool is then to
 * be abandoned.
 */
#ifndef INSI_BASE_SPOOL_H
#define INSI_BASE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define SPOOL_STEP_BYTES (1u << 20)
#define SPOOL_LOOK_BYTES (16u << 20) /* between two looks at the free space */
#define SPOOL_REST_MAX_NS (100 * NS_PER_MS)

struct spool_options {
    const char *path;
    bool stays_cached;      /* it will be read soon */
    bool goes_on;           /* an existing file is continued at its end; else there must be none */
    unsigned rest;          /* after each step, as a multiple of its time; 0: none */
    uint64_t reserve_bytes; /* so much stays free on the file system, else E_STORAGE_FULL */
};

struct spool {
    int fd;
    bool stays_cached;
    unsigned rest;
    uint64_t rested_ns; /* boot time at which the last rest ended */
    uint64_t reserve_bytes;
    uint64_t end;       /* bytes written */
    uint64_t begun;     /* up to here the disk was told to write */
    uint64_t finished;  /* up to here it has written */
    uint64_t looked_at; /* end at the last look at the free space */
};

int spool_open(struct spool *spool, const struct spool_options *options);
int spool_write(struct spool *spool, const void *data, size_t len);
int spool_sync(struct spool *spool); /* all that was written is on the disk */
void spool_close(struct spool *spool);

/* E_STORAGE_FULL unless so many bytes and the reserve are free where the folder is. E_IO. */
int spool_check_room(const char *folder, uint64_t bytes, uint64_t reserve_bytes);

#endif
