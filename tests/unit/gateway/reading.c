/* reading.c - see reading.h. */
#include "tests/unit/gateway/reading.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"

struct reading reading;

static int wire_ask(void *arg, uint64_t question)
{
    (void)arg;
    if (reading.ask_error == 0)
        reading.questions[reading.question_count++] = question;
    return reading.ask_error;
}

static int wire_await(void *arg, uint64_t index)
{
    (void)arg;
    if (reading.await_error == 0)
        reading.awaited[reading.awaited_count++] = index;
    return reading.await_error;
}

static uint64_t wire_now(void *arg)
{
    (void)arg;
    return reading.now_ns;
}

struct board_lease reading_lease(uint64_t term, uint64_t end_ns, uint64_t commit)
{
    return (struct board_lease){
        .epoch = 1, .term = term, .lease_end_ns = end_ns, .commit_index = commit};
}

void reading_write_lease(uint64_t term, uint64_t end_ns, uint64_t commit)
{
    const struct board_lease record = reading_lease(term, end_ns, commit);
    board_write_lease(reading.board, &record);
}

void reading_start(void)
{
    const struct read_wire wire = {.ask = wire_ask, .await = wire_await, .now_ns = wire_now};
    strcpy(reading.dir, "/tmp/insi-read-XXXXXX");
    cr_assert_not_null(mkdtemp(reading.dir));
    snprintf(reading.board_path, sizeof(reading.board_path), "%s/board", reading.dir);
    snprintf(reading.folder, sizeof(reading.folder), "%s/values", reading.dir);
    cr_assert_eq(board_create(reading.board_path), 0);
    cr_assert_eq(board_open(&reading.board, reading.board_path, true), 0);
    reading.now_ns = 1000 * NS_PER_S;
    reading.reads = reads_new(reading.board, reading.folder, MAP_VALUES, PROC_STORAGE, &wire);
}

void reading_stop(void)
{
    reads_free(&reading.reads);
    map_close(&reading.writer);
    board_close(&reading.board);
    cr_expect_eq(path_remove_tree(reading.dir), 0);
}

void reading_make_map(void)
{
    cr_assert_eq(map_open_writer(&reading.writer, reading.folder, MAP_VALUES), 0);
    board_raise_generation(reading.board, PROC_STORAGE);
}

void reading_store(uint64_t index)
{
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(reading.writer, &txn), 0);
    cr_assert_eq(map_write_commit(reading.writer, index), 0);
}

void reading_apply(uint64_t index)
{
    reading_store(index);
    board_write_applied(reading.board, PROC_STORAGE, index);
}

static int on_look(struct map *map, MDB_txn *txn, void *arg)
{
    struct look *look = arg;
    look->count++;
    if (look->meanwhile != NULL)
        look->meanwhile();
    return map_read_applied(map, txn, &look->index);
}

int reading_try_read(enum read_mode mode, uint64_t index, struct look *look)
{
    *look = (struct look){.meanwhile = look->meanwhile};
    return read_now(reading.reads, mode, index, on_look, look);
}

void reading_on_wake(void *arg, int error, enum read_mode mode, uint64_t index)
{
    struct waiter *waiter = arg;
    waiter->woken++;
    waiter->error = error;
    waiter->mode = mode;
    waiter->index = index;
}

void reading_begin(struct waiter *waiter, enum read_mode mode)
{
    *waiter = (struct waiter){
        .wait = {.wake = reading_on_wake, .deadline_ns = reading.now_ns + NS_PER_S}};
    waiter->wait.arg = waiter;
    cr_assert_eq(read_wait_begin(reading.reads, &waiter->wait, mode, waiter->index), 0);
}

void reading_apply_and_tell(uint64_t index)
{
    reading_apply(index);
    reads_on_applied(reading.reads, index);
}
