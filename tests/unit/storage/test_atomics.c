/* Atomics: 64-bit counters that never go below 0 and stand apart from values. */
#include "storing.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(atomics, .init = storing_init, .fini = storing_fini, .timeout = 60);

static int atomic_new(const char *key, bool overwrite)
{
    return apply(&(struct command){.operation = COMMAND_ATOMIC_NEW,
                                   .scope = scope,
                                   .key = slice_text(key),
                                   .overwrite = overwrite});
}

static int add_in(const struct scope *where, const char *key, int64_t delta)
{
    return apply(&(struct command){
        .operation = COMMAND_ATOMIC_ADD, .scope = *where, .key = slice_text(key), .delta = delta});
}

static void expect_sum(const char *key, int64_t delta, const char *sum)
{
    cr_assert_eq(add_in(&scope, key, delta), 0);
    cr_assert_str_eq(last_detail, sum);
}

static int delete_atomic(const char *key)
{
    return apply(&(struct command){
        .operation = COMMAND_ATOMIC_DELETE, .scope = scope, .key = slice_text(key)});
}

/* What a reader finds; -1: nothing. */
static int64_t read_in(const struct scope *where, const char *key, uint64_t *index)
{
    struct atomic_view view = {0};
    MDB_txn *txn;
    storing_commit();
    cr_assert_eq(map_write_begin(applier.map, &txn), 0);
    int error = atomic_get(txn, storage.atomics, where, slice_text(key), &view);
    map_write_abort(applier.map);
    cr_assert(error == 0 || error == E_NOT_FOUND);
    if (index != NULL)
        *index = view.index;
    return error == 0 ? view.value : -1;
}

Test(atomics, a_counter_begins_at_0_and_is_there_once)
{
    uint64_t index;
    cr_assert_eq(read_in(&scope, "n", NULL), -1);
    cr_assert_eq(atomic_new("n", false), 0);
    cr_assert_eq(read_in(&scope, "n", &index), 0);
    cr_assert_eq(index, next_index - 1);
    expect_sum("n", 5, "5");
    cr_assert_eq(atomic_new("n", false), E_CONFLICT);
    cr_assert_eq(read_in(&scope, "n", NULL), 5);
    cr_assert_eq(atomic_new("n", true), 0);
    cr_assert_eq(read_in(&scope, "n", NULL), 0);
    cr_assert_eq(atomic_new("other", true), 0);
    cr_assert_eq(read_in(&scope, "other", NULL), 0);
}

Test(atomics, adding_makes_the_counter_and_never_goes_below_0)
{
    uint64_t index;
    expect_sum("n", 7, "7");
    cr_assert_eq(read_in(&scope, "n", &index), 7);
    cr_assert_eq(index, next_index - 1);
    expect_sum("n", -3, "4");
    expect_sum("n", -5, "0");
    expect_sum("n", 0, "0");
    expect_sum("absent", -1, "0");
    cr_assert_eq(read_in(&scope, "absent", NULL), 0);
    expect_sum("n", 1, "1");
    expect_sum("n", INT64_MIN, "0");
}

Test(atomics, a_sum_that_does_not_fit_is_refused_and_changes_nothing)
{
    uint64_t index;
    expect_sum("n", INT64_MAX - 1, "9223372036854775806");
    expect_sum("n", 1, "9223372036854775807");
    cr_assert_eq(add_in(&scope, "n", 1), E_OVERFLOW);
    cr_assert_str_eq(last_detail, "");
    cr_assert_eq(read_in(&scope, "n", &index), INT64_MAX);
    cr_assert_eq(index, next_index - 2);
    expect_sum("n", INT64_MIN, "0");
}

Test(atomics, deleting_is_idempotent)
{
    expect_sum("n", 7, "7");
    cr_assert_eq(delete_atomic("n"), 0);
    cr_assert_eq(read_in(&scope, "n", NULL), -1);
    cr_assert_eq(delete_atomic("n"), 0);
    expect_sum("n", 1, "1");
}

Test(atomics, values_and_other_scopes_are_apart)
{
    expect_sum("n", 7, "7");
    cr_assert_null(get("n", NULL));
    cr_assert_eq(set("n", "text"), 0);
    cr_assert_eq(read_in(&scope, "n", NULL), 7);
    cr_assert_eq(read_in(&other_scope, "n", NULL), -1);
    cr_assert_eq(add_in(&other_scope, "n", 1), 0);
    cr_assert_eq(delete ("n"), 0);
    cr_assert_eq(read_in(&scope, "n", NULL), 7);
    cr_assert_eq(read_in(&other_scope, "n", NULL), 1);
}

Test(atomics, what_was_committed_survives_a_restart)
{
    expect_sum("n", 7, "7");
    storing_commit();
    expect_sum("n", 1, "8");
    storing_restart();
    cr_assert_eq(read_in(&scope, "n", NULL), 7);
    expect_sum("n", 1, "8");
}

static int delete_key(const uint8_t hash[SHA256_BYTES])
{
    return apply(&(struct command){.operation = COMMAND_APIKEY_DELETE,
                                   .value = slice_of(hash, SHA256_BYTES)});
}

static unsigned purge(uint64_t step)
{
    cr_assert_eq(
        apply(&(struct command){.operation = COMMAND_SCOPE_PURGE, .scope = scope, .step = step}),
        0);
    return (unsigned)strtoul(last_detail, NULL, 10);
}

Test(atomics, a_deleted_scope_loses_its_counters_after_its_values)
{
    static const uint8_t hash[SHA256_BYTES] = {1};
    char key[16];
    cr_assert_eq(apply(&(struct command){.operation = COMMAND_APIKEY_CREATE,
                                         .scope = scope,
                                         .key = slice_text("shop"),
                                         .value = slice_of(hash, SHA256_BYTES),
                                         .created_ms = 1}),
                 0);
    for (unsigned i = 0; i < 2 * DOOMED_STEP_KEYS; i++) {
        snprintf(key, sizeof(key), "n%u", i);
        cr_assert_eq(add_in(&scope, key, 1), 0);
    }
    cr_assert_eq(set("value", "v"), 0);
    cr_assert_eq(add_in(&other_scope, "n", 9), 0);
    cr_assert_eq(delete_key(hash), 0);
    cr_assert_eq(add_in(&scope, "n0", 1), E_SCOPE_GONE);
    cr_assert_eq(atomic_new("n0", true), E_SCOPE_GONE);
    cr_assert_eq(delete_atomic("n0"), E_SCOPE_GONE);
    cr_assert_eq(purge(0), DOOMED_STEP_KEYS);
    cr_assert_eq(count_keys(&scope), 0);
    cr_assert_eq(storage.doomed.pending_count, 1);
    cr_assert_eq(purge(1), DOOMED_STEP_KEYS);
    cr_assert_eq(purge(2), 1);
    cr_assert_eq(storage.doomed.pending_count, 0);
    for (unsigned i = 0; i < 2 * DOOMED_STEP_KEYS; i++) {
        snprintf(key, sizeof(key), "n%u", i);
        cr_assert_eq(read_in(&scope, key, NULL), -1);
    }
    cr_assert_eq(read_in(&other_scope, "n", NULL), 9);
}
