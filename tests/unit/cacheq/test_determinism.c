/* The same log, applied in transactions of different lengths and with kills between any two of
 * them, comes to the same state, and every item to exactly one pop. */
#include <stdio.h>
#include <stdlib.h>

#include "caching.h"

#define COMMANDS 4000
#define KEYS 12

TestSuite(determinism, .init = caching_init, .fini = caching_fini, .timeout = 120);

static const char *const keys[KEYS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};

struct step { /* of the log */
    struct command command;
    uint64_t session, sequence, stamp_ms;
    char value[16];
};
static struct step log_steps[COMMANDS];
static uint64_t log_sequences[2]; /* of A and B */

static enum command_operation some_operation(void)
{
    static const enum command_operation operations[] = {
        COMMAND_CACHE_SET,    COMMAND_CACHE_SET,        COMMAND_CACHE_DELETE,
        COMMAND_CACHE_SETNX,  COMMAND_CACHE_CAS,        COMMAND_CACHE_EXPIRE,
        COMMAND_QUEUE_NEW,    COMMAND_QUEUE_PUSH,       COMMAND_QUEUE_PUSH,
        COMMAND_QUEUE_PUSH,   COMMAND_QUEUE_POP,        COMMAND_QUEUE_POP,
        COMMAND_QUEUE_POP,    COMMAND_QUEUE_POP_CANCEL, COMMAND_QUEUE_WAIT_RENEW,
        COMMAND_QUEUE_DELETE, COMMAND_QUEUE_PURGE,
    };
    unsigned chosen = (unsigned)rand() % (sizeof(operations) / sizeof(operations[0]) * 4);
    /* queues are deleted seldom */
    if (chosen % 17 == 15 && chosen != 15)
        return COMMAND_QUEUE_POP;
    return operations[chosen % 17];
}

static bool names_no_scope(enum command_operation operation)
{
    return operation == COMMAND_CACHE_EXPIRE || operation == COMMAND_QUEUE_POP_CANCEL ||
           operation == COMMAND_QUEUE_WAIT_RENEW || operation == COMMAND_QUEUE_PURGE;
}

static void make_log(unsigned seed)
{
    uint64_t stamp_ms = now_ms;
    srand(seed);
    log_sequences[0] = last_sequence(SESSION_A);
    log_sequences[1] = last_sequence(SESSION_B);
    for (unsigned i = 0; i < COMMANDS; i++) {
        struct step *step = &log_steps[i];
        enum command_operation operation = some_operation();
        unsigned which = (unsigned)rand() % 2;
        stamp_ms += rand() % 20 == 0 ? (uint64_t)(rand() % 900) : (uint64_t)(rand() % 3);
        snprintf(step->value, sizeof(step->value), "item %u", i);
        step->stamp_ms = stamp_ms;
        step->session = which == 0 ? SESSION_A : SESSION_B;
        step->sequence = ++log_sequences[which];
        step->command = (struct command){
            .operation = operation,
            .key = slice_text(keys[(unsigned)rand() % KEYS]),
            .value = slice_text(step->value),
            .expected = slice_text("none"),
            .ttl_ms = 1 + (uint64_t)(rand() % 3000),
            .limit_bytes = 60UL * (CACHE_ENTRY_BYTES + 10),
            .wait_ms = (uint64_t)(rand() % 1500),
            .sequence = step->sequence > 5 ? step->sequence - 1 - (uint64_t)(rand() % 5) : 1,
        };
        if (!names_no_scope(operation))
            step->command.scope = scope;
    }
}

/* Every item that a pop was given, by the number in it. */
static unsigned given[COMMANDS];

static void note_given(const char *item, size_t len)
{
    char text[16] = "";
    snprintf(text, sizeof(text), "%.*s", (int)len, item);
    cr_assert_eq(strncmp(text, "item ", 5), 0);
    given[strtoul(text + 5, NULL, 10)]++;
}

static void apply_step(const struct step *step, bool notes)
{
    now_ms = step->stamp_ms;
    int error = apply_again(step->session, step->sequence, &step->command);
    if (!notes)
        return;
    if (step->command.operation == COMMAND_QUEUE_POP && error == 0)
        note_given(last_detail, strlen(last_detail));
    for (unsigned i = 0; i < applier.final_count; i++) {
        struct session_result result;
        uint64_t session, sequence;
        applier_final(&applier, i, &session, &sequence, &result);
        if (result.error == 0)
            note_given(result.detail.data, result.detail.len);
    }
}

