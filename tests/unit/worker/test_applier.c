/* Transactions: what is in one, that nothing depends on where they end, and what a kill leaves. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applying.h"
#include "base/limits.h"
#include "base/path.h"
#include "base/rng.h"

TestSuite(applier, .init = applying_init, .fini = applying_fini, .timeout = 60);

/* ---- a log of made-up entries ---- */

#define LOG_ENTRIES 3000

struct log_entry {
    uint64_t index, session, sequence, floor;
    int64_t delta; /* 0: a SET; LOG_OPEN: a SESSION_OPEN; LOG_BAD: nonsense */
};
#define LOG_OPEN INT64_MAX
#define LOG_BAD INT64_MIN

static struct log_entry entries[LOG_ENTRIES];

static void make_log(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    uint64_t index = 1, sequences[5] = {0};
    for (unsigned i = 0; i < LOG_ENTRIES; i++) {
        unsigned session = (unsigned)rng_below(&rng, 5);
        struct log_entry *entry = &entries[i];
        *entry = (struct log_entry){.index = index, .session = session};
        index += 1 + rng_below(&rng, 3); /* other workers' entries lie between */
        uint64_t kind = rng_below(&rng, 20);
        if (kind == 0 || sequences[session] == 0) {
            entry->delta = LOG_OPEN;
        } else if (kind == 1) {
            entry->delta = LOG_BAD;
        } else if (kind < 10) {
            entry->delta = (int64_t)rng_below(&rng, 50) - 10;
        }
        bool repeats = sequences[session] > 3 && rng_below(&rng, 10) == 0;
        entry->sequence = repeats ? sequences[session] - rng_below(&rng, 3) : ++sequences[session];
        entry->floor = entry->sequence > 20 ? entry->sequence - rng_below(&rng, 20) : 0;
    }
}

static struct slice entry_command(const struct log_entry *entry)
{
    static struct buf bytes = {.max = 100};
    if (entry->delta == LOG_BAD)
        return slice_text("nonsense");
    if (entry->delta != LOG_OPEN)
        return entry->delta == 0 ? command_set() : command_bump(entry->delta);
    buf_clear(&bytes);
    command_encode(&bytes, &(struct command){.operation = COMMAND_SESSION_OPEN});
    return buf_slice(&bytes);
}

static void play(unsigned i)
{
    next_index = entries[i].index;
    apply_bytes(entries[i].session, entries[i].sequence, entries[i].floor,
                entry_command(&entries[i]));
}

/* Plays the log into a fresh map, in transactions of so many entries (0: of random lengths), with
 * restarts now and then, and returns the state hash at the end. */
static uint64_t hash_of_log(unsigned batch, unsigned restart_every)
{
    struct rng rng;
    rng_init(&rng, batch);
    applying_fini();
    applying_init();
    for (unsigned i = 0; i < LOG_ENTRIES;) {
        unsigned count = batch > 0 ? batch : 1 + (unsigned)rng_below(&rng, 200);
        while (count-- > 0 && i < LOG_ENTRIES)
            play(i++);
        commit();
        if (restart_every > 0 && i % restart_every < 3)
            restart();
    }
    restart();
    return applier.state_hash;
}

/* ---- the state hash ---- */

Test(applier, the_state_hash_does_not_depend_on_batches_or_restarts)
{
    make_log(1);
    uint64_t hash = hash_of_log(1, 0);
    cr_assert_neq(hash, 0);
    cr_assert_eq(hash_of_log(7, 0), hash);
    cr_assert_eq(hash_of_log(LOG_ENTRIES, 0), hash);
    cr_assert_eq(hash_of_log(0, 0), hash);
    cr_assert_eq(hash_of_log(1, 20), hash);
    cr_assert_eq(hash_of_log(0, 10), hash);
}

