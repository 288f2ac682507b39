/* store.h - a map's folder: whether what lies there may be used, and throwing it away (boot rule).
 *
 * A map is a cache of the log, written without syncing, so an operating-system crash can leave it
 * in any state, while a killed process cannot: the page cache outlives it. The folder therefore
 * holds a mark that names the boot during which the map was opened, and whether it was synced and
 * closed since. Opening goes as follows:
 *
 * 1. The mark names this boot: the map is used. Another boot: only if it was closed cleanly. No
 *    readable mark, or no boot id: not used.
 * 2. Before anything is written to a map that is used, a mark of this boot, not clean, is on the
 *    device. One that is made has no mark until readers have been told that it is another one.
 * 3. A map that is not used, or that cannot be used because it is corrupt, of another format or of
 *    another kind, is removed with a warning and made anew; raft then sends everything again. A map
 *    that cannot be opened for other reasons (permissions, disk) is left alone: E_IO.
 * 4. A map that is to take the place of this one (of a snapshot) is staged in a folder within this
 *    one. While its files move there is no mark, so that a crash leaves nothing that could be taken
 *    for a map.
 * 5. A map that makes its process crash again and again is not worth keeping. The file "crashes"
 *    counts the processes in a row that ended by a fault of their own (a signal such as SIGSEGV,
 *    SIGBUS or SIGABRT, not a kill from outside) within STORE_CRASH_S seconds of opening it; after
 *    STORE_CRASHES of them the map is removed, as by rule 3.
 * 6. A map of which the disk did not take everything is corrupt, although it may look whole while
 *    the page cache remembers it (map_check_written): when it is opened, while it is used, before a
 *    copy of it counts as a snapshot, and when it is synced at the end.
 *
 * Everything is logged here, with the folder.
 */
#ifndef INSI_PROCS_WORKER_STORE_H
#define INSI_PROCS_WORKER_STORE_H

#include <stdint.h>

#include "base/path.h"
#include "shm/map.h"

#define STORE_CRASHES 5
#define STORE_CRASH_S 5
#define STORE_PATH_BYTES (PATH_BYTES + 32)

struct store_options {
    const char *folder;
    enum map_kind kind;
    uint64_t room_bytes; /* so much must be free to make a map (a full disk is SIGBUS later) */
    /* Called before a map that was there is given up for an empty one, and before the first one is
     * made. May be NULL. */
    void (*losing)(void *arg);
    void *arg;
};
/* E_IO. A map that was made (map_is_fresh) counts, and will be used again, from store_accept on:
 * readers are told before. */
int store_open(struct map **out, const struct store_options *options);
int store_accept(const char *folder);

/* Removes the map and its mark, open or not, so that it stays removed. E_IO. */
int store_discard(const char *folder, const char *reason);

/* Rule 5; store_open has begun to count. The map has lasted: the count begins anew, and crashes of
 * this process are not counted any more. */
void store_forget_crashes(const char *folder);

/* Rule 4. Makes the staging folder anew; out: where the new map's file is to be. E_IO. */
int store_stage(const char *folder, enum map_kind kind, char out[STORE_PATH_BYTES]);
int store_open_staged(struct map **out, const char *folder, enum map_kind kind);
/* Puts the staged map in place; no map of the folder is open in this process. Until store_accept,
 * and when either fails (E_IO), what is there is thrown away at the next opening. */
int store_place(struct map *staged, const char *folder);

/* After map_sync, when nothing will be written any more. E_IO. */
int store_mark_clean(const char *folder);

#endif