/* Applies the log; commits after some steps, and is killed after others: what was not committed
 * comes again. */
static uint64_t run(unsigned every, bool is_killed)
{
    unsigned committed = 0, farthest = 0;
    for (unsigned i = 0; i < COMMANDS; i++) {
        apply_step(&log_steps[i], i >= farthest);
        farthest = i + 1 > farthest ? i + 1 : farthest;
        if (i % every == every - 1) {
            caching_commit();
            committed = i + 1;
        }
        if (is_killed && rand() % 200 == 0) {
            caching_restart();
            i = committed - 1;
        }
    }
    caching_commit();
    return applier.state_hash;
}

static void anew(void)
{
    caching_fini();
    caching_init();
}

Test(determinism, nothing_depends_on_where_transactions_end_or_on_kills)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        anew();
        make_log(seed);
        uint64_t expected = run(1, false);
        uint64_t used_bytes = cacheq.used_bytes, items = count(cacheq.items);
        static const unsigned batches[] = {7, 100, COMMANDS};
        for (unsigned i = 0; i < 3; i++) {
            anew();
            cr_assert_eq(run(batches[i], false), expected, "batches of %u", batches[i]);
        }
        anew();
        cr_assert_eq(run(5, true), expected, "killed");
        cr_assert_eq(cacheq.used_bytes, used_bytes);
        cr_assert_eq(count(cacheq.items), items);
        caching_restart();
        cr_assert_eq(cacheq.used_bytes, used_bytes);
    }
}

Test(determinism, a_node_that_goes_on_from_a_snapshot_comes_to_the_same)
{
    make_log(30);
    uint64_t expected = run(50, false);
    uint64_t used_bytes = cacheq.used_bytes, earliest_ms = cacheq.earliest_ms;
    anew();
    for (unsigned i = 0; i < COMMANDS; i++) {
        apply_step(&log_steps[i], false);
        if (i % 777 == 500)
            caching_move();
    }
    caching_move();
    cr_assert_eq(applier.state_hash, expected);
    cr_assert_eq(cacheq.used_bytes, used_bytes);
    cr_assert_geq(cacheq.earliest_ms, earliest_ms);
}

Test(determinism, every_item_goes_to_one_pop_at_most)
{
    unsigned pops = 0, handed_over = 0;
    for (unsigned seed = 10; seed < 13; seed++) {
        anew();
        make_log(seed);
        memset(given, 0, sizeof(given));
        (void)run(9, true);
        for (unsigned i = 0; i < COMMANDS; i++) {
            cr_assert_leq(given[i], 1, "item %u of seed %u", i, seed);
            pops += given[i];
        }
        for (unsigned i = 0; i < COMMANDS; i++)
            handed_over += log_steps[i].command.operation == COMMAND_QUEUE_PUSH;
    }
    cr_assert_gt(pops, 200, "%u of %u", pops, handed_over);
}

/* What the databases say of each other. */
Test(determinism, the_records_agree_at_every_step)
{
    make_log(20);
    for (unsigned i = 0; i < COMMANDS; i++) {
        apply_step(&log_steps[i], false);
        if (i % 16 != 0)
            continue;
        uint64_t waiting = 0, items = 0;
        cr_assert_eq(count(cacheq.cache), count(cacheq.deadlines));
        cr_assert_eq(count(cacheq.waiting), count(cacheq.waiters) + cacheq.session_count);
        for (unsigned k = 0; k < KEYS; k++) {
            struct queue_view queue = {0};
            MDB_txn *txn;
            cr_assert_eq(map_write_begin(applier.map, &txn), 0);
            int error = queue_get(txn, cacheq.queues, &scope, slice_text(keys[k]), &queue);
            map_write_abort(applier.map);
            cr_assert(error == 0 || error == E_QUEUE_NOT_FOUND);
            cr_assert(queue.waiters == 0 || queue.head == queue.tail);
            waiting += queue.waiters;
            items += queue.tail - queue.head;
        }
        cr_assert_eq(count(cacheq.waiters), waiting);
        cr_assert_eq(count(cacheq.items), items);
    }
}
