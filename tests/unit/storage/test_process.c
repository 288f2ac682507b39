/* The storage worker as a process: kills, restarts, lost messages, and stops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procs/storage/purger.h"
#include "procs/worker/doomed.h"
#include "rig.h"

static void open_rig(void)
{
    unsetenv("INSI_TEST_BOOT_ID");
    rig_init(PROC_STORAGE);
}

static void close_rig(void)
{
    rig_fini();
}

TestSuite(process, .init = open_rig, .fini = close_rig, .timeout = 120);

static void expect_value(const char *key, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    cr_assert_str_eq(rig_read(key), text);
}

static void wait_until_all_is_applied(void)
{
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == rig.last_index && rig.sent_index == rig.last_index);
}

static void start_with_session(void)
{
    rig_start();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_open_session();
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[1].count == 1);
}

/* ---- one write after another ---- */

Test(process, a_fresh_worker_resumes_from_nothing_and_answers_what_it_applied)
{
    static const uint8_t none[RAFT_LINEAGE_BYTES];
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 1 && link_is_up(rig.gateway));
    cr_assert_eq(rig.resume.applied_index, 0);
    cr_assert_arr_eq(rig.resume.lineage, none, sizeof(none));
    rig_open_session();
    rig_append_other();
    uint64_t index = rig_bump("key");
    rig_stream();
    RIG_WAIT_FOR(rig.results[2].count == 1);
    cr_assert_eq(rig.results[1].index, 1);
    cr_assert_eq(rig.results[2].index, index);
    cr_assert_eq(rig.results[2].error, 0);
    cr_assert_str_eq(rig.results[2].detail, "1");
    /* what was answered can be read */
    cr_assert_geq(board_read_applied(rig.board, PROC_STORAGE), index);
    expect_value("key", 1);
    RIG_WAIT_FOR(rig.applied_index == index);
    cr_assert_eq(board_read_generation(rig.board, PROC_STORAGE), 1);
}

static uint64_t stored_index(void)
{
    struct map *map;
    cr_assert_eq(map_open_reader(&map, rig.paths.values, MAP_VALUES), 0);
    uint64_t index = map_applied_index(map);
    map_close(&map);
    return index;
}

Test(process, entries_of_others_move_the_applied_index_without_a_write)
{
    start_with_session();
    for (unsigned i = 0; i < 100; i++)
        rig_append_other();
    wait_until_all_is_applied();
    RIG_WAIT_FOR(board_read_applied(rig.board, PROC_STORAGE) == 101);
    RIG_WAIT_FOR(stored_index() == 101); /* within a second or so */
    rig_kill(SIGKILL);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    cr_assert_eq(rig.resume.applied_index, 101);
}

Test(process, results_go_to_the_gateway_whose_session_it_is_and_to_nobody_else)
{
    start_with_session();
    rig_append_as(5555, 1, 1, &(struct command){.operation = COMMAND_SESSION_OPEN});
    rig_append_as(5555, 2, 1,
                  &(struct command){.operation = COMMAND_VALUE_BUMP,
                                    .scope = rig_scope,
                                    .key = slice_text("key"),
                                    .delta = 1});
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[2].count == 1);
    cr_assert_str_eq(rig.results[2].detail, "2");
    cr_assert_eq(rig.result_count, 2, "the other session's were sent here");
}

/* ---- kills ---- */

