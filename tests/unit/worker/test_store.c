/* The boot rule: which maps are used, which are thrown away, and which are left alone. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "procs/worker/store.h"

#define ROOM (1u << 20)
#define BOOT_A "aaaaaaaa-0000-4000-8000-000000000000"
#define BOOT_B "bbbbbbbb-0000-4000-8000-000000000000"

static char parent[64], folder[80];
static char warned[4096]; /* what was logged as a warning or worse */

static void keep_warnings(enum log_level level, const char *line, void *arg)
{
    (void)arg;
    if (level >= LOG_LEVEL_WARN)
        strncat(warned, line, sizeof(warned) - strlen(warned) - 1);
}

static void make_folder(void)
{
    strcpy(parent, "/tmp/insi-store-XXXXXX");
    cr_assert_not_null(mkdtemp(parent));
    snprintf(folder, sizeof(folder), "%s/values", parent);
    setenv("INSI_TEST_BOOT_ID", BOOT_A, 1);
    log_set_hook(keep_warnings, NULL);
}

static void remove_folder(void)
{
    path_remove_tree(parent);
}

TestSuite(store, .init = make_folder, .fini = remove_folder, .timeout = 30);

static unsigned losses;

static void on_losing(void *arg)
{
    (void)arg;
    losses++;
}

static int open_store(struct map **out, const char *where, enum map_kind kind, uint64_t room_bytes)
{
    const struct store_options options = {
        .folder = where, .kind = kind, .room_bytes = room_bytes, .losing = on_losing};
    int error = store_open(out, &options);
    if (error == 0 && map_is_fresh(*out))
        cr_assert_eq(store_accept(where), 0);
    return error;
}

static void open_and_write(uint64_t index)
{
    struct map *map;
    MDB_txn *txn;
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_write_commit(map, index), 0);
    map_close(&map); /* a kill leaves no less */
}

static void stop_cleanly(uint64_t index)
{
    struct map *map;
    MDB_txn *txn;
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_write_commit(map, index), 0);
    cr_assert_eq(map_sync(map), 0);
    map_close(&map);
    cr_assert_eq(store_mark_clean(folder), 0);
}

/* What an opening finds: the applied index, 0 for a map made anew. */
static uint64_t open_and_look(void)
{
    struct map *map;
    warned[0] = '\0';
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), 0);
    uint64_t index = map_applied_index(map);
    cr_assert_eq(map_is_fresh(map), index == 0);
    map_close(&map);
    return index;
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void remove_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    cr_assert_eq(unlink(path), 0);
}

/* ---- the rule ---- */

Test(store, a_new_map_is_made_without_a_warning)
{
    struct stat status;
    cr_assert_eq(open_and_look(), 0);
    cr_assert_str_eq(warned, "");
    cr_assert_eq(stat(folder, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
}

Test(store, a_killed_process_s_map_is_used_within_the_same_boot)
{
    open_and_write(5);
    cr_assert_eq(open_and_look(), 5);
    cr_assert_str_eq(warned, "");
}

Test(store, a_map_that_was_open_when_the_system_went_down_is_thrown_away)
{
    open_and_write(5);
    setenv("INSI_TEST_BOOT_ID", BOOT_B, 1);
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "event=map_discarded"));
    open_and_write(6);
    cr_assert_eq(open_and_look(), 6, "the new one is of this boot");
}

Test(store, a_map_that_was_closed_cleanly_is_used_after_any_boot)
{
    stop_cleanly(5);
    setenv("INSI_TEST_BOOT_ID", BOOT_B, 1);
    cr_assert_eq(open_and_look(), 5);
    cr_assert_str_eq(warned, "");
}

Test(store, a_clean_stop_is_forgotten_by_the_next_opening)
{
    stop_cleanly(5);
    setenv("INSI_TEST_BOOT_ID", BOOT_B, 1);
    open_and_write(6);
    setenv("INSI_TEST_BOOT_ID", BOOT_A, 1);
    cr_assert_eq(open_and_look(), 0);
}

Test(store, the_mark_is_of_this_boot_before_anything_is_written)
{
    stop_cleanly(5);
    setenv("INSI_TEST_BOOT_ID", BOOT_B, 1);
    cr_assert_eq(open_and_look(), 5); /* nothing was written, and yet it could have been */
    setenv("INSI_TEST_BOOT_ID", BOOT_A, 1);
    cr_assert_eq(open_and_look(), 0);
}

Test(store, a_map_without_a_mark_is_thrown_away)
{
    open_and_write(5);
    remove_file("mark");
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "no mark"));
}

