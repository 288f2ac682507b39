/* Values: every command, and every way in which one is refused. */
#include <stdio.h>
#include <string.h>

#include "storing.h"

TestSuite(values, .init = storing_init, .fini = storing_fini, .timeout = 60);

static void expect_value(const char *key, const char *value)
{
    const char *found = get(key, NULL);
    cr_assert_not_null(found, "%s is not there", key);
    cr_assert_str_eq(found, value);
}

Test(values, a_set_value_carries_the_index_of_its_last_write)
{
    uint64_t index;
    cr_assert_eq(set("key", "one"), 0);
    cr_assert_str_eq(get("key", &index), "one");
    cr_assert_eq(index, 1);
    cr_assert_eq(set("other", "x"), 0);
    cr_assert_eq(set("key", "two"), 0);
    cr_assert_eq(set("empty", ""), 0);
    cr_assert_str_eq(get("key", &index), "two");
    cr_assert_eq(index, 3);
    storing_restart();
    cr_assert_str_eq(get("key", &index), "two");
    cr_assert_eq(index, 3);
    cr_assert_str_eq(get("empty", &index), "");
    cr_assert_eq(index, 4);
    cr_assert_str_eq(last_detail, "");
}

Test(values, scopes_do_not_see_each_other)
{
    set("key", "ours");
    set_in(&other_scope, slice_text("key"), slice_text("theirs"));
    delete ("key");
    cr_assert_null(get("key", NULL));
    cr_assert_eq(count_keys(&other_scope), 1);
}

Test(values, keys_and_values_of_the_largest_sizes_are_stored)
{
    static char key[LIMIT_KEY_BYTES + 1], value[3 << 20];
    memset(key, 'k', LIMIT_KEY_BYTES);
    memset(value, 'v', sizeof(value));
    cr_assert_eq(set_in(&scope, slice_text(key), slice_of(value, sizeof(value))), 0);
    cr_assert_eq(set_in(&scope, slice_text(key), slice_of(value, 1000)), 0);
    cr_assert_eq(strlen(get(key, NULL)), 1000);
}

Test(values, deleting_what_is_absent_succeeds)
{
    cr_assert_eq(delete ("key"), 0);
    set("key", "value");
    cr_assert_eq(delete ("key"), 0);
    cr_assert_null(get("key", NULL));
    cr_assert_eq(delete ("key"), 0);
}

Test(values, setnx_sets_once)
{
    uint64_t index;
    cr_assert_eq(setnx("key", "one"), 0);
    cr_assert_eq(setnx("key", "two"), E_CONFLICT);
    cr_assert_str_eq(get("key", &index), "one");
    cr_assert_eq(index, 1, "a refused write leaves the index");
    delete ("key");
    cr_assert_eq(setnx("key", "two"), 0);
    expect_value("key", "two");
    set("empty", "");
    cr_assert_eq(setnx("empty", "x"), E_CONFLICT, "an empty value is one");
}

Test(values, cas_needs_the_old_value_byte_for_byte)
{
    uint64_t index;
    cr_assert_eq(cas("key", "", "new"), E_CONFLICT, "absent is not empty");
    set("key", "old");
    cr_assert_eq(cas("key", "Old", "new"), E_CONFLICT);
    cr_assert_eq(cas("key", "ol", "new"), E_CONFLICT);
    cr_assert_eq(cas("key", "old ", "new"), E_CONFLICT);
    cr_assert_eq(cas("key", "", "new"), E_CONFLICT);
    cr_assert_str_eq(get("key", &index), "old");
    cr_assert_eq(index, 2);
    cr_assert_eq(cas("key", "old", ""), 0);
    cr_assert_eq(cas("key", "", "new"), 0);
    cr_assert_str_eq(get("key", &index), "new");
    cr_assert_eq(index, 8);
}

Test(values, bump_counts_from_zero_and_answers_with_the_new_number)
{
    uint64_t index;
    cr_assert_eq(bump("key", 5), 0);
    cr_assert_str_eq(last_detail, "5");
    cr_assert_eq(bump("key", -3), 0);
    cr_assert_str_eq(last_detail, "2");
    cr_assert_eq(bump("key", -3), 0);
    cr_assert_str_eq(last_detail, "0");
    cr_assert_str_eq(get("key", &index), "0");
    cr_assert_eq(index, 3);
    cr_assert_eq(bump("absent", -3), 0);
    cr_assert_str_eq(last_detail, "0");
    expect_value("absent", "0");
    set("negative", "-10");
    cr_assert_eq(bump("negative", 3), 0);
    cr_assert_str_eq(last_detail, "0");
    set("number", "41");
    cr_assert_eq(bump("number", 1), 0);
    expect_value("number", "42");
}

