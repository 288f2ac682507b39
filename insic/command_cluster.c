/* command_cluster.c - who belongs to the cluster, and changes of that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "insic/command.h"
#include "insic/print.h"

/* Where the node's peers find it. A binding to every address of a machine names none of them; then
 * the name that clients use has to do. */
static char *cluster_raft_address(const struct config_node *node)
{
    const char *host = node->raft.host;
    char *text = NULL;
    if (node->client_domain[0] && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0))
        host = node->client_domain;
    bool v6 = strchr(host, ':') != NULL;
    CHECK(asprintf(&text, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", node->raft.port) > 0);
    return text;
}

static const struct config_node *cluster_find_node(const struct client *client, const char *id)
{
    const struct config_node *node = config_find_node(&client->config, id);
    if (!node)
        target_refuse_node(&client->config, "", id);
    return node;
}

int command_join(struct client *client, char *const *arguments, unsigned count)
{
    const struct config_node *leader = cluster_find_node(client, arguments[0]);
    const struct config_node *follower = leader ? cluster_find_node(client, arguments[1]) : NULL;
    (void)count;
    if (!follower)
        return E_USAGE;
    if (leader == follower) {
        print_error("Error", "a node does not join itself.");
        return E_USAGE;
    }
    char *address = cluster_raft_address(follower);
    const struct call call = {
        .path = "/admin/cluster/join",
        .body = json_pack("{s:s, s:s}", "id", follower->id, "raft_address", address)};
    free(address);
    client_prefer(client, leader->id);
    return client_call_ok(client, &call);
}

static int cluster_change(struct client *client, const char *path, const char *id)
{
    const struct call call = {.path = path, .body = json_pack("{s:s}", "id", id)};
    return client_call_ok(client, &call);
}

int command_remove(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    return cluster_change(client, "/admin/cluster/remove", arguments[0]);
}

int command_transfer(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    return cluster_change(client, "/admin/cluster/transfer", arguments[0]);
}

static int cluster_print(const json_t *answer)
{
    static const char *const members[] = {"id",    "raft_address", "http_address", "role",
                                          "state", "match_index",  "lag",          NULL};
    static const char *const titles[] = {"ID",    "RAFT",  "HTTP", "ROLE",
                                         "STATE", "MATCH", "LAG",  NULL};
    const json_t *list = json_object_get(answer, "members");
    const char *leader = json_string_value(json_object_get(answer, "leader"));
    const char *node = json_string_value(json_object_get(json_object_get(answer, "node"), "id"));
    if (!json_is_array(list) || !leader || !node)
        return client_refuse_answer();
    print_table(stdout, list, members, titles);
    if (!leader[0])
        print_note("No leader is known; this is what %s knows by itself.", node);
    return 0;
}

int command_cluster(struct client *client, char *const *arguments, unsigned count)
{
    json_t *answer = NULL;
    (void)arguments;
    (void)count;
    const struct call call = {.path = "/admin/cluster"};
    int error = client_call(client, &call, &answer);
    if (error)
        return error;
    if (!client->options->json)
        error = cluster_print(answer);
    json_decref(answer);
    return error;
}
