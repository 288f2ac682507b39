/* cluster.yaml: what is read. */
#include <criterion/criterion.h>
#include <stdio.h>
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

Test(config, a_changed_limit_takes_the_defaults_below_it_along)
{
    struct config config;
    cr_assert_eq(parse(&config, REQUIRED NODES "cache: {maxTTL: 10s}\nlimits: {maxBody: 4KiB}\n"
                                               "raft: {electionTimeout: 200ms}\n"),
                 0, "%s", reported);
    cr_expect_eq(config.cache.default_ttl_ms, 10000);
    cr_expect_eq(config.limits.max_value_bytes, 4096);
    cr_expect_eq(config.raft.heartbeat_ms, 20);
    config_fini(&config);
}

Test(config, a_rate_without_a_burst_may_burst_for_a_second)
{
    struct config config;
    cr_assert_eq(parse(&config, REQUIRED NODES "rateLimiters:\n  values: {limit: 50}\n"
                                               "  cache: {limit: 50, burst: 7}\n"),
                 0, "%s", reported);
    cr_expect_eq(config.rate.values.burst, 50);
    cr_expect_eq(config.rate.cache.burst, 7);
    cr_expect_eq(config.rate.events.limit, 0);
    config_fini(&config);
}

Test(config, a_section_or_setting_of_which_nothing_is_left_has_its_defaults)
{
    struct config config;
    cr_assert_eq(parse(&config, REQUIRED NODES "cache:\n#  maxTTL: 1h\nrunDir:\nshmDir: ~\n"
                                               "gateway: {processes: null}\n"),
                 0, "%s", reported);
    cr_expect_eq(config.cache.max_ttl_ms, 86400000);
    cr_expect_str_eq(config.run_dir, "");
    cr_expect_str_eq(config.shm_dir, "/dev/shm");
    config_fini(&config);
}

Test(config, every_value_of_every_kind_arrives)
{
    struct config config;
    cr_assert_eq(
        parse(&config, REQUIRED NODES
              "runDir: /run/insi\nshmDir: '/tmp/shm'\nserverMustUseTLS: true\n"
              "clientSkipVerify: true\ntls: {cert: c, key: k, ca: a}\n"
              "sessions: {maxConnections: 7, sendBuffer: 64KiB, pingInterval: 1500ms,\n"
              "  allowedOrigins: ['https://a.example.org', \"http://b:81\"]}\n"
              "gateway: {processes: 3, http2: false}\nlogging: {level: warn, format: json}\n"
              "raft: {reads: readindex, snapshotLogSize: 1GiB}\nevents: {retention: \"2MiB\"}\n"
              "rateLimiters: {system: {limit: 9, burst: 18}}\n"),
        0, "%s", reported);
    cr_expect_str_eq(config.run_dir, "/run/insi");
    cr_expect_str_eq(config.shm_dir, "/tmp/shm");
    cr_expect(config.server_must_use_tls && config.client_skip_verify && config.tls.enabled);
    cr_expect_str_eq(config.tls.ca, "a");
    cr_expect_eq(config.sessions.max_connections, 7);
    cr_expect_eq(config.sessions.send_buffer_bytes, 65536);
    cr_expect_eq(config.sessions.ping_interval_ms, 1500);
    cr_assert_eq(config.sessions.allowed_origin_count, 2);
    cr_expect_str_eq(config.sessions.allowed_origins[1], "http://b:81");
    cr_expect_eq(config.gateway.processes, 3);
    cr_expect_not(config.gateway.http2);
    cr_expect_eq(config.logging.level, LOG_LEVEL_WARN);
    cr_expect_eq(config.logging.format, LOG_FORMAT_JSON);
    cr_expect_eq(config.raft.reads, CONFIG_READS_READINDEX);
    cr_expect_eq(config.raft.snapshot_log_bytes, 1 << 30);
    cr_expect_eq(config.events.retention_bytes, 2 << 20);
    cr_expect_eq(config.rate.system.burst, 18);
    config_fini(&config);
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

Test(config, a_byte_order_mark_at_the_beginning_is_passed_over_and_nowhere_else)
{
    struct config config;
    const char *text = "\xef\xbb\xbfinstanceSecret: 0123456789abcdef\n"
                       "rootPrefix: root\ndefaultLeader: n0\ndataDir: d\n"
                       "nodes:\n  n0: {raftBinding: '127.0.0.1:1', httpBinding: '127.0.0.1:2', "
                       "nodeSecret: abcdefgh}\n";
    cr_assert_eq(parse(&config, text), 0, "%s", reported);
    cr_assert_str_eq(config.instance_secret, "0123456789abcdef");
    config_fini(&config);
    cr_assert_eq(parse(&config, "\xef\xbb\xbf\xef\xbb\xbfrootPrefix: root\n"), E_INVALID);
    cr_assert_eq(parse(&config, "\xef\xbb\xbf"), E_INVALID);
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
