/* test_read.c - when what was read may be told: a real board and a real map, and a raft that says
 * what the test wants. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "procs/gateway/read.h"

static char dir[64], board_path[96], folder[96];
static struct board *board;
static struct map *writer;
static struct reads *reads;
static uint64_t now_ns;
static uint64_t questions[64];
static unsigned question_count;
static int ask_error;
static uint64_t awaited[64];
static unsigned awaited_count;
static int await_error;

static int wire_ask(void *arg, uint64_t question)
{
    (void)arg;
    if (ask_error == 0)
        questions[question_count++] = question;
    return ask_error;
}

static int wire_await(void *arg, uint64_t index)
{
    (void)arg;
    if (await_error == 0)
        awaited[awaited_count++] = index;
    return await_error;
}

static uint64_t wire_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static struct board_lease lease(uint64_t term, uint64_t end_ns, uint64_t commit)
{
    return (struct board_lease){
        .epoch = 1, .term = term, .lease_end_ns = end_ns, .commit_index = commit};
}

static void write_lease(uint64_t term, uint64_t end_ns, uint64_t commit)
{
    const struct board_lease record = lease(term, end_ns, commit);
    board_write_lease(board, &record);
}

static void start(void)
{
    const struct read_wire wire = {.ask = wire_ask, .await = wire_await, .now_ns = wire_now};
    strcpy(dir, "/tmp/insi-read-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(board_path, sizeof(board_path), "%s/board", dir);
    snprintf(folder, sizeof(folder), "%s/values", dir);
    cr_assert_eq(board_create(board_path), 0);
    cr_assert_eq(board_open(&board, board_path, true), 0);
    now_ns = 1000 * NS_PER_S;
    reads = reads_new(board, folder, MAP_VALUES, PROC_STORAGE, &wire);
}

static void stop(void)
{
    reads_free(&reads);
    map_close(&writer);
    board_close(&board);
    cr_expect_eq(path_remove_tree(dir), 0);
}

TestSuite(read, .init = start, .fini = stop, .timeout = 60);

static void make_map(void)
{
    cr_assert_eq(map_open_writer(&writer, folder, MAP_VALUES), 0);
    board_raise_generation(board, PROC_STORAGE);
}

static void store(uint64_t index)
{
    MDB_txn *txn;
    cr_assert_eq(map_write_begin(writer, &txn), 0);
    cr_assert_eq(map_write_commit(writer, index), 0);
}

static void apply(uint64_t index)
{
    store(index);
    board_write_applied(board, PROC_STORAGE, index);
}

struct look {
    unsigned count;
    uint64_t index; /* of the state that was seen */
    void (*meanwhile)(void);
};

static int on_look(struct map *map, MDB_txn *txn, void *arg)
{
    struct look *look = arg;
    look->count++;
    if (look->meanwhile != NULL)
        look->meanwhile();
    return map_read_applied(map, txn, &look->index);
}

static int try_read(enum read_mode mode, uint64_t index, struct look *look)
{
    *look = (struct look){.meanwhile = look->meanwhile};
    return read_now(reads, mode, index, on_look, look);
}

/* ---- by lease ---- */

Test(read, under_a_lease_without_end_a_read_is_told)
{
    struct look look = {0};
    make_map();
    apply(5);
    write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 5);
}

Test(read, without_a_lease_nothing_is_told)
{
    struct look look = {0};
    make_map();
    write_lease(1, 0, 0);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
}

Test(read, a_lease_holds_up_to_its_end_and_no_longer)
{
    struct look look = {0};
    make_map();
    write_lease(1, now_ns + 1, 0);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    now_ns++;
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
}

static void lease_runs_out(void)
{
    now_ns += NS_PER_S;
}

static void lease_is_dropped(void)
{
    board_drop_lease(board);
}

static void term_changes(void)
{
    write_lease(2, now_ns + NS_PER_S, 0);
}

static void raft_restarts(void)
{
    uint64_t epoch = board_raise_epoch(board);
    struct board_lease record = lease(1, now_ns + NS_PER_S, 0);
    record.epoch = epoch;
    board_write_lease(board, &record);
}

static void lease_is_renewed(void)
{
    write_lease(1, now_ns + 2 * NS_PER_S, 3);
}

