/* insi-cacheq as its neighbours see it: pops that wait get two results, whatever is killed in
 * between, and a leader's process has removed what nobody needs. */
#include <stdio.h>

#include "rig.h"
#include "shm/volatile.h"

#define ENTRIES 50
#define START_MS 1000000 /* the stamps of the rig begin here */

static void start(void)
{
    struct board *board;
    rig_init(PROC_CACHEQ);
    cr_assert_eq(board_open(&board, rig.paths.board, true), 0);
    board_write_clock_offset(board, (int64_t)START_MS - (int64_t)clock_boot_ms());
    board_close(&board);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 1 && link_is_up(rig.gateway));
    rig_open_session();
}

TestSuite(cacheq, .init = start, .fini = rig_fini, .timeout = 120);

static void become_leader(void)
{
    rig.is_leader = true;
    cr_assert_eq(msg_role_send(rig.raft, &(struct msg_role){true, 1}), 0);
}

static uint64_t append_queue(enum command_operation operation, const char *item)
{
    struct command command = {.operation = operation,
                              .scope = rig_scope,
                              .key = slice_text("queue"),
                              .limit_bytes = UINT64_MAX};
    if (operation == COMMAND_QUEUE_PUSH)
        command.value = slice_text(item);
    if (operation == COMMAND_QUEUE_POP)
        command.wait_ms = 60000;
    return rig_append(&command);
}

static uint64_t count_records(enum map_database database)
{
    struct map *map;
    MDB_stat stat;
    MDB_txn *txn;
    cr_assert_eq(map_open_reader(&map, rig.paths.volatile_map, MAP_VOLATILE), 0);
    cr_assert_eq(map_read_begin(map, &txn), 0);
    cr_assert_eq(mdb_stat(txn, map_database(map, database), &stat), 0);
    map_read_end(map);
    map_close(&map);
    return stat.ms_entries;
}

static void wait_in_queue(void)
{
    append_queue(COMMAND_QUEUE_NEW, NULL);
    append_queue(COMMAND_QUEUE_POP, NULL); /* number 3 */
    rig_stream();
    RIG_WAIT_FOR(rig.results[3].count == 1);
    cr_assert_eq(rig.results[3].error, E_QUEUE_WAITING);
}

static void expect_item(uint64_t push_index)
{
    RIG_WAIT_FOR(rig.results[3].error == 0);
    cr_assert_str_eq(rig.results[3].detail, "item");
    cr_assert_eq(rig.results[3].index, push_index);
}

Test(cacheq, a_pop_that_waits_gets_its_item_as_a_second_result)
{
    wait_in_queue();
    uint64_t push_index = append_queue(COMMAND_QUEUE_PUSH, "item");
    rig_stream();
    expect_item(push_index);
    RIG_WAIT_FOR(rig.results[4].count == 1);
    cr_assert_str_eq(rig.results[4].detail, "0");
}

Test(cacheq, a_process_that_is_killed_while_a_pop_waits_still_feeds_it)
{
    wait_in_queue();
    rig_kill(SIGKILL);
    uint64_t push_index = append_queue(COMMAND_QUEUE_PUSH, "item");
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    rig_stream();
    expect_item(push_index);
}

Test(cacheq, a_gateway_that_was_not_connected_is_told_the_final_result)
{
    wait_in_queue();
    rig_close_gateway();
    uint64_t push_index = append_queue(COMMAND_QUEUE_PUSH, "item");
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == push_index);
    rig_open_gateway();
    expect_item(push_index);
}

static void append_entries(unsigned count, uint64_t ttl_ms)
{
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        rig_append(&(struct command){.operation = COMMAND_CACHE_SET,
                                     .scope = rig_scope,
                                     .key = slice_text(key),
                                     .value = slice_text("value"),
                                     .ttl_ms = ttl_ms,
                                     .limit_bytes = UINT64_MAX});
    }
}

Test(cacheq, a_leader_has_what_is_due_removed_and_then_rests)
{
    append_entries(ENTRIES, ENTRIES);
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == rig.last_index);
    cr_assert_eq(rig.proposals, 0);
    uint64_t entries = count_records(MAP_CACHE);
    cr_assert_gt(entries, 0);
    become_leader();
    RIG_WAIT_FOR(count_records(MAP_CACHE) < entries);
    for (unsigned i = 0; i < 10; i++)
        append_entries(1, 1); /* stamps move on */
    rig_stream();
    RIG_WAIT_FOR(count_records(MAP_CACHE) <= 1);
    RIG_WAIT_FOR(count_records(MAP_CACHE) == 0);
    unsigned proposals = rig.proposals;
    uint64_t end_ms = clock_boot_ms() + 1500;
    while (clock_boot_ms() < end_ms)
        rig_turn(50);
    cr_assert_leq(rig.proposals, proposals + 1);
}

Test(cacheq, a_follower_proposes_nothing)
{
    append_entries(10, 1);
    rig_stream();
    uint64_t end_ms = clock_boot_ms() + 1500;
    while (clock_boot_ms() < end_ms)
        rig_turn(50);
    cr_assert_eq(rig.proposals, 0);
}

Test(cacheq, a_leader_has_a_deleted_queue_removed_step_by_step_whatever_is_lost)
{
    append_queue(COMMAND_QUEUE_NEW, NULL);
    for (unsigned i = 0; i < 5000; i++)
        append_queue(COMMAND_QUEUE_PUSH, "item");
    append_queue(COMMAND_QUEUE_DELETE, NULL);
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == rig.last_index);
    cr_assert_gt(count_records(MAP_ITEMS), 0);
    rig.drops_proposals = true;
    become_leader();
    RIG_WAIT_FOR(rig.proposals == 1);
    rig.drops_proposals = false;
    RIG_WAIT_FOR(count_records(MAP_ITEMS) == 0 && count_records(MAP_DELETED) == 0);
    cr_assert_geq(rig.proposals, 3);
}