Test(process, killed_in_the_middle_of_batches_it_loses_nothing_and_doubles_nothing)
{
    enum { bumps = 20000, kills = 12 };
    rig.batch = 37;
    start_with_session();
    for (unsigned i = 0; i < bumps; i++)
        rig_bump(i % 2 == 0 ? "even" : "odd");
    unsigned resumes = rig.resumes;
    for (unsigned i = 0; i < kills; i++) {
        uint64_t goal = rig.last_index * (i + 1) / (kills + 2);
        rig_stream_part(rig.sent_index + 11); /* half a batch, and the kill falls anywhere */
        rig_stream();
        RIG_WAIT_FOR(rig.applied_index >= goal);
        rig_kill(SIGKILL);
        rig_start();
        resumes++;
        RIG_WAIT_FOR(rig.resumes == resumes);
        cr_assert_geq(rig.resume.applied_index, goal, "what it told was lost");
        cr_assert_arr_eq(rig.resume.lineage, rig.lineage, sizeof(rig.lineage));
    }
    wait_until_all_is_applied();
    expect_value("even", bumps / 2);
    expect_value("odd", bumps / 2);
    /* every result that is still in the window can be had, and is the right one */
    rig_close_gateway();
    memset(rig.results, 0, sizeof(rig.results));
    rig_open_gateway();
    RIG_WAIT_FOR(rig.results[rig.next_sequence - 1].count == 1);
    for (uint64_t sequence = rig.next_sequence - 4000; sequence < rig.next_sequence; sequence++) {
        char expected[24];
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)(sequence / 2));
        cr_assert_eq(rig.results[sequence].count, 1);
        cr_assert_eq(rig.results[sequence].index, sequence);
        cr_assert_str_eq(rig.results[sequence].detail, expected);
    }
}

Test(process, a_stream_that_breaks_off_goes_on_where_it_was)
{
    start_with_session();
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 50; i++)
            rig_bump("key");
        rig_stream_part(rig.sent_index + 17); /* and no end of the batch */
        rig_close_raft();
        rig_open_raft();
        RIG_WAIT_FOR(rig.resumes == round + 2);
    }
    wait_until_all_is_applied();
    expect_value("key", 1000);
    for (uint64_t sequence = 2; sequence <= 1001; sequence++)
        RIG_WAIT_FOR(rig.results[sequence].count == 1);
}

Test(process, entries_that_come_twice_are_applied_once)
{
    start_with_session();
    rig_bump("key");
    wait_until_all_is_applied();
    rig_append_as(RIG_SESSION, 2, 1,
                  &(struct command){.operation = COMMAND_VALUE_BUMP,
                                    .scope = rig_scope,
                                    .key = slice_text("key"),
                                    .delta = 1}); /* proposed again */
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[2].count == 2); /* with the first index: the rig looks */
    rig.sent_index = 0;                      /* a raft that forgot what was applied */
    wait_until_all_is_applied();
    expect_value("key", 1);
}

Test(process, a_gateway_that_comes_back_is_told_what_it_missed)
{
    start_with_session();
    rig_close_gateway();
    for (unsigned i = 0; i < 100; i++)
        rig_bump("key");
    wait_until_all_is_applied();
    cr_assert_eq(rig.results[50].count, 0);
    rig_open_gateway();
    RIG_WAIT_FOR(rig.results[101].count == 1);
    for (uint64_t sequence = 2; sequence <= 101; sequence++)
        cr_assert_eq(rig.results[sequence].count, 1);
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[102].count == 1);
    cr_assert_eq(rig.results[103].count, 0);
}

Test(process, what_was_applied_before_a_gateway_said_who_it_is_is_told_when_it_does)
{
    rig.is_anonymous = true;
    rig_start();
    rig_open_session();
    for (unsigned i = 0; i < 10; i++)
        rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_say_session(RIG_SESSION + 1); /* one that nobody knows */
    rig_wait_applied(0);
    RIG_WAIT_FOR(rig.told_count == 1);
    cr_assert_eq(rig.result_count, 0);
    rig_say_session(RIG_SESSION); /* on the same connection */
    RIG_WAIT_FOR(rig.results[11].count == 1);
    for (uint64_t sequence = 1; sequence <= 11; sequence++)
        cr_assert_eq(rig.results[sequence].count, 1, "%llu", (unsigned long long)sequence);
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[12].count == 1);
}

Test(process, a_gateway_may_have_several_sessions_and_gets_the_results_of_all)
{
    const struct command open = {.operation = COMMAND_SESSION_OPEN};
    start_with_session();
    rig_append_as(RIG_OTHER_SESSION, 1, 1, &open);
    wait_until_all_is_applied();
    rig_say_session(RIG_OTHER_SESSION); /* of before */
    RIG_WAIT_FOR(rig.other_results == 1);
    rig_append_as(RIG_OTHER_SESSION, 1, 1, &open);
    uint64_t sequence = rig.next_sequence;
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.other_results == 2);
    RIG_WAIT_FOR(rig.results[sequence].count == 1); /* the first one is still its own */
}

