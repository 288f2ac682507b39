/* cluster.yaml: every error names file, line and key, and all errors of a file come in one run. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/error.h"

struct messages {
    char text[32768];
    unsigned count;
};

static void collect(const char *message, void *arg)
{
    struct messages *messages = arg;
    size_t len = strlen(messages->text);
    snprintf(messages->text + len, sizeof(messages->text) - len, "%s\n", message);
    messages->count++;
}

static int parse_bytes(struct messages *messages, struct slice text)
{
    struct config config;
    *messages = (struct messages){0};
    int error = config_parse(&config, text, "f.yaml", collect, messages);
    if (!error)
        config_fini(&config);
    cr_assert_eq(error != 0, messages->count > 0, "refused without a word: %s", messages->text);
    return error;
}

#define REQUIRED                                                                                   \
    "instanceSecret: 0123456789abcdef\nrootPrefix: root\ndefaultLeader: n0\ndataDir: d\n"
#define NODES                                                                                      \
    "nodes:\n  n0: {raftBinding: '127.0.0.1:1', httpBinding: '127.0.0.1:2', nodeSecret: "          \
    "abcdefgh}\n"
#define GOOD REQUIRED NODES /* six lines */

struct bad_case {
    const char *text;
    const char *expected; /* all messages, whole */
};

/* Each text is parsed, and its messages must be exactly the expected ones. */
static void expect_all(const struct bad_case *cases, size_t count)
{
    static struct messages messages;
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(parse_bytes(&messages, slice_text(cases[i].text)), E_INVALID, "case %zu", i);
        cr_expect_str_eq(messages.text, cases[i].expected, "case %zu: %s\nwanted\n%s\ngot\n%s", i,
                         cases[i].text, cases[i].expected, messages.text);
    }
}

#define EXPECT_ALL(cases) expect_all(cases, sizeof(cases) / sizeof((cases)[0]))

