/* cluster.yaml: what is read, and that every error names file, line and key. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/error.h"

static char reported[8192];

static void collect(const char *message, void *arg)
{
    (void)arg;
    snprintf(reported + strlen(reported), sizeof(reported) - strlen(reported), "%s\n", message);
}

static int parse(struct config *config, const char *text)
{
    reported[0] = '\0';
    return config_parse(config, slice_text(text), "f.yaml", collect, NULL);
}

#define REQUIRED                                                                                   \
    "instanceSecret: 0123456789abcdef\nrootPrefix: root\ndefaultLeader: n0\ndataDir: d\n"
#define NODES                                                                                      \
    "nodes:\n  n0: {raftBinding: '127.0.0.1:1', httpBinding: '127.0.0.1:2', nodeSecret: "          \
    "abcdefgh}\n"

Test(config, a_minimal_file_gets_the_documented_defaults)
{
    struct config config;
    cr_assert_eq(parse(&config, REQUIRED NODES), 0, "%s", reported);
    cr_assert_eq(config.cache.default_ttl_ms, 300000);
    cr_assert_eq(config.cache.max_ttl_ms, 86400000);
    cr_assert_eq(config.cache.max_bytes, 256ull << 20);
    cr_assert_eq(config.events.retention_bytes, 64ull << 20);
    cr_assert_eq(config.sessions.max_connections, 1000);
    cr_assert_eq(config.sessions.send_buffer_bytes, 256 << 10);
    cr_assert_eq(config.limits.max_body_bytes, 2 << 20);
    cr_assert_eq(config.limits.max_value_bytes, 1 << 20);
    cr_assert_eq(config.limits.request_timeout_ms, 5000);
    cr_assert_eq(config.raft.election_timeout_ms, 1000);
    cr_assert_eq(config.raft.heartbeat_ms, 100);
    cr_assert_eq(config.raft.reads, CONFIG_READS_LEASE);
    cr_assert(config.gateway.http2);
    cr_assert_not(config.tls.enabled);
    cr_assert_str_eq(config.shm_dir, "/dev/shm");
    cr_assert_str_eq(config.run_dir, "");
    cr_assert_eq(config.logging.level, LOG_LEVEL_INFO);
    cr_assert_eq(config.node_count, 1);
    cr_assert_null(config.nodes[0].admin.host);
    cr_assert_eq(config.nodes[0].http.port, 2);
    config_fini(&config);
}

Test(config, the_template_is_valid_and_has_three_nodes)
{
    struct config config;
    char *text = config_template(NULL);
    cr_assert_eq(parse(&config, text), 0, "%s", reported);
    cr_assert_eq(config.node_count, 3);
    cr_assert_str_neq(config.nodes[0].node_secret, config.nodes[1].node_secret);
    config_fini(&config);
    free(text);
}

Test(config, two_templates_share_no_secret)
{
    struct config a, b;
    char *first = config_template("./dev"), *second = config_template("./dev");
    cr_assert_eq(parse(&a, first), 0, "%s", reported);
    cr_assert_eq(parse(&b, second), 0, "%s", reported);
    cr_assert_eq(a.node_count, 1);
    cr_assert_str_eq(a.data_dir, "./dev");
    cr_assert_str_neq(a.instance_secret, b.instance_secret);
    cr_assert_str_neq(a.root_prefix, b.root_prefix);
    config_fini(&a);
    config_fini(&b);
    free(first);
    free(second);
}

struct bad_case {
    const char *text, *expected;
};

Test(config, every_error_names_file_line_and_key)
{
    static const struct bad_case cases[] = {
        {REQUIRED NODES "foo: 1\n", "f.yaml:7: foo: unknown key"},
        {REQUIRED NODES "cache: {maxTtl: 1h}\n", "f.yaml:7: cache.maxTtl: unknown key"},
        {REQUIRED NODES "dataDir: e\n", "f.yaml:7: dataDir: stands twice, first in line 4"},
        {REQUIRED NODES "nodes: {}\n", "f.yaml:7: nodes: stands twice"},
        {REQUIRED NODES "cache:\n  maxTTL: 10\n", "f.yaml:8: cache.maxTTL: must be a duration"},
        {REQUIRED NODES "cache:\n  maxBytes: 10MB\n", "f.yaml:8: cache.maxBytes: must be a size"},
        {REQUIRED NODES "cache: {maxBytes: 1}\n", "f.yaml:7: cache.maxBytes: must be between"},
        {REQUIRED NODES "gateway: {processes: -1}\n", "gateway.processes: must be a whole number"},
        {REQUIRED NODES "gateway: {http2: maybe}\n", "gateway.http2: must be true or false"},
        {REQUIRED NODES "logging: {level: loud}\n", "logging.level: must be one of debug|info"},
        {REQUIRED NODES "raft: 3\n", "f.yaml:7: raft: must be a section"},
        {REQUIRED NODES "raft: {heartbeat: 900ms}\n", "raft.electionTimeout: must be at least"},
        {REQUIRED NODES "serverMustUseTLS: true\n", "f.yaml:7: serverMustUseTLS: is true, but"},
        {REQUIRED NODES "tls: {cert: a}\n", "f.yaml:7: tls: needs all of"},
        {REQUIRED NODES "sessions: {allowedOrigins: x}\n",
         "sessions.allowedOrigins: must be a list"},
        {REQUIRED NODES "shmDir: [a]\n", "f.yaml:7: shmDir: must be a single value, not a list"},
        {REQUIRED, "nodes: is missing"},
        {REQUIRED "nodes: {}\n", "nodes: must name 1 to"},
        {NODES, "rootPrefix: is missing"},
        {REQUIRED NODES "  ../x: {}\n", "f.yaml:7: nodes.../x: a node id must have"},
        {REQUIRED NODES
         "  n1: {raftBinding: '127.0.0.1:1', httpBinding: '127.0.0.1:4', nodeSecret: "
         "abcdefgx}\n",
         "f.yaml:7: nodes: n1.raftBinding and n0.raftBinding are the same binding"},
        {REQUIRED NODES
         "  n1: {raftBinding: '127.0.0.1:3', httpBinding: '127.0.0.1:4', nodeSecret: "
         "abcdefgh}\n",
         "f.yaml:7: nodes: n1 and n0 have the same nodeSecret"},
        {REQUIRED NODES "  n1: {raftBinding: 'x', httpBinding: '::1:4', nodeSecret: abcdefgx}\n",
         "f.yaml:7: nodes.n1.httpBinding: must be an address"},
        {"instanceSecret: &a 0123456789abcdef\nrootPrefix: *a\n", "f.yaml:2: anchors and aliases"},
        {"a: [1\n", "not valid YAML"},
        {"", "the file is empty"},
        {"- 1\n", "must be a mapping"},
        {REQUIRED NODES "---\na: 1\n", "only one document"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config config;
        cr_expect_eq(parse(&config, cases[i].text), E_INVALID, "case %zu", i);
        cr_expect(strstr(reported, cases[i].expected), "case %zu: wanted '%s', got '%s'", i,
                  cases[i].expected, reported);
        cr_expect(strncmp(reported, "f.yaml:", 7) == 0, "case %zu: %s", i, reported);
    }
}

Test(config, all_errors_of_a_file_are_reported_in_one_run)
{
    struct config config;
    cr_assert_eq(parse(&config, REQUIRED NODES "a: 1\nb: 2\ngateway: {http2: 3}\n"), E_INVALID);
    cr_assert(strstr(reported, "a: unknown key"));
    cr_assert(strstr(reported, "b: unknown key"));
    cr_assert(strstr(reported, "gateway.http2:"));
}

Test(config, addresses_may_be_ipv6_in_brackets)
{
    struct config config;
    const char *text = REQUIRED "nodes:\n  n0: {raftBinding: '[::1]:1', httpBinding: "
                                "'db.example.org:65535', adminBinding: '127.0.0.1:9', nodeSecret: "
                                "abcdefgh}\n";
    cr_assert_eq(parse(&config, text), 0, "%s", reported);
    cr_assert_str_eq(config.nodes[0].raft.host, "::1");
    cr_assert_str_eq(config.nodes[0].http.host, "db.example.org");
    cr_assert_eq(config.nodes[0].http.port, 65535);
    cr_assert_eq(config.nodes[0].admin.port, 9);
    cr_assert_not_null(config_find_node(&config, "n0"));
    cr_assert_null(config_find_node(&config, "n1"));
    config_fini(&config);
}

Test(config, durations_and_sizes)
{
    uint64_t value;
    cr_assert_eq(config_parse_duration(slice_text("1h30m"), &value), 0);
    cr_assert_eq(value, 5400000);
    cr_assert_eq(config_parse_duration(slice_text("250ms"), &value), 0);
    cr_assert_eq(value, 250);
    cr_assert_eq(config_parse_size(slice_text("2MiB"), &value), 0);
    cr_assert_eq(value, 2 << 20);
    cr_assert_eq(config_parse_size(slice_text("17"), &value), 0);
    cr_assert_eq(value, 17);
    static const char *const bad_durations[] = {
        "", "5", "m", "5x", "1m1h", "1m1m", "-5s", "5 s", "99999999999999999999s"};
    for (size_t i = 0; i < sizeof(bad_durations) / sizeof(char *); i++)
        cr_expect_eq(config_parse_duration(slice_text(bad_durations[i]), &value), E_INVALID, "%s",
                     bad_durations[i]);
    static const char *const bad_sizes[] = {
        "", "MiB", "1MB", "1.5GiB", "-1", "1MiB2", "99999999999999999GiB"};
    for (size_t i = 0; i < sizeof(bad_sizes) / sizeof(char *); i++)
        cr_expect_eq(config_parse_size(slice_text(bad_sizes[i]), &value), E_INVALID, "%s",
                     bad_sizes[i]);
}
