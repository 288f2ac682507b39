/* config_check.c - what no single setting shows: relations, bindings and secrets used twice. */
#include <string.h>

#include "base/config_table.h"

struct binding {
    const struct config_address *address;
    const char *key;
    unsigned node;
};

static bool config_same_address(const struct config_address *a, const struct config_address *b)
{
    return a->host && b->host && a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void config_check_bindings(struct config_reader *reader, const struct config *config,
                                  const unsigned *node_lines)
{
    struct binding bindings[3 * LIMIT_NODES];
    unsigned count = 0;
    for (unsigned i = 0; i < config->node_count; i++) {
        const struct config_node *node = &config->nodes[i];
        bindings[count++] = (struct binding){&node->raft, "raftBinding", i};
        bindings[count++] = (struct binding){&node->http, "httpBinding", i};
        bindings[count++] = (struct binding){&node->admin, "adminBinding", i};
    }
    for (unsigned i = 1; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (config_same_address(bindings[i].address, bindings[j].address))
                config_report(reader, node_lines[bindings[i].node], "nodes",
                              "%s.%s and %s.%s are the same binding",
                              config->nodes[bindings[i].node].id, bindings[i].key,
                              config->nodes[bindings[j].node].id, bindings[j].key);
}

static void config_check_secrets(struct config_reader *reader, const struct config *config,
                                 const unsigned *node_lines)
{
    for (unsigned i = 1; i < config->node_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (config->nodes[i].node_secret && config->nodes[j].node_secret &&
                strcmp(config->nodes[i].node_secret, config->nodes[j].node_secret) == 0)
                config_report(reader, node_lines[i], "nodes", "%s and %s have the same nodeSecret",
                              config->nodes[i].id, config->nodes[j].id);
}

/* The line of a setting; the first line for one that was left to its default. */
static unsigned config_line_of(const struct config_reader *reader, const char *path)
{
    for (unsigned i = 0; config_settings[i].path; i++)
        if (strcmp(config_settings[i].path, path) == 0 && reader->lines[i] > 0)
            return reader->lines[i];
    return 1;
}

static void config_report_relation(struct config_reader *reader, const char *path, const char *what)
{
    config_report(reader, config_line_of(reader, path), path, "%s", what);
}

void config_check(struct config_reader *reader, const struct config *config,
                  const unsigned *node_lines)
{
    if (reader->errors > 0 && config->node_count == 0)
        return;
    config_check_bindings(reader, config, node_lines);
    config_check_secrets(reader, config, node_lines);
    if (config->default_leader && config->node_count > 0 &&
        !config_find_node(config, config->default_leader))
        config_report(reader, config_line_of(reader, "defaultLeader"), "defaultLeader",
                      "'%.64s' is not one of the nodes", config->default_leader);
    if (config->tls.enabled && !(config->tls.cert && config->tls.key && config->tls.ca))
        config_report(reader,
                      config_line_of(reader, config->tls.cert  ? "tls.cert"
                                             : config->tls.key ? "tls.key"
                                                               : "tls.ca"),
                      "tls", "needs all of cert, key and ca");
    if (config->server_must_use_tls && !config->tls.enabled)
        config_report_relation(reader, "serverMustUseTLS", "is true, but there is no tls section");
    if (config->cache.default_ttl_ms > config->cache.max_ttl_ms)
        config_report_relation(reader, "cache.defaultTTL", "must not be longer than cache.maxTTL");
    if (config->limits.max_value_bytes > config->limits.max_body_bytes)
        config_report_relation(reader, "limits.maxValue", "must not be larger than limits.maxBody");
    if (config->raft.election_timeout_ms < 3 * config->raft.heartbeat_ms)
        config_report_relation(reader, "raft.electionTimeout",
                               "must be at least three times raft.heartbeat");
}