Test(process, the_sessions_that_were_told_last_stay_known)
{
    start_with_session();
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[1].count == 1);
    for (uint64_t i = 1; i < WORKER_GATEWAY_SESSIONS; i++)
        rig_say_session(RIG_OTHER_SESSION + i);
    rig_say_session(RIG_SESSION); /* which is the oldest by now */
    rig_say_session(RIG_OTHER_SESSION + WORKER_GATEWAY_SESSIONS);
    uint64_t sequence = rig.next_sequence;
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[sequence].count == 1);
    cr_assert_eq(rig.results[1].count, 1,
                 "what was told already is told only when it is asked for");
}

Test(process, who_asks_for_a_result_is_told_the_next_ones_too)
{
    rig.is_anonymous = true;
    rig_start();
    rig_open_session();
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_recall(2);
    RIG_WAIT_FOR(rig.results[2].count == 1);
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[3].count == 1);
}

Test(process, a_result_is_told_again_when_it_is_asked_for)
{
    start_with_session();
    for (unsigned i = 0; i < 10; i++)
        rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[11].count > 0);
    memset(rig.results, 0, sizeof(rig.results));
    for (uint64_t sequence = 3; sequence < 20; sequence++)
        rig_recall(sequence); /* the last ones are not applied: no answer, no harm */
    RIG_WAIT_FOR(rig.results[11].count == 1);
    cr_assert_eq(rig.results[2].count, 0);
    rig_wait_applied(0);
    RIG_WAIT_FOR(rig.told_count == 1);
    for (uint64_t sequence = 3; sequence < 20; sequence++)
        cr_assert_eq(rig.results[sequence].count, sequence <= 11 ? 1 : 0);
}

/* ---- waiting for the worker ---- */

Test(process, a_gateway_that_waits_for_an_index_is_told_when_it_is_applied)
{
    start_with_session();
    for (unsigned i = 0; i < 9; i++)
        rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_wait_applied(10); /* it is already */
    RIG_WAIT_FOR(rig.told_count == 1);
    cr_assert_eq(rig.told_index, 10);
    rig_wait_applied(30);
    rig_wait_applied(20); /* changes nothing */
    for (uint64_t i = 11; i <= 29; i++)
        rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.told_index == 29);
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.told_index == 30);
    unsigned told = rig.told_count;
    rig_bump("key"); /* nobody waits any more */
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.results[31].count == 1);
    cr_assert_eq(rig.told_count, told);
}

Test(process, others_entries_count_for_who_waits_and_are_shown_on_the_board)
{
    start_with_session();
    rig_bump("key");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_wait_applied(12);
    for (unsigned i = 0; i < 10; i++)
        rig_append_other();
    wait_until_all_is_applied();
    RIG_WAIT_FOR(rig.told_index == 12);
    cr_assert_eq(board_read_applied(rig.board, PROC_STORAGE), 12);
    rig_kill(SIGKILL); /* it had no reason to store that */
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    cr_assert_eq(board_read_applied(rig.board, PROC_STORAGE), 12, "true still");
    rig_append_other();
    rig_stream_part(rig.resume.applied_index + 1);
    RIG_WAIT_FOR(rig.applied_index >= 3);
    cr_assert_geq(board_read_applied(rig.board, PROC_STORAGE), 12, "never taken back");
    wait_until_all_is_applied();
    RIG_WAIT_FOR(board_read_applied(rig.board, PROC_STORAGE) == 13);
}

/* ---- stops, and boots ---- */

static void stop_and_expect_status(int status)
{
    int ended = rig_wait_exit();
    cr_assert(WIFEXITED(ended));
    cr_assert_eq(WEXITSTATUS(ended), status);
}

static void apply_some(unsigned count)
{
    start_with_session();
    for (unsigned i = 0; i < count; i++)
        rig_bump("key");
    wait_until_all_is_applied();
}

