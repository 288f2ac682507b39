/* The boot rule: which maps are used, which are thrown away, and which are left alone. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* ---- what readers go by ---- */

Test(store, readers_lose_what_they_know_before_a_map_is_lost_and_only_then)
{
    open_and_write(5);
    cr_assert_eq(losses, 1, "the first one is made");
    cr_assert_eq(open_and_look(), 5);
    cr_assert_eq(losses, 1);
    remove_file("mark");
    cr_assert_eq(open_and_look(), 0);
    cr_assert_geq(losses, 2);
    open_and_write(6);
    losses = 0;
    write_file("values.mdb", "this is no map, though it has the name of one");
    cr_assert_eq(open_and_look(), 0);
    cr_assert_geq(losses, 1);
}

/* Whoever made it may have died before it told the readers. */
Test(store, a_map_that_was_made_counts_only_once_readers_were_told)
{
    const struct store_options options = {
        .folder = folder, .kind = MAP_VALUES, .room_bytes = ROOM, .losing = on_losing};
    struct map *map;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(store_open(&map, &options), 0);
        cr_assert(map_is_fresh(map));
        map_close(&map);
    }
    open_and_write(5);
    cr_assert_eq(open_and_look(), 5);
}

/* ---- a map from elsewhere ---- */

/* What a process does that is killed at the place of this name, or not at all. Places a map with
 * index 9 where one with index 5 was. */
static void place_in_a_process(const char *failpoint)
{
    char variable[160], path[STORE_PATH_BYTES];
    struct map *staged;
    MDB_txn *txn;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(variable, sizeof(variable), "%s:kill:%s/%s", failpoint, parent, failpoint);
        setenv("INSI_TEST_FAIL", variable, 1);
        bool is_done = store_stage(folder, MAP_VALUES, path) == 0 &&
                       store_open_staged(&staged, folder, MAP_VALUES) == 0 &&
                       map_write_begin(staged, &txn) == 0 && map_write_commit(staged, 9) == 0 &&
                       store_place(staged, folder) == 0 && store_accept(folder) == 0;
        _exit(is_done ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

Test(store, a_staged_map_takes_the_place_of_the_old_one)
{
    char path[160];
    open_and_write(5);
    place_in_a_process("nowhere");
    cr_assert_eq(open_and_look(), 9);
    cr_assert_str_eq(warned, "");
    snprintf(path, sizeof(path), "%s/staged", folder);
    cr_assert_neq(access(path, F_OK), 0);
}

Test(store, a_crash_while_maps_change_places_leaves_none_rather_than_a_wrong_one)
{
    static const char *const places[] = {"map_unmarked", "map_lock_moved"};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        open_and_write(5);
        place_in_a_process(places[i]);
        cr_assert_eq(open_and_look(), 0, "at %s", places[i]);
        cr_assert_not_null(strstr(warned, "event=map_discarded"));
    }
}

Test(store, what_was_staged_and_not_placed_is_forgotten)
{
    char path[STORE_PATH_BYTES];
    open_and_write(5);
    cr_assert_eq(store_stage(folder, MAP_VALUES, path), 0);
    write_file("staged/values.mdb", "half of a map");
    cr_assert_eq(open_and_look(), 5);
    cr_assert_neq(access(path, F_OK), 0);
}

/* A process that has the old map open goes on with it, and one that opens the place finds the new
 * one with a lock file of its own. */
Test(store, readers_of_the_old_map_do_not_disturb_the_new_one)
{
    struct map *old, *new, *writer;
    MDB_txn *txn;
    uint64_t index;
    open_and_write(5);
    cr_assert_eq(map_open_reader(&old, folder, MAP_VALUES), 0);
    cr_assert_eq(map_read_begin(old, &txn), 0);
    place_in_a_process("nowhere");
    cr_assert_eq(map_read_applied(old, txn, &index), 0);
    cr_assert_eq(index, 5);
    cr_assert_eq(open_store(&writer, folder, MAP_VALUES, ROOM), 0);
    cr_assert_eq(map_write_begin(writer, &txn), 0);
    cr_assert_eq(map_write_commit(writer, 12), 0);
    cr_assert_eq(map_open_reader(&new, folder, MAP_VALUES), 0);
    cr_assert_eq(map_applied_index(new), 12);
    map_read_end(old);
    cr_assert_eq(map_read_begin(old, &txn), 0);
    cr_assert_eq(map_read_applied(old, txn, &index), 0);
    cr_assert_eq(index, 5);
    map_read_end(old);
    map_close(&new);
    map_close(&old);
    map_close(&writer);
}

/* ---- a map that makes its process crash ---- */

static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};

static void forget_the_sanitizers_handlers(void) /* before the store has its own */
{
    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], SIG_DFL);
}

static void open_in_a_process(int signal_number, bool lasts)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct map *map;
        int error = open_store(&map, folder, MAP_VALUES, ROOM);
        if (error == 0 && lasts)
            store_forget_crashes(folder);
        if (error == 0)
            raise(signal_number);
        _exit(1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == signal_number, "status %x", status);
}

Test(store, a_map_that_crashes_its_process_again_and_again_is_given_up)
{
    forget_the_sanitizers_handlers();
    open_and_write(5);
    for (unsigned i = 0; i < STORE_CRASHES; i++)
        open_in_a_process(faults[i % 5], false);
    cr_assert_eq(open_and_look(), 0);
    cr_assert_not_null(strstr(warned, "crashed again and again"));
    open_and_write(6);
    cr_assert_eq(open_and_look(), 6, "the new one is another one");
}

Test(store, kills_from_outside_say_nothing_about_the_map)
{
    open_and_write(5);
    for (unsigned i = 0; i < 3 * STORE_CRASHES; i++)
        open_in_a_process(i % 2 == 0 ? SIGKILL : SIGTERM, false);
    cr_assert_eq(open_and_look(), 5);
}

Test(store, crashes_of_a_map_that_has_lasted_are_not_counted)
{
    forget_the_sanitizers_handlers();
    open_and_write(5);
    for (unsigned i = 0; i < 3 * STORE_CRASHES; i++)
        open_in_a_process(SIGSEGV, true);
    for (unsigned i = 0; i < STORE_CRASHES - 1; i++)
        open_in_a_process(SIGSEGV, false);
    open_in_a_process(SIGSEGV, true);
    open_in_a_process(SIGSEGV, false);
    cr_assert_eq(open_and_look(), 5);
}
