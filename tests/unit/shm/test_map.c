/* Maps: one writer process and reader processes, whoever of them dies, and files that are no maps.
 */
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
#include "shm/map.h"

static char folder[64];

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/insi-map-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
}

static void remove_folder(void)
{
    path_remove_tree(folder);
}

TestSuite(map, .init = make_folder, .fini = remove_folder, .timeout = 60);

static struct map *open_writer(enum map_kind kind)
{
    struct map *map;
    int error = map_open_writer(&map, folder, kind);
    cr_assert_eq(error, 0, "%s", error_text(error));
    return map;
}

static struct map *open_reader(void)
{
    struct map *map;
    int error = map_open_reader(&map, folder, MAP_VALUES);
    cr_assert_eq(error, 0, "%s", error_text(error));
    return map;
}

static void put(struct map *map, MDB_txn *txn, const char *key, const void *value, size_t len)
{
    MDB_val k = {strlen(key), (void *)key}, v = {len, (void *)value};
    cr_assert_eq(mdb_put(txn, map_database(map, MAP_VALUES_DB), &k, &v, 0), 0);
}

static void commit_one(struct map *map, const char *key, uint64_t value, uint64_t index)
{
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    put(map, txn, key, &value, sizeof(value));
    cr_assert_eq(map_write_commit(map, index), 0);
}

/* 0 when there is no such key */
static uint64_t get(struct map *map, MDB_txn *txn, const char *key)
{
    MDB_val k = {strlen(key), (void *)key}, v;
    uint64_t value = 0;
    int error = mdb_get(txn, map_database(map, MAP_VALUES_DB), &k, &v);
    if (error == MDB_NOTFOUND)
        return 0;
    cr_assert_eq(error, 0);
    memcpy(&value, v.mv_data, sizeof(value));
    return value;
}

static uint64_t read_one(struct map *map, const char *key)
{
    MDB_txn *txn;
    cr_assert_eq(map_read_begin(map, &txn), 0);
    uint64_t value = get(map, txn, key);
    map_read_end(map);
    return value;
}

/* ---- processes: a child is forked before this process opens a map, and told when to go on ---- */

struct child {
    pid_t pid;
    int to, from;
};

static char wait_for(int fd)
{
    char byte = 0;
    ssize_t got;
    do {
        got = read(fd, &byte, 1);
    } while (got < 0);
    return byte;
}

static void tell(int fd, char byte)
{
    cr_assert_eq(write(fd, &byte, 1), 1);
}

/* The child calls run with a pipe from and to this process, and exits with what it returns. */
static struct child fork_child(int (*run)(int from, int to))
{
    int down[2], up[2];
    cr_assert_eq(pipe2(down, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(up, O_CLOEXEC), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        close(down[1]);
        close(up[0]);
        _exit(run(down[0], up[1]));
    }
    close(down[0]);
    close(up[1]);
    return (struct child){pid, down[1], up[0]};
}

static int end_of(struct child *child)
{
    int status;
    close(child->to);
    cr_assert_eq(waitpid(child->pid, &status, 0), child->pid);
    close(child->from);
    return status;
}

static void kill_child(struct child *child)
{
    kill(child->pid, SIGKILL);
    end_of(child);
}

/* ---- opening ---- */

Test(map, a_reader_finds_nothing_and_leaves_nothing_before_the_writer_made_the_map)
{
    struct map *map;
    char path[128];
    struct stat status;
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), E_NOT_FOUND);
    cr_assert_null(map);
    snprintf(path, sizeof(path), "%s/values.mdb-lock", folder);
    cr_assert_neq(stat(path, &status), 0);
    cr_assert(!map_exists(folder, MAP_VALUES));
    snprintf(path, sizeof(path), "%s/values.mdb", folder);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* the writer has only just begun */
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), E_NOT_FOUND);
}

