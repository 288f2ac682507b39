/* Cache entries: writing, conditions, exact deadlines, the limit, removal of what is due. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caching.h"

TestSuite(cache, .init = caching_init, .fini = caching_fini, .timeout = 60);

Test(cache, an_entry_is_there_until_its_deadline_and_not_at_it)
{
    cr_assert_eq(set("k", "v", 1500), 0);
    cr_assert_str_eq(get("k"), "v");
    cr_assert_eq(ttl_left("k"), 1500);
    now_ms += 1499;
    cr_assert_str_eq(get("k"), "v");
    cr_assert_eq(ttl_left("k"), 1);
    now_ms += 1;
    cr_assert_null(get("k"));
    cr_assert_null(get("other"));
}

Test(cache, setting_again_gives_a_new_deadline)
{
    cr_assert_eq(set("k", "v", 1000), 0);
    now_ms += 600;
    cr_assert_eq(set("k", "", 1000), 0);
    now_ms += 600;
    cr_assert_str_eq(get("k"), "");
    cr_assert_eq(ttl_left("k"), 400);
    cr_assert_eq(set("k", "short", 1), 0);
    now_ms += 1;
    cr_assert_null(get("k"));
    cr_assert_eq(count(cacheq.deadlines), count(cacheq.cache));
}

Test(cache, deleting_is_idempotent)
{
    cr_assert_eq(set("k", "v", 1000), 0);
    cr_assert_eq(cache_del("k"), 0);
    cr_assert_null(get("k"));
    cr_assert_eq(cache_del("k"), 0);
    cr_assert_eq(count(cacheq.deadlines), 0);
    cr_assert_eq(cacheq.used_bytes, 0);
}

Test(cache, setnx_sees_an_entry_as_gone_exactly_at_its_deadline)
{
    cr_assert_eq(setnx("k", "one", 1000), 0);
    now_ms += 999;
    cr_assert_eq(setnx("k", "two", 1000), E_CONFLICT);
    cr_assert_str_eq(get("k"), "one");
    now_ms += 1;
    cr_assert_eq(setnx("k", "three", 1000), 0);
    cr_assert_str_eq(get("k"), "three");
    cr_assert_eq(ttl_left("k"), 1000);
}

Test(cache, cas_needs_a_live_entry_of_the_same_bytes)
{
    cr_assert_eq(cas("k", "", "v", 1000), E_CONFLICT);
    cr_assert_eq(set("k", "one", 1000), 0);
    cr_assert_eq(cas("k", "on", "v", 1000), E_CONFLICT);
    now_ms += 999;
    cr_assert_eq(cas("k", "one", "two", 50), 0);
    cr_assert_str_eq(get("k"), "two");
    cr_assert_eq(ttl_left("k"), 50);
    now_ms += 50;
    cr_assert_eq(cas("k", "two", "three", 50), E_CONFLICT);
    cr_assert_null(get("k"));
}

Test(cache, a_refused_write_changes_neither_value_nor_deadline)
{
    cr_assert_eq(set("k", "one", 1000), 0);
    now_ms += 10;
    cr_assert_eq(setnx("k", "two", 5000), E_CONFLICT);
    cr_assert_eq(cas("k", "two", "three", 5000), E_CONFLICT);
    cr_assert_eq(set_within("k", "longer", 5000, 1), E_STORAGE_FULL);
    cr_assert_str_eq(get("k"), "one");
    cr_assert_eq(ttl_left("k"), 990);
}

Test(cache, listing_passes_over_what_is_gone)
{
    cr_assert_eq(set("a1", "v", 500), 0);
    cr_assert_eq(set("a2", "v", 100), 0);
    cr_assert_eq(set("a3", "v", 500), 0);
    cr_assert_eq(set("b1", "v", 500), 0);
    cr_assert_str_eq(list("", "", 0), "a1,a2,a3,b1");
    now_ms += 100;
    cr_assert_str_eq(list("", "", 0), "a1,a3,b1");
    cr_assert_str_eq(list("a", "", 1), "a3");
    cr_assert_str_eq(list("a", "a1", 0), "a3");
    cr_assert_str_eq(list("a", "a2", 0), "a3");
    cr_assert_str_eq(list("c", "", 0), "");
    now_ms += 400;
    cr_assert_str_eq(list("", "", 0), "");
}

static uint64_t cost(const char *key, const char *value)
{
    return strlen(key) + strlen(value) + CACHE_ENTRY_BYTES;
}

Test(cache, used_bytes_count_keys_values_and_a_constant)
{
    cr_assert_eq(set("k", "value", 1000), 0);
    cr_assert_eq(cacheq.used_bytes, cost("k", "value"));
    cr_assert_eq(set("k", "v", 1000), 0);
    cr_assert_eq(cacheq.used_bytes, cost("k", "v"));
    cr_assert_eq(set("key", "v", 1000), 0);
    cr_assert_eq(cacheq.used_bytes, cost("k", "v") + cost("key", "v"));
    caching_commit();
    caching_restart();
    cr_assert_eq(cacheq.used_bytes, cost("k", "v") + cost("key", "v"));
}

Test(cache, a_write_beyond_the_limit_is_refused_and_up_to_it_is_not)
{
    uint64_t limit = 2 * cost("k1", "v");
    cr_assert_eq(set_within("k1", "v", 1000, limit), 0);
    cr_assert_eq(set_within("k2", "vv", 1000, limit), E_STORAGE_FULL);
    cr_assert_null(get("k2"));
    cr_assert_eq(set_within("k2", "v", 1000, limit), 0);
    cr_assert_eq(set_within("k3", "", 1000, limit), E_STORAGE_FULL);
    cr_assert_eq(set_within("k2", "w", 1000, limit), 0);
    cr_assert_eq(cache_del("k1"), 0);
    cr_assert_eq(set_within("k3", "", 1000, limit), 0);
}

Test(cache, a_limit_that_was_lowered_still_lets_entries_shrink)
{
    cr_assert_eq(set("k", "value", 1000), 0);
    cr_assert_eq(set_within("k", "value", 1000, 1), 0);
    cr_assert_eq(set_within("k", "v", 1000, 1), 0);
    cr_assert_eq(set_within("k", "vv", 1000, 1), E_STORAGE_FULL);
}

Test(cache, expired_bytes_are_given_back_before_a_write_is_refused)
{
    char key[16];
    uint64_t limit = 200 * cost("k000", "v");
    for (unsigned i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%03u", i);
        cr_assert_eq(set_within(key, "v", 1000 + (i >= 100 ? 1000 : 0), limit), 0);
    }
    cr_assert_eq(set_within("more", "v", 1000, limit), E_STORAGE_FULL);
    now_ms += 1000;
    char large[91 * (CACHE_ENTRY_BYTES + 5)];
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    cr_assert_eq(set_within("large", large, 1000, limit), 0);
    cr_assert_leq(cacheq.used_bytes, limit);
    cr_assert_null(get("k099"));
    cr_assert_str_eq(get("k100"), "v");
}

Test(cache, the_entry_that_is_overwritten_may_itself_be_due)
{
    uint64_t limit = cost("k", "value");
    cr_assert_eq(set_within("k", "value", 1000, limit), 0);
    now_ms += 1000;
    cr_assert_eq(set_within("k", "other", 1000, limit), 0);
    cr_assert_str_eq(get("k"), "other");
    cr_assert_eq(count(cacheq.deadlines), 1);
    cr_assert_eq(set_within("k", "longer", 1000, limit), E_STORAGE_FULL);
}

Test(cache, each_write_removes_a_few_that_are_due)
{
    const unsigned entries = 2 * CACHE_WRITE_EXPIRES + CACHE_WRITE_EXPIRES / 2;
    char key[16];
    for (unsigned i = 0; i < entries; i++) {
        snprintf(key, sizeof(key), "k%02u", i);
        cr_assert_eq(set(key, "v", 1000), 0);
    }
    now_ms += 1000;
    cr_assert_eq(cache_del("absent"), 0);
    cr_assert_eq(count(cacheq.cache), entries - CACHE_WRITE_EXPIRES);
    cr_assert_eq(set("new", "v", 1000), 0);
    cr_assert_eq(count(cacheq.cache), entries - 2 * CACHE_WRITE_EXPIRES + 1);
    cr_assert_eq(set("new", "v", 1000), 0);
    cr_assert_eq(count(cacheq.cache), 1);
    cr_assert_eq(cacheq.earliest_ms, now_ms + 1000);
}

Test(cache, expiring_goes_in_steps_and_the_earliest_go_first)
{
    char key[16];
    for (unsigned i = 0; i < EXPIRE_STEP_ENTRIES + 10; i++) {
        snprintf(key, sizeof(key), "k%06u", i);
        cr_assert_eq(set(key, "v", 100000 - i), 0);
    }
    cr_assert_eq(expire(), 0);
    cr_assert_str_eq(last_detail, "0");
    now_ms += 100000;
    cr_assert_eq(expire(), 0);
    cr_assert_eq(strtoul(last_detail, NULL, 10), EXPIRE_STEP_ENTRIES);
    cr_assert_eq(count(cacheq.cache), 10);
    now_ms -= 100000;
    cr_assert_str_eq(list("", "", 0), "k000000,k000001,k000002,k000003,k000004,k000005,k000006,"
                                      "k000007,k000008,k000009");
    now_ms += 100000;
    cr_assert_eq(expire(), 0);
    cr_assert_str_eq(last_detail, "10");
    cr_assert_eq(cacheq.used_bytes, 0);
    cr_assert_eq(cacheq.earliest_ms, UINT64_MAX);
    cr_assert_eq(count(cacheq.deadlines), 0);
}

Test(cache, deadlines_that_come_in_no_order_are_kept_in_order)
{
    uint64_t last = 0;
    char key[16];
    srand(7);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "k%u", i % 300);
        cr_assert_eq(set(key, "v", 1000 + (uint64_t)(rand() % 2000)), 0);
        if (i % 97 == 0) {
            caching_commit();
            caching_restart();
        }
    }
    cr_assert_eq(count(cacheq.deadlines), 300);
    while (cacheq.earliest_ms != UINT64_MAX) {
        cr_assert_gt(cacheq.earliest_ms, last);
        last = now_ms = cacheq.earliest_ms;
        cr_assert_eq(expire(), 0);
        cr_assert_eq(count(cacheq.cache), count(cacheq.deadlines));
    }
    cr_assert_eq(count(cacheq.cache), 0);
}

/* The index of deadlines is keyed by the whole entry key; its order within a millisecond by the low
 * bits of the log's index alone, which come around. */
