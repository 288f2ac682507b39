/* test_json.c - what is JSON here and what is not, and strings that come back byte for byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "procs/gateway/http/json.h"

static enum json_verdict parse(struct slice text, json_t **out)
{
    char reason[JSON_REASON_BYTES] = "";
    enum json_verdict verdict = json_parse_object(text, out, reason);
    cr_assert((verdict == JSON_OK) == (reason[0] == '\0'));
    cr_assert((verdict == JSON_OK) == (*out != NULL));
    return verdict;
}

#define TEXT(literal) slice_of(literal, sizeof(literal) - 1)

Test(json, what_is_not_one_object_is_malformed)
{
    const struct slice bad[] = {
        TEXT(""),
        TEXT(" "),
        TEXT("{"),
        TEXT("}"),
        TEXT("[]"),
        TEXT("\"text\""),
        TEXT("7"),
        TEXT("null"),
        TEXT("{}{}"),
        TEXT("{} x"),
        TEXT("{\"a\":1,}"),
        TEXT("{\"a\" 1}"),
        TEXT("{a:1}"),
        TEXT("{'a':1}"),
        TEXT("{\"a\":01}"),
        TEXT("{\"a\":1e999}"),
        TEXT("{\"a\":NaN}"),
        TEXT("{\"a\":9223372036854775808}"),
        TEXT("{\"a\":\"\t\"}"),
        TEXT("{\"a\":\"\n\"}"),
        TEXT("{\"a\":\"\\x41\"}"),
        TEXT("{\"a\":\"\\u12\"}"),
        TEXT("{\"a\":\"unended}"),
        TEXT("{\"a\":\"\0\"}"),
        TEXT("\0"),
        TEXT("{\"a\\u0000\":1}"),
        TEXT("\xef\xbb\xbf{}"),
        TEXT("// no\n{}"),
        TEXT("{\"a\":\"\\\"}"),
    };
    json_t *root;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(parse(bad[i], &root), JSON_MALFORMED, "%.*s", (int)bad[i].len,
                     (const char *)bad[i].data);
}

Test(json, a_name_may_not_come_twice)
{
    json_t *root;
    cr_expect_eq(parse(TEXT("{\"a\":1,\"a\":1}"), &root), JSON_MALFORMED);
    cr_expect_eq(parse(TEXT("{\"a\":1,\"\\u0061\":1}"), &root), JSON_MALFORMED);
    cr_expect_eq(parse(TEXT("{\"b\":{\"a\":1,\"a\":2}}"), &root), JSON_MALFORMED);
}

Test(json, invalid_utf_8_and_lone_surrogates_are_malformed)
{
    const struct slice bad[] = {
        TEXT("{\"a\":\"\x80\"}"),
        TEXT("{\"a\":\"\xc3\"}"),
        TEXT("{\"a\":\"\xc0\xaf\"}"),
        TEXT("{\"a\":\"\xed\xa0\x80\"}"),
        TEXT("{\"a\":\"\xf4\x90\x80\x80\"}"),
        TEXT("{\"a\":\"\xff\"}"),
        TEXT("{\"a\":\"\\ud800\"}"),
        TEXT("{\"a\":\"\\ud800\\ud800\"}"),
        TEXT("{\"a\":\"\\udc00\"}"),
        TEXT("{\"a\":\"\\udc00\\ud800\"}"),
        TEXT("{\"a\":\"\\ud800x\"}"),
    };
    json_t *root;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(parse(bad[i], &root), JSON_MALFORMED, "%zu", i);
}

static char *nested(const char *open, const char *close, unsigned depth)
{
    char *text = calloc(1, 32 + depth * (strlen(open) + strlen(close)));
    char *at = stpcpy(text, "{\"a\":");
    for (unsigned i = 0; i < depth; i++)
        at = stpcpy(at, open);
    at = stpcpy(at, "1");
    for (unsigned i = 0; i < depth; i++)
        at = stpcpy(at, close);
    stpcpy(at, "}");
    return text;
}

Test(json, depth_is_bounded_before_anything_is_parsed)
{
    json_t *root;
    char *fits = nested("[", "]", LIMIT_JSON_DEPTH - 1);
    cr_expect_eq(parse(slice_text(fits), &root), JSON_OK);
    json_decref(root);
    free(fits);
    const unsigned depths[] = {LIMIT_JSON_DEPTH, 1000, 1000000};
    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        char *arrays = nested("[", "]", depths[i]), *objects = nested("{\"b\":", "}", depths[i]);
        cr_expect_eq(parse(slice_text(arrays), &root), JSON_MALFORMED);
        cr_expect_eq(parse(slice_text(objects), &root), JSON_MALFORMED);
        free(arrays);
        free(objects);
    }
}

Test(json, brackets_in_strings_are_text)
{
    json_t *root;
    char text[400], *at = stpcpy(text, "{\"a\":\"");
    for (unsigned i = 0; i < 100; i++)
        at = stpcpy(at, "[{");
    stpcpy(at, "\\\"[[\\\\\"}");
    cr_assert_eq(parse(slice_text(text), &root), JSON_OK);
    json_decref(root);
}

Test(json, the_number_of_values_is_bounded)
{
    json_t *root;
    size_t len = 2 * JSON_VALUES_MAX + 32;
    char *text = malloc(len), *at = stpcpy(text, "{\"a\":[");
    while ((size_t)(at - text) < len - 8)
        at = stpcpy(at, "1,");
    stpcpy(at, "1]}");
    cr_expect_eq(parse(slice_text(text), &root), JSON_TOO_MANY_VALUES);
    free(text);
}

Test(json, a_reason_never_repeats_what_the_client_sent)
{
    char reason[JSON_REASON_BYTES];
    json_t *root;
    cr_assert_eq(json_parse_object(TEXT("{\"key\":s3cr3t}"), &root, reason), JSON_MALFORMED);
    cr_expect_null(strstr(reason, "s3cr3t"), "%s", reason);
}

/* Every byte and every character of interest comes back as it was. */
static void round_trip(struct slice text)
{
    struct buf out;
    struct slice back;
    json_t *root;
    buf_init(&out, 1 << 20);
    buf_append_text(&out, "{\"a\":");
    cr_assert_eq(json_append_string(&out, text), 0);
    buf_append_text(&out, "}");
    cr_assert_eq(parse(buf_slice(&out), &root), JSON_OK, "%.*s", (int)out.len, (char *)out.data);
    cr_assert(json_text(json_object_get(root, "a"), &back));
    cr_assert(slice_equal(text, back), "%.*s", (int)out.len, (char *)out.data);
    json_decref(root);
    buf_fini(&out);
}

