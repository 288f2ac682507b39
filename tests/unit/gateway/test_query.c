/* test_query.c - queries: decoded once, strictly. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "procs/gateway/http/query.h"

static const char *parse(struct query *query, struct slice text)
{
    static char space[4096];
    cr_assert_lt(text.len, sizeof(space));
    return query_parse(query, text, space);
}

static void expect_value(const char *text, const char *name, const char *value)
{
    struct query query;
    struct slice found;
    cr_assert_null(parse(&query, slice_text(text)), "%s", text);
    cr_assert(query_find(&query, name, &found), "%s", text);
    cr_assert(slice_equal(found, slice_text(value)), "%s: %.*s", text, (int)found.len,
              (const char *)found.data);
}

Test(query, values_are_decoded_once)
{
    expect_value("key=a", "key", "a");
    expect_value("key=", "key", "");
    expect_value("key", "key", "");
    expect_value("a=1&key=b&z=2", "key", "b");
    expect_value("key=a%20b", "key", "a b");
    expect_value("key=a+b", "key", "a b");
    expect_value("key=a%2Bb", "key", "a+b");
    expect_value("key=a%2bb", "key", "a+b");
    expect_value("key=%2541", "key", "%41");
    expect_value("key=a%26b%3Dc", "key", "a&b=c");
    expect_value("key=a=b", "key", "a=b");
    expect_value("%6bey=a", "key", "a");
    expect_value("key=%C3%A9%F0%9F%98%80", "key", "\xc3\xa9\xf0\x9f\x98\x80");
    expect_value("key=\xc3\xa9", "key", "\xc3\xa9");
    expect_value("&&key=a&&", "key", "a");
}

Test(query, what_cannot_be_meant_is_refused)
{
    static const char *const bad[] = {
        "key=%",      "key=%4",      "key=%zz",       "key=%4z", "key=%00",
        "key=a%00b",  "k%00=a",      "key=%ff",       "key=%c3", "key=%ed%a0%80",
        "key=%c0%af", "key=a&key=b", "key=a&%6bey=b", "key&key", "key=\xff",
    };
    struct query query;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not_null(parse(&query, slice_text(bad[i])), "%s", bad[i]);
    cr_expect_not_null(parse(&query, slice_of("key=a\0b", 7)));
}

Test(query, an_empty_one_has_nothing)
{
    struct query query;
    struct slice found;
    cr_assert_null(parse(&query, slice_of(NULL, 0)));
    cr_assert_null(parse(&query, slice_text("")));
    cr_expect_not(query_find(&query, "key", &found));
    cr_assert_null(parse(&query, slice_text("KEY=a&other=b")));
    cr_expect_not(query_find(&query, "key", &found));
}

Test(query, the_number_of_parameters_is_bounded)
{
    char text[1024], *at = text;
    struct query query;
    for (unsigned i = 0; i < QUERY_PARAMETERS_MAX; i++)
        at += sprintf(at, "p%u=%u&", i, i);
    cr_expect_null(parse(&query, slice_text(text)));
    stpcpy(at, "one=more");
    cr_expect_not_null(parse(&query, slice_text(text)));
}
