/* API keys: created and deleted at once, and what they leave removed step by step. */
#include <stdio.h>
#include <string.h>

#include "storing.h"

TestSuite(apikeys, .init = storing_init, .fini = storing_fini, .timeout = 60);

static uint8_t hash_one[SHA256_BYTES] = {1}, hash_two[SHA256_BYTES] = {2};

static int create(const uint8_t *hash, const struct scope *where, const char *name)
{
    return apply(&(struct command){.operation = COMMAND_APIKEY_CREATE,
                                   .scope = *where,
                                   .value = slice_of(hash, SHA256_BYTES),
                                   .key = slice_text(name),
                                   .created_ms = 1700000000000});
}

static int delete_key(const uint8_t *hash)
{
    return apply(&(struct command){.operation = COMMAND_APIKEY_DELETE,
                                   .value = slice_of(hash, SHA256_BYTES)});
}

static int purge(const struct scope *where, uint64_t step)
{
    return apply(
        &(struct command){.operation = COMMAND_SCOPE_PURGE, .scope = *where, .step = step});
}

static int find(const uint8_t *hash, struct apikey_view *view)
{
    MDB_txn *txn;
    storing_commit();
    cr_assert_eq(map_write_begin(applier.map, &txn), 0);
    int error = apikey_find(txn, storage.apikeys, hash, view);
    map_write_abort(applier.map);
    return error;
}

Test(apikeys, a_created_key_is_found_by_its_hash)
{
    struct apikey_view view;
    set("x", "y");
    cr_assert_eq(create(hash_one, &scope, "shop"), 0);
    cr_assert_eq(create(hash_two, &other_scope, "shop"), 0, "names need not differ");
    cr_assert_eq(find(hash_one, &view), 0);
    cr_assert_arr_eq(view.scope.id, scope.id, SCOPE_BYTES);
    cr_assert_eq(view.created_ms, 1700000000000);
    cr_assert_eq(view.index, 2);
    cr_assert(slice_equal(view.name, slice_text("shop")));
}

Test(apikeys, a_hash_belongs_to_one_key)
{
    struct apikey_view view;
    cr_assert_eq(create(hash_one, &scope, "shop"), 0);
    cr_assert_eq(create(hash_one, &other_scope, "thief"), E_CONFLICT);
    cr_assert_eq(find(hash_one, &view), 0);
    cr_assert(slice_equal(view.name, slice_text("shop")));
}

Test(apikeys, a_deleted_key_is_gone_at_once_and_for_good)
{
    struct apikey_view view;
    cr_assert_eq(delete_key(hash_one), E_NOT_FOUND);
    create(hash_one, &scope, "shop");
    cr_assert_eq(delete_key(hash_one), 0);
    cr_assert_eq(find(hash_one, &view), E_NOT_FOUND);
    cr_assert_eq(delete_key(hash_one), E_NOT_FOUND);
    cr_assert_eq(create(hash_two, &scope, "again"), E_SCOPE_GONE);
}

Test(apikeys, nothing_can_be_written_to_the_scope_of_a_deleted_key)
{
    create(hash_one, &scope, "shop");
    set("key", "1");
    cr_assert_eq(delete_key(hash_one), 0);
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(set("new", "value"), E_SCOPE_GONE);
        cr_assert_eq(setnx("new", "value"), E_SCOPE_GONE);
        cr_assert_eq(cas("key", "1", "2"), E_SCOPE_GONE);
        cr_assert_eq(bump("key", 1), E_SCOPE_GONE);
        cr_assert_str_eq(last_detail, "");
        cr_assert_eq(delete ("key"), E_SCOPE_GONE);
        cr_assert_eq(set_in(&other_scope, slice_text("key"), slice_text("fine")), 0);
        if (round == 0) { /* the same behind the purge, and after a restart */
            cr_assert_eq(purge(&scope, 0), 0);
            cr_assert_eq(count_keys(&scope), 0);
        } else {
            storing_commit();
            storing_restart();
        }
    }
    cr_assert_eq(count_keys(&scope), 0);
}

/* ---- purging ---- */

static void fill(const struct scope *where, unsigned count, size_t value_len)
{
    static char value[300 << 10];
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%06u", i);
        cr_assert_eq(set_in(where, slice_text(key), slice_of(value, value_len)), 0);
    }
    storing_commit();
}

static const struct scope neighbours[] = {{"0123456789abcdd"}, {"0123456789abcdf"}};

static void fill_and_delete(unsigned count, size_t value_len)
{
    create(hash_one, &scope, "shop");
    fill(&scope, count, value_len);
    fill(&neighbours[0], 3, 10);
    fill(&neighbours[1], 3, 10);
    cr_assert_eq(delete_key(hash_one), 0);
    cr_assert_eq(count_keys(&scope), count, "nothing is removed yet");
}

static void expect_purged(void)
{
    cr_assert_eq(count_keys(&scope), 0);
    cr_assert_eq(count_keys(&neighbours[0]), 3);
    cr_assert_eq(count_keys(&neighbours[1]), 3);
    cr_assert_eq(storage.doomed.pending_count, 0);
}

Test(apikeys, a_purge_step_removes_a_bounded_number_of_keys)
{
    fill_and_delete(2 * DOOMED_STEP_KEYS + 10, 10);
    cr_assert_eq(purge(&scope, 0), 0);
    cr_assert_str_eq(last_detail, "256");
    cr_assert_eq(count_keys(&scope), DOOMED_STEP_KEYS + 10);
    cr_assert_eq(purge(&scope, 1), 0);
    cr_assert_eq(count_keys(&scope), 10);
    cr_assert_eq(storage.doomed.pending_count, 1);
    cr_assert_eq(purge(&scope, 2), 0);
    cr_assert_str_eq(last_detail, "10");
    expect_purged();
    cr_assert_eq(purge(&scope, 3), 0);
    cr_assert_str_eq(last_detail, "0");
    expect_purged();
}