Test(values, bump_refuses_texts_and_leaves_them)
{
    static const char *const texts[] = {"", "text", "1.5", " 1", "1 ", "+1", "01", "1e3"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        set("key", texts[i]);
        cr_assert_eq(bump("key", 1), E_NOT_A_NUMBER, "'%s'", texts[i]);
        cr_assert_str_eq(last_detail, "");
        expect_value("key", texts[i]);
    }
}

Test(values, bump_refuses_to_pass_the_largest_number_and_leaves_it)
{
    set("key", "9223372036854775806");
    cr_assert_eq(bump("key", 1), 0);
    cr_assert_str_eq(last_detail, "9223372036854775807");
    cr_assert_eq(bump("key", 1), E_OVERFLOW);
    cr_assert_eq(bump("key", INT64_MAX), E_OVERFLOW);
    expect_value("key", "9223372036854775807");
    set("key", "9223372036854775808");
    cr_assert_eq(bump("key", -1), E_OVERFLOW);
    expect_value("key", "9223372036854775808");
    set("key", "1");
    cr_assert_eq(bump("key", INT64_MIN), 0);
    cr_assert_str_eq(last_detail, "0");
}

/* ---- batches ---- */

static int batch(int operation, const char *const *texts, unsigned count)
{
    struct buf bytes;
    struct pack pack;
    size_t width = operation == COMMAND_VALUE_BATCH_SET ? 2 : 1;
    buf_init(&bytes, 1 << 20);
    pack_init(&pack, &bytes);
    command_batch_begin(&pack, (enum command_operation)operation, &scope, count);
    for (unsigned i = 0; i < count; i++)
        command_batch_item(&pack, (enum command_operation)operation, slice_text(texts[width * i]),
                           slice_text(texts[width * i + width - 1]));
    cr_assert_eq(pack_result(&pack), 0);
    int error = apply_encoded(buf_slice(&bytes));
    buf_fini(&bytes);
    return error;
}

Test(values, a_batch_sets_and_deletes_everything_at_one_index)
{
    static const char *const items[] = {"a", "1", "b", "2", "c", "3", "a", "4"};
    static const char *const keys[] = {"a", "nothing", "c", "a"};
    uint64_t index;
    set("b", "old");
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_SET, items, 4), 0);
    cr_assert_str_eq(get("b", &index), "2");
    cr_assert_eq(index, 2);
    cr_assert_str_eq(get("a", &index), "4");
    cr_assert_eq(index, 2);
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_DELETE, keys, 4), 0);
    cr_assert_eq(count_keys(&scope), 1);
    expect_value("b", "2");
}

Test(values, batches_may_be_empty_and_as_long_as_the_limit)
{
    static char text[2 * LIMIT_BATCH_ITEMS][8];
    static const char *items[2 * LIMIT_BATCH_ITEMS];
    for (unsigned i = 0; i < 2 * LIMIT_BATCH_ITEMS; i++) {
        snprintf(text[i], sizeof(text[i]), "%u", i);
        items[i] = text[i];
    }
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_SET, items, 0), 0);
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_DELETE, items, 0), 0);
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_SET, items, LIMIT_BATCH_ITEMS), 0);
    cr_assert_eq(count_keys(&scope), LIMIT_BATCH_ITEMS);
    cr_assert_eq(batch(COMMAND_VALUE_BATCH_DELETE, items, LIMIT_BATCH_ITEMS), 0);
    cr_assert_eq(count_keys(&scope), LIMIT_BATCH_ITEMS / 2);
}

/* ---- what is checked again, whatever a gateway let through ---- */

static int apply_raw(const void *key, size_t key_len)
{
    struct buf bytes;
    struct pack pack;
    buf_init(&bytes, 1 << 20);
    pack_init(&pack, &bytes);
    pack_array(&pack, 4);
    pack_u64(&pack, COMMAND_VALUE_SET);
    pack_bytes(&pack, slice_of(scope.id, SCOPE_BYTES));
    pack_bytes(&pack, slice_of(key, key_len));
    pack_bytes(&pack, slice_text("value"));
    int error = apply_encoded(buf_slice(&bytes));
    buf_fini(&bytes);
    return error;
}

Test(values, what_breaks_the_limits_is_refused_and_changes_nothing)
{
    static char key[LIMIT_KEY_BYTES + 1];
    memset(key, 'k', sizeof(key));
    cr_assert_eq(apply_raw(key, LIMIT_KEY_BYTES), 0);
    cr_assert_eq(apply_raw(key, LIMIT_KEY_BYTES + 1), E_BAD_COMMAND);
    cr_assert_eq(apply_raw(key, 0), E_BAD_COMMAND);
    cr_assert_eq(apply_encoded(slice_text("nonsense")), E_BAD_COMMAND);
    cr_assert_eq(count_keys(&scope), 1);
}