Test(read, what_was_read_while_the_lease_ended_is_not_told)
{
    static void (*const endings[])(void) = {lease_runs_out, lease_is_dropped, term_changes,
                                            raft_restarts};
    make_map();
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        struct look look = {.meanwhile = endings[i]};
        write_lease(1, now_ns + NS_PER_S, 0);
        cr_expect_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY, "%zu", i);
        cr_expect_eq(look.count, 1, "%zu", i);
    }
}

Test(read, a_lease_that_is_only_renewed_meanwhile_is_the_same_lease)
{
    struct look look = {.meanwhile = lease_is_renewed};
    make_map();
    write_lease(1, now_ns + NS_PER_S, 0);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
}

Test(read, a_state_behind_the_announced_commit_is_not_read)
{
    struct look look = {0};
    make_map();
    apply(4);
    write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
    apply(5);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
}

Test(read, entries_of_other_workers_keep_no_read_waiting)
{
    struct look look = {0};
    make_map();
    apply(4);
    write_lease(1, BOARD_LEASE_FOREVER, 9);
    board_write_applied(board, PROC_STORAGE, 9); /* the worker does not store that at once */
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(try_read(READ_AT_INDEX, 9, &look), 0);
    cr_assert_eq(look.index, 4);
    cr_assert_eq(try_read(READ_AT_INDEX, 10, &look), E_BUSY);
}

Test(read, a_state_that_its_worker_does_not_vouch_for_is_not_read)
{
    struct look look = {0};
    make_map();
    store(204); /* of another log, say */
    write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    cr_assert_eq(try_read(READ_AT_INDEX, 5, &look), E_BUSY);
    cr_assert_eq(look.count, 0);
    board_write_applied(board, PROC_STORAGE, 204);
    cr_assert_eq(try_read(READ_AT_INDEX, 5, &look), 0);
}

Test(read, a_stale_read_needs_neither_lease_nor_leader)
{
    struct look look = {0};
    make_map();
    apply(4);
    write_lease(1, 0, 9);
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 4);
}

/* ---- the map ---- */

Test(read, a_map_that_is_not_there_yet_is_waited_for)
{
    struct look look = {0};
    write_lease(1, BOARD_LEASE_FOREVER, 0);
    cr_assert_eq(try_read(READ_STALE, 0, &look), E_BUSY);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    make_map();
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
}

static void replace_map(void)
{
    board_write_applied(board, PROC_STORAGE, 0);
    map_close(&writer);
    cr_assert_eq(path_remove_tree(folder), 0);
    make_map();
}

/* After a power cut it may be damaged: its worker looks at it first. */
Test(read, a_map_that_its_worker_has_not_shown_is_left_alone)
{
    struct look look = {0};
    char path[sizeof(folder) + 16];
    cr_assert_eq(map_open_writer(&writer, folder, MAP_VALUES), 0);
    apply(7);
    cr_assert_eq(try_read(READ_STALE, 0, &look), E_BUSY);
    map_close(&writer);
    snprintf(path, sizeof(path), "%s/values.mdb", folder);
    cr_assert_eq(truncate(path, 100), 0);
    cr_assert_eq(try_read(READ_STALE, 0, &look), E_BUSY);
    cr_assert_eq(path_remove_tree(folder), 0);
    make_map();
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.count, 1);
}

Test(read, a_map_that_was_replaced_is_opened_anew)
{
    struct look look = {0};
    make_map();
    apply(7);
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    replace_map();
    apply(2);
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 2);
    cr_assert_eq(try_read(READ_AT_INDEX, 7, &look), E_BUSY); /* it has yet to catch up */
    apply(7);
    cr_assert_eq(try_read(READ_AT_INDEX, 7, &look), 0);
}

Test(read, an_index_of_a_map_that_is_gone_counts_nothing)
{
    struct look look = {0};
    make_map();
    apply(7);
    cr_assert_eq(try_read(READ_AT_INDEX, 7, &look), 0);
    board_write_applied(board, PROC_STORAGE, 0); /* about to be thrown away */
    cr_assert_eq(try_read(READ_AT_INDEX, 7, &look), E_BUSY);
    cr_assert_eq(try_read(READ_STALE, 0, &look), 0);
    cr_assert_eq(look.index, 7); /* still the old one */
}

/* What was applied was told to clients before raft announced it: the lease record's commit index is
 * lower. */
Test(read, a_new_state_is_not_read_under_a_lease_before_it_shows_all_that_the_old_one_did)
{
    struct look look = {0};
    make_map();
    apply(9);
    write_lease(1, BOARD_LEASE_FOREVER, 5);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
    replace_map(); /* raft may be down meanwhile: nobody takes the lease back */
    for (uint64_t index = 1; index < 9; index++) {
        apply(index);
        cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY, "at %lu", index);
        cr_assert_eq(look.count, 0);
    }
    apply(9);
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
}