Test(apikeys, a_purge_step_removes_a_bounded_number_of_bytes)
{
    fill_and_delete(20, 300 << 10);
    cr_assert_eq(purge(&scope, 0), 0);
    cr_assert_eq(count_keys(&scope), 16);
    for (uint64_t step = 1; storage.doomed.pending_count > 0; step++) {
        cr_assert_lt(step, 10);
        cr_assert_eq(purge(&scope, step), 0);
    }
    expect_purged();
}

Test(apikeys, a_scope_without_data_is_done_after_one_step)
{
    create(hash_one, &scope, "shop");
    delete_key(hash_one);
    cr_assert_eq(storage.doomed.pending_count, 1);
    cr_assert_eq(purge(&scope, 0), 0);
    cr_assert_eq(storage.doomed.pending_count, 0);
}

Test(apikeys, a_step_that_is_not_the_next_one_does_nothing)
{
    fill_and_delete(3 * DOOMED_STEP_KEYS, 10);
    cr_assert_eq(purge(&scope, 1), 0);
    cr_assert_eq(count_keys(&scope), 3 * DOOMED_STEP_KEYS);
    cr_assert_eq(purge(&scope, 0), 0);
    cr_assert_eq(purge(&scope, 0), 0); /* proposed twice */
    cr_assert_eq(purge(&scope, 7), 0);
    cr_assert_eq(count_keys(&scope), 2 * DOOMED_STEP_KEYS);
    cr_assert_eq(storage.doomed.pending[0].steps, 1);
}

Test(apikeys, a_scope_that_is_not_doomed_cannot_be_purged)
{
    create(hash_one, &scope, "shop");
    fill(&scope, 5, 10);
    cr_assert_eq(purge(&scope, 0), E_NOT_FOUND);
    cr_assert_eq(count_keys(&scope), 5);
}

Test(apikeys, a_restart_in_the_middle_of_a_purge_goes_on_where_it_was)
{
    fill_and_delete(3 * DOOMED_STEP_KEYS + 1, 10);
    purge(&scope, 0);
    storing_commit();
    purge(&scope, 1); /* lost */
    storing_restart();
    cr_assert_eq(storage.doomed.pending_count, 1);
    cr_assert_eq(storage.doomed.pending[0].steps, 1);
    cr_assert_arr_eq(storage.doomed.pending[0].scope.id, scope.id, SCOPE_BYTES);
    cr_assert_eq(count_keys(&scope), 2 * DOOMED_STEP_KEYS + 1);
    for (uint64_t step = 1; step < 4; step++)
        purge(&scope, step);
    storing_commit();
    storing_restart();
    expect_purged();
}

Test(apikeys, several_doomed_scopes_wait_for_their_turn)
{
    struct scope scopes[20];
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t hash[SHA256_BYTES] = {100, i};
        memset(scopes[i].id, 50 + i, SCOPE_BYTES);
        create(hash, &scopes[i], "one of many");
        fill(&scopes[i], 2, 10);
        cr_assert_eq(delete_key(hash), 0);
    }
    cr_assert_eq(storage.doomed.pending_count, 20);
    cr_assert_arr_eq(storage.doomed.pending[0].scope.id, scopes[0].id, SCOPE_BYTES);
    purge(&scopes[5], 0); /* in any order */
    cr_assert_eq(storage.doomed.pending_count, 19);
    storing_commit();
    storing_restart();
    cr_assert_eq(storage.doomed.pending_count, 19);
    while (storage.doomed.pending_count > 0)
        purge(&storage.doomed.pending[0].scope, 0);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(count_keys(&scopes[i]), 0);
}

Test(apikeys, two_keys_to_one_scope_doom_it_once)
{
    create(hash_one, &scope, "first");
    create(hash_two, &scope, "second");
    fill(&scope, 2, 10);
    cr_assert_eq(delete_key(hash_one), 0);
    purge(&scope, 0);
    cr_assert_eq(delete_key(hash_two), 0);
    cr_assert_eq(storage.doomed.pending_count, 0);
    cr_assert_eq(purge(&scope, 0), 0);
    cr_assert_eq(set("key", "value"), E_SCOPE_GONE);
}

/* The same commands make the same state, however they are cut into transactions. */
Test(apikeys, purging_is_a_function_of_the_log)
{
    uint64_t hashes[2];
    unsigned left[2];
    for (unsigned round = 0; round < 2; round++) {
        storing_fini();
        storing_init();
        create(hash_one, &scope, "shop");
        for (unsigned i = 0; i < 2000; i++) {
            char key[16];
            snprintf(key, sizeof(key), "%u", i * 7919 % 3001);
            set(key, "value");
            if (i == 1500)
                delete_key(hash_one);
            if (i > 1500 && i % 50 == 0)
                purge(&scope, (i - 1501) / 50 / 2);
            if (round == 1 && i % 3 == 0)
                storing_commit();
            if (round == 1 && i % 500 == 0) {
                storing_commit();
                storing_restart();
            }
        }
        hashes[round] = applier.state_hash;
        left[round] = count_keys(&scope);
    }
    cr_assert_eq(hashes[0], hashes[1]);
    cr_assert_eq(left[0], left[1]);
    cr_assert_gt(left[0], 0);
}
