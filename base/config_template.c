/* config_template.c - the configuration file that insid writes for a new cluster.
 *
 * cluster.yaml.example is this text with secrets that are none, docs/configuration.md tells more of
 * each setting; a test holds the example and the defaults of config_table.c to what stands here. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/config.h"
#include "base/token.h"

static const char config_template_settings[] =
    "\n"
    "# Everything below may be left out: what stands here are the defaults.\n"
    "# Durations: 250ms, 30s, 5m, 1h30m. Sizes: plain bytes, or KiB, MiB, GiB.\n"
    "\n"
    "runDir: \"\"                  # sockets and pid files; empty: <dataDir>/<node>/run\n"
    "shmDir: /dev/shm            # tmpfs for what lives in memory, in a folder per node\n"
    "\n"
    "# HTTPS on httpBinding and mutual TLS on raftBinding; there is no tls section by default.\n"
    "# tls: {cert: server.crt, key: server.key, ca: ca.crt}\n"
    "serverMustUseTLS: false     # true: refuse to start without a tls section\n"
    "clientSkipVerify: false     # true: insic accepts any certificate\n"
    "\n"
    "limits:\n"
    "  maxBody: 2MiB             # of a request\n"
    "  maxValue: 1MiB            # of one value\n"
    "  requestTimeout: 5s        # then a request without leader or quorum is answered with 503\n"
    "\n"
    "cache:\n"
    "  defaultTTL: 5m            # of an entry that is set without one\n"
    "  maxTTL: 24h\n"
    "  maxBytes: 256MiB          # of all entries and queues together\n"
    "\n"
    "events:\n"
    "  retention: 64MiB          # kept for subscribers that come back\n"
    "\n"
    "sessions:                   # subscribers\n"
    "  maxConnections: 1000      # of one node\n"
    "  sendBuffer: 256KiB        # what waits in memory for one that is slow\n"
    "  pingInterval: 30s\n"
    "  allowedOrigins: []        # of browsers, as \"https://app.example.org\"; []: the same host\n"
    "\n"
    "rateLimiters:               # requests per second and burst for the node; limit 0: none\n"
    "  values: {limit: 0, burst: 0}\n"
    "  cache: {limit: 0, burst: 0}\n"
    "  atomics: {limit: 0, burst: 0}\n"
    "  queues: {limit: 0, burst: 0}\n"
    "  events: {limit: 0, burst: 0}\n"
    "  system: {limit: 0, burst: 0}\n"
    "\n"
    "raft:\n"
    "  electionTimeout: 1s       # a leader that is silent so long is replaced\n"
    "  heartbeat: 100ms\n"
    "  snapshotLogSize: 64MiB    # the log grows by this much, or half the data, between "
    "snapshots\n"
    "  reads: lease              # lease | readindex: does the leader ask before it answers a "
    "read?\n"
    "\n"
    "gateway:\n"
    "  processes: 0              # that serve HTTP; 0: half the cores, at least 1\n"
    "  http2: true               # where TLS is on\n"
    "\n"
    "logging:\n"
    "  level: info               # debug | info | warn | error\n"
    "  format: text              # text | json\n";

static void config_template_node(struct buf *out, unsigned index)
{
    char secret[TOKEN_SECRET_BYTES];
    token_secret_new(secret);
    CHECK(buf_printf(
              out,
              "  node%u:\n"
              "    raftBinding: 127.0.0.1:%u   # the other nodes\n"
              "    httpBinding: 127.0.0.1:%u   # clients\n"
              "    adminBinding: \"\"              # health and readiness, for an inner network\n"
              "    clientDomain: localhost       # the name that clients and certificates use\n"
              "    nodeSecret: \"%s\"\n",
              index, 2222 + index, 8443 + index, secret) == 0);
}

char *config_template(const char *dev_data_dir)
{
    char instance[TOKEN_SECRET_BYTES], prefix[TOKEN_SECRET_BYTES];
    struct buf out;
    buf_init(&out, 64 << 10);
    token_secret_new(instance);
    token_secret_new(prefix);
    CHECK(buf_printf(&out,
                     "# INSI: the configuration of %s.\n"
                     "# It holds the secrets of the cluster: keep it to yourself (mode 0600).\n"
                     "\n"
                     "# The root token derives from it; the same on all nodes.\n"
                     "instanceSecret: \"%s\"\n"
                     "# The key space of the root token.\n"
                     "rootPrefix: \"%s\"\n"
                     "defaultLeader: node0         # bootstraps the cluster at its first start\n"
                     "dataDir: %s         # each node keeps its data in <dataDir>/<node>\n"
                     "\n"
                     "nodes:\n",
                     dev_data_dir ? "a development node" : "a cluster of three nodes", instance,
                     prefix, dev_data_dir ? dev_data_dir : "./insi-data") == 0);
    for (unsigned i = 0; i < (dev_data_dir ? 1u : 3u); i++)
        config_template_node(&out, i);
    CHECK(buf_append_text(&out, config_template_settings) == 0);
    CHECK(buf_append_byte(&out, '\0') == 0);
    return (char *)out.data; /* the caller's from here on */
}