static void replace_map_by_older_one(void)
{
    replace_map();
    apply(6);
}

/* Stopped right after looking at the lease, for a time in which the map is lost. */
Test(read, a_map_that_is_lost_between_two_looks_is_not_told_of_in_any_order)
{
    struct look look = {0};
    make_map();
    apply(9);
    write_lease(1, BOARD_LEASE_FOREVER, 5);
    board_write_applied(board, PROC_STORAGE, 0); /* lost, and the gateway's is still the old one */
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    replace_map_by_older_one();
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
    apply(9);
    look.meanwhile = replace_map_by_older_one; /* within the transaction: what it sees stays */
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), 0);
    cr_assert_eq(look.index, 9);
    look.meanwhile = NULL;
    cr_assert_eq(try_read(READ_LINEARIZABLE, 0, &look), E_BUSY);
}

/* ---- waiting ---- */

struct waiter {
    struct read_wait wait;
    unsigned woken;
    int error;
    enum read_mode mode;
    uint64_t index;
};

static void on_wake(void *arg, int error, enum read_mode mode, uint64_t index)
{
    struct waiter *waiter = arg;
    waiter->woken++;
    waiter->error = error;
    waiter->mode = mode;
    waiter->index = index;
}

static void begin(struct waiter *waiter, enum read_mode mode)
{
    *waiter = (struct waiter){.wait = {.wake = on_wake, .deadline_ns = now_ns + NS_PER_S}};
    waiter->wait.arg = waiter;
    cr_assert_eq(read_wait_begin(reads, &waiter->wait, mode), 0);
}

Test(read, reads_of_a_turn_share_one_question)
{
    struct waiter waiters[3], late;
    make_map();
    apply(5);
    reads_on_leader(reads, true);
    for (unsigned i = 0; i < 3; i++)
        begin(&waiters[i], READ_LINEARIZABLE);
    reads_flush(reads);
    cr_assert_eq(question_count, 1);
    begin(&late, READ_LINEARIZABLE); /* asked for after the question was sent */
    reads_on_answer(reads, questions[0], 0, 5);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(waiters[i].woken, 1);
        cr_assert_eq(waiters[i].error, 0);
        cr_assert_eq(waiters[i].mode, READ_AT_INDEX);
        cr_assert_eq(waiters[i].index, 5);
    }
    cr_assert_eq(late.woken, 0);
    reads_flush(reads);
    cr_assert_eq(question_count, 2);
    cr_assert_neq(questions[0], questions[1]);
    reads_on_answer(reads, questions[1], 0, 5);
    cr_assert_eq(late.woken, 1);
    cr_assert_eq(reads_waiting(reads), 0);
    cr_assert_eq(reads_due_ns(reads), UINT64_MAX);
}

Test(read, a_later_answer_serves_earlier_questions_but_never_the_other_way_round)
{
    struct waiter first, second;
    make_map();
    apply(5);
    reads_on_leader(reads, true);
    begin(&first, READ_LINEARIZABLE);
    reads_flush(reads);
    begin(&second, READ_LINEARIZABLE);
    reads_flush(reads);
    cr_assert_eq(question_count, 2);
    reads_on_answer(reads, questions[1], 0, 5);
    cr_assert_eq(first.woken, 1);
    cr_assert_eq(second.woken, 1);
}

/* The worker applies up to the index and says so. */
static void apply_and_tell(uint64_t index)
{
    apply(index);
    reads_on_applied(reads, index);
}

Test(read, a_read_waits_until_the_worker_has_applied_the_index)
{
    struct waiter waiter;
    make_map();
    apply(5);
    reads_on_worker_up(reads);
    reads_on_leader(reads, true);
    begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reads);
    reads_on_answer(reads, questions[0], 0, 8);
    cr_assert_eq(waiter.woken, 0);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    cr_assert_eq(awaited[0], 8);
    cr_assert_eq(reads_due_ns(reads), now_ns + NS_PER_S); /* nothing polls */
    apply_and_tell(7);
    reads_flush(reads);
    cr_assert_eq(waiter.woken, 0);
    cr_assert_eq(awaited_count, 1); /* it goes on telling */
    apply_and_tell(8);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_AT_INDEX);
    cr_assert_eq(waiter.index, 8);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
}