Test(applier, the_state_hash_differs_once_anything_in_any_entry_did)
{
    make_log(1);
    uint64_t hash = hash_of_log(0, 0);
    struct log_entry *entry = &entries[1234], kept = *entry;
    entry->delta = entry->delta == 3 ? 4 : 3; /* another command */
    cr_assert_neq(hash_of_log(0, 0), hash);
    *entry = kept;
    entry->index++; /* another place */
    cr_assert_neq(hash_of_log(0, 0), hash);
    *entry = kept;
    entry->session = 77; /* refused: another result */
    cr_assert_neq(hash_of_log(0, 0), hash);
    *entry = kept;
    cr_assert_eq(hash_of_log(0, 0), hash);
}

Test(applier, the_state_hash_is_stored_with_the_entries_it_covers)
{
    set(0, 1, 0);
    commit();
    uint64_t hash = applier.state_hash;
    cr_assert_neq(hash, 0);
    set(0, 1, 0);
    cr_assert_neq(applier.state_hash, hash);
    restart();
    cr_assert_eq(applier.state_hash, hash);
}

/* Part of the format: nodes of different builds must agree. The number was computed apart, with a
 * CRC-64/XZ of a few lines. */
Test(applier, the_state_hash_of_known_entries_is_a_known_number)
{
    bump(0, 1, 0, 5);
    bump(0, 2, 0, -2);
    apply_bytes(0, 3, 0, slice_text("nonsense"));
    cr_assert_eq(applier.state_hash, 0xa7f68dc3f8b57357ull, "%llx",
                 (unsigned long long)applier.state_hash);
}

/* ---- indexes ---- */

/* ---- checkpoints ---- */

/* Applies entries at every third index, the others are other workers', and commits in such steps.
 * Restarts end before the last round index, for none of before a restart is known. */
static void run_to(uint64_t last_index, uint64_t step, bool restarts)
{
    for (uint64_t index = 1; index <= last_index; index++) {
        next_index = index;
        if (index % 3 == 0)
            bump(0, 0, 0, (int64_t)(index % 50));
        if (index % step == 0) {
            applier_advance(&applier, index);
            commit();
            if (restarts)
                cr_assert_eq(applier_settle(&applier), 0);
            if (restarts && index % (7 * step) == 0 && index + RAFT_CHECKPOINT <= last_index)
                restart();
        }
    }
    applier_advance(&applier, last_index);
    commit();
}

static void begin_anew(void)
{
    applying_fini();
    applying_init();
}

Test(applier, the_checkpoint_is_the_hash_at_a_round_index_however_entries_were_batched)
{
    static const uint64_t steps[] = {1, 7, 100, 1024, 5000};
    uint64_t hash = 0;
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        run_to(3UL * RAFT_CHECKPOINT + 500, steps[i], i % 2 == 0);
        cr_assert_eq(applier.checkpoint_index, 3UL * RAFT_CHECKPOINT, "steps of %lu", steps[i]);
        cr_assert(i == 0 || applier.checkpoint_hash == hash, "steps of %lu", steps[i]);
        cr_assert_neq(applier.checkpoint_hash, applier.state_hash);
        hash = applier.checkpoint_hash;
        begin_anew();
    }
    run_to(3UL * RAFT_CHECKPOINT, 10, false);
    cr_assert_eq(applier.checkpoint_index, 3UL * RAFT_CHECKPOINT);
    cr_assert_eq(applier.checkpoint_hash, hash);
    cr_assert_eq(applier.state_hash, hash);
}

Test(applier, there_is_no_checkpoint_before_the_first_round_index)
{
    run_to(RAFT_CHECKPOINT - 1, 10, false);
    cr_assert_eq(applier.checkpoint_index, 0);
    cr_assert_eq(applier_settle(&applier), 0);
    restart();
    cr_assert_eq(applier.checkpoint_index, 0);
    applier_advance(&applier, RAFT_CHECKPOINT);
    cr_assert_eq(applier.checkpoint_index, RAFT_CHECKPOINT);
    cr_assert_eq(applier.checkpoint_hash, applier.state_hash);
}