Test(process, it_stops_when_asked_and_its_map_outlives_the_boot)
{
    static const int ways[] = {SIGTERM, 0};
    setenv("INSI_TEST_BOOT_ID", "first", 1);
    apply_some(100);
    for (unsigned i = 0; i < 2; i++) {
        rig_bump("key");
        rig_stream();
        if (ways[i] != 0)
            kill(rig.pid, ways[i]);
        else
            rig_say(PROC_CONTROL_STOP);
        stop_and_expect_status(0);
        setenv("INSI_TEST_BOOT_ID", i == 0 ? "second" : "third", 1);
        rig_start();
        RIG_WAIT_FOR(rig.resumes == i + 2);
        cr_assert_geq(rig.resume.applied_index, 101);
        wait_until_all_is_applied();
    }
    expect_value("key", 102);
    cr_assert_eq(board_read_generation(rig.board, PROC_STORAGE), 1);
}

Test(process, after_a_crash_of_the_system_its_map_is_made_anew_from_the_log)
{
    setenv("INSI_TEST_BOOT_ID", "first", 1);
    apply_some(500);
    rig_kill(SIGKILL);
    setenv("INSI_TEST_BOOT_ID", "second", 1);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    cr_assert_eq(rig.resume.applied_index, 0);
    wait_until_all_is_applied();
    expect_value("key", 500);
    cr_assert_eq(board_read_generation(rig.board, PROC_STORAGE), 2, "readers have to reopen");
    memset(rig.results, 0, sizeof(rig.results));
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    rig_recall(400); /* the sessions come back too */
    RIG_WAIT_FOR(rig.results[400].count > 0);
    cr_assert_str_eq(rig.results[400].detail, "399");
}

Test(process, heartbeats_are_answered_and_the_supervisor_s_end_is_its_own)
{
    rig_start();
    rig_say(PROC_CONTROL_HEARTBEAT);
    rig_say(PROC_CONTROL_HEARTBEAT);
    RIG_WAIT_FOR(rig.heartbeats == 2);
    shutdown(rig.control, SHUT_RDWR);
    rig_wait_exit();
}

/* ---- rebuilding ---- */

Test(process, a_rebuild_throws_the_state_away_and_begins_anew)
{
    apply_some(100);
    rig_close_raft();
    rig.orders_rebuild = true;
    rig_open_raft();
    stop_and_expect_status(1);
    cr_assert(!map_exists(rig.paths.values, MAP_VALUES));
    cr_assert_eq(board_read_applied(rig.board, PROC_STORAGE), 0);
    rig.orders_rebuild = false;
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 3);
    cr_assert_eq(rig.resume.applied_index, 0);
    wait_until_all_is_applied();
    expect_value("key", 100);
    cr_assert_eq(board_read_generation(rig.board, PROC_STORAGE), 2);
}

Test(process, a_stream_of_another_log_is_not_applied_on_top_of_this_one)
{
    apply_some(100);
    rig_close_raft();
    rig.lineage[0] ^= 1;
    rig_open_raft();
    stop_and_expect_status(1);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 3);
    cr_assert_eq(rig.resume.applied_index, 0);
    wait_until_all_is_applied();
    expect_value("key", 100);
}

/* As a worker of another release, or a fault of ours, might leave it. */
static void put_nonsense_among_the_sessions(void)
{
    MDB_val key = {5, (void *)"12345"}, value = {1, (void *)"x"};
    struct map *map;
    MDB_txn *txn;
    cr_assert_eq(map_open_writer(&map, rig.paths.values, MAP_VALUES), 0);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    cr_assert_eq(mdb_put(txn, map_database(map, MAP_SESSIONS), &key, &value, 0), 0);
    cr_assert_eq(map_write_commit(map, map_applied_index(map)), 0);
    map_close(&map);
}

Test(process, a_map_whose_records_make_no_sense_is_thrown_away_and_made_anew)
{
    apply_some(100);
    rig_kill(SIGKILL);
    put_nonsense_among_the_sessions();
    rig_spawn();
    stop_and_expect_status(1);
    cr_assert(!map_exists(rig.paths.values, MAP_VALUES));
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    cr_assert_eq(rig.resume.applied_index, 0);
    wait_until_all_is_applied();
    expect_value("key", 100);
}

