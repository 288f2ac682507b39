/* Queues: push order, each item to one pop, deletion in steps, deleted scopes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "caching.h"

TestSuite(queues, .init = caching_init, .fini = caching_fini, .timeout = 60);

static void expect_push(const char *key, const char *item, const char *new_length)
{
    cr_assert_eq(push(key, item), 0);
    cr_assert_str_eq(last_detail, new_length);
}

static void expect_pop(const char *key, const char *item)
{
    cr_assert_eq(pop(key), 0);
    cr_assert_str_eq(last_detail, item);
}

Test(queues, items_come_in_push_order_each_once)
{
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(length("q"), 0);
    cr_assert_null(peek("q"));
    expect_push("q", "one", "1");
    expect_push("q", "", "2");
    expect_push("q", "three", "3");
    cr_assert_str_eq(peek("q"), "one");
    cr_assert_eq(length("q"), 3);
    expect_pop("q", "one");
    expect_pop("q", "");
    expect_push("q", "four", "2");
    expect_pop("q", "three");
    cr_assert_str_eq(peek("q"), "four");
    expect_pop("q", "four");
    cr_assert_eq(pop("q"), E_QUEUE_EMPTY);
    cr_assert_eq(length("q"), 0);
}

Test(queues, a_queue_that_is_not_there_takes_and_gives_nothing)
{
    cr_assert_eq(push("q", "item"), E_QUEUE_NOT_FOUND);
    cr_assert_eq(pop("q"), E_QUEUE_NOT_FOUND);
    cr_assert_eq(length("q"), -1);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(count(cacheq.items), 0);
}

Test(queues, making_a_queue_that_exists_leaves_it_alone)
{
    cr_assert_eq(queue_new("q"), 0);
    expect_push("q", "one", "1");
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(length("q"), 1);
    expect_pop("q", "one");
}

Test(queues, queues_and_scopes_are_apart)
{
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(queue_new("r"), 0);
    expect_push("q", "q1", "1");
    expect_push("r", "r1", "1");
    expect_push("q", "q2", "2");
    const struct command other = {
        .operation = COMMAND_QUEUE_POP, .scope = other_scope, .key = slice_text("q")};
    cr_assert_eq(apply(&other), E_QUEUE_NOT_FOUND);
    expect_pop("r", "r1");
    expect_pop("q", "q1");
    expect_pop("q", "q2");
}

Test(queues, a_deleted_queue_is_gone_at_once_and_made_anew_it_is_empty)
{
    cr_assert_eq(queue_new("q"), 0);
    expect_push("q", "old", "1");
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(length("q"), -1);
    cr_assert_eq(push("q", "item"), E_QUEUE_NOT_FOUND);
    expect_nothing_left();
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(length("q"), 0);
    cr_assert_eq(pop("q"), E_QUEUE_EMPTY);
}

Test(queues, a_large_queue_is_removed_in_steps)
{
    const unsigned items = 3 * PURGE_STEP_PARTS + 5;
    cr_assert_eq(queue_new("q"), 0);
    for (unsigned i = 0; i < items; i++)
        cr_assert_eq(push("q", "item"), 0);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(cacheq.deleted_count, 1);
    cr_assert_eq(count(cacheq.items), items - PURGE_STEP_PARTS);
    cr_assert_eq(queue_new("q"), 0);
    expect_push("q", "new", "1");
    cr_assert_eq(purge_queues(), 0);
    cr_assert_eq(strtoul(last_detail, NULL, 10), PURGE_STEP_PARTS);
    caching_commit();
    caching_restart();
    cr_assert_eq(cacheq.deleted_count, 1);
    cr_assert_eq(purge_queues(), 0);
    cr_assert_eq(purge_queues(), 0);
    cr_assert_str_eq(last_detail, "5");
    cr_assert_eq(cacheq.deleted_count, 0);
    cr_assert_eq(purge_queues(), 0);
    cr_assert_str_eq(last_detail, "0");
    expect_pop("q", "new");
    cr_assert_eq(queue_delete("q"), 0);
    expect_nothing_left();
}

Test(queues, large_items_bound_a_step_too)
{
    char *item = malloc(PURGE_STEP_BYTES / 4 + 1);
    memset(item, 'x', PURGE_STEP_BYTES / 4);
    item[PURGE_STEP_BYTES / 4] = '\0';
    cr_assert_eq(queue_new("q"), 0);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(push("q", item), 0);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(count(cacheq.items), 6);
    free(item);
}

/* Pushes and pops at two queues, one older, one newer, against a model, with restarts. */
Test(queues, interleaved_queues_keep_their_order)
{
    unsigned pushed[2] = {0}, popped[2] = {0};
    const char *const keys[] = {"q", "r"};
    char item[16];
    srand(11);
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(queue_new("r"), 0);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned which = (unsigned)rand() % 2;
        if (rand() % 5 < 3) {
            snprintf(item, sizeof(item), "%u", pushed[which]++);
            cr_assert_eq(push(keys[which], item), 0);
        } else if (popped[which] < pushed[which]) {
            snprintf(item, sizeof(item), "%u", popped[which]++);
            expect_pop(keys[which], item);
        } else {
            cr_assert_eq(pop(keys[which]), E_QUEUE_EMPTY);
        }
        if (i % 500 == 0) {
            caching_commit();
            caching_restart();
        }
    }
    cr_assert_eq(length("q"), (int64_t)(pushed[0] - popped[0]));
    cr_assert_eq(length("r"), (int64_t)(pushed[1] - popped[1]));
}