Test(read, the_worker_is_asked_once_for_all_and_again_for_more)
{
    struct waiter waiters[3];
    make_map();
    apply(5);
    reads_on_worker_up(reads);
    reads_on_leader(reads, true);
    for (unsigned i = 0; i < 3; i++) {
        begin(&waiters[i], READ_LINEARIZABLE);
        reads_flush(reads);
    }
    reads_on_answer(reads, questions[0], 0, 8);
    reads_on_answer(reads, questions[1], 0, 10);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    cr_assert_eq(awaited[0], 10);
    reads_on_answer(reads, questions[2], 0, 12);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 2);
    cr_assert_eq(awaited[1], 12);
    apply_and_tell(9);
    cr_assert_eq(waiters[0].woken + waiters[1].woken + waiters[2].woken, 1);
    apply_and_tell(20);
    cr_assert_eq(waiters[0].woken + waiters[1].woken + waiters[2].woken, 3);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 2);
    begin(&waiters[0], READ_LINEARIZABLE); /* an earlier wait's index is forgotten */
    reads_flush(reads);
    reads_on_answer(reads, questions[3], 0, 21);
    reads_flush(reads);
    cr_assert_eq(awaited[2], 21);
}

Test(read, a_worker_that_went_is_asked_again_when_it_is_back)
{
    struct waiter waiter;
    make_map();
    apply(5);
    reads_on_worker_up(reads);
    reads_on_leader(reads, true);
    begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reads);
    reads_on_answer(reads, questions[0], 0, 8);
    reads_flush(reads);
    reads_on_worker_down(reads);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    reads_on_worker_up(reads);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 2);
    cr_assert_eq(awaited[1], 8);
    apply(8); /* and it dies before it can tell */
    reads_on_worker_down(reads);
    cr_assert_eq(waiter.woken, 0);
    reads_on_worker_up(reads);
    cr_assert_eq(waiter.woken, 1);
}

Test(read, a_worker_that_cannot_be_asked_now_is_asked_a_moment_later)
{
    struct waiter waiter;
    make_map();
    reads_on_worker_up(reads);
    reads_on_leader(reads, true);
    begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reads);
    reads_on_answer(reads, questions[0], 0, 8);
    await_error = E_BUSY;
    reads_flush(reads);
    await_error = 0;
    reads_flush(reads);
    cr_assert_eq(awaited_count, 0);
    now_ns = reads_due_ns(reads);
    reads_tick(reads);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    apply_and_tell(8);
    cr_assert_eq(waiter.woken, 1);
}

Test(read, without_a_leader_a_read_waits_for_one_and_then_for_its_deadline)
{
    struct waiter waiter;
    make_map();
    begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reads);
    cr_assert_eq(question_count, 0);
    cr_assert_eq(reads_due_ns(reads), now_ns + NS_PER_S); /* nothing polls */
    now_ns += NS_PER_S;
    reads_tick(reads);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, E_NO_LEADER);
}

Test(read, a_lease_that_comes_with_the_leader_needs_no_question)
{
    struct waiter waiter;
    make_map();
    begin(&waiter, READ_LINEARIZABLE);
    write_lease(2, BOARD_LEASE_FOREVER, 0);
    reads_on_leader(reads, true);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_LINEARIZABLE);
}

Test(read, a_question_that_was_refused_or_lost_is_asked_again)
{
    struct waiter waiter;
    make_map();
    apply(1);
    reads_on_leader(reads, true);
    begin(&waiter, READ_LINEARIZABLE);
    reads_flush(reads);
    reads_on_answer(reads, questions[0], E_NO_LEADER, 0);
    reads_flush(reads);
    cr_assert_eq(question_count, 1); /* not at once */
    now_ns = reads_due_ns(reads);
    reads_tick(reads);
    reads_flush(reads);
    cr_assert_eq(question_count, 2);
    reads_on_raft_down(reads);
    reads_flush(reads);
    cr_assert_eq(question_count, 2);
    reads_on_leader(reads, true);
    reads_flush(reads);
    cr_assert_eq(question_count, 3);
    reads_on_answer(reads, questions[1], 0, 1); /* of another life: nothing waits for it */
    cr_assert_eq(waiter.woken, 0);
    reads_on_answer(reads, questions[2], 0, 1);
    cr_assert_eq(waiter.woken, 1);
}

