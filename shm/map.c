/* map.c - opening LMDB environments, and the transactions of a writer and of readers.
 *
 * LMDB's rules that this file keeps for everybody: an environment is opened once per process and
 * never carried across a fork; database handles are opened once, in a transaction of their own; a
 * reader has one transaction, which is reset and renewed; nothing uses DUPSORT.
 */
#include "shm/map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/path.h"
#include "shm/map_error.h"

#define MAP_RENEW_TRIES 100
#define MAP_META_BYTES 8192
#define MAP_BLOCK_BYTES 512 /* what stat counts in */

static const char map_meta_format[] = "format";
static const char map_meta_kind[] = "kind";
static const char map_meta_applied[] = "applied_index";

/* Stored in the map; raised when the layout of a kind changes. */
static const uint64_t map_formats[] = {
    [MAP_VALUES] = 1,
    [MAP_VOLATILE] = 2,
    [MAP_EVENTS] = 1,
};

static const char *const map_file_names[] = {
    [MAP_VALUES] = "values.mdb",
    [MAP_VOLATILE] = "volatile.mdb",
    [MAP_EVENTS] = "events.mdb",
};

#define MAP_IN(kind) (1u << (kind))
#define MAP_IN_ALL (MAP_IN(MAP_VALUES) | MAP_IN(MAP_VOLATILE) | MAP_IN(MAP_EVENTS))

static const struct {
    const char *name;
    unsigned kinds;
} map_databases[MAP_DATABASE_COUNT] = {
    [MAP_META] = {"meta", MAP_IN_ALL},
    [MAP_SESSIONS] = {"sessions", MAP_IN_ALL},
    [MAP_VALUES_DB] = {"values", MAP_IN(MAP_VALUES)},
    [MAP_APIKEYS] = {"apikeys", MAP_IN(MAP_VALUES)},
    [MAP_DOOMED] = {"doomed", MAP_IN_ALL},
    [MAP_ATOMICS] = {"atomics", MAP_IN(MAP_VALUES)},
    [MAP_CACHE] = {"cache", MAP_IN(MAP_VOLATILE)},
    [MAP_DEADLINES] = {"deadlines", MAP_IN(MAP_VOLATILE)},
    [MAP_QUEUES] = {"queues", MAP_IN(MAP_VOLATILE)},
    [MAP_ITEMS] = {"items", MAP_IN(MAP_VOLATILE)},
    [MAP_WAITERS] = {"waiters", MAP_IN(MAP_VOLATILE)},
    [MAP_WAITING] = {"waiting", MAP_IN(MAP_VOLATILE)},
    [MAP_DELETED] = {"deleted", MAP_IN(MAP_VOLATILE)},
    [MAP_RING] = {"ring", MAP_IN(MAP_EVENTS)},
};

struct map {
    MDB_env *env;
    MDB_txn *txn; /* reader: kept and renewed; writer: the open one */
    MDB_dbi databases[MAP_DATABASE_COUNT];
    uint64_t applied_index;
    enum map_kind kind;
    bool writable;
    bool is_fresh;
    bool in_use; /* a transaction is open */
    char folder[PATH_BYTES];
};

static bool map_has(const struct map *map, unsigned database)
{
    return (map_databases[database].kinds & MAP_IN(map->kind)) != 0;
}

/* What is not there, or is of another version, is for the caller to judge; the rest is logged. */
static int map_error(const struct map *map, const char *what, int lmdb_error)
{
    const int error = map_error_of(lmdb_error);
    if (error == E_CORRUPT || error == E_IO)
        map_error_log(map->folder, what, lmdb_error);
    return error;
}

static size_t map_bytes(void)
{
    const char *text = getenv("INSI_TEST_MAP_BYTES");

    if (text == NULL)
        return MAP_BYTES;
    unsigned long long bytes = strtoull(text, NULL, 10);
    return bytes > 0 ? (size_t)bytes : MAP_BYTES;
}

/* --- meta --------------------------------------------------------------------------------------
 */

int map_meta_get_bytes(const struct map *map, MDB_txn *txn, const char *name, void *out, size_t len)
{
    MDB_val key = {strlen(name), (void *)name};
    MDB_val stored;

    memset(out, 0, len);
    int error = mdb_get(txn, map->databases[MAP_META], &key, &stored);
    if (error == MDB_NOTFOUND)
        return 0;
    if (error != 0)
        return map_error(map, "get", error);
    if (stored.mv_size != len)
        return E_CORRUPT;
    memcpy(out, stored.mv_data, len);
    return 0;
}