/* The hash of an earlier checkpoint is not known any more. */
Test(applier, after_a_restart_behind_a_round_index_the_next_one_is_the_first)
{
    run_to(RAFT_CHECKPOINT + 20, 10, false);
    cr_assert_eq(applier_settle(&applier), 0);
    restart();
    cr_assert_eq(applier.checkpoint_index, 0);
    applier_advance(&applier, 2UL * RAFT_CHECKPOINT - 1);
    cr_assert_eq(applier.checkpoint_index, 0);
    applier_advance(&applier, 2UL * RAFT_CHECKPOINT + 5);
    cr_assert_eq(applier.checkpoint_index, 2UL * RAFT_CHECKPOINT);
}

Test(applier, what_was_applied_before_is_passed_over)
{
    struct session_result result;
    set(0, 1, 0);
    set(0, 1, 0);
    uint64_t hash = applier.state_hash;
    next_index = 1;
    result = set(0, 1, 0);
    cr_assert_eq(result.index, 0);
    next_index = 2;
    result = set(0, 1, 0);
    cr_assert_eq(result.index, 0);
    cr_assert_eq(applied_count, 2);
    cr_assert_eq(applier.state_hash, hash);
    commit();
    restart();
    cr_assert_eq(applier.last_index, 2);
    next_index = 2;
    result = set(0, 1, 0);
    cr_assert_eq(result.index, 0);
    cr_assert_null(applier.txn, "nothing was begun for it");
}

Test(applier, the_applied_index_is_that_of_the_last_commit_after_a_kill)
{
    set(0, 1, 0);
    applier_advance(&applier, 10);
    commit();
    next_index = 11;
    set(0, 1, 0);
    applier_advance(&applier, 20);
    cr_assert_eq(applier.last_index, 20);
    restart();
    cr_assert_eq(applier.last_index, 10);
}

Test(applier, indexes_of_other_workers_are_stored_late_but_not_too_late)
{
    set(0, 1, 0);
    commit();
    applier_advance(&applier, 100);
    applier_advance(&applier, 50);
    cr_assert_eq(applier.last_index, 100);
    commit();
    restart();
    cr_assert_eq(applier.last_index, 1);
    applier_advance(&applier, 100);
    cr_assert_eq(applier_settle(&applier), 0);
    restart();
    cr_assert_eq(applier.last_index, 100);
    applier_advance(&applier, 100 + APPLIER_LAG);
    commit();
    restart();
    cr_assert_eq(applier.last_index, 100 + APPLIER_LAG);
}

Test(applier, the_lineage_is_stored_with_the_next_transaction)
{
    static const uint8_t none[RAFT_LINEAGE_BYTES];
    uint8_t lineage[RAFT_LINEAGE_BYTES] = "a log's lineage";
    cr_assert_arr_eq(applier.lineage, none, sizeof(none));
    applier_set_lineage(&applier, lineage);
    commit();
    restart();
    cr_assert_arr_eq(applier.lineage, none, sizeof(none));
    applier_set_lineage(&applier, lineage);
    set(0, 1, 0);
    commit();
    restart();
    cr_assert_arr_eq(applier.lineage, lineage, sizeof(lineage));
    set(0, 1, 0);
    commit();
    restart();
    cr_assert_arr_eq(applier.lineage, lineage, sizeof(lineage));
}

Test(applier, a_transaction_is_full_by_entries_by_bytes_and_before_a_large_command)
{
    cr_assert(!applier_is_full(&applier, LIMIT_BODY_MAX), "none is open");
    set(0, 1, 0);
    cr_assert(!applier_is_full(&applier, 100));
    cr_assert(applier_is_full(&applier, APPLIER_LARGE_BYTES));
    while (!applier_is_full(&applier, 1))
        set(0, 1, 0);
    cr_assert_eq(applier.last_index, APPLIER_ENTRIES);
    commit();
    cr_assert(!applier_is_full(&applier, 1));
    for (unsigned i = 0; i < APPLIER_BYTES / 200000 + 1; i++) {
        cr_assert(!applier_is_full(&applier, 1));
        bump(0, 1, 0, 200000); /* the details count */
    }
    cr_assert(applier_is_full(&applier, 1));
    commit();
}

