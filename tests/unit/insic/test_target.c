/* Who is asked, under which name and at which address, and with which token. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "insic/target.h"
#include "tests/unit/insic/capture.h"

static void refuse(const char *message, void *arg)
{
    (void)arg;
    cr_assert_fail("%s", message);
}

#define HEAD "instanceSecret: a secret\nrootPrefix: r\ndefaultLeader: n1\ndataDir: d\nnodes:\n"
#define NODE(id, number, binding, domain)                                                          \
    "  " id ": {raftBinding: 'h:" number "', httpBinding: '" binding "', clientDomain: '" domain   \
    "', nodeSecret: s" number "}\n"
#define THREE                                                                                      \
    HEAD NODE("n0", "1", "10.0.0.1:80", "") NODE("n1", "2", "10.0.0.2:80", "")                     \
        NODE("n2", "3", "10.0.0.3:80", "")
#define TLS "tls: {cert: c, key: k, ca: a}\n"

static void parse(struct config *config, const char *text)
{
    cr_assert_eq(config_parse(config, slice_text(text), "f.yaml", refuse, NULL), 0);
}

Test(target, the_default_leader_comes_first_then_the_others_as_in_the_file)
{
    struct config config;
    struct targets targets;
    const struct options options = {0};
    parse(&config, THREE);
    cr_assert_eq(targets_choose(&targets, &options, &config), 0);
    cr_assert_eq(targets.count, 3);
    cr_expect_str_eq(targets.list[0].name, "n1 (http://10.0.0.2:80)");
    cr_expect_str_eq(targets.list[0].url, "http://10.0.0.2:80");
    cr_expect_str_eq(targets.list[1].url, "http://10.0.0.1:80");
    cr_expect_str_eq(targets.list[2].url, "http://10.0.0.3:80");
    cr_expect_null(targets.list[0].connect_to);
    cr_expect_null(targets.list[0].loopback);
    targets_fini(&targets);
    config_fini(&config);
}

Test(target, a_named_node_is_the_only_one)
{
    struct config config;
    struct targets targets;
    struct options options = {.target = "n2"};
    parse(&config, THREE);
    cr_assert_eq(targets_choose(&targets, &options, &config), 0);
    cr_assert_eq(targets.count, 1);
    cr_expect_str_eq(targets.list[0].url, "http://10.0.0.3:80");
    targets_fini(&targets);
    options.target = "n3";
    capture_begin();
    cr_expect_eq(targets_choose(&targets, &options, &config), E_USAGE);
    char *text = capture_end();
    cr_expect_str_eq(
        text, "Error: --target: the configuration names no node 'n3'; its nodes: n0 n1 n2.\n");
    free(text);
    targets_fini(&targets);
    config_fini(&config);
}

struct lead {
    const char *node, *url, *connect_to, *loopback;
};

Test(target, a_binding_and_a_domain_make_url_and_address)
{
    static const struct lead cases[] = {
        {HEAD NODE("n1", "1", "10.0.0.2:80", "") TLS, "https://10.0.0.2:80", NULL, NULL},
        {HEAD NODE("n1", "1", "10.0.0.2:80", "db.org") TLS, "https://db.org:80",
         "db.org:80:10.0.0.2:80", NULL},
        {HEAD NODE("n1", "1", "[fe80::1]:80", "db.org"), "http://db.org:80",
         "db.org:80:[fe80::1]:80", NULL},
        {HEAD NODE("n1", "1", "[fe80::1]:80", ""), "http://[fe80::1]:80", NULL, NULL},
        {HEAD NODE("n1", "1", "some.host:80", "db.org"), "http://db.org:80",
         "db.org:80:some.host:80", NULL},
        {HEAD NODE("n1", "1", "0.0.0.0:80", ""), "http://127.0.0.1:80", NULL, NULL},
        {HEAD NODE("n1", "1", "[::]:80", ""), "http://[::1]:80", NULL, NULL},
        {HEAD NODE("n1", "1", "0.0.0.0:80", "db.org") TLS, "https://db.org:80", NULL,
         "db.org:80:127.0.0.1:80"},
        {HEAD NODE("n1", "1", "[::]:80", "db.org"), "http://db.org:80", NULL, "db.org:80:[::1]:80"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config config;
        struct targets targets;
        const struct options options = {0};
        parse(&config, cases[i].node);
        cr_assert_eq(targets_choose(&targets, &options, &config), 0);
        const struct target *target = &targets.list[0];
        cr_expect_str_eq(target->url, cases[i].url, "case %zu", i);
        cr_expect_str_eq(target->connect_to ? target->connect_to : "none",
                         cases[i].connect_to ? cases[i].connect_to : "none", "case %zu", i);
        cr_expect_str_eq(target->loopback ? target->loopback : "none",
                         cases[i].loopback ? cases[i].loopback : "none", "case %zu", i);
        targets_fini(&targets);
        config_fini(&config);
    }
}

static void expect_endpoint(const char *endpoint, const char *url)
{
    struct targets targets;
    const struct options options = {.endpoint = endpoint};
    capture_begin();
    int error = targets_choose(&targets, &options, NULL);
    char *text = capture_end();
    if (url) {
        cr_expect_eq(error, 0, "%s: %s", endpoint, text);
        cr_expect_eq(targets.count, 1);
        cr_expect_str_eq(targets.list[0].url, url);
    } else {
        cr_expect_eq(error, E_USAGE, "%s", endpoint);
        cr_expect_not_null(strstr(text, endpoint));
    }
    free(text);
    targets_fini(&targets);
}

Test(target, an_endpoint_is_a_url_with_or_without_the_path_of_the_api)
{
    expect_endpoint("http://127.0.0.1:8443", "http://127.0.0.1:8443");
    expect_endpoint("http://127.0.0.1:8443/", "http://127.0.0.1:8443");
    expect_endpoint("HTTPS://Db.example.org", "HTTPS://Db.example.org");
    expect_endpoint("https://[::1]:8443/db/api/v1", "https://[::1]:8443");
    expect_endpoint("http://h/db/api/v1/", "http://h");
    expect_endpoint("http://h/a/b", "http://h/a/b");
    expect_endpoint("http://h/a/db/api/v1", "http://h/a");
    expect_endpoint("127.0.0.1:8443", NULL);
    expect_endpoint("h", NULL);
    expect_endpoint("http://", NULL);
    expect_endpoint("ftp://h", NULL);
    expect_endpoint("http://user:secret@h", NULL);
    expect_endpoint("http://h/?q", NULL);
    expect_endpoint("http://h/#f", NULL);
}

#define ROOT                                                                                       \
    "OTg0Y2E1MTYyMjAwNzM0YzU5MjE0OGYxODIwYjcxMDU3ZjA5ODU3M2QxMzg2NjZiNDg2NjNlNGUzMGNkOGQzYQ=="

struct token_case {
    bool root;
    const char *key, *environment, *expected; /* NULL: refused */
};

