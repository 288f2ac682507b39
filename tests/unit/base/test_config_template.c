/* The file that insid --new-cfg writes, and the example that is the same with public secrets. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/config_table.h"
#include "base/rng.h"

static char reported[8192];

static void collect(const char *message, void *arg)
{
    (void)arg;
    size_t len = strlen(reported);
    snprintf(reported + len, sizeof(reported) - len, "%s\n", message);
}

static void parse(struct config *config, const char *text)
{
    reported[0] = '\0';
    cr_assert_eq(config_parse(config, slice_text(text), "f.yaml", collect, NULL), 0, "%s",
                 reported);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = mem_alloc(64 << 10);
    cr_assert_not_null(file, "%s: run the tests in the folder of the Makefile", path);
    cr_assert_lt(fread(text, 1, (64 << 10) - 1, file), (64 << 10) - 1);
    fclose(file);
    return text;
}

Test(config_template, it_is_valid_and_has_three_nodes_with_secrets_of_their_own)
{
    struct config config;
    char *text = config_template(NULL);
    parse(&config, text);
    cr_assert_eq(config.node_count, 3);
    cr_expect_str_eq(config.nodes[0].id, "node0");
    cr_expect_eq(config.nodes[0].raft.port, 2222);
    cr_expect_eq(config.nodes[2].http.port, 8445);
    cr_expect_str_eq(config.data_dir, "./insi-data");
    cr_expect_str_neq(config.nodes[0].node_secret, config.nodes[1].node_secret);
    cr_expect_geq(strlen(config.instance_secret), 32);
    config_fini(&config);
    free(text);
}

Test(config_template, two_share_no_secret)
{
    struct config a, b;
    char *first = config_template("./dev"), *second = config_template("./dev");
    parse(&a, first);
    parse(&b, second);
    cr_expect_eq(a.node_count, 1);
    cr_expect_str_eq(a.data_dir, "./dev");
    cr_expect_str_neq(a.instance_secret, b.instance_secret);
    cr_expect_str_neq(a.root_prefix, b.root_prefix);
    cr_expect_str_neq(a.nodes[0].node_secret, b.nodes[0].node_secret);
    config_fini(&a);
    config_fini(&b);
    free(first);
    free(second);
}

static size_t setting_size(enum setting_kind kind)
{
    switch (kind) {
    case SETTING_BOOL:
        return sizeof(bool);
    case SETTING_SMALL:
    case SETTING_CHOICE:
        return sizeof(uint32_t);
    default:
        return sizeof(uint64_t);
    }
}

static bool setting_is_same(const struct setting *setting, const void *a, const void *b)
{
    const char *at = (const char *)a + setting->offset, *other = (const char *)b + setting->offset;
    if (setting->kind == SETTING_TEXT)
        return strcmp(*(char *const *)at, *(char *const *)other) == 0;
    if (setting->kind == SETTING_TEXTS)
        return true; /* an empty list may be allocated or not */
    return memcmp(at, other, setting_size(setting->kind)) == 0;
}

Test(config_template, it_shows_every_setting_at_its_default)
{
    struct config given, minimal;
    char *text = config_template(NULL);
    const char *optional = strstr(text, "# Everything below may be left out");
    cr_assert_not_null(optional);
    parse(&given, text);
    char *required = mem_copy(text, (size_t)(optional - text) + 1);
    required[optional - text] = '\0';
    parse(&minimal, required);
    for (const struct setting *setting = config_settings; setting->path; setting++) {
        const char *name =
            strrchr(setting->path, '.') ? strrchr(setting->path, '.') + 1 : setting->path;
        char shown[64];
        snprintf(shown, sizeof(shown), "%s:", name);
        cr_expect_not_null(strstr(text, shown), "%s is not shown", setting->path);
        if (strncmp(setting->path, "tls.", 4) != 0)
            cr_expect(setting_is_same(setting, &given, &minimal), "%s", setting->path);
    }
    cr_expect_eq(given.sessions.allowed_origin_count, 0);
    config_fini(&given);
    config_fini(&minimal);
    free(required);
    free(text);
}

