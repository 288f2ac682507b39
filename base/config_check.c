/* config_check.c - what no single setting shows: relations, bindings and secrets used twice. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/config_table.h"

static unsigned config_index_in(const struct setting *settings, const char *path)
{
    unsigned i = 0;
    while (strcmp(settings[i].path, path) != 0)
        i++; /* ends: only paths of the table are asked for */
    return i;
}

struct binding { /* a setting of a node that no other may share */
    const struct config_address *address;
    const char *key;
    unsigned node;
};

static bool config_same_address(const struct config_address *a, const struct config_address *b)
{
    return a->host && b->host && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

/* What must differ from node to node does not. */
static void config_report_same(struct config_reader *reader, const struct config *config,
                               const struct binding *at, const struct binding *other)
{
    char path[2 * LIMIT_NODE_ID_BYTES];
    unsigned line = reader->node_lines[at->node][config_index_in(config_node_settings, at->key)];
    snprintf(path, sizeof(path), "nodes.%s.%s", config->nodes[at->node].id, at->key);
    config_report(reader, line, path, "is the same as nodes.%s.%s", config->nodes[other->node].id,
                  other->key);
}

static void config_check_bindings(struct config_reader *reader, const struct config *config)
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
            if (config_same_address(bindings[i].address, bindings[j].address)) {
                config_report_same(reader, config, &bindings[i], &bindings[j]);
                break;
            }
}

static void config_check_secrets(struct config_reader *reader, const struct config *config)
{
    for (unsigned i = 1; i < config->node_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (config->nodes[i].node_secret && config->nodes[j].node_secret &&
                strcmp(config->nodes[i].node_secret, config->nodes[j].node_secret) == 0) {
                const struct binding at = {.key = "nodeSecret", .node = i};
                const struct binding other = {.key = "nodeSecret", .node = j};
                config_report_same(reader, config, &at, &other);
                break;
            }
}

static unsigned config_index_of(const char *path)
{
    return config_index_in(config_settings, path);
}

static bool config_is_given(const struct config_reader *reader, const char *path)
{
    return reader->lines[config_index_of(path)] > 0;
}

/* One setting against another that it must fit. The message stands in the line of the first of the
 * two that was given; one that was refused on its own has had its message. */
static void config_relate(struct config_reader *reader, bool good, const char *path,
                          const char *other, const char *what)
{
    unsigned at = config_index_of(path), other_at = config_index_of(other);
    unsigned line = reader->lines[at] ? reader->lines[at] : reader->lines[other_at];
    if (!good && !reader->wrong[at] && !reader->wrong[other_at])
        config_report(reader, line, path, "%s", what);
}

static void config_check_tls(struct config_reader *reader, const struct config *config)
{
    static const char *const parts[] = {"tls.cert", "tls.key", "tls.ca"};
    for (unsigned i = 0; reader->tls_line > 0 && i < 3; i++)
        if (!config_is_given(reader, parts[i]))
            config_report(reader, reader->tls_line, parts[i],
                          "is missing: tls needs all of cert, key and ca");
    if (config->server_must_use_tls && !config->tls.enabled)
        config_report(reader, reader->lines[config_index_of("serverMustUseTLS")],
                      "serverMustUseTLS", "is true, but there is no tls section");
}

static void config_check_rate(struct config_reader *reader, const struct config_rate *rate,
                              const char *limit, const char *burst)
{
    config_relate(reader, rate->limit > 0 || rate->burst == 0, burst, limit,
                  "needs a limit beside it");
}

static void config_check_leader(struct config_reader *reader, const struct config *config)
{
    if (config->default_leader && config->node_count > 0 &&
        !config_find_node(config, config->default_leader))
        config_report(reader, reader->lines[config_index_of("defaultLeader")], "defaultLeader",
                      "'%.64s' is not one of the nodes", config->default_leader);
}

/* A default gives way to what was given: one changed setting must not need a second one. */
void config_settle(const struct config_reader *reader, struct config *config)
{
    struct config_rate *const rates[] = {&config->rate.values,  &config->rate.cache,
                                         &config->rate.atomics, &config->rate.queues,
                                         &config->rate.events,  &config->rate.system};
    uint64_t tenth_ms = config->raft.election_timeout_ms / 10;
    if (!config_is_given(reader, "cache.defaultTTL") &&
        config->cache.default_ttl_ms > config->cache.max_ttl_ms)
        config->cache.default_ttl_ms = config->cache.max_ttl_ms;
    if (!config_is_given(reader, "limits.maxValue") &&
        config->limits.max_value_bytes > config->limits.max_body_bytes)
        config->limits.max_value_bytes = config->limits.max_body_bytes;
    if (!config_is_given(reader, "raft.heartbeat") && config->raft.heartbeat_ms > tenth_ms)
        config->raft.heartbeat_ms = tenth_ms;
    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
        if (rates[i]->burst == 0)
            rates[i]->burst = rates[i]->limit;
}

void config_check(struct config_reader *reader, const struct config *config)
{
    config_check_bindings(reader, config);
    config_check_secrets(reader, config);
    config_check_leader(reader, config);
    config_check_tls(reader, config);
    config_relate(reader, config->cache.default_ttl_ms <= config->cache.max_ttl_ms,
                  "cache.defaultTTL", "cache.maxTTL", "must not be longer than cache.maxTTL");
    config_relate(reader, config->limits.max_value_bytes <= config->limits.max_body_bytes,
                  "limits.maxValue", "limits.maxBody", "must not be larger than limits.maxBody");
    config_relate(reader, config->raft.election_timeout_ms >= 2 * config->raft.heartbeat_ms,
                  "raft.electionTimeout", "raft.heartbeat",
                  "must be at least twice raft.heartbeat");
#define CHECK_RATE(name)                                                                           \
    config_check_rate(reader, &config->rate.name, "rateLimiters." #name ".limit",                  \
                      "rateLimiters." #name ".burst")
    CHECK_RATE(values);
    CHECK_RATE(cache);
    CHECK_RATE(atomics);
    CHECK_RATE(queues);
    CHECK_RATE(events);
    CHECK_RATE(system);
#undef CHECK_RATE
}