Test(read, a_stale_read_waits_for_the_map_only)
{
    struct waiter waiter;
    begin(&waiter, READ_STALE);
    reads_flush(reads);
    cr_assert_eq(question_count, 0);
    reads_tick(reads);
    cr_assert_eq(waiter.woken, 0);
    cr_assert_eq(reads_due_ns(reads), now_ns + NS_PER_S); /* nothing polls */
    make_map();
    reads_on_worker_up(reads);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.error, 0);
    cr_assert_eq(waiter.mode, READ_STALE);
}

Test(read, a_map_that_cannot_be_opened_is_tried_again_a_moment_later)
{
    struct waiter waiter;
    begin(&waiter, READ_STALE);
    reads_on_worker_up(reads); /* and there is no map */
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    cr_assert_eq(awaited[0], 0);
    reads_on_applied(reads, 0);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 1);
    make_map();
    now_ns = reads_due_ns(reads);
    reads_tick(reads);
    reads_flush(reads);
    cr_assert_eq(awaited_count, 2);
    reads_on_applied(reads, 0);
    cr_assert_eq(waiter.woken, 1);
    cr_assert_eq(waiter.mode, READ_STALE);
}

Test(read, an_impatient_read_ends_before_patient_ones_that_came_earlier)
{
    struct waiter patient, hasty;
    make_map();
    begin(&patient, READ_LINEARIZABLE);
    hasty = (struct waiter){.wait = {.wake = on_wake, .deadline_ns = now_ns + NS_PER_S / 2}};
    hasty.wait.arg = &hasty;
    cr_assert_eq(read_wait_begin(reads, &hasty.wait, READ_LINEARIZABLE), 0);
    cr_assert_eq(reads_due_ns(reads), now_ns + NS_PER_S / 2);
    now_ns += NS_PER_S / 2;
    reads_tick(reads);
    cr_assert_eq(hasty.woken, 1);
    cr_assert_eq(hasty.error, E_NO_LEADER);
    cr_assert_eq(patient.woken, 0);
    cr_assert_eq(reads_due_ns(reads), now_ns + NS_PER_S / 2);
}

/* ---- why ---- */

static void expect_obstacle(const struct waiter *waiter, const char *words)
{
    const char *obstacle = read_wait_obstacle(reads, &waiter->wait);
    cr_expect_not_null(strstr(obstacle, words), "'%s' lacks '%s'", obstacle, words);
}

Test(read, what_was_waited_for_in_vain_can_be_told)
{
    struct waiter waiter;
    struct board_lease record = lease(1, 0, 0);
    begin(&waiter, READ_STALE);
    expect_obstacle(&waiter, "starting");
    read_wait_end(reads, &waiter.wait);
    make_map();
    begin(&waiter, READ_LINEARIZABLE);
    expect_obstacle(&waiter, "raft process is starting");
    reads_on_leader(reads, false);
    expect_obstacle(&waiter, "no leader is known");
    record.standing = BOARD_STANDING_WAITING;
    board_write_lease(board, &record);
    expect_obstacle(&waiter, "no cluster yet");
    reads_on_leader(reads, true);
    reads_flush(reads);
    expect_obstacle(&waiter, "could not confirm");
    reads_on_answer(reads, questions[0], 0, 8);
    expect_obstacle(&waiter, "lag behind");
    read_wait_end(reads, &waiter.wait);
    expect_obstacle(&waiter, "lag behind");
}

Test(read, a_client_that_left_waits_no_more)
{
    struct waiter waiters[3];
    make_map();
    for (unsigned i = 0; i < 3; i++)
        begin(&waiters[i], READ_LINEARIZABLE);
    read_wait_end(reads, &waiters[1].wait);
    read_wait_end(reads, &waiters[1].wait);
    cr_assert_eq(reads_waiting(reads), 2);
    now_ns += NS_PER_S;
    reads_tick(reads);
    cr_assert_eq(waiters[0].woken + waiters[2].woken, 2);
    cr_assert_eq(waiters[1].woken, 0);
}

Test(read, the_number_of_waiting_reads_is_bounded)
{
    struct waiter *waiters = calloc(READ_WAITS_MAX + 1, sizeof(*waiters));
    for (unsigned i = 0; i < READ_WAITS_MAX; i++)
        begin(&waiters[i], READ_LINEARIZABLE);
    cr_assert_eq(read_wait_begin(reads, &waiters[READ_WAITS_MAX].wait, READ_LINEARIZABLE), E_BUSY);
    free(waiters);
}
