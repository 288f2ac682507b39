/* config_template.c - the configuration file that insid writes for a new cluster. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/config.h"
#include "base/token.h"

static const char config_template_settings[] =
    "\n"
    "# Everything below may be left out; what stands here are the defaults.\n"
    "# Durations: 250ms, 30s, 5m, 1h30m. Sizes: plain bytes, or KiB, MiB, GiB.\n"
    "\n"
    "# runDir: \"\"                  # sockets and pid files; default: <dataDir>/<node>/run\n"
    "# shmDir: /dev/shm            # tmpfs for what lives in memory, in a folder per node\n"
    "# serverMustUseTLS: false     # true: refuse to start without a tls section\n"
    "# clientSkipVerify: false     # insic: accept any certificate\n"
    "# tls: {cert: server.crt, key: server.key, ca: ca.crt}\n"
    "#                             # HTTPS on httpBinding and mutual TLS on raftBinding\n"
    "# cache: {defaultTTL: 5m, maxTTL: 24h, maxBytes: 256MiB}\n"
    "# events: {retention: 64MiB}  # events kept for subscribers that come back\n"
    "# sessions: {maxConnections: 1000, sendBuffer: 256KiB, pingInterval: 30s, allowedOrigins: "
    "[]}\n"
    "#                             # allowedOrigins of browsers' WebSockets; []: the same host "
    "only\n"
    "# limits: {maxBody: 2MiB, maxValue: 1MiB, requestTimeout: 5s}\n"
    "# rateLimiters:               # requests per second and burst for the node; 0: no limit\n"
    "#   values:  {limit: 0, burst: 0}\n"
    "#   cache:   {limit: 0, burst: 0}\n"
    "#   atomics: {limit: 0, burst: 0}\n"
    "#   queues:  {limit: 0, burst: 0}\n"
    "#   events:  {limit: 0, burst: 0}\n"
    "#   system:  {limit: 0, burst: 0}\n"
    "# raft: {electionTimeout: 1s, heartbeat: 100ms, snapshotLogSize: 64MiB, reads: lease}\n"
    "#                             # reads: lease | readindex\n"
    "# gateway: {processes: 0, http2: true}   # processes: 0 = half the cores, at least 1\n"
    "# logging: {level: info, format: text}   # debug | info | warn | error; text | json\n";

static void config_template_node(struct buf *out, unsigned index)
{
    char secret[TOKEN_SECRET_BYTES];
    token_secret_new(secret);
    CHECK(buf_printf(
              out,
              "  node%u:\n"
              "    raftBinding: 127.0.0.1:%u   # the other nodes\n"
              "    httpBinding: 127.0.0.1:%u   # clients\n"
              "    adminBinding: \"\"            # open metrics here; empty: only with the root "
              "token\n"
              "    clientDomain: localhost     # the name that clients and certificates use\n"
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
    CHECK(buf_printf(
              &out,
              "# INSI: the configuration of %s. Keep it secret (mode 0600).\n"
              "\n"
              "instanceSecret: \"%s\"   # shared by all nodes; the root token derives from it\n"
              "rootPrefix: \"%s\"       # key space of the root token\n"
              "defaultLeader: node0      # bootstraps the cluster on the first start\n"
              "dataDir: %s   # each node keeps its data in <dataDir>/<node>\n"
              "\n"
              "nodes:\n",
              dev_data_dir ? "a development node" : "a cluster of three nodes on one machine",
              instance, prefix, dev_data_dir ? dev_data_dir : "./insi-data") == 0);
    for (unsigned i = 0; i < (dev_data_dir ? 1u : 3u); i++)
        config_template_node(&out, i);
    CHECK(buf_append_text(&out, config_template_settings) == 0);
    CHECK(buf_append_byte(&out, '\0') == 0);
    return (char *)out.data; /* the caller's from here on */
}