static void replace(char **text, const char *old, const char *new)
{
    const char *at = strstr(*text, old);
    struct buf out;
    cr_assert_not_null(at);
    buf_init(&out, 64 << 10);
    cr_assert_eq(buf_append(&out, *text, (size_t)(at - *text)), 0);
    cr_assert_eq(buf_append_text(&out, new), 0);
    cr_assert_eq(buf_append_text(&out, at + strlen(old)), 0);
    cr_assert_eq(buf_append_byte(&out, '\0'), 0);
    free(*text);
    *text = (char *)out.data;
}

Test(config_template, the_example_is_the_same_but_for_its_secrets_and_its_first_lines)
{
    struct config fresh, shown;
    char *text = config_template(NULL), *wanted = read_file("cluster.yaml.example");
    parse(&fresh, text);
    parse(&shown, wanted);
    replace(&text, fresh.instance_secret, shown.instance_secret);
    replace(&text, fresh.root_prefix, shown.root_prefix);
    for (unsigned i = 0; i < 3; i++)
        replace(&text, fresh.nodes[i].node_secret, shown.nodes[i].node_secret);
    cr_expect_str_eq(strstr(text, "\n\n"), strstr(wanted, "\n\n"));
    config_fini(&fresh);
    config_fini(&shown);
    free(text);
    free(wanted);
}

static void expect_described(const char *text, const struct setting *settings)
{
    for (const struct setting *setting = settings; setting->path; setting++) {
        char name[80], otherwise[80];
        snprintf(name, sizeof(name), "`%s`", setting->path);
        const char *row = strstr(text, name);
        cr_assert_not_null(row, "%s is not described", name);
        snprintf(otherwise, sizeof(otherwise), "| `%s` |",
                 setting->otherwise && *setting->otherwise ? setting->otherwise : "\"\"");
        const char *found = strstr(row, otherwise), *end = strchr(row, '\n');
        if (setting->otherwise)
            cr_expect(found && end && found < end, "%s: %s", name, otherwise);
    }
}

Test(config_template, every_setting_and_its_default_are_described)
{
    char *text = read_file("docs/configuration.md");
    expect_described(text, config_settings);
    expect_described(text, config_node_settings);
    free(text);
}

/* Cuts, repeats, overwrites and swaps pieces: what a file looks like after a bad edit. */
static size_t mutate(struct rng *rng, char *text, size_t len, size_t max)
{
    static const char bytes[] = "\n\t :{}[]&*!|>'\"%@`#-?,0a\x80\xff";
    size_t at = rng_below(rng, len), part = rng_below(rng, 40);
    switch (rng_below(rng, 5)) {
    case 0:
        text[at] = bytes[rng_below(rng, sizeof(bytes))];
        return len;
    case 1: /* a piece is gone */
        part = part < len - at ? part : len - at - 1;
        memmove(text + at, text + at + part, len - at - part);
        return len - part;
    case 2: /* a piece stands twice */
        part = part < len - at ? part : len - at;
        if (len + part > max)
            return len;
        memmove(text + at + part, text + at, len - at);
        return len + part;
    case 3: /* the end is missing */
        return rng_below(rng, 20) == 0 ? at + 1 : len;
    default:
        text[at] = (char)rng_below(rng, 256);
        return len;
    }
}

Test(config_template, a_thousand_bad_edits_of_the_example_are_answered_and_never_crash,
     .timeout = 120)
{
    static char text[32 << 10];
    struct rng rng;
    char *base = read_file("cluster.yaml.example");
    unsigned refused = 0;
    for (unsigned seed = 0; seed < 1000; seed++) {
        struct config config;
        size_t len = (size_t)snprintf(text, sizeof(text), "%s", base);
        rng_init(&rng, seed);
        for (uint64_t edits = rng_between(&rng, 1, 6); edits > 0; edits--)
            len = mutate(&rng, text, len, sizeof(text));
        reported[0] = '\0';
        int error = config_parse(&config, slice_of(text, len), "f.yaml", collect, NULL);
        if (error)
            refused++;
        else
            config_fini(&config);
        cr_assert_eq(error != 0, reported[0] != '\0', "seed %u", seed);
    }
    cr_expect_gt(refused, 100);
    free(base);
}