Test(map, only_the_opening_that_made_it_calls_a_map_fresh)
{
    struct map *map = open_writer(MAP_VALUES);
    struct stat status;
    char path[128];
    cr_assert(map_is_fresh(map));
    cr_assert_eq(map_applied_index(map), 0);
    map_close(&map);
    cr_assert_null(map);
    map = open_writer(MAP_VALUES);
    cr_assert(!map_is_fresh(map));
    map_close(&map);
    cr_assert(map_exists(folder, MAP_VALUES));
    snprintf(path, sizeof(path), "%s/values.mdb", folder);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
}

Test(map, the_applied_index_and_numbers_in_meta_outlive_the_process_that_wrote_them)
{
    struct map *map = open_writer(MAP_EVENTS);
    uint8_t bytes[16] = "0123456789abcde", found[16];
    uint64_t number;
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_meta_get(map, txn, "hash", &number), 0);
    cr_assert_eq(number, 0);
    cr_assert_eq(map_meta_put(map, txn, "hash", 1ull << 63), 0);
    cr_assert_eq(map_meta_put_bytes(map, txn, "lineage", bytes, sizeof(bytes)), 0);
    cr_assert_eq(map_write_commit(map, 77), 0);
    map_close(&map);
    map = open_writer(MAP_EVENTS);
    cr_assert_eq(map_applied_index(map), 77);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_meta_get(map, txn, "hash", &number), 0);
    cr_assert_eq(number, 1ull << 63);
    cr_assert_eq(map_meta_get_bytes(map, txn, "lineage", found, sizeof(found)), 0);
    cr_assert_arr_eq(found, bytes, sizeof(bytes));
    cr_assert_eq(map_meta_get(map, txn, "lineage", &number), E_CORRUPT);
    map_write_abort(map);
    map_close(&map);
}

Test(map, what_was_aborted_never_was)
{
    struct map *map = open_writer(MAP_VALUES);
    MDB_txn *txn;
    uint64_t value = 5;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    put(map, txn, "key", &value, sizeof(value));
    map_write_abort(map);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(get(map, txn, "key"), 0);
    map_write_abort(map);
    cr_assert_eq(map_applied_index(map), 0);
    map_close(&map);
}

Test(map, an_applied_index_that_goes_back_is_a_bug, .signal = SIGABRT)
{
    struct map *map = open_writer(MAP_VALUES);
    MDB_txn *txn;
    commit_one(map, "key", 1, 10);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    remove_folder(); /* nobody does after the abort */
    map_write_commit(map, 9);
}

static void rename_map(const char *from, const char *to)
{
    char source[128], target[128];
    snprintf(source, sizeof(source), "%s/%s", folder, from);
    snprintf(target, sizeof(target), "%s/%s", folder, to);
    cr_assert_eq(rename(source, target), 0);
}

Test(map, a_map_of_another_kind_is_foreign)
{
    struct map *map = open_writer(MAP_EVENTS);
    map_close(&map);
    rename_map("events.mdb", "volatile.mdb");
    cr_assert_eq(map_open_writer(&map, folder, MAP_VOLATILE), E_FOREIGN);
    cr_assert_null(map);
    cr_assert_eq(map_open_reader(&map, folder, MAP_VOLATILE), E_FOREIGN);
}

Test(map, a_database_that_an_earlier_program_did_not_make_is_made_by_the_writer)
{
    struct map *map = open_writer(MAP_VALUES);
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(mdb_drop(txn, map_database(map, MAP_ATOMICS), 1), 0);
    cr_assert_eq(map_write_commit(map, 5), 0);
    map_close(&map);
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), E_NOT_FOUND);
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), 0);
    cr_assert(!map_is_fresh(map));
    cr_assert_eq(map_applied_index(map), 5);
    map_close(&map);
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), 0);
    map_close(&map);
}

Test(map, a_map_of_another_format_is_not_opened)
{
    struct map *map = open_writer(MAP_VALUES);
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(map_meta_put(map, txn, "format", 99), 0);
    cr_assert_eq(map_write_commit(map, 0), 0);
    map_close(&map);
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), E_VERSION);
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), E_VERSION);
}

