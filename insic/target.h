/* target.h - whom insic asks: the servers in order, and the token to show them. */
#ifndef INSI_INSIC_TARGET_H
#define INSI_INSIC_TARGET_H

#include "base/config.h"
#include "insic/options.h"

#define TARGET_TOKEN_BYTES 1024 /* longest token that is sent, with its NUL */

struct target {
    const char *id;   /* of the node, from the configuration; NULL: --endpoint */
    char *name;       /* for messages: the node's id and URL, or the URL of --endpoint */
    char *url;        /* scheme, host, port and path up to the API's own, without a last '/' */
    char *connect_to; /* for CURLOPT_CONNECT_TO: where the host's name really leads; NULL: DNS */
    char *loopback;   /* the same, for a host whose name leads nowhere; NULL: none */
};

struct targets {
    struct target *list;
    unsigned count;
};

/* The servers to ask, in order: --endpoint alone; --target alone; else defaultLeader, then the
 * other nodes of the file. config may be NULL with an endpoint. E_USAGE after saying what is wrong;
 * targets_fini frees in both cases. */
int targets_choose(struct targets *targets, const struct options *options,
                   const struct config *config);
void targets_fini(struct targets *targets);

/* "Error: <flag>the configuration names no node '<id>'; its nodes: ..." */
void target_refuse_node(const struct config *config, const char *flag, const char *id);

/* The root token with --root, else --key, else environment (of INSI_API_KEY; may be NULL). config
 * is needed for --root alone. E_USAGE after saying what is wrong. */
int target_token(char out[TARGET_TOKEN_BYTES], const struct options *options,
                 const struct config *config, const char *environment);

/* A token as it may stand in a header: visible ASCII, not too long. Says what is wrong on stderr,
 * naming where it came from, never the token. */
int target_token_check(const char *token, const char *origin);

#endif
