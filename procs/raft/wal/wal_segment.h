/* wal_segment.h - the log's segment files: names, making, reading from the device, removing.
 *
 *   <folder>/0000000000000001.log ...   segments, named by sequence in hexadecimal
 *   <folder>/prepared                   the next one: zeros, of full size, synced
 */
#ifndef INSI_RAFT_WAL_SEGMENT_H
#define INSI_RAFT_WAL_SEGMENT_H

#include <stdbool.h>

#include "base/path.h"
#include "procs/raft/wal/wal_format.h"

#define WAL_NAME_BYTES (PATH_BYTES + 64)

void wal_segment_name(char out[WAL_NAME_BYTES], const char *folder, uint64_t sequence);
void wal_prepared_name(char out[WAL_NAME_BYTES], const char *folder);

/* The sequences of the segments in the folder, ascending; the caller frees *out. E_IO. */
int wal_list_segments(const char *folder, uint64_t **out, size_t *count);

/* Makes <folder>/prepared unless it is there with this size. What it holds is zeros, but for the
 * first WAL_HEADER_BYTES when a crash interrupted its use. E_STORAGE_FULL, E_IO with errno. */
int wal_prepare_segment(const char *folder, size_t bytes);

/* prepared becomes the segment of this sequence, durably. E_IO with errno. */
int wal_use_prepared(const char *folder, uint64_t sequence);

/* Removes the segments below first_sequence. E_IO. */
int wal_remove_segments(const char *folder, uint64_t first_sequence);

struct wal_file { /* a file in memory of its own */
    uint8_t *data;
    size_t len;
    size_t room;    /* mapped */
    bool by_device; /* read past the page cache */
};

/* Reads the whole file, from the device (O_DIRECT) when asked and where the file system can. E_IO
 * with errno. */
int wal_file_read(struct wal_file *file, const char *path, bool from_device);
void wal_file_free(struct wal_file *file);

#endif