Test(queues, an_item_is_popped_once_however_often_the_pop_comes)
{
    const struct command popping = {
        .operation = COMMAND_QUEUE_POP, .scope = scope, .key = slice_text("q")};
    cr_assert_eq(queue_new("q"), 0);
    expect_push("q", "one", "1");
    expect_push("q", "two", "2");
    cr_assert_eq(apply_as(SESSION_A, &popping), 0);
    cr_assert_str_eq(last_detail, "one");
    cr_assert_eq(apply_again(SESSION_A, last_sequence(SESSION_A), &popping), 0);
    cr_assert_str_eq(last_detail, "one");
    cr_assert_eq(last_index, next_index - 2);
    cr_assert_eq(length("q"), 1);
}

/* ---- the limit ---- */

Test(queues, queues_and_items_count_and_give_back_what_they_count_for)
{
    cr_assert_eq(queue_new("q"), 0);
    uint64_t empty = cacheq.used_bytes;
    cr_assert_eq(empty, QUEUE_BYTES + 1);
    expect_push("q", "item", "1");
    cr_assert_eq(cacheq.used_bytes, empty + QUEUE_ITEM_BYTES + 4);
    expect_push("q", "", "2");
    cr_assert_eq(cacheq.used_bytes, empty + 2UL * QUEUE_ITEM_BYTES + 4);
    expect_pop("q", "item");
    cr_assert_eq(cacheq.used_bytes, empty + QUEUE_ITEM_BYTES);
    cr_assert_eq(queue_delete("q"), 0);
    cr_assert_eq(cacheq.used_bytes, 0);
}

Test(queues, beyond_the_limit_nothing_is_pushed_until_something_is_popped)
{
    cr_assert_eq(queue_new("q"), 0);
    uint64_t limit = cacheq.used_bytes + 2UL * (QUEUE_ITEM_BYTES + 3);
    cr_assert_eq(push_within("q", "one", limit), 0);
    cr_assert_eq(push_within("q", "four", limit), E_STORAGE_FULL);
    cr_assert_str_eq(last_detail, "");
    cr_assert_eq(push_within("q", "two", limit), 0);
    cr_assert_eq(push_within("q", "", limit), E_STORAGE_FULL);
    cr_assert_eq(length("q"), 2);
    expect_pop("q", "one");
    cr_assert_eq(push_within("q", "", limit), 0);
    struct command another = {.operation = COMMAND_QUEUE_NEW,
                              .scope = scope,
                              .key = slice_text("r"),
                              .limit_bytes = limit};
    cr_assert_eq(apply(&another), E_STORAGE_FULL);
    another.key = slice_text("q");
    cr_assert_eq(apply(&another), 0);
}

