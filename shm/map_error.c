/* map_error.c - see map_error.h. */
#include "shm/map_error.h"

#include <errno.h>
#include <stddef.h>

#include <lmdb.h>

#include "base/error.h"
#include "base/log.h"

int map_error_of(int lmdb_error)
{
    switch (lmdb_error) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
    case ENOENT:
        return E_NOT_FOUND;
    case MDB_VERSION_MISMATCH:
        return E_VERSION;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return E_CORRUPT;
    default:
        return E_IO;
    }
}

void map_error_log(const char *folder, const char *call, int lmdb_error)
{
    const int error = map_error_of(lmdb_error);
    const struct log_field fields[] = {LOG_STR("call", call),
                                       LOG_STR("error", mdb_strerror(lmdb_error)),
                                       LOG_STR("folder", folder)};
    log_write(LOG_LEVEL_ERROR,
              error == E_CORRUPT || error == E_NOT_FOUND ? "map_corrupt" : "map_failed", fields,
              folder != NULL ? 3 : 2);
}

int map_error_unless_done(const char *call, int lmdb_error)
{
    const int error = map_error_of(lmdb_error);
    if (error == 0)
        return 0;
    map_error_log(NULL, call, lmdb_error);
    return error == E_NOT_FOUND ? E_CORRUPT : error;
}
