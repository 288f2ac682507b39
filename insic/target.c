/* target.c - servers and token, from the command line, the configuration and the environment. */
#include "insic/target.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/token.h"
#include "insic/print.h"

#define TARGET_API "/db/api/v1"

static char *target_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *target_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    CHECK(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return text;
}

static bool target_has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool found = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return found;
}

static bool target_is_http(CURLU *url)
{
    char *scheme = NULL;
    bool good = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    return good;
}

/* The endpoint without a last '/' and without the API's own path; NULL when it is no URL of a
 * server. */
static char *target_endpoint_url(const char *endpoint)
{
    CURLU *url = curl_url();
    CHECK(url);
    bool good = curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK && target_is_http(url) &&
                !target_has_part(url, CURLUPART_USER) && !target_has_part(url, CURLUPART_QUERY) &&
                !target_has_part(url, CURLUPART_FRAGMENT);
    curl_url_cleanup(url);
    if (!good)
        return NULL;
    char *text = mem_copy_string(endpoint);
    size_t len = strlen(text), api = strlen(TARGET_API);
    while (len > 0 && text[len - 1] == '/')
        len--;
    if (len > api && memcmp(text + len - api, TARGET_API, api) == 0)
        len -= api;
    while (len > 0 && text[len - 1] == '/')
        len--;
    text[len] = '\0';
    return text;
}

static int target_from_endpoint(struct targets *targets, const char *endpoint)
{
    char *url = target_endpoint_url(endpoint);
    if (!url) {
        print_error("Error",
                    "--endpoint must be the URL of a server such as "
                    "http://127.0.0.1:8443, not '%s'.",
                    endpoint);
        return E_USAGE;
    }
    targets->list[targets->count++] = (struct target){.name = mem_copy_string(url), .url = url};
    return 0;
}

/* "h" or "[h]" as it stands in URLs */
static char *target_bracketed(const char *host)
{
    bool v6 = strchr(host, ':') != NULL;
    return target_format("%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "");
}

/* Where a server that listens on every address of its machine is found from this one. */
static const char *target_loopback_of(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : NULL;
}

/* With a clientDomain the URL names it, so that the certificate is checked against it, while the
 * connection goes to the binding. A node that listens everywhere may be on another machine: there
 * the domain's name shows the way, and the loopback is for a name that nobody knows. */
static void target_from_node(struct targets *targets, const struct config *config,
                             const struct config_node *node)
{
    struct target *target = &targets->list[targets->count++];
    const char *scheme = config->tls.enabled ? "https" : "http", *domain = node->client_domain;
    const char *everywhere = target_loopback_of(node->http.host);
    char *host = target_bracketed(everywhere ? everywhere : node->http.host);
    unsigned port = node->http.port;
    if (domain[0]) {
        char *to = target_format("%s:%u:%s:%u", domain, port, host, port);
        target->url = target_format("%s://%s:%u", scheme, domain, port);
        *(everywhere ? &target->loopback : &target->connect_to) = to;
    } else {
        target->url = target_format("%s://%s:%u", scheme, host, port);
    }
    target->id = node->id;
    target->name = target_format("%s (%s)", node->id, target->url);
    free(host);
}

void target_refuse_node(const struct config *config, const char *flag, const char *id)
{
    char names[512] = "";
    for (unsigned i = 0; i < config->node_count && strlen(names) < sizeof(names) - 1; i++) {
        size_t len = strlen(names);
        snprintf(names + len, sizeof(names) - len, " %s", config->nodes[i].id);
    }
    print_error("Error", "%sthe configuration names no node '%s'; its nodes:%s.", flag, id, names);
}

static int target_from_named(struct targets *targets, const struct config *config, const char *id)
{
    const struct config_node *node = config_find_node(config, id);
    if (!node) {
        target_refuse_node(config, "--target: ", id);
        return E_USAGE;
    }
    target_from_node(targets, config, node);
    return 0;
}

int targets_choose(struct targets *targets, const struct options *options,
                   const struct config *config)
{
    *targets = (struct targets){.list = mem_alloc(LIMIT_NODES * sizeof(struct target))};
    if (options->endpoint)
        return target_from_endpoint(targets, options->endpoint);
    CHECK(config);
    if (options->target)
        return target_from_named(targets, config, options->target);
    const struct config_node *leader = config_find_node(config, config->default_leader);
    CHECK(leader); /* the configuration was checked */
    target_from_node(targets, config, leader);
    for (unsigned i = 0; i < config->node_count; i++)
        if (&config->nodes[i] != leader)
            target_from_node(targets, config, &config->nodes[i]);
    return 0;
}

void targets_fini(struct targets *targets)
{
    for (unsigned i = 0; i < targets->count; i++) {
        free(targets->list[i].name);
        free(targets->list[i].url);
        free(targets->list[i].connect_to);
        free(targets->list[i].loopback);
    }
    free(targets->list);
    *targets = (struct targets){0};
}

int target_token_check(const char *token, const char *origin)
{
    size_t len = strlen(token);
    if (len >= TARGET_TOKEN_BYTES) {
        print_error("Error", "%s is too long for a token.", origin);
        return E_USAGE;
    }
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~') {
            print_error("Error",
                        "%s holds a space, a line break or another character that no token has.",
                        origin);
            return E_USAGE;
        }
    return 0;
}

int target_token(char out[TARGET_TOKEN_BYTES], const struct options *options,
                 const struct config *config, const char *environment)
{
    const char *token = options->key ? options->key : environment;
    if (options->root) {
        char root[TOKEN_ROOT_BYTES];
        CHECK(config);
        token_root(slice_text(config->instance_secret), root);
        memcpy(out, root, sizeof(root));
        return 0;
    }
    if (!token || !*token) {
        print_error("Error", "no token: use --root, set INSI_API_KEY, or use --key TOKEN.");
        return E_USAGE;
    }
    int error = target_token_check(token, options->key ? "--key" : "INSI_API_KEY");
    if (!error)
        memcpy(out, token, strlen(token) + 1);
    return error;
}
