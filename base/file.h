/* file.h - small files: read as a whole, replaced as a whole.
 *
 * Both block, the second one for a sync. Errors come with errno where they say so.
 */
#ifndef INSI_BASE_FILE_H
#define INSI_BASE_FILE_H

#include "base/buf.h"

/* Appends all that is in the file, or comes from the descriptor until its end. E_IO with errno;
 * E_TOO_LARGE: more than the buffer may hold. Then some of it may be in the buffer. */
int file_read(struct buf *out, const char *path);
int file_read_from(struct buf *out, int fd);

/* Writes <path>.new (mode 0600), syncs it, renames it to path and syncs the folder: after a crash
 * path is what it was or what it is to be. E_IO with errno. */
int file_replace(const char *path, struct slice bytes);

#endif
