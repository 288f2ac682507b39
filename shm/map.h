/* map.h - LMDB environments: one writer process, many readers, opened after exec only.
 *
 * Every process opens with the same constant map size (sparse; growth never matters) and LMDB's
 * reader table at MAP_READERS. The writer runs MDB_NOSYNC|MDB_WRITEMAP: the log is the durability,
 * a killed process loses nothing, and a map that may have seen an operating-system crash is thrown
 * away by its owner (procs/worker/store.h). A full disk would be SIGBUS under WRITEMAP, so the
 * writer asks map_has_room before each transaction. The database "meta" holds format, kind and
 * applied index, and what else the worker keeps there (map_meta_put).
 *
 * A map belongs to one thread, but for map_copy. Errors are logged where they happen, with folder
 * and call (map_error.h), but for E_NOT_FOUND, E_VERSION and E_FOREIGN, which are the caller's to
 * judge. LMDB's own codes come out as E_NOT_FOUND, E_VERSION, E_CORRUPT or E_IO.
 *
 * Reading: map_read_begin renews a reset transaction (about 70 ns); hold it only for one request,
 * never across a wait. map_sweep gives back the slots of killed readers; the writer calls it every
 * second while it writes and when told that a process died.
 */
#ifndef INSI_SHM_MAP_H
#define INSI_SHM_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include <lmdb.h>

#include "base/slice.h"
#include "shm/keys.h"

#define MAP_READERS 4096
#define MAP_BYTES                                                                                  \
    (1ull << 40) /* 1 TiB of address space, sparse; INSI_TEST_MAP_BYTES lowers it for valgrind */

struct map;

/* values.mdb (storage), volatile.mdb (cacheq), events.mdb; each with a lock file beside it, in the
 * folder given. Stored in the map: numbers stay. */
enum map_kind { MAP_VALUES = 1, MAP_VOLATILE = 2, MAP_EVENTS = 3 };

/* Writer: makes folder and databases when missing. E_IO, E_VERSION (a later format), E_CORRUPT,
 * E_FOREIGN (another kind). On an error *out is NULL. map_close takes a NULL. */
int map_open_writer(struct map **out, const char *folder, enum map_kind kind);
/* Reader: the same, and E_NOT_FOUND while the writer has not made it yet. */
int map_open_reader(struct map **out, const char *folder, enum map_kind kind);
void map_close(struct map **map);
bool map_exists(const char *folder, enum map_kind kind); /* whatever its state */
/* The path of the map's file. E_TOO_LARGE: it does not fit the room. */
int map_file(char *out, size_t room, const char *folder, enum map_kind kind);
bool map_is_fresh(const struct map *map); /* this opening made it: readers have to reopen */

MDB_dbi map_database(const struct map *map, enum map_database database); /* shm/keys.h */

/* Readers. The transaction belongs to the map: one at a time, begin/end. What was read is borrowed
 * until the end. E_IO, E_CORRUPT. */
int map_read_begin(struct map *map, MDB_txn **out);
void map_read_end(struct map *map);
/* The applied index of the state that this transaction sees. It may lag behind the board's, which
 * also counts entries that concern other workers. E_IO, E_CORRUPT. */
int map_read_applied(const struct map *map, MDB_txn *txn, uint64_t *out);

/* The writer. commit stores applied_index, which never gets smaller, in the same transaction (I4).
 * Commit and abort end the transaction, whatever they return. E_IO, E_CORRUPT. */
int map_write_begin(struct map *map, MDB_txn **out);
int map_write_commit(struct map *map,
                     uint64_t applied_index); /* after an error the old state holds */
void map_write_abort(struct map *map);
int map_sync(struct map *map); /* all committed is on the device; E_IO */
/* Did the kernel fail to write back any of the file since the map was opened, or shortly before?
 * Then pages that it has let go of may be read back as they were before, or as nothing: E_CORRUPT,
 * for the map is not worth keeping. Told once. Costs a system call and waits for nothing. */
int map_check_written(const struct map *map);
uint64_t map_applied_index(const struct map *map); /* of the last committed transaction */
/* At least so many bytes are free on the map's file system. Apply never asks (I2): a worker holds a
 * whole batch back, and the leader refuses writes long before. */
bool map_has_room(const struct map *map, uint64_t reserve_bytes);
/* What the map's file takes there, and what is free beside it. E_IO. Also of one that others have
 * open. */
int map_space(const struct map *map, uint64_t *file_bytes, uint64_t *free_bytes);
int map_space_in(const char *folder, enum map_kind kind, uint64_t *file_bytes,
                 uint64_t *free_bytes);
/* 8-byte numbers in "meta" by name; get leaves 0 and returns 0 when there is none. The same for a
 * fixed number of bytes (zeros when there are none). E_IO, E_CORRUPT. */
int map_meta_get(const struct map *map, MDB_txn *txn, const char *name, uint64_t *out);
int map_meta_put(const struct map *map, MDB_txn *txn, const char *name, uint64_t value);
int map_meta_get_bytes(const struct map *map, MDB_txn *txn, const char *name, void *out,
                       size_t len);
int map_meta_put_bytes(const struct map *map, MDB_txn *txn, const char *name, const void *bytes,
                       size_t len);

/* Copies the state of the last commit, compacted, to a descriptor that need not be a file. May run
 * in a thread of its own while the writer goes on: the state is fixed by the time the first bytes
 * arrive, and the writer commits nothing before. What the state holds takes map_data_bytes. E_IO,
 * E_CORRUPT (also a map that has lost pages: a compacted copy would not be complete). */
int map_copy(const struct map *map, int fd);
int map_data_bytes(const struct map *map, MDB_txn *txn, uint64_t *out);

/* The writer: puts the map's files into another folder of the file system, in the place of what is
 * there (closed by this process; readers keep what they have opened, and must reopen). The lock
 * file goes first: whoever opens the new map finds the new lock file. A crash between the two
 * leaves files that do not belong together: the folder must not count as usable meanwhile. E_IO. */
int map_move(struct map *map, const char *folder);

int map_sweep(struct map *map); /* how many dead readers were removed; -1: LMDB could not look */

#endif