Test(config_errors, unknown_keys_and_keys_that_stand_twice)
{
    static const struct bad_case cases[] = {
        {GOOD "foo: 1\n", "f.yaml:7: foo: unknown key\n"},
        {GOOD "cache: {maxTtl: 1h}\n", "f.yaml:7: cache.maxTtl: unknown key\n"},
        {GOOD "cache:\n  maxTTL: {a: 1}\n",
         "f.yaml:8: cache.maxTTL: must be a single value, not a section\n"},
        {GOOD "rateLimiters: {values: {limit: 1, brust: 2}}\n",
         "f.yaml:7: rateLimiters.values.brust: unknown key\n"},
        {GOOD "rateLimiters: {limit: 1}\n", "f.yaml:7: rateLimiters.limit: unknown key\n"},
        {GOOD "cache.maxTTL: 1h\n", "f.yaml:7: cache.maxTTL: unknown key\n"},
        {GOOD "<<: {runDir: x}\n", "f.yaml:7: <<: unknown key\n"},
        {GOOD "\"\": 1\n", "f.yaml:7: unknown key\n"},
        {GOOD "? [a]\n: 1\n", "f.yaml:7: a key must be plain text\n"},
        {GOOD "? {a: b}\n: 1\n", "f.yaml:7: a key must be plain text\n"},
        {GOOD "\"a\\0b\": 1\n", "f.yaml:7: a key must be plain text\n"},
        {GOOD "\"a\\e[2Jb\": 1\n", "f.yaml:7: a?[2Jb: unknown key\n"},
        {GOOD "dataDir: e\n", "f.yaml:7: dataDir: stands twice, first in line 4\n"},
        {GOOD "nodes: {}\n", "f.yaml:7: nodes: stands twice, first in line 5\n"},
        {GOOD "cache: {maxTTL: 1h}\ncache: {maxTTL: 2h}\n",
         "f.yaml:8: cache: stands twice, first in line 7\n"},
        {GOOD "logging: {level: info,\n  level: warn}\n",
         "f.yaml:8: logging.level: stands twice, first in line 7\n"},
        {GOOD "  n0: {}\n", "f.yaml:7: nodes.n0: stands twice, first in line 6\n"},
        {GOOD "  n1: {raftBinding: 'h:3', httpBinding: 'h:4', nodeSecret: x, foo: 1}\n",
         "f.yaml:7: nodes.n1.foo: unknown key\n"},
        {GOOD "  n1: {raftBinding: 'h:3', httpBinding: 'h:4', nodeSecret: x,\n   nodeSecret: y}\n",
         "f.yaml:8: nodes.n1.nodeSecret: stands twice, first in line 7\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, values_of_the_wrong_type_or_out_of_range)
{
    static const struct bad_case cases[] = {
        {GOOD "cache:\n  maxTTL: 10\n", "f.yaml:8: cache.maxTTL: must be a duration such as 250ms, "
                                        "30s, 5m or 1h30m, not '10'\n"},
        {GOOD "cache:\n  maxBytes: 10MB\n", "f.yaml:8: cache.maxBytes: must be a size such as "
                                            "65536, 64KiB, 2MiB or 1GiB, not '10MB'\n"},
        {GOOD "cache: {maxBytes: 1}\n", "f.yaml:7: cache.maxBytes: must be between 1024 and "
                                        "549755813888 bytes, is 1 bytes\n"},
        {GOOD "cache: {maxTTL: 90000h}\n", "f.yaml:7: cache.maxTTL: must be between 1 and "
                                           "315360000000 ms, is 324000000000 ms\n"},
        {GOOD "gateway: {processes: -1}\n",
         "f.yaml:7: gateway.processes: must be a whole number such as 100, not '-1'\n"},
        {GOOD "gateway: {processes: 1.5}\n",
         "f.yaml:7: gateway.processes: must be a whole number such as 100, not '1.5'\n"},
        {GOOD "gateway: {processes: 65}\n",
         "f.yaml:7: gateway.processes: must be between 0 and 64, is 65\n"},
        {GOOD "gateway: {processes: 99999999999999999999}\n",
         "f.yaml:7: gateway.processes: must be a whole number such as 100, not "
         "'99999999999999999999'\n"},
        {GOOD "gateway: {processes: '2'}\n",
         "f.yaml:7: gateway.processes: must be a number, without quotes\n"},
        {GOOD "gateway: {http2: \"true\"}\n",
         "f.yaml:7: gateway.http2: must be true or false, without quotes\n"},
        {GOOD "gateway: {http2: yes}\n",
         "f.yaml:7: gateway.http2: must be true or false, not 'yes'\n"},
        {GOOD "logging: {level: loud}\n",
         "f.yaml:7: logging.level: must be one of debug|info|warn|error, not 'loud'\n"},
        {GOOD "raft: {reads: lea}\n",
         "f.yaml:7: raft.reads: must be one of lease|readindex, not 'lea'\n"},
        {GOOD "raft: 3\n", "f.yaml:7: raft: must be a section with keys of its own\n"},
        {GOOD "raft: []\n", "f.yaml:7: raft: must be a section with keys of its own\n"},
        {GOOD "shmDir: [a]\n", "f.yaml:7: shmDir: must be a single value, not a list\n"},
        {GOOD "shmDir: ''\n", "f.yaml:7: shmDir: must not be empty\n"},
        {GOOD "shmDir: \"a\\0b\"\n", "f.yaml:7: shmDir: must not hold a NUL byte\n"},
        {GOOD "sessions: {allowedOrigins: x}\n",
         "f.yaml:7: sessions.allowedOrigins: must be a list "
         "such as [\"https://example.org\"]\n"},
        {GOOD "sessions: {allowedOrigins: [x,\n ~]}\n",
         "f.yaml:8: sessions.allowedOrigins: every item must be a text that is not empty\n"},
        {GOOD "sessions: {allowedOrigins: [[x]]}\n",
         "f.yaml:7: sessions.allowedOrigins: every item must be a text that is not empty\n"},
        {"instanceSecret: a\nrootPrefix: ''\ndefaultLeader: n0\ndataDir: ~\n" NODES,
         "f.yaml:2: rootPrefix: must not be empty\nf.yaml:4: dataDir: must not be empty\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, what_is_missing)
{
    static const struct bad_case cases[] = {
        {REQUIRED, "f.yaml:1: nodes: is missing\n"},
        {REQUIRED "nodes: {}\n", "f.yaml:5: nodes: must name 1 to 64 nodes, has 0\n"},
        {REQUIRED "nodes:\n", "f.yaml:5: nodes: must be a section with a node per key\n"},
        {REQUIRED "nodes: [n0]\n", "f.yaml:5: nodes: must be a section with a node per key\n"},
        {REQUIRED "nodes: {n0: 1}\n",
         "f.yaml:5: nodes.n0: must be a section with keys of its own\n"},
        {REQUIRED "nodes:\n  n0:\n", "f.yaml:6: nodes.n0.raftBinding: is missing\n"
                                     "f.yaml:6: nodes.n0.httpBinding: is missing\n"
                                     "f.yaml:6: nodes.n0.nodeSecret: is missing\n"},
        {NODES, "f.yaml:1: instanceSecret: is missing\nf.yaml:1: rootPrefix: is missing\n"
                "f.yaml:1: defaultLeader: is missing\nf.yaml:1: dataDir: is missing\n"},
        {GOOD "tls: {cert: a}\n",
         "f.yaml:7: tls.key: is missing: tls needs all of cert, key and ca\n"
         "f.yaml:7: tls.ca: is missing: tls needs all of cert, key and ca\n"},
        {GOOD "tls:\n", "f.yaml:7: tls.cert: is missing: tls needs all of cert, key and ca\n"
                        "f.yaml:7: tls.key: is missing: tls needs all of cert, key and ca\n"
                        "f.yaml:7: tls.ca: is missing: tls needs all of cert, key and ca\n"},
        {GOOD "serverMustUseTLS: true\n",
         "f.yaml:7: serverMustUseTLS: is true, but there is no tls section\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, addresses_and_names)
{
#define NODE1(raft, http, secret, more)                                                            \
    GOOD "  n1:\n    raftBinding: " raft "\n    httpBinding: " http "\n    nodeSecret: " secret    \
         "\n" more
#define WANT(value)                                                                                \
    "f.yaml:9: nodes.n1.httpBinding: must be an address such as 127.0.0.1:8443 or "                \
    "[::1]:8443, not '" value "'\n"
    static const struct bad_case cases[] = {
        {NODE1("'h:3'", "'::1:4'", "x", ""), WANT("::1:4")},
        {NODE1("'h:3'", "x", "x", ""), WANT("x")},
        {NODE1("'h:3'", "':80'", "x", ""), WANT(":80")},
        {NODE1("'h:3'", "'h:0'", "x", ""), WANT("h:0")},
        {NODE1("'h:3'", "'h:65536'", "x", ""), WANT("h:65536")},
        {NODE1("'h:3'", "'h:+1'", "x", ""), WANT("h:+1")},
        {NODE1("'h:3'", "'h:1 '", "x", ""), WANT("h:1 ")},
        {NODE1("'h:3'", "'127.0.0.300:1'", "x", ""), WANT("127.0.0.300:1")},
        {NODE1("'h:3'", "'[]:1'", "x", ""), WANT("[]:1")},
        {NODE1("'h:3'", "'[h]:1'", "x", ""), WANT("[h]:1")},
        {NODE1("'h:3'", "'a/b:1'", "x", ""), WANT("a/b:1")},
        {NODE1("'h:3'", "'http://h:1'", "x", ""), WANT("http://h:1")},
        {NODE1("'127.0.0.1:1'", "'h:4'", "x", ""),
         "f.yaml:8: nodes.n1.raftBinding: is the same as nodes.n0.raftBinding\n"},
        {NODE1("'h:3'", "'127.0.0.1:1'", "x", ""),
         "f.yaml:9: nodes.n1.httpBinding: is the same as nodes.n0.raftBinding\n"},
        {NODE1("'h:3'", "'H:3'", "x", ""),
         "f.yaml:9: nodes.n1.httpBinding: is the same as nodes.n1.raftBinding\n"},
        {NODE1("'h:3'", "'h:4'", "x", "    adminBinding: h:4\n"),
         "f.yaml:11: nodes.n1.adminBinding: is the same as nodes.n1.httpBinding\n"},
        {NODE1("'h:3'", "'h:4'", "abcdefgh", ""),
         "f.yaml:10: nodes.n1.nodeSecret: is the same as nodes.n0.nodeSecret\n"},
        {NODE1("'h:3'", "'h:4'", "x", "    clientDomain: https://a\n"),
         "f.yaml:11: nodes.n1.clientDomain: must be a host name such as db.example.org\n"},
        {GOOD "  ../x: {}\n",
         "f.yaml:7: nodes.../x: a node id must have 1 to 63 letters, digits, '.', '_' or '-'\n"},
        {GOOD "  ..: {}\n",
         "f.yaml:7: nodes...: a node id must have 1 to 63 letters, digits, '.', '_' or '-'\n"},
        {"instanceSecret: a\nrootPrefix: r\ndefaultLeader: n9\ndataDir: d\n" NODES,
         "f.yaml:3: defaultLeader: 'n9' is not one of the nodes\n"},
    };
    EXPECT_ALL(cases);
#undef WANT
#undef NODE1
}

Test(config_errors, settings_that_do_not_fit_each_other)
{
    static const struct bad_case cases[] = {
        {GOOD "raft: {heartbeat: 900ms}\n",
         "f.yaml:7: raft.electionTimeout: must be at least twice raft.heartbeat\n"},
        {GOOD "raft:\n  heartbeat: 100ms\n  electionTimeout: 150ms\n",
         "f.yaml:9: raft.electionTimeout: must be at least twice raft.heartbeat\n"},
        {GOOD "cache: {defaultTTL: 25h}\n",
         "f.yaml:7: cache.defaultTTL: must not be longer than cache.maxTTL\n"},
        {GOOD "limits: {maxValue: 3MiB}\n",
         "f.yaml:7: limits.maxValue: must not be larger than limits.maxBody\n"},
        {GOOD "rateLimiters: {values: {burst: 5}}\n",
         "f.yaml:7: rateLimiters.values.burst: needs a limit beside it\n"},
        {GOOD "rateLimiters:\n  queues:\n    limit: 0\n    burst: 5\n",
         "f.yaml:10: rateLimiters.queues.burst: needs a limit beside it\n"},
        /* one that is wrong by itself is not measured against another */
        {GOOD "cache: {defaultTTL: 25h, maxTTL: 5}\n",
         "f.yaml:7: cache.maxTTL: must be a duration such as 250ms, 30s, 5m or 1h30m, not '5'\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, yaml_that_is_broken_or_more_than_we_take)
{
    static const struct bad_case cases[] = {
        {"", "f.yaml:1: the file is empty\n"},
        {"# nothing\n", "f.yaml:1: the file is empty\n"},
        {"- 1\n", "f.yaml:1: must be a mapping of settings (key: value)\n"},
        {"---\n", "f.yaml:1: must be a mapping of settings (key: value)\n"},
        {"a: [1\n", "f.yaml:2: not valid YAML: did not find expected ',' or ']'\n"},
        {"a:\n\tb: 2\n", "f.yaml:2: not valid YAML: found character that cannot start any token "
                         "(indent with spaces, not with tabs)\n"},
        {"a: 1\n\tb: 2\n", "f.yaml:2: not valid YAML: found a tab character that violates "
                           "indentation (indent with spaces, not with tabs)\n"},
        {"a: 1\nb: \xff\n", "f.yaml:2: not valid YAML: invalid leading UTF-8 octet\n"},
        {"a: 1\nb: \xc3\x28\n", "f.yaml:2: not valid YAML: invalid trailing UTF-8 octet\n"},
        {"a: 1\n\nb: \x01\n", "f.yaml:3: not valid YAML: control characters are not allowed\n"},
        {"\xff\xfe:\0", "f.yaml:1: not valid YAML: invalid leading UTF-8 octet\n"},
        {"a: [[[[[[[[[[[[[[[[[[\n", "f.yaml:1: nested more than 16 levels deep\n"},
        {GOOD "---\nfoo: 1\n---\nbar: 1\n", "f.yaml:7: only one document is expected\n"},
        {"instanceSecret: &a b\nrootPrefix: *a\ndefaultLeader: n0\ndataDir: d\n" NODES,
         "f.yaml:1: anchors and aliases (& and *) are not supported\n"
         "f.yaml:2: anchors and aliases (& and *) are not supported\n"},
        {GOOD "cache: &c {maxTTL: 1h}\n",
         "f.yaml:7: anchors and aliases (& and *) are not supported\n"},
        {GOOD "cache: *c\n", "f.yaml:7: anchors and aliases (& and *) are not supported\n"
                             "f.yaml:7: not valid YAML: found undefined alias\n"},
        {GOOD "cache: &c\n  cache: *c\n",
         "f.yaml:7: anchors and aliases (& and *) are not supported\n"
         "f.yaml:8: anchors and aliases (& and *) are not supported\n"
         "f.yaml:8: cache.cache: unknown key\n"},
        {GOOD "shmDir: !!str x\n", "f.yaml:7: tags (!) are not supported\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, all_errors_of_a_file_are_reported_in_one_run)
{
    static const struct bad_case cases[] = {
        {"a: 1\nrootPrefix: r\nb: 2\ngateway: {http2: 3}\nserverMustUseTLS: true\n"
         "raft: {heartbeat: 5s}\nshmDir: !x y\ndefaultLeader: n7\nnodes:\n"
         "  n0: {raftBinding: 'h:1', httpBinding: 'h:1', nodeSecret: x}\n"
         "  n1: {raftBinding: 'h:2', nodeSecret: x}\n",
         "f.yaml:7: tags (!) are not supported\n"
         "f.yaml:1: a: unknown key\n"
         "f.yaml:3: b: unknown key\n"
         "f.yaml:4: gateway.http2: must be true or false, not '3'\n"
         "f.yaml:1: instanceSecret: is missing\n"
         "f.yaml:1: dataDir: is missing\n"
         "f.yaml:11: nodes.n1.httpBinding: is missing\n"
         "f.yaml:10: nodes.n0.httpBinding: is the same as nodes.n0.raftBinding\n"
         "f.yaml:11: nodes.n1.nodeSecret: is the same as nodes.n0.nodeSecret\n"
         "f.yaml:8: defaultLeader: 'n7' is not one of the nodes\n"
         "f.yaml:5: serverMustUseTLS: is true, but there is no tls section\n"
         "f.yaml:6: raft.electionTimeout: must be at least twice raft.heartbeat\n"},
    };
    EXPECT_ALL(cases);
}

Test(config_errors, no_message_tells_a_secret)
{
    static struct messages messages;
    static const char *const texts[] = {
        "instanceSecret: hunter2\ninstanceSecret: hunter2\nrootPrefix: [hunter2]\n" NODES,
        "instanceSecret: \"hunter2\\0\"\nrootPrefix: {hunter2: hunter2}\nnodes:\n  n0: "
        "{nodeSecret: !!str hunter2}\n  n1: {nodeSecret: hunter2}\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_eq(parse_bytes(&messages, slice_text(texts[i])), E_INVALID);
        cr_expect_null(strstr(messages.text, "hunter2"), "%s", messages.text);
    }
}

/* Repeats a piece until it fills the given number of bytes; the caller frees. */
static char *repeated(const char *begin, const char *piece, size_t bytes)
{
    struct buf text;
    buf_init(&text, bytes + 1024);
    cr_assert_eq(buf_append_text(&text, begin), 0);
    while (text.len < bytes)
        cr_assert_eq(buf_append_text(&text, piece), 0);
    cr_assert_eq(buf_append_byte(&text, '\0'), 0);
    return (char *)text.data;
}

/* What grows with the square of the length takes minutes here, what does not milliseconds. */
Test(config_errors, a_hostile_file_is_refused_in_no_time, .timeout = 120)
{
    static const char *const pieces[] = {"[",    "{a: ", "- ", "a: 1\n", "? ",
                                         "[*a,", "\n",   "\"", "x"};
    static struct messages messages;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        char *text = repeated("a: &a 1\n", pieces[i], 512 << 10);
        clock_t begin = clock();
        cr_expect_eq(parse_bytes(&messages, slice_text(text)), E_INVALID, "%s", pieces[i]);
        cr_expect_leq(messages.count, 101, "%s", pieces[i]);
        cr_expect_lt(clock() - begin, 5 * CLOCKS_PER_SEC, "%s", pieces[i]);
        free(text);
    }
}

Test(config_errors, after_a_hundred_errors_the_rest_is_left_out)
{
    static struct messages messages;
    char *text = repeated(GOOD, "? [a]\n: 1\n", 20000);
    cr_expect_eq(parse_bytes(&messages, slice_text(text)), E_INVALID);
    cr_expect_eq(messages.count, 101);
    cr_expect(strstr(messages.text, ": too many errors, the rest is not shown\n"));
    free(text);
}
