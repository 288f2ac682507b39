/* store.h - a map's folder: whether what lies there may be used, and throwing it away (boot rule).
 *
 * A map is a cache of the log, written without syncing, so an operating-system crash can leave it
 * in any state, while a killed process cannot: the page cache outlives it. The folder therefore
 * holds a mark that names the boot during which the map was opened, and whether it was synced and
 * closed since. Opening goes as follows:
 *
 * 1. The mark names this boot: the map is used. Another boot: only if it was closed cleanly. No
 *    readable mark, or no boot id: not used.
 * 2. Before anything is written to the map, a mark of this boot, not clean, is on the device.
 * 3. A map that is not used, or that cannot be used because it is corrupt, of another format or of
 *    another kind, is removed with a warning and made anew; raft then sends everything again. A map
 *    that cannot be opened for other reasons (permissions, disk) is left alone: E_IO.
 *
 * Everything is logged here, with the folder.
 */
#ifndef INSI_PROCS_WORKER_STORE_H
#define INSI_PROCS_WORKER_STORE_H

#include <stdint.h>

#include "shm/map.h"

/* room_bytes: so much must be free to make a map (a full disk is SIGBUS later). E_IO. */
int store_open(struct map **out, const char *folder, enum map_kind kind, uint64_t room_bytes);

/* Removes the map and its mark, open or not, so that it stays removed. E_IO. */
int store_discard(const char *folder, const char *reason);

/* After map_sync, when nothing will be written any more. E_IO. */
int store_mark_clean(const char *folder);

#endif