Test(target, root_comes_before_key_and_key_before_environment)
{
    static const struct token_case cases[] = {
        {true, "k", "e", ROOT},          {true, NULL, NULL, ROOT},   {false, "k", "e", "k"},
        {false, NULL, "e", "e"},         {false, NULL, "", NULL},    {false, NULL, NULL, NULL},
        {false, "a b", NULL, NULL},      {false, NULL, "a\n", NULL}, {false, "\x7f", "e", NULL},
        {false, "\xc3\xbc", NULL, NULL},
    };
    struct config config;
    parse(&config, THREE);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char token[TARGET_TOKEN_BYTES] = "";
        const struct options options = {.root = cases[i].root, .key = cases[i].key};
        capture_begin();
        int error = target_token(token, &options, &config, cases[i].environment);
        char *text = capture_end();
        cr_expect_eq(error, cases[i].expected ? 0 : E_USAGE, "case %zu", i);
        cr_expect_str_eq(token, cases[i].expected ? cases[i].expected : "", "case %zu", i);
        cr_expect_eq(text[0] == '\0', cases[i].expected != NULL, "case %zu: %s", i, text);
        free(text);
    }
    config_fini(&config);
}

Test(target, a_token_has_a_longest_length)
{
    char token[TARGET_TOKEN_BYTES], longest[TARGET_TOKEN_BYTES], longer[TARGET_TOKEN_BYTES + 1];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    struct options options = {.key = longest};
    cr_expect_eq(target_token(token, &options, NULL, NULL), 0);
    cr_expect_str_eq(token, longest);
    options.key = longer;
    capture_begin();
    cr_expect_eq(target_token(token, &options, NULL, NULL), E_USAGE);
    char *text = capture_end();
    cr_expect_str_eq(text, "Error: --key is too long for a token.\n");
    free(text);
}