/* ---- a kill in the middle ---- */

/* Plays on from wherever the map stands, committing at random, until it is killed: by its parent at
 * any moment, or by itself between two entries, should the parent be slow. */
static _Noreturn void play_until_killed(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    applying_reopen();
    for (unsigned i = 0; i < LOG_ENTRIES; i++) {
        if (entries[i].index <= applier.last_index)
            continue;
        play(i);
        if (rng_below(&rng, 8) == 0)
            commit();
        if (rng_below(&rng, 150) == 0)
            raise(SIGKILL);
    }
    commit();
    _exit(0);
}

Test(applier, killed_anywhere_it_goes_on_from_its_last_commit_as_if_nothing_had_been)
{
    make_log(2);
    uint64_t hash = hash_of_log(0, 0);
    unsigned kills = 0;
    bool is_done = false;
    applying_fini();
    applying_init();
    applying_close();
    for (unsigned round = 0; !is_done; round++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            play_until_killed(round);
        usleep(300 + round % 10 * 150);
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        is_done = WIFEXITED(status);
        cr_assert(!is_done || WEXITSTATUS(status) == 0);
        kills += is_done ? 0 : 1;
    }
    applying_reopen();
    cr_assert_eq(applier.last_index, entries[LOG_ENTRIES - 1].index);
    cr_assert_eq(applier.state_hash, hash);
    cr_assert_gt(kills, 0);
}

/* ---- hooks ---- */

static int refuse_to_load(void *arg, const struct map *map, MDB_txn *txn)
{
    cr_assert_not_null(map);
    cr_assert_not_null(txn);
    (*(unsigned *)arg)++;
    return E_CORRUPT;
}

Test(applier, a_kind_that_cannot_load_fails_the_opening)
{
    unsigned calls = 0;
    const struct worker_kind kind = {.map_kind = MAP_VALUES, .load = refuse_to_load, .arg = &calls};
    struct applier other;
    cr_assert_eq(applier_open(&other, applier.map, &kind), E_CORRUPT);
    cr_assert_eq(calls, 1);
    applier_close(&other);
}

Test(applier, a_kind_without_commands_knows_none)
{
    const struct worker_kind kind = {.map_kind = MAP_VALUES};
    struct session_result result;
    struct applier other;
    struct msg_apply entry = {.index = 1, .command = command_set()};
    cr_assert_eq(applier_open(&other, applier.map, &kind), 0);
    cr_assert_eq(applier_apply(&other, &entry, &result), 0);
    expect_result(result, 1, E_BAD_COMMAND);
    applier_close(&other);
}

static int fail_to_apply(void *arg, const struct worker_turn *turn, struct command *command,
                         struct worker_result *result)
{
    (void)arg;
    (void)turn;
    (void)command;
    (void)result;
    return E_IO;
}

Test(applier, a_map_that_fails_within_an_entry_is_reported)
{
    const struct worker_kind kind = {.map_kind = MAP_VALUES, .apply = fail_to_apply};
    struct session_result result;
    struct applier other;
    struct msg_apply entry = {.index = 1, .command = command_set()};
    cr_assert_eq(applier_open(&other, applier.map, &kind), 0);
    cr_assert_eq(applier_apply(&other, &entry, &result), E_IO);
    applier_close(&other);
    set(0, 1, 0); /* the map is free again */
    cr_assert_eq(applied_count, 1);
}

Test(applier, a_touch_is_a_transaction_without_an_entry)
{
    applier_advance(&applier, 7);
    uint64_t state_hash = applier.state_hash;
    cr_assert_eq(applier_touch(&applier), 0);
    cr_assert_eq(stored_count, 1);
    cr_assert_eq(map_applied_index(applier.map), 7);
    cr_assert_eq(applier_touch(&applier), 0);
    cr_assert_eq(stored_count, 2);
    cr_assert_eq(applier.state_hash, state_hash);
    cr_assert_null(applier.txn);
}
