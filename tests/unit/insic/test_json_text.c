/* JSON as it was written: members are found, numbers stay what they are. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/check.h"
#include "insic/json_text.h"

/* The member's text, "-" when there is none; in a place of its own for the sanitizer's sake. */
static void expect_member(const char *object, size_t len, const char *name, const char *expected)
{
    struct slice found = {"-", 1};
    char *exact = mem_copy(object, len);
    if (!json_text_member(slice_of(exact, len), name, &found))
        found = slice_text("-");
    cr_expect(slice_equal(found, slice_text(expected)), "%s of %s: %.*s", name, object,
              (int)found.len, (const char *)found.data);
    free(exact);
}

static void member(const char *object, const char *name, const char *expected)
{
    expect_member(object, strlen(object), name, expected);
}

Test(json_text, a_member_is_found_as_it_stands)
{
    const char *frame = "{\"topic\":\"a,}\\\"b\", \"data\" : {\"index\":[1, {\"topic\":2}]} ,\n"
                        "\"index\":18446744073709551615,\"emitted_at\":1.10 }";
    member(frame, "topic", "\"a,}\\\"b\"");
    member(frame, "data", "{\"index\":[1, {\"topic\":2}]}");
    member(frame, "index", "18446744073709551615");
    member(frame, "emitted_at", "1.10");
    member(frame, "emitted", "-");
    member(frame, "", "-");
    member("{}", "a", "-");
    member(" { \"a\" : null } ", "a", "null");
    member("{\"a\":1,\"a\":2}", "a", "1");
    member("{\"b\\\"\":1,\"a\":\"\\\\\"}", "a", "\"\\\\\"");
    member("{\"a\":[]}", "a", "[]");
    member("{\"a\":\"\"}", "a", "\"\"");
}

Test(json_text, what_is_no_object_has_no_members)
{
    static const char *const texts[] = {"",          "[\"a\",1]", "\"a\"",    "a",         "{a:1}",
                                        "{\"a\"}",   "{\"a\":}",  "{\"b\":1", "{\"b\"",    "{",
                                        "{\"b\":1]", "{\"a",      "{\"a\\",   "{,\"a\":1}"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        member(texts[i], "a", "-");
}

Test(json_text, a_text_cut_anywhere_is_read_no_further)
{
    const char *frame = "{\"x\":\"\\\"\",\"y\":[{\"a\":\"\\\\\"}],\"a\":{\"b\":\"\\u0041\"}}";
    for (size_t len = 0; len < strlen(frame); len++) {
        struct slice found;
        char *exact = mem_copy(frame, len);
        if (json_text_member(slice_of(exact, len), "a", &found))
            cr_expect((const char *)found.data + found.len <= exact + len, "%zu", len);
        free(exact);
    }
}

Test(json_text, an_index_is_digits)
{
    uint64_t value = 1;
    cr_expect(json_text_u64(slice_text("0"), &value) && value == 0);
    cr_expect(json_text_u64(slice_text("18446744073709551615"), &value) && value == UINT64_MAX);
    static const char *const others[] = {"",
                                         "18446744073709551616",
                                         "99999999999999999999",
                                         "-1",
                                         "1.0",
                                         "1e3",
                                         " 1",
                                         "1 ",
                                         "+1",
                                         "\"1\"",
                                         "null",
                                         "0x1"};
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_not(json_text_u64(slice_text(others[i]), &value), "%s", others[i]);
}

static void compact(const char *text, const char *expected)
{
    struct buf out;
    size_t len = strlen(text);
    char *exact = mem_copy(text, len);
    buf_init(&out, 256);
    cr_expect_eq(json_text_compact(&out, slice_of(exact, len)), 0);
    cr_expect(slice_equal(buf_slice(&out), slice_text(expected)), "%s: %.*s", text, (int)out.len,
              (const char *)out.data);
    buf_fini(&out);
    free(exact);
}

Test(json_text, only_what_stands_between_tokens_goes)
{
    compact(" { \"a b\" :\t[ 1.10 ,\r\n1E400 , 123456789012345678901234567890 ] } \n",
            "{\"a b\":[1.10,1E400,123456789012345678901234567890]}");
    compact("\" \\\" \\\\\" ", "\" \\\" \\\\\"");
    compact("  null  ", "null");
    compact("", "");
    compact("   ", "");
    compact("\"a b", "\"a b");
    compact("[\"a \\", "[\"a \\");
}

Test(json_text, numbers_of_any_size_are_json)
{
    static const char *const good[] = {"0",
                                       "-0",
                                       "1.10",
                                       "-1E400",
                                       "1e+5",
                                       "2E-7",
                                       "123456789012345678901234567890",
                                       "[1,-2.50 , 3e9]",
                                       "{\"a\":1e999,\"1e\":\"01 -\"}",
                                       "\"1.\"",
                                       "null",
                                       " true ",
                                       "{\"a\":1,\"a\":2}",
                                       "\"\\ud83d\\ude00\\u0000\""};
    static const char *const bad[] = {"",      " ",           "01",  "-",       "1.",       ".5",
                                      "+1",    "1e",          "1e+", "--1",     "1-2",      "1 2",
                                      "-01",   "1.e5",        "0x1", "NaN",     "Infinity", "[1,]",
                                      "{1:2}", "{\"a\":}",    "\"a", "\"\\x\"", "\"\t\"",   "tru",
                                      "1true", "\"\\ud800\"", "[",   "[1}",     "hello"};
    json_error_t problem;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(json_text_check(good[i], &problem), "%s: %s", good[i], problem.text);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(json_text_check(bad[i], &problem), "%s", bad[i]);
    cr_expect_not(json_text_check("{\"a\": 123456,\n \"b\": -1.5 x}", &problem));
    cr_expect_eq(problem.line, 2);
    cr_expect_eq(problem.column, 12);
}

Test(json_text, a_string_begins_with_a_quote)
{
    cr_expect(json_text_is_string(slice_text("\"\"")));
    cr_expect_not(json_text_is_string(slice_text("1")));
    cr_expect_not(json_text_is_string(slice_text("")));
}
