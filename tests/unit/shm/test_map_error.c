/* test_map_error.c - LMDB's codes as ours. */
#include "shm/map_error.h"

#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>
#include <lmdb.h>

#include "base/error.h"
#include "base/log.h"

static char logged[LOG_LINE_BYTES];

static void keep_line(enum log_level level, const char *line, void *arg)
{
    (void)arg;
    cr_assert_eq(level, LOG_LEVEL_ERROR);
    strncpy(logged, line, sizeof(logged) - 1);
}

static void keep_lines(void)
{
    logged[0] = '\0';
    log_set_hook(keep_line, NULL);
}

Test(map_error, damage_absence_and_a_failing_disk_are_told_apart)
{
    cr_assert_eq(map_error_of(MDB_SUCCESS), 0);
    cr_assert_eq(map_error_of(MDB_NOTFOUND), E_NOT_FOUND);
    cr_assert_eq(map_error_of(ENOENT), E_NOT_FOUND);
    cr_assert_eq(map_error_of(MDB_VERSION_MISMATCH), E_VERSION);
    cr_assert_eq(map_error_of(MDB_CORRUPTED), E_CORRUPT);
    cr_assert_eq(map_error_of(MDB_PAGE_NOTFOUND), E_CORRUPT);
    cr_assert_eq(map_error_of(MDB_INVALID), E_CORRUPT);
    cr_assert_eq(map_error_of(MDB_INCOMPATIBLE), E_CORRUPT);
    cr_assert_eq(map_error_of(MDB_MAP_FULL), E_IO);
    cr_assert_eq(map_error_of(EIO), E_IO);
}

Test(map_error, what_must_be_there_and_is_not_is_damage, .init = keep_lines)
{
    cr_assert_eq(map_error_unless_done("put", MDB_SUCCESS), 0);
    cr_assert_str_eq(logged, "");
    cr_assert_eq(map_error_unless_done("get", MDB_NOTFOUND), E_CORRUPT);
    cr_assert_not_null(strstr(logged, "event=map_corrupt call=get error="), "%s", logged);
    cr_assert_eq(map_error_unless_done("put", MDB_MAP_FULL), E_IO);
    cr_assert_not_null(strstr(logged, "event=map_failed call=put error="), "%s", logged);
}

Test(map_error, the_line_names_folder_and_call, .init = keep_lines)
{
    map_error_log("/somewhere", "env_open", MDB_INVALID);
    cr_assert_not_null(strstr(logged, "event=map_corrupt call=env_open"), "%s", logged);
    cr_assert_not_null(strstr(logged, "folder=/somewhere"), "%s", logged);
    map_error_log("/somewhere", "env_open", EIO);
    cr_assert_not_null(strstr(logged, strerror(EIO)), "%s", logged);
}