Test(store, a_damaged_mark_vouches_for_nothing)
{
    static const char *const marks[] = {
        "",
        "insi-map 1\n",
        "insi-map 1\nboot " BOOT_A "\n",
        "insi-map 2\nboot " BOOT_A "\nclean 1\n",
        "insi-map 1\nboot " BOOT_A "\nclean 2\n",
        "insi-map 1\nboot " BOOT_A "\nclean 1\nmore",
        "nonsense",
    };
    for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        open_and_write(5);
        write_file("mark", marks[i]);
        cr_assert_eq(open_and_look(), 0, "mark %u", i);
        cr_assert_not_null(strstr(warned, "damaged"));
    }
    open_and_write(5);
    write_file("mark", "insi-map 1\nboot " BOOT_A "\nclean 0\n"); /* as it is written */
    cr_assert_eq(open_and_look(), 5);
}

Test(store, an_unknown_boot_is_not_the_same_as_itself)
{
    setenv("INSI_TEST_BOOT_ID", "unknown", 1);
    open_and_write(5);
    cr_assert_eq(open_and_look(), 0);
    stop_cleanly(6);
    cr_assert_eq(open_and_look(), 6);
}

/* ---- maps that cannot be opened ---- */

Test(store, a_corrupt_map_is_thrown_away_with_a_warning)
{
    open_and_write(5);
    write_file("values.mdb", "this is no map, though it has the name of one");
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "event=map_discarded"));
    open_and_write(6);
    cr_assert_eq(open_and_look(), 6);
}

Test(store, a_map_of_another_format_or_kind_is_thrown_away)
{
    struct map *map;
    MDB_txn *txn;
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_meta_put(map, txn, "format", 99), 0);
    cr_assert_eq(map_write_commit(map, 5), 0);
    map_close(&map);
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "event=map_discarded"));

    char from[128], to[128];
    cr_assert_eq(open_store(&map, folder, MAP_EVENTS, ROOM), 0);
    map_close(&map);
    snprintf(from, sizeof(from), "%s/events.mdb", folder);
    snprintf(to, sizeof(to), "%s/values.mdb", folder);
    cr_assert_eq(rename(from, to), 0);
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "event=map_discarded"));
}

Test(store, a_map_that_cannot_be_reached_is_left_alone)
{
    char path[128];
    struct stat status;
    struct map *map;
    snprintf(path, sizeof(path), "%s/values.mdb/data", folder);
    cr_assert_eq(path_make_folder(path), 0); /* a folder in its place: open says EISDIR */
    write_file("mark", "insi-map 1\nboot " BOOT_A "\nclean 0\n");
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), E_IO);
    cr_assert_null(map);
    cr_assert_not_null(strstr(warned, "event=map_open_failed"));
    cr_assert_eq(stat(path, &status), 0, "it is still there");
}

Test(store, a_mark_that_cannot_be_read_leaves_the_map_alone)
{
    char path[128];
    struct map *map;
    open_and_write(5);
    remove_file("mark");
    snprintf(path, sizeof(path), "%s/mark", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), E_IO);
    cr_assert(map_exists(folder, MAP_VALUES));
}

Test(store, a_folder_that_cannot_be_made_is_a_clear_error)
{
    struct map *map;
    cr_assert_eq(open_store(&map, "/proc/no/such/folder", MAP_VOLATILE, ROOM), E_IO);
    cr_assert_not_null(strstr(warned, "event=map_folder_failed"));
    cr_assert_not_null(strstr(warned, "/proc/no/such/folder"));
}

Test(store, no_map_is_made_where_there_is_no_room_but_one_that_exists_is_used)
{
    struct map *map;
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, 1ull << 60), E_IO);
    cr_assert_null(map);
    cr_assert_not_null(strstr(warned, "event=map_has_no_room"));
    cr_assert(!map_exists(folder, MAP_VALUES));
    open_and_write(5);
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, 1ull << 60), 0);
    cr_assert_eq(map_applied_index(map), 5);
    map_close(&map);
}

/* ---- throwing away ---- */

Test(store, a_discarded_map_is_gone_also_while_it_is_open)
{
    struct map *map;
    cr_assert_eq(open_store(&map, folder, MAP_VALUES, ROOM), 0);
    cr_assert_eq(store_discard(folder, "a test"), 0);
    cr_assert(!map_exists(folder, MAP_VALUES));
    map_close(&map);
    cr_assert_eq(open_and_look(), 0);
    cr_assert_str_eq(warned, "", "there was nothing to throw away");
}