static void write_at(const char *name, off_t offset, const void *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, len, offset), (ssize_t)len);
    close(fd);
}

Test(map, a_file_that_is_no_map_is_corrupt)
{
    static const char garbage[10000] = "this is no map";
    struct map *map;
    write_at("values.mdb", 0, garbage, sizeof(garbage));
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), E_CORRUPT);
    cr_assert_eq(map_open_reader(&map, folder, MAP_VALUES), E_CORRUPT);
    write_at("volatile.mdb", 0, garbage, 10);
    cr_assert_eq(map_open_writer(&map, folder, MAP_VOLATILE), E_CORRUPT);
}

Test(map, a_map_of_another_lmdb_is_of_another_version)
{
    uint32_t version = 999;
    struct map *map = open_writer(MAP_VALUES);
    map_close(&map);
    for (off_t page = 0; page < 2; page++) /* behind the page's head and the magic number */
        write_at("values.mdb", page * 4096 + 20, &version, sizeof(version));
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), E_VERSION);
}

Test(map, what_cannot_be_opened_at_all_is_an_input_output_error)
{
    char path[128];
    struct map *map;
    snprintf(path, sizeof(path), "%s/values.mdb", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(map_open_writer(&map, folder, MAP_VALUES), E_IO);
    cr_assert_eq(map_open_writer(&map, "/proc/no/such/folder", MAP_VALUES), E_IO);
    snprintf(path, sizeof(path), "%s/file", folder);
    write_at("file", 0, "x", 1);
    cr_assert_eq(map_open_writer(&map, path, MAP_VALUES), E_IO);
}

Test(map, room_is_what_the_file_system_has_left)
{
    struct map *map = open_writer(MAP_VALUES);
    cr_assert(map_has_room(map, 1));
    cr_assert(!map_has_room(map, 1ull << 60));
    map_close(&map);
}

/* ---- several processes ---- */

static int read_what_is_committed(int from, int to)
{
    struct map *map = NULL;
    wait_for(from);
    int ok = map_open_reader(&map, folder, MAP_VALUES) == 0 && map_applied_index(map) == 3;
    ok = ok && read_one(map, "key") == 30; /* the open transaction is not seen */
    tell(to, 'r');
    wait_for(from);
    ok = ok && read_one(map, "key") == 40;
    map_close(&map);
    return ok ? 0 : 1;
}

Test(map, a_reader_sees_what_was_committed_and_nothing_else)
{
    struct child child = fork_child(read_what_is_committed);
    struct map *map = open_writer(MAP_VALUES);
    uint64_t value = 40;
    MDB_txn *txn;
    commit_one(map, "key", 30, 3);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    put(map, txn, "key", &value, sizeof(value));
    tell(child.to, 'g');
    cr_assert_eq(wait_for(child.from), 'r');
    cr_assert_eq(map_write_commit(map, 4), 0);
    tell(child.to, 'g');
    cr_assert_eq(end_of(&child), 0);
    map_close(&map);
}

static int read_for_ever(int from, int to)
{
    struct map *map = NULL;
    MDB_txn *txn;
    wait_for(from);
    if (map_open_reader(&map, folder, MAP_VALUES) != 0 || map_read_begin(map, &txn) != 0)
        return 1;
    tell(to, 'r');
    wait_for(from);
    return 1;
}

static uint64_t blocks_of_map(void)
{
    char path[128];
    struct stat status;
    snprintf(path, sizeof(path), "%s/values.mdb", folder);
    cr_assert_eq(stat(path, &status), 0);
    return (uint64_t)status.st_blocks;
}

static void rewrite(struct map *map, unsigned rounds, uint64_t *index)
{
    static char value[8000]; /* overflow pages, so that growth is plain */
    for (unsigned i = 0; i < rounds; i++) {
        MDB_txn *txn;
        cr_assert_eq(map_write_begin(map, &txn), 0);
        put(map, txn, "big", value, sizeof(value));
        cr_assert_eq(map_write_commit(map, ++*index), 0);
    }
}

Test(map, a_reader_killed_within_a_read_holds_pages_until_it_is_swept)
{
    struct child child = fork_child(read_for_ever);
    struct map *map = open_writer(MAP_VALUES);
    uint64_t index = 1;
    rewrite(map, 1, &index);
    tell(child.to, 'g');
    cr_assert_eq(wait_for(child.from), 'r');
    cr_assert_eq(map_sweep(map), 0, "it lives");
    kill_child(&child);
    rewrite(map, 200, &index);
    uint64_t held = blocks_of_map();
    cr_assert_eq(map_sweep(map), 1);
    cr_assert_eq(map_sweep(map), 0);
    rewrite(map, 50, &index); /* what was held is used again */
    uint64_t swept = blocks_of_map();
    rewrite(map, 400, &index);
    cr_assert_leq(swept, held + 100);
    cr_assert_eq(blocks_of_map(), swept);
    map_close(&map);
}

static int die_while_writing(int from, int to)
{
    struct map *map = NULL;
    MDB_txn *txn;
    uint64_t value = 666;
    if (map_open_writer(&map, folder, MAP_VALUES) != 0)
        return 1;
    commit_one(map, "key", 30, 3);
    tell(to, 'c');
    wait_for(from);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i);
        put(map, txn, key, &value, sizeof(value));
    }
    put(map, txn, "key", &value, sizeof(value));
    tell(to, 'w');
    wait_for(from);
    return 1;
}