Test(cache, entries_with_one_deadline_and_the_longest_keys_are_told_apart)
{
    char key[LIMIT_KEY_BYTES + 1];
    memset(key, 'k', sizeof(key));
    key[LIMIT_KEY_BYTES] = '\0';
    for (unsigned i = 0; i < 40; i++) {
        key[LIMIT_KEY_BYTES - 1] = (char)('A' + i % 20);
        if (i == 20)
            next_index += (1 << 16) - 25; /* the next ones stand before some that are there */
        cr_assert_eq(set(key, "v", 1000), 0);
    }
    cr_assert_eq(count(cacheq.cache), 20);
    cr_assert_eq(count(cacheq.deadlines), 20);
    cr_assert_eq(cache_del(key), 0);
    cr_assert_eq(count(cacheq.deadlines), 19);
    now_ms += 1000;
    cr_assert_eq(expire(), 0);
    cr_assert_str_eq(last_detail, "19");
    cr_assert_eq(count(cacheq.deadlines), 0);
}

Test(cache, scopes_are_apart)
{
    cr_assert_eq(set("k", "v", 1000), 0);
    cr_assert_eq(apply(&(struct command){.operation = COMMAND_CACHE_DELETE,
                                         .scope = other_scope,
                                         .key = slice_text("k")}),
                 0);
    cr_assert_str_eq(get("k"), "v");
}

Test(cache, what_was_not_committed_is_applied_again_with_the_same_outcome)
{
    cr_assert_eq(set("k", "one", 1000), 0);
    caching_commit();
    uint64_t used_bytes = cacheq.used_bytes, hash = applier.state_hash;
    cr_assert_eq(setnx("n", "v", 1000), 0);
    uint64_t then = applier.state_hash;
    caching_restart();
    cr_assert_eq(cacheq.used_bytes, used_bytes);
    cr_assert_eq(applier.state_hash, hash);
    cr_assert_null(get("n"));
    cr_assert_eq(setnx("n", "v", 1000), 0);
    cr_assert_eq(applier.state_hash, then);
}
