/* The command line: flags are found wherever they stand, and nothing else is taken for one. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "insic/options.h"
#include "tests/unit/insic/capture.h"

#define WORDS_MAX 16

/* Splits at spaces; argv[0] is "insic". */
static int parse(struct options *options, const char *line)
{
    static char copy[512];
    static char *argv[WORDS_MAX];
    int argc = 0;
    snprintf(copy, sizeof(copy), "insic %s", line);
    for (char *save = NULL, *word = strtok_r(copy, " ", &save); word && argc < WORDS_MAX;
         word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    return options_parse(options, argc, argv);
}

static void expect_words(const char *line, const char *expected)
{
    struct options options;
    char joined[512] = "";
    cr_assert_eq(parse(&options, line), 0, "%s", line);
    for (unsigned i = 0; i < options.word_count; i++) {
        size_t len = strlen(joined);
        snprintf(joined + len, sizeof(joined) - len, "%s%s", i ? "|" : "", options.words[i]);
    }
    cr_expect_str_eq(joined, expected, "%s: wanted %s, got %s", line, expected, joined);
    options_fini(&options);
}

Test(options, without_flags_there_are_defaults)
{
    struct options options;
    cr_assert_eq(parse(&options, "get k"), 0);
    cr_expect_null(options.config);
    cr_expect_null(options.target);
    cr_expect_null(options.endpoint);
    cr_expect_null(options.key);
    cr_expect_not(options.root || options.json || options.help || options.version);
    cr_expect_eq(options.timeout_ms, 10000);
    cr_expect_eq(options.word_count, 2);
    options_fini(&options);
}

Test(options, every_flag_arrives_from_both_sides_of_the_command)
{
    static const char *const lines[] = {
        "--config c --target t --root --key k --timeout 1m30s -o json get a",
        "get --config c a --target t --root --key k --timeout 1m30s -o json",
        "--config=c --target=t get a --root --key=k --timeout=1m30s --output=json",
        "get a --config first --config c --target t --root --key k --timeout 1m30s -o=json",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct options options;
        cr_assert_eq(parse(&options, lines[i]), 0, "%s", lines[i]);
        cr_expect_str_eq(options.config, "c");
        cr_expect_str_eq(options.target, "t");
        cr_expect_str_eq(options.key, "k");
        cr_expect(options.root && options.json);
        cr_expect_eq(options.timeout_ms, 90000);
        cr_expect_eq(options.word_count, 2, "%s", lines[i]);
        options_fini(&options);
    }
}

Test(options, arguments_are_what_is_no_flag)
{
    expect_words("get k", "get|k");
    expect_words("bump k -3", "bump|k|-3");
    expect_words("set k -", "set|k|-");
    expect_words("set k --other", "set|k|--other");
    expect_words("set k --rooted", "set|k|--rooted");
    expect_words("set --root k v", "set|k|v");
    expect_words("set k --help", "set|k|--help");
    expect_words("set -h k", "set|-h|k");
    expect_words("set k --version", "set|k|--version");
    expect_words("set k --versions=1", "set|k|--versions=1");
}

Test(options, two_dashes_end_the_flags_once)
{
    expect_words("-- get k", "get|k");
    expect_words("get -- --root", "get|--root");
    expect_words("set -- -- -o", "set|--|-o");
    expect_words("-- --root", "--root");
    expect_words("set k --", "set|k");
}

Test(options, help_and_version_stand_before_the_command)
{
    struct options options;
    cr_assert_eq(parse(&options, "--help"), 0);
    cr_expect(options.help);
    options_fini(&options);
    cr_assert_eq(parse(&options, "-h get"), 0);
    cr_expect(options.help && options.word_count == 1);
    options_fini(&options);
    cr_assert_eq(parse(&options, "--version"), 0);
    cr_expect(options.version);
    options_fini(&options);
}

struct refused {
    const char *line, *expected;
};

Test(options, wrong_flags_are_refused_with_what_would_be_right)
{
    static const struct refused cases[] = {
        {"--bogus", "Error: unknown flag '--bogus'."},
        {"-x get k", "Error: unknown flag '-x'."},
        {"--roo get k", "Error: unknown flag '--roo'."},
        {"--root=1 get k", "Error: this flag takes no value: '--root=1'."},
        {"get k --root=", "Error: this flag takes no value: '--root='."},
        {"get k --key", "Error: a value is missing, as in '--key insi_...'."},
        {"--endpoint= get", "Error: a value is missing, as in '--endpoint http://127.0.0.1:8443'."},
        {"-o yaml get", "Error: -o must be text or json, not 'yaml'."},
        {"--timeout x get", "Error: --timeout must be a duration from 1ms to 24h such as 10s"},
        {"--timeout 0ms get", "Error: --timeout must be a duration"},
        {"--timeout 24h1ms get", "Error: --timeout must be a duration"},
        {"--target t --endpoint e get k", "Error: --target and --endpoint exclude each other."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options;
        capture_begin();
        int error = parse(&options, cases[i].line);
        char *text = capture_end();
        cr_expect_eq(error, E_USAGE, "%s", cases[i].line);
        cr_expect_eq(strncmp(text, cases[i].expected, strlen(cases[i].expected)), 0, "%s: %s",
                     cases[i].line, text);
        cr_expect_not_null(strstr(text, "\nUsage: "), "%s", cases[i].line);
        free(text);
        options_fini(&options);
    }
}