Test(map, a_writer_killed_within_a_transaction_leaves_the_last_commit)
{
    struct child child = fork_child(die_while_writing);
    cr_assert_eq(wait_for(child.from), 'c');
    struct map *reader = open_reader();
    tell(child.to, 'g');
    cr_assert_eq(wait_for(child.from), 'w');
    kill_child(&child);
    cr_assert_eq(read_one(reader, "key"), 30);
    /* A process may open an environment once only, so another one is the next writer. */
    pid_t pid = fork();
    if (pid == 0) {
        struct map *map = NULL;
        if (map_open_writer(&map, folder, MAP_VALUES) != 0 || map_applied_index(map) != 3)
            _exit(1);
        commit_one(map, "key", 40, 4);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert_eq(read_one(reader, "key"), 40);
    cr_assert_eq(read_one(reader, "key17"), 0);
    map_close(&reader);
}

static int commit_pairs(int from, int to)
{
    struct map *map = NULL;
    (void)from;
    if (map_open_writer(&map, folder, MAP_VALUES) != 0)
        return 1;
    for (uint64_t n = 1;; n++) {
        MDB_txn *txn;
        if (map_write_begin(map, &txn) != 0)
            return 1;
        put(map, txn, "left", &n, sizeof(n));
        put(map, txn, "right", &n, sizeof(n));
        if (map_write_commit(map, n) != 0)
            return 1;
        if (n == 1)
            tell(to, 'c');
    }
}

/* A read that would pair one commit's number with another's roots would see half a transaction. */
Test(map, every_read_under_fast_commits_is_one_whole_and_never_an_older_one)
{
    struct child child = fork_child(commit_pairs);
    cr_assert_eq(wait_for(child.from), 'c');
    struct map *reader = open_reader();
    uint64_t last = 0, first = read_one(reader, "left");
    for (unsigned i = 0; i < 100000 || last < first + 1000; i++) {
        MDB_txn *txn;
        cr_assert_eq(map_read_begin(reader, &txn), 0);
        uint64_t left = get(reader, txn, "left"), right = get(reader, txn, "right");
        map_read_end(reader);
        cr_assert_eq(left, right);
        cr_assert_geq(left, last);
        last = left;
    }
    kill_child(&child);
    map_close(&reader);
}
