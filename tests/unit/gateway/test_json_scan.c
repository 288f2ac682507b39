/* test_json_scan.c - the members of an object as they were written. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "procs/gateway/http/json_scan.h"

static bool scan(const char *text, struct json_member members[2])
{
    char reason[JSON_REASON_BYTES] = "";
    members[0].name = "topic";
    members[1].name = "data";
    bool is_right = json_scan_object(slice_text(text), members, 2, reason);
    cr_assert_eq(is_right, reason[0] == '\0', "%s: %s", text, reason);
    return is_right;
}

static void expect_data(const char *text, const char *compact)
{
    struct json_member members[2];
    struct buf out;
    cr_assert(scan(text, members), "%s", text);
    buf_init(&out, 4096);
    cr_assert_eq(json_append_compact(&out, members[1].raw), 0);
    cr_assert(slice_equal(buf_slice(&out), slice_text(compact)), "%s: %.*s", text, (int)out.len,
              out.data);
    buf_fini(&out);
}

Test(json_scan, a_value_comes_as_it_was_written_without_blanks_between_its_parts)
{
    expect_data("{\"data\":1}", "1");
    expect_data("{\"data\":-0.10e-007}", "-0.10e-007");
    expect_data(" { \"data\" : 100000000000000000000000000.0 } ", "100000000000000000000000000.0");
    expect_data("{\"data\":1e999}", "1e999");
    expect_data("{\"data\":null,\"x\":1}", "null");
    expect_data("{\"x\":[{\"data\":2}],\"data\":true}", "true");
    expect_data("{\"data\":\" \\\"\\\\\\u00e9 \\ud834\\udd1e \"}",
                "\" \\\"\\\\\\u00e9 \\ud834\\udd1e \"");
    expect_data("{\"data\":[ ]}", "[]");
    expect_data("{\"data\":\t{ }\r\n}", "{}");
    expect_data("{\"data\":{\n  \"a b\" : [ 1 , \" , \" ] ,\n \"a b\":false }}",
                "{\"a b\":[1,\" , \"],\"a b\":false}");
    expect_data("{\"d\\u0061ta\":7}", "7");
    expect_data("{\"topic\":\"x\"}", "");
}

Test(json_scan, what_is_not_json_is_refused)
{
    static const char *const wrong[] = {
        "",
        "{",
        "{}}",
        "[]",
        "1",
        "{\"data\":}",
        "{\"data\":1,}",
        "{\"data\" 1}",
        "{data:1}",
        "{'data':1}",
        "{\"data\":01}",
        "{\"data\":+1}",
        "{\"data\":.5}",
        "{\"data\":1.}",
        "{\"data\":1e}",
        "{\"data\":1e+}",
        "{\"data\":-}",
        "{\"data\":0x1}",
        "{\"data\":NaN}",
        "{\"data\":tru}",
        "{\"data\":True}",
        "{\"data\":nulll}",
        "{\"data\":[1,]}",
        "{\"data\":[1 2]}",
        "{\"data\":[}",
        "{\"data\":{\"a\"}}",
        "{\"data\":{1:2}}",
        "{\"data\":\"a}",
        "{\"data\":\"\\x\"}",
        "{\"data\":\"\\u12g4\"}",
        "{\"data\":\"\\u123\"}",
        "{\"data\":\"\\ud834\"}",
        "{\"data\":\"\\ud834\\u0041\"}",
        "{\"data\":\"\\ud834x\"}",
        "{\"data\":\"\\udd1e\"}",
        "{\"data\":\"a\nb\"}",
        "{\"data\":\"a\tb\"}",
        "{\"data\":\"\xff\"}",
        "{\"data\":\"\xc0\x80\"}",
        "{\"data\":\"\xed\xa0\x80\"}",
        "{\"data\":1,\"data\":2}",
        "{\"data\":1,\"\\u0064ata\":2}",
        "{\"data\":1} x",
        "\xef\xbb\xbf{}",
    };
    struct json_member members[2];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect(!scan(wrong[i], members), "%s", wrong[i]);
}

/* As of every prefix of a text that is right, too. */
Test(json_scan, a_text_that_ends_early_is_refused_wherever_it_ends)
{
    static const char text[] =
        "{\"topic\":\"a\\u00e9\\ud834\\udd1e\\n\",\"data\":[1.5e3,{\"b\":null},true,\"\"]}";
    struct json_member members[2];
    char part[sizeof(text)];
    cr_assert(scan(text, members));
    for (size_t len = 0; len + 1 < sizeof(text) - 1; len++) {
        memcpy(part, text, len);
        part[len] = '\0';
        cr_expect(!scan(part, members), "%s", part);
    }
}

Test(json_scan, depth_has_a_limit)
{
    char text[256];
    struct json_member members[2];
    for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
        int len = snprintf(text, sizeof(text), "{\"data\":");
        memset(text + len, '[', depth - 1);
        memset(text + len + depth - 1, ']', depth - 1);
        memcpy(text + len + 2 * (depth - 1), "}", 2);
        cr_assert_eq(scan(text, members), depth == LIMIT_JSON_DEPTH);
    }
}

static void expect_text(const char *raw, const char *expected, size_t len)
{
    char space[64];
    struct slice text;
    cr_assert(json_raw_text(slice_text(raw), space, &text), "%s", raw);
    cr_assert(slice_equal(text, slice_of(expected, len)), "%s", raw);
}

Test(json_scan, a_string_says_what_its_escapes_stand_for)
{
    char space[8];
    struct slice text;
    expect_text("\"\"", "", 0);
    expect_text("\"plain\"", "plain", 5);
    expect_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    expect_text("\"\\u0041\\u00e9\\u20AC\\uD834\\uDD1E\\u0000z\"",
                "A\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\0z", 12);
    cr_assert(!json_raw_text(slice_text("7"), space, &text));
    cr_assert(!json_raw_text(slice_of(NULL, 0), space, &text));
}