Test(json, every_ascii_byte_comes_back_at_every_place_of_a_block)
{
    for (unsigned byte = 0; byte < 0x80; byte++) {
        for (size_t len = 1; len <= 70; len++) {
            char text[70];
            memset(text, 'x', sizeof(text));
            text[len - 1] = (char)byte;
            round_trip(slice_of(text, len));
            text[0] = (char)byte;
            round_trip(slice_of(text, len));
        }
    }
}

Test(json, long_and_foreign_texts_come_back)
{
    round_trip(TEXT(""));
    round_trip(TEXT("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf"));
    round_trip(TEXT("\xe2\x80\xa8\xe2\x80\xa9\x7f</script>\\\"/"));
    char text[5000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i % 0x80);
    round_trip(slice_of(text, sizeof(text)));
}

Test(json, an_integer_is_a_number_or_its_plain_digits)
{
    static const struct {
        const char *json;
        bool ok;
        int64_t number;
    } cases[] = {
        {"7", true, 7},
        {"-3", true, -3},
        {"0", true, 0},
        {"\"7\"", true, 7},
        {"\"-3\"", true, -3},
        {"\"0\"", true, 0},
        {"\"-0\"", true, 0},
        {"\"9223372036854775807\"", true, INT64_MAX},
        {"\"-9223372036854775808\"", true, INT64_MIN},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"\"9223372036854775808\"", false, 0},
        {"\"-9223372036854775809\"", false, 0},
        {"\"99999999999999999999\"", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"\"", false, 0},
        {"\"-\"", false, 0},
        {"\"+7\"", false, 0},
        {"\" 7\"", false, 0},
        {"\"7 \"", false, 0},
        {"\"07\"", false, 0},
        {"\"1.0\"", false, 0},
        {"\"1e3\"", false, 0},
        {"\"0x10\"", false, 0},
        {"\"7\\u0000\"", false, 0},
        {"\"--1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[7]", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t number = 0;
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        cr_assert_not_null(value);
        cr_expect_eq(json_integer_text(value, &number), cases[i].ok, "%s", cases[i].json);
        cr_expect(!cases[i].ok || number == cases[i].number, "%s", cases[i].json);
        json_decref(value);
    }
    int64_t number;
    cr_expect_not(json_integer_text(NULL, &number));
}

Test(json, utf_8_is_told_from_what_only_looks_like_it)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xee\x80\x80", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xbf", false},
        {"\xc0\x80", false},
        {"\xc1\xbf", false},
        {"\xc2", false},
        {"\xc2x", false},
        {"\xe0\x9f\xbf", false},
        {"\xe2\x82", false},
        {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"a\xe2\x82", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(utf8_is_valid(slice_text(cases[i].text)), cases[i].ok, "%zu", i);
}
