/* config.h - cluster.yaml as a struct (keys, defaults and ranges: docs/configuration.md).
 *
 * config_parse reads the whole text, reports every error it finds in one run (each naming file,
 * line and key) and fills the struct only when there is none. Unknown keys, duplicate keys, wrong
 * types, values out of range, two nodes with one nodeSecret or one binding are errors. A default
 * gives way to what was given: cache.defaultTTL, limits.maxValue and raft.heartbeat, left out,
 * follow a smaller cache.maxTTL, limits.maxBody and raft.electionTimeout. The time it takes grows
 * with the length of the text alone, whatever is in it. Strings belong to the struct; config_fini
 * frees them. Durations are in ms, sizes in bytes.
 */
#ifndef INSI_BASE_CONFIG_H
#define INSI_BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/slice.h"

struct config_address {
    char *host; /* without brackets */
    uint16_t port;
};

struct config_node {
    char *id;                    /* key in the file's nodes map */
    struct config_address raft;  /* raftBinding */
    struct config_address http;  /* httpBinding */
    struct config_address admin; /* adminBinding; host NULL when not set */
    char *client_domain;         /* clientDomain; "" when not set */
    char *node_secret;
};

struct config_rate {
    uint64_t limit; /* requests per second, 0 = none */
    uint64_t burst; /* as many as limit where the file gives none */
};

enum config_reads { CONFIG_READS_LEASE, CONFIG_READS_READINDEX };

struct config {
    char *instance_secret;
    char *root_prefix;
    char *default_leader;
    char *data_dir;
    char *run_dir; /* "" when not set: <dataDir>/<node-id>/run */
    char *shm_dir;
    bool server_must_use_tls;
    bool client_skip_verify;
    struct {
        bool enabled; /* a tls section exists; then all three are set */
        char *cert, *key, *ca;
    } tls;
    struct {
        uint64_t default_ttl_ms, max_ttl_ms, max_bytes;
    } cache;
    struct {
        uint64_t retention_bytes;
    } events;
    struct {
        uint32_t max_connections;
        uint64_t send_buffer_bytes, ping_interval_ms;
        char **allowed_origins;
        unsigned allowed_origin_count;
    } sessions;
    struct {
        uint64_t max_body_bytes, max_value_bytes, request_timeout_ms;
    } limits;
    struct {
        struct config_rate values, cache, atomics, queues, events, system;
    } rate;
    struct {
        uint64_t election_timeout_ms, heartbeat_ms, snapshot_log_bytes;
        enum config_reads reads;
    } raft;
    struct {
        unsigned processes; /* as in the file; 0 = half the cores, at least 1 */
        bool http2;
    } gateway;
    struct {
        enum log_level level;
        enum log_format format;
    } logging;
    struct config_node *nodes; /* in file order */
    unsigned node_count;
};

/* One error; the message is complete: "cluster.yaml:12: cache.maxTTL: not a duration: 'x'". */
typedef void config_error_fn(const char *message, void *arg);

/* 0, or E_INVALID after reporting. name appears in the messages. */
int config_parse(struct config *config, struct slice text, const char *name,
                 config_error_fn *report, void *arg);
void config_fini(struct config *config);

const struct config_node *config_find_node(const struct config *config, const char *id);

/* gateway.processes with 0 resolved to half the online cores, at least 1, at most LIMIT_GATEWAYS.
 */
unsigned config_gateway_count(const struct config *config);

/* A commented three-node configuration with fresh random secrets, as text; the caller frees it.
 * With dev_data_dir not NULL: a single development node "node0" with that dataDir. */
char *config_template(const char *dev_data_dir);

/* "1h30m" -> ms, "64MiB" -> bytes; E_INVALID for anything else. Shared with insic's arguments. */
int config_parse_duration(struct slice text, uint64_t *out_ms);
int config_parse_size(struct slice text, uint64_t *out_bytes);

#endif