Test(process, a_rebuild_of_nothing_would_go_on_for_ever_and_stops_the_node)
{
    rig.orders_rebuild = true;
    rig_start();
    stop_and_expect_status(PROC_EXIT_STOP_NODE);
}

/* ---- purging ---- */

static const struct scope shop = {"the shop's scope"};
static const uint8_t shop_hash[SHA256_BYTES] = {7};
#define SHOP_KEYS 3000
#define SHOP_STEPS (SHOP_KEYS / DOOMED_STEP_KEYS + 1)

static void fill_shop_and_delete_its_key(void)
{
    rig_append(&(struct command){.operation = COMMAND_APIKEY_CREATE,
                                 .scope = shop,
                                 .value = slice_of(shop_hash, SHA256_BYTES),
                                 .key = slice_text("shop"),
                                 .created_ms = 1});
    for (unsigned i = 0; i < SHOP_KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        rig_append(&(struct command){.operation = COMMAND_VALUE_SET,
                                     .scope = shop,
                                     .key = slice_text(key),
                                     .value = slice_text("value")});
    }
    rig_append(&(struct command){.operation = COMMAND_APIKEY_DELETE,
                                 .value = slice_of(shop_hash, SHA256_BYTES)});
}

Test(process, the_leader_s_storage_purges_step_by_step_and_not_once_more)
{
    rig.is_leader = true;
    start_with_session();
    fill_shop_and_delete_its_key();
    rig_stream();
    RIG_WAIT_FOR(rig.proposals == SHOP_STEPS && rig.applied_index == rig.last_index);
    cr_assert_eq(rig_count_keys(&shop), 0);
    for (unsigned i = 0; i < 10; i++)
        rig_turn(10);
    cr_assert_eq(rig.proposals, SHOP_STEPS);
}

Test(process, a_follower_s_storage_proposes_nothing_until_it_leads)
{
    start_with_session();
    fill_shop_and_delete_its_key();
    wait_until_all_is_applied();
    for (unsigned i = 0; i < 10; i++)
        rig_turn(10);
    cr_assert_eq(rig.proposals, 0);
    rig.is_leader = true;
    cr_assert_eq(msg_role_send(rig.raft, &(struct msg_role){true, 2}), 0);
    RIG_WAIT_FOR(rig.proposals == SHOP_STEPS && rig.applied_index == rig.last_index);
    cr_assert_eq(rig_count_keys(&shop), 0);
}

Test(process, a_purge_goes_on_after_kills_of_the_worker_and_restarts_of_raft)
{
    rig.is_leader = true;
    start_with_session();
    fill_shop_and_delete_its_key();
    rig_stream();
    for (unsigned i = 1; i <= 3; i++) {
        RIG_WAIT_FOR(rig.proposals >= 2 * i);
        rig_kill(SIGKILL);
        rig_start();
        RIG_WAIT_FOR(rig.proposals >= 2 * i + 1);
        rig.drops_proposals = true;
        rig_close_raft();
        rig.drops_proposals = false;
        rig_open_raft();
    }
    RIG_WAIT_FOR(rig.proposals >= SHOP_STEPS && rig.applied_index == rig.last_index &&
                 rig.sent_index == rig.last_index);
    RIG_WAIT_FOR(rig_count_keys(&shop) == 0);
    cr_assert_leq(rig.proposals, SHOP_STEPS + 12, "no chain of steps may run beside another");
}

Test(process, a_proposal_that_raft_lost_is_made_again)
{
    rig.is_leader = true;
    rig.drops_proposals = true;
    start_with_session();
    fill_shop_and_delete_its_key();
    rig_stream();
    RIG_WAIT_FOR(rig.proposals == 1 && rig.applied_index == rig.last_index);
    uint64_t start_ms = clock_boot_ms();
    RIG_WAIT_FOR(rig.proposals == 2);
    cr_assert_geq(clock_boot_ms() - start_ms, PURGER_RETRY_MS - 500);
    rig.drops_proposals = false;
    RIG_WAIT_FOR(rig.proposals == 2 + SHOP_STEPS && rig.applied_index == rig.last_index);
    cr_assert_eq(rig_count_keys(&shop), 0);
}