int map_meta_put_bytes(const struct map *map, MDB_txn *txn, const char *name, const void *bytes,
                       size_t len)
{
    MDB_val key = {strlen(name), (void *)name};
    MDB_val stored = {len, (void *)bytes};

    return map_error(map, "put", mdb_put(txn, map->databases[MAP_META], &key, &stored, 0));
}

int map_meta_get(const struct map *map, MDB_txn *txn, const char *name, uint64_t *out)
{
    uint8_t bytes[sizeof(uint64_t)];

    int error = map_meta_get_bytes(map, txn, name, bytes, sizeof(bytes));
    *out = bytes_get_u64(bytes);
    return error;
}

int map_meta_put(const struct map *map, MDB_txn *txn, const char *name, uint64_t value)
{
    uint8_t bytes[sizeof(uint64_t)];

    bytes_put_u64(bytes, value);
    return map_meta_put_bytes(map, txn, name, bytes, sizeof(bytes));
}

static int map_meta_check(struct map *map, MDB_txn *txn)
{
    uint64_t format;
    uint64_t kind;

    int error = map_meta_get(map, txn, map_meta_format, &format);
    if (error == 0)
        error = map_meta_get(map, txn, map_meta_kind, &kind);
    if (error == 0)
        error = map_meta_get(map, txn, map_meta_applied, &map->applied_index);
    if (error != 0)
        return error;
    if (format == 0 && !map->writable)
        return E_NOT_FOUND; /* the writer is still making it */
    if (kind != (uint64_t)map->kind)
        return E_FOREIGN;
    return format == map_formats[map->kind] ? 0 : E_VERSION;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static int map_open_database(struct map *map, MDB_txn *txn, unsigned database)
{
    return map_error(map, "dbi_open",
                     mdb_dbi_open(txn, map_databases[database].name, map->writable ? MDB_CREATE : 0,
                                  &map->databases[database]));
}

/* A map of an earlier program lacks what came later: its writer makes that. */
static int map_open_databases(struct map *map, MDB_txn *txn)
{
    int error = 0;

    for (unsigned i = MAP_META + 1; i < MAP_DATABASE_COUNT && error == 0; i++) {
        if (map_has(map, i))
            error = map_open_database(map, txn, i);
    }
    return error;
}

/* A new map gets its format and kind in the transaction that makes its databases, so a reader finds
 * everything or nothing. */
static int map_prepare(struct map *map, MDB_txn *txn)
{
    MDB_stat stat;

    int error = map_open_database(map, txn, MAP_META);
    if (error == 0)
        error = map_error(map, "stat", mdb_stat(txn, map->databases[MAP_META], &stat));
    if (error == 0 && stat.ms_entries == 0 && map->writable) {
        map->is_fresh = true;
        error = map_meta_put(map, txn, map_meta_format, map_formats[map->kind]);
        if (error == 0)
            error = map_meta_put(map, txn, map_meta_kind, (uint64_t)map->kind);
    }
    if (error == 0)
        error = map_meta_check(map, txn);
    return error != 0 ? error : map_open_databases(map, txn);
}

#define MAP_FILE_BYTES (PATH_BYTES + 16)

int map_file(char *out, size_t room, const char *folder, enum map_kind kind)
{
    int len = snprintf(out, room, "%s/%s", folder, map_file_names[kind]);
    return len > 0 && (size_t)len < room ? 0 : E_TOO_LARGE;
}

bool map_exists(const char *folder, enum map_kind kind)
{
    char path[MAP_FILE_BYTES];
    struct stat status;

    return map_file(path, sizeof(path), folder, kind) == 0 && stat(path, &status) == 0;
}

static int map_open_env(struct map *map)
{
    char path[MAP_FILE_BYTES];
    unsigned flags = MDB_NOSUBDIR | MDB_NORDAHEAD;

    CHECK(map_file(path, sizeof(path), map->folder, map->kind) == 0);
    flags |= map->writable ? MDB_NOSYNC | MDB_WRITEMAP : MDB_RDONLY | MDB_NOTLS;
    struct stat status;
    if (!map->writable && (stat(path, &status) != 0 || status.st_size == 0))
        return E_NOT_FOUND; /* a reader's open would leave a lock file behind */
    int error = mdb_env_create(&map->env);
    if (error == 0)
        error = mdb_env_set_mapsize(map->env, map_bytes());
    if (error == 0)
        error = mdb_env_set_maxreaders(map->env, MAP_READERS);
    if (error == 0)
        error = mdb_env_set_maxdbs(map->env, MAP_DATABASE_COUNT + 8);
    if (error == 0)
        error = mdb_env_open(map->env, path, flags, 0600);
    return map_error(map, "env_open", error);
}

static int map_open_all(struct map *map)
{
    MDB_txn *txn = NULL;

    int error = map_open_env(map);
    if (error == 0 && map->writable)
        error = map_check_written(map);
    if (error != 0)
        return error;
    error = map_error(map, "txn_begin",
                      mdb_txn_begin(map->env, NULL, map->writable ? 0 : MDB_RDONLY, &txn));
    if (error != 0)
        return error;
    error = map_prepare(map, txn);
    if (error != 0) {
        mdb_txn_abort(txn);
        return error;
    }
    error = map_error(map, "txn_commit", mdb_txn_commit(txn));
    if (error != 0 || map->writable)
        return error;
    /* The reader's transaction, begun once and renewed ever after. */
    error = map_error(map, "txn_begin", mdb_txn_begin(map->env, NULL, MDB_RDONLY, &map->txn));
    if (error == 0)
        mdb_txn_reset(map->txn);
    return error;
}

static int map_open(struct map **out, const char *folder, enum map_kind kind, bool writable)
{
    *out = NULL;
    if (strlen(folder) >= PATH_BYTES) {
        map_error_log(folder, "make_folder", ENAMETOOLONG);
        return E_IO;
    }
    if (writable && path_make_folder(folder) != 0) {
        map_error_log(folder, "make_folder", errno);
        return E_IO;
    }
    struct map *map = mem_alloc(sizeof(*map));
    map->kind = kind;
    map->writable = writable;
    snprintf(map->folder, sizeof(map->folder), "%s", folder);
    int error = map_open_all(map);
    if (error != 0)
        map_close(&map);
    *out = map;
    return error;
}

int map_open_writer(struct map **out, const char *folder, enum map_kind kind)
{
    return map_open(out, folder, kind, true);
}

int map_open_reader(struct map **out, const char *folder, enum map_kind kind)
{
    return map_open(out, folder, kind, false);
}

void map_close(struct map **map)
{
    if (*map == NULL)
        return;
    if ((*map)->txn != NULL)
        mdb_txn_abort((*map)->txn);
    if ((*map)->env != NULL)
        mdb_env_close((*map)->env);
    free(*map);
    *map = NULL;
}

bool map_is_fresh(const struct map *map)
{
    return map->is_fresh;
}

MDB_dbi map_database(const struct map *map, enum map_database database)
{
    CHECK((unsigned)database < MAP_DATABASE_COUNT && map_has(map, database));
    return map->databases[database];
}

/* --- readers -----------------------------------------------------------------------------------
 */

int map_read_begin(struct map *map, MDB_txn **out)
{
    MDB_envinfo info;

    CHECK(!map->writable && !map->in_use);
    /* LMDB takes a transaction's number first and copies the roots after it, out of one of two meta
     * pages. A reader that is stopped between the two can copy roots that the writer, two commits
     * later, is just overwriting. When the newest committed number is still ours afterwards, no
     * such writer can have begun. A writer that was killed between its meta page and the number
     * for readers leaves us one behind until the next writer mends that: nobody writes meanwhile,
     * so after many tries that is accepted. */
    for (unsigned i = 0; i < MAP_RENEW_TRIES; i++) {
        int error = mdb_txn_renew(map->txn);
        if (error != 0)
            return map_error(map, "txn_renew", error);
        atomic_thread_fence(memory_order_acquire);
        mdb_env_info(map->env, &info);
        size_t behind = info.me_last_txnid - mdb_txn_id(map->txn);
        if (behind == 0 || (behind == 1 && i == MAP_RENEW_TRIES - 1)) {
            map->in_use = true;
            *out = map->txn;
            return 0;
        }
        mdb_txn_reset(map->txn);
    }
    LOG_ERROR("map_renew_failed", LOG_STR("folder", map->folder));
    return E_IO;
}

void map_read_end(struct map *map)
{
    CHECK(!map->writable && map->in_use);
    mdb_txn_reset(map->txn);
    map->in_use = false;
}

int map_read_applied(const struct map *map, MDB_txn *txn, uint64_t *out)
{
    return map_meta_get(map, txn, map_meta_applied, out);
}

/* --- the writer --------------------------------------------------------------------------------
 */

int map_write_begin(struct map *map, MDB_txn **out)
{
    CHECK(map->writable && !map->in_use);
    int error = mdb_txn_begin(map->env, NULL, 0, &map->txn);
    if (error != 0) {
        map->txn = NULL;
        return map_error(map, "txn_begin", error);
    }
    map->in_use = true;
    *out = map->txn;
    return 0;
}

int map_write_commit(struct map *map, uint64_t applied_index)
{
    CHECK(map->writable && map->in_use);
    CHECK(applied_index >= map->applied_index);
    int error = map_meta_put(map, map->txn, map_meta_applied, applied_index);
    if (error != 0) {
        map_write_abort(map);
        return error;
    }
    error = map_error(map, "txn_commit", mdb_txn_commit(map->txn));
    map->txn = NULL; /* freed by LMDB in either case */
    map->in_use = false;
    if (error == 0)
        map->applied_index = applied_index;
    return error;
}

void map_write_abort(struct map *map)
{
    CHECK(map->writable && map->in_use);
    mdb_txn_abort(map->txn);
    map->txn = NULL;
    map->in_use = false;
}

int map_sync(struct map *map)
{
    return map_error(map, "env_sync", mdb_env_sync(map->env, 1));
}

/* Waits for the two meta pages alone, but tells of errors anywhere in the file. */
int map_check_written(const struct map *map)
{
    int fd;

    CHECK(map->writable && mdb_env_get_fd(map->env, &fd) == 0);
    int failed =
        sync_file_range(fd, 0, MAP_META_BYTES, SYNC_FILE_RANGE_WAIT_BEFORE) != 0 ? errno : 0;
    if (failed == 0 || failed == ENOSYS || failed == ESPIPE || failed == EINVAL)
        return 0; /* or this file system cannot tell */
    map_error_log(map->folder, "writeback", failed);
    return E_CORRUPT;
}

uint64_t map_applied_index(const struct map *map)
{
    return map->applied_index;
}

bool map_has_room(const struct map *map, uint64_t reserve_bytes)
{
    uint64_t free_bytes;

    return path_space(map->folder, &free_bytes, NULL) == 0 && free_bytes >= reserve_bytes;
}

int map_space_in(const char *folder, enum map_kind kind, uint64_t *file_bytes, uint64_t *free_bytes)
{
    struct stat status;
    char path[MAP_FILE_BYTES];

    if (map_file(path, sizeof(path), folder, kind) != 0 || stat(path, &status) != 0)
        return E_IO;
    *file_bytes = (uint64_t)status.st_blocks * MAP_BLOCK_BYTES;
    return path_space(folder, free_bytes, NULL);
}

int map_space(const struct map *map, uint64_t *file_bytes, uint64_t *free_bytes)
{
    return map_space_in(map->folder, map->kind, file_bytes, free_bytes);
}

int map_sweep(struct map *map)
{
    int dead = 0;

    int error = mdb_reader_check(map->env, &dead);
    return error != 0 ? -1 : dead;
}

/* --- copies and moves --------------------------------------------------------------------------
 */

int map_copy(const struct map *map, int fd)
{
    return map_error(map, "copy", mdb_env_copyfd2(map->env, fd, MDB_CP_COMPACT));
}

int map_data_bytes(const struct map *map, MDB_txn *txn, uint64_t *out)
{
    uint64_t pages = MAP_DATABASE_COUNT; /* what names the databases */
    MDB_stat stat = {0};

    *out = 0;
    for (unsigned i = 0; i < MAP_DATABASE_COUNT; i++) {
        if (!map_has(map, i))
            continue;
        int error = map_error(map, "stat", mdb_stat(txn, map->databases[i], &stat));
        if (error != 0)
            return error;
        pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    *out = pages * stat.ms_psize;
    return 0;
}

int map_move(struct map *map, const char *folder)
{
    char from[MAP_FILE_BYTES], to[MAP_FILE_BYTES];
    char from_lock[MAP_FILE_BYTES + 8], to_lock[MAP_FILE_BYTES + 8];

    CHECK(map->writable);
    CHECK(map_file(from, sizeof(from), map->folder, map->kind) == 0);
    if (strlen(folder) >= PATH_BYTES || map_file(to, sizeof(to), folder, map->kind) != 0)
        return E_IO;
    snprintf(from_lock, sizeof(from_lock), "%s-lock", from);
    snprintf(to_lock, sizeof(to_lock), "%s-lock", to);
    if (rename(from_lock, to_lock) != 0)
        return map_error(map, "rename", errno);
    FAILPOINT("map_lock_moved");
    if (rename(from, to) != 0)
        return map_error(map, "rename", errno);
    snprintf(map->folder, sizeof(map->folder), "%s", folder);
    return 0;
}