Test(queues, a_push_gives_expired_entries_back_and_one_that_is_awaited_needs_no_room)
{
    cr_assert_eq(queue_new("q"), 0);
    cr_assert_eq(set("k", "v", 1000), 0);
    cr_assert_eq(push_within("q", "item", cacheq.used_bytes), E_STORAGE_FULL);
    begin_to_wait(SESSION_A, "q", 5000);
    cr_assert_eq(push_within("q", "item", 1), 0);
    cr_assert_eq(length("q"), 0);
    uint64_t limit = cacheq.used_bytes;
    now_ms += 1000;
    cr_assert_eq(push_within("q", "item", limit), 0);
    cr_assert_eq(count(cacheq.cache), 0);
}

/* ---- deleted scopes ---- */

static void expect_scope_gone(void)
{
    cr_assert_eq(set("k", "v", 1000), E_SCOPE_GONE);
    cr_assert_eq(cache_del("k"), E_SCOPE_GONE);
    cr_assert_eq(queue_new("q"), E_SCOPE_GONE);
    cr_assert_eq(push("q", "v"), E_SCOPE_GONE);
    cr_assert_eq(pop("q"), E_SCOPE_GONE);
    cr_assert_eq(queue_delete("q"), E_SCOPE_GONE);
}

Test(queues, a_deleted_scope_loses_its_entries_and_queues_in_steps)
{
    char key[16];
    for (unsigned i = 0; i < DOOMED_STEP_KEYS + 10; i++) {
        snprintf(key, sizeof(key), "k%04u", i);
        cr_assert_eq(set(key, "v", 1000), 0);
        cr_assert_eq(queue_new(key), 0);
        cr_assert_eq(push(key, "item"), 0);
    }
    struct command other = {.operation = COMMAND_QUEUE_NEW,
                            .scope = other_scope,
                            .key = slice_text("theirs"),
                            .limit_bytes = LIMIT_NONE};
    cr_assert_eq(apply(&other), 0);
    uint64_t step = 0;
    cr_assert_eq(purge_scope(&scope, step), 0);
    cr_assert_eq(strtoul(last_detail, NULL, 10), DOOMED_STEP_KEYS);
    cr_assert_eq(count(cacheq.cache), 10);
    cr_assert_eq(count(cacheq.deadlines), 10);
    expect_scope_gone();
    cr_assert_eq(purge_scope(&scope, step), 0);
    cr_assert_str_eq(last_detail, "0");
    caching_commit();
    caching_restart();
    while (cacheq.doomed.pending_count > 0) {
        cr_assert_lt(step, 10);
        cr_assert_eq(purge_scope(&scope, ++step), 0);
    }
    while (cacheq.deleted_count > 0)
        cr_assert_eq(purge_queues(), 0);
    cr_assert_eq(cacheq.used_bytes, QUEUE_BYTES + strlen("theirs"));
    cr_assert_eq(count(cacheq.cache), 0);
    cr_assert_eq(count(cacheq.items), 0);
    cr_assert_eq(count(cacheq.queues), 1);
    expect_scope_gone();
}

Test(queues, a_scope_without_data_is_doomed_all_the_same)
{
    cr_assert_eq(purge_scope(&scope, 0), 0);
    cr_assert_eq(cacheq.doomed.pending_count, 0);
    expect_scope_gone();
    caching_commit();
    caching_restart();
    expect_scope_gone();
}
