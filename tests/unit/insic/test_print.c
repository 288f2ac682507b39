/* What is printed: values byte for byte, JSON on one line, tables in columns; and query strings. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "insic/print.h"
#include "insic/url.h"
#include "tests/unit/insic/capture.h"

struct text {
    char *bytes;
    size_t len;
    FILE *out;
};

static FILE *text_open(struct text *text)
{
    text->out = open_memstream(&text->bytes, &text->len);
    cr_assert_not_null(text->out);
    return text->out;
}

static void text_expect(struct text *text, const char *expected, size_t len)
{
    fclose(text->out);
    cr_expect_eq(text->len, len, "%zu bytes: %s", text->len, text->bytes);
    cr_expect_eq(memcmp(text->bytes, expected, len < text->len ? len : text->len), 0, "%s",
                 text->bytes);
    free(text->bytes);
}

#define EXPECT(text, expected) text_expect(text, expected, sizeof(expected) - 1)

static json_t *json(const char *text)
{
    json_t *value = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    cr_assert_not_null(value, "%s", text);
    return value;
}

Test(print, a_value_is_printed_byte_for_byte)
{
    struct text text;
    print_bytes(text_open(&text), slice_of("a\0\n\x1b", 4));
    EXPECT(&text, "a\0\n\x1b\n");
    print_bytes(text_open(&text), slice_of("", 0));
    EXPECT(&text, "\n");
}

Test(print, strings_are_bare_and_other_json_is_compact)
{
    struct text text;
    json_t *value = json("\"a\\u0000\\\"b\"");
    print_json_value(text_open(&text), value);
    EXPECT(&text, "a\0\"b");
    json_decref(value);
    value = json("{\"a\": [1, true, null, \"x\"]}");
    print_json_value(text_open(&text), value);
    EXPECT(&text, "{\"a\":[1,true,null,\"x\"]}");
    json_decref(value);
}

Test(print, members_come_in_the_servers_order)
{
    struct text text;
    json_t *value = json("{\"z\":\"1\",\"a\":2,\"m\":{\"b\":null}}");
    print_members(text_open(&text), value);
    EXPECT(&text, "  z: 1\n  a: 2\n  m: {\"b\":null}\n");
    json_decref(value);
}

Test(print, the_servers_json_stays_as_it_is_but_for_line_breaks)
{
    struct text text;
    print_json_line(text_open(&text), slice_text("{ \"a\" : \"\\n\",\r\n\t\"b\":1.0 }\n \n"));
    EXPECT(&text, "{ \"a\" : \"\\n\",  \t\"b\":1.0 }\n");
    print_json_line(text_open(&text), slice_text(""));
    EXPECT(&text, "\n");
}

Test(print, tables_are_aligned_by_characters_and_show_no_control_bytes)
{
    static const char *const members[] = {"a", "b", NULL}, *const titles[] = {"ALPHA", "B", NULL};
    struct text text;
    json_t *rows = json("[{\"a\":\"\xe2\x82\xac\xe2\x82\xac\",\"b\":1},{\"b\":\"x\\ny\"},"
                        "{\"a\":\"longer than that\",\"b\":null}]");
    print_table(text_open(&text), rows, members, titles);
    EXPECT(&text, "ALPHA             B\n"
                  "\xe2\x82\xac\xe2\x82\xac                1\n"
                  "                  x?y\n"
                  "longer than that  \n");
    json_decref(rows);
    rows = json("[]");
    print_table(text_open(&text), rows, members, titles);
    EXPECT(&text, "ALPHA  B\n");
    json_decref(rows);
}

Test(print, an_error_moves_no_cursor)
{
    capture_begin();
    print_error("Error", "key '%s'", "a\x1b[2J\nError: b \xe2\x82\xac");
    char *text = capture_end();
    cr_expect_str_eq(text, "Error: key 'a?[2J?Error: b \xe2\x82\xac'\n");
    free(text);
}

Test(url, all_but_the_unreserved_bytes_are_encoded)
{
    struct buf query;
    buf_init(&query, 4096);
    url_add_text(&query, "key", "AZaz09-._~");
    url_add_text(&query, "b", " &=+%/?#\"'\n\xe2\x82\xac\x7f");
    url_add_number(&query, "limit", 18446744073709551615ull);
    cr_assert_eq(buf_append_byte(&query, '\0'), 0);
    cr_expect_str_eq((const char *)query.data,
                     "?key=AZaz09-._~&b=%20%26%3D%2B%25%2F%3F%23%22%27%0A%E2%82%AC%7F"
                     "&limit=18446744073709551615");
    buf_fini(&query);
}
