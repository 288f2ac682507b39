/* config_table.c - the settings of cluster.yaml. docs/configuration.md describes them in this
 * order. */
#include "base/config_table.h"

#include <stddef.h>

#define MS_DAY 86400000ull
#define GIB (1ull << 30)
#define AT(member) offsetof(struct config, member)
#define NODE_AT(member) offsetof(struct config_node, member)
#define RATE(name, member)                                                                         \
    {"rateLimiters." name ".limit",                                                                \
     SETTING_NUMBER,                                                                               \
     AT(rate.member.limit),                                                                        \
     false,                                                                                        \
     0,                                                                                            \
     1000000000,                                                                                   \
     "0",                                                                                          \
     NULL},                                                                                        \
    {                                                                                              \
        "rateLimiters." name ".burst", SETTING_NUMBER, AT(rate.member.burst), false, 0,            \
            1000000000, "0", NULL                                                                  \
    }

const struct setting config_settings[] = {
    {"instanceSecret", SETTING_TEXT, AT(instance_secret), true, 1, 1024, NULL, NULL},
    {"rootPrefix", SETTING_TEXT, AT(root_prefix), true, 1, 1024, NULL, NULL},
    {"defaultLeader", SETTING_TEXT, AT(default_leader), true, 1, 63, NULL, NULL},
    {"dataDir", SETTING_TEXT, AT(data_dir), true, 1, 512, NULL, NULL},
    {"runDir", SETTING_TEXT, AT(run_dir), false, 0, 512, "", NULL},
    {"shmDir", SETTING_TEXT, AT(shm_dir), false, 1, 512, "/dev/shm", NULL},
    {"serverMustUseTLS", SETTING_BOOL, AT(server_must_use_tls), false, 0, 0, "false", NULL},
    {"clientSkipVerify", SETTING_BOOL, AT(client_skip_verify), false, 0, 0, "false", NULL},
    {"tls.cert", SETTING_TEXT, AT(tls.cert), false, 1, 1023, NULL, NULL},
    {"tls.key", SETTING_TEXT, AT(tls.key), false, 1, 1023, NULL, NULL},
    {"tls.ca", SETTING_TEXT, AT(tls.ca), false, 1, 1023, NULL, NULL},
    {"cache.defaultTTL", SETTING_DURATION, AT(cache.default_ttl_ms), false, 1, 3650 * MS_DAY, "5m",
     NULL},
    {"cache.maxTTL", SETTING_DURATION, AT(cache.max_ttl_ms), false, 1, 3650 * MS_DAY, "24h", NULL},
    {"cache.maxBytes", SETTING_SIZE, AT(cache.max_bytes), false, 1024, 512 * GIB, "256MiB", NULL},
    {"events.retention", SETTING_SIZE, AT(events.retention_bytes), false, 1024, 64 * GIB, "64MiB",
     NULL},
    {"sessions.maxConnections", SETTING_SMALL, AT(sessions.max_connections), false, 1, 1000000,
     "1000", NULL},
    {"sessions.sendBuffer", SETTING_SIZE, AT(sessions.send_buffer_bytes), false, 1024, GIB,
     "256KiB", NULL},
    {"sessions.pingInterval", SETTING_DURATION, AT(sessions.ping_interval_ms), false, 100, MS_DAY,
     "30s", NULL},
    {"sessions.allowedOrigins", SETTING_TEXTS, AT(sessions.allowed_origins), false, 0, 0, NULL,
     NULL},
    {"limits.maxBody", SETTING_SIZE, AT(limits.max_body_bytes), false, 1024, LIMIT_BODY_MAX, "2MiB",
     NULL},
    {"limits.maxValue", SETTING_SIZE, AT(limits.max_value_bytes), false, 1, LIMIT_BODY_MAX, "1MiB",
     NULL},
    {"limits.requestTimeout", SETTING_DURATION, AT(limits.request_timeout_ms), false, 10, 600000,
     "5s", NULL},
    RATE("values", values),
    RATE("cache", cache),
    RATE("atomics", atomics),
    RATE("queues", queues),
    RATE("events", events),
    RATE("system", system),
    {"raft.electionTimeout", SETTING_DURATION, AT(raft.election_timeout_ms), false, 50, 600000,
     "1s", NULL},
    {"raft.heartbeat", SETTING_DURATION, AT(raft.heartbeat_ms), false, 1, 60000, "100ms", NULL},
    {"raft.snapshotLogSize", SETTING_SIZE, AT(raft.snapshot_log_bytes), false, 1024, 512 * GIB,
     "64MiB", NULL},
    {"raft.reads", SETTING_CHOICE, AT(raft.reads), false, 0, 0, "lease", "lease|readindex"},
    {"gateway.processes", SETTING_SMALL, AT(gateway.processes), false, 0, LIMIT_GATEWAYS, "0",
     NULL},
    {"gateway.http2", SETTING_BOOL, AT(gateway.http2), false, 0, 0, "true", NULL},
    {"logging.level", SETTING_CHOICE, AT(logging.level), false, 0, 0, "info",
     "debug|info|warn|error"},
    {"logging.format", SETTING_CHOICE, AT(logging.format), false, 0, 0, "text", "text|json"},
    {NULL, SETTING_TEXT, 0, false, 0, 0, NULL, NULL},
};

const struct setting config_node_settings[] = {
    {"raftBinding", SETTING_ADDRESS, NODE_AT(raft), true, 0, 0, NULL, NULL},
    {"httpBinding", SETTING_ADDRESS, NODE_AT(http), true, 0, 0, NULL, NULL},
    {"adminBinding", SETTING_ADDRESS, NODE_AT(admin), false, 0, 0, "", NULL},
    {"clientDomain", SETTING_NAME, NODE_AT(client_domain), false, 0, 253, "", NULL},
    {"nodeSecret", SETTING_TEXT, NODE_AT(node_secret), true, 1, 1024, NULL, NULL},
    {NULL, SETTING_TEXT, 0, false, 0, 0, NULL, NULL},
};
