/* client.c - calls of the API. */
#include "insic/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "insic/input.h"
#include "insic/print.h"
#include "insic/url.h"

#define CLIENT_BODY_BYTES_MAX (512u << 20)
#define CLIENT_QUERY_BYTES_MAX (1u << 20)

/* ---- opening ---- */

/* With an endpoint and a token of one's own, no file that happens to lie around matters. */
static bool client_needs_config(const struct options *options)
{
    bool plain = options->endpoint && strncasecmp(options->endpoint, "http://", 7) == 0;
    return options->root || options->config || !plain;
}

static int client_read_config(struct client *client)
{
    const struct options *options = client->options;
    if (!client_needs_config(options))
        return 0;
    if (input_read_config(&client->config, &client->configured, options) != 0)
        return E_INVALID;
    if (!client->configured && (options->root || !options->endpoint)) {
        print_error("Error",
                    "%s a configuration file, and there is no cluster.yaml here: use --config "
                    "FILE%s.",
                    options->root ? "--root needs" : "without --endpoint the nodes come from",
                    options->root ? "" : " or --endpoint URL");
        return E_USAGE;
    }
    return 0;
}

static int client_open_http(struct client *client)
{
    const struct config *config = &client->config;
    struct http_options http = {.skip_verify = config->client_skip_verify};
    if (client->configured && config->tls.enabled && !config->client_skip_verify) {
        http.ca = config->tls.ca;
        http.ca_only = !client->options->endpoint;
        if (access(http.ca, R_OK) != 0) {
            print_error("Error", "cannot read tls.ca of the configuration, %s: %s.", http.ca,
                        strerror(errno));
            return E_INVALID;
        }
    }
    client->http = http_new(&http);
    return 0;
}

int client_open(struct client *client, const struct options *options, bool needs_token)
{
    *client = (struct client){.options = options};
    int error = client_read_config(client);
    const struct config *config = client->configured ? &client->config : NULL;
    error = error ? error : targets_choose(&client->targets, options, config);
    if (!error && needs_token)
        error = target_token(client->token, options, config, getenv("INSI_API_KEY"));
    return error ? error : client_open_http(client);
}

void client_close(struct client *client)
{
    http_free(&client->http);
    targets_fini(&client->targets);
    config_fini(&client->config);
    explicit_bzero(client->token, sizeof(client->token));
}

void client_prefer(struct client *client, const char *id)
{
    for (unsigned i = 0; i < client->targets.count; i++) {
        const char *other = client->targets.list[i].id;
        if (other && strcmp(other, id) == 0)
            client->first = i;
    }
}

/* ---- answers ---- */

/* The answer as JSON; NULL when it is none. A value may hold NUL bytes. */
static json_t *client_parse(const struct http_answer *answer)
{
    if (answer->body.len == 0)
        return NULL;
    return json_loadb((const char *)answer->body.data, answer->body.len, JSON_ALLOW_NUL, NULL);
}

static const char *client_text_of(const json_t *answer, const char *member)
{
    const char *text = json_string_value(json_object_get(answer, member));
    return text ? text : "";
}

static bool client_is_no_leader(const struct http_answer *answer)
{
    if (answer->status != 503)
        return false;
    json_t *json = client_parse(answer);
    bool found = strcmp(client_text_of(json, "error_type"), "NO_LEADER") == 0;
    json_decref(json);
    return found;
}

static int client_code_of(const struct http_answer *answer, const char *type)
{
    if (strcmp(type, "OUTCOME_UNKNOWN") == 0)
        return E_OUTCOME_UNKNOWN;
    switch (answer->status) {
    case 401:
    case 403:
        return E_DENIED;
    case 404:
        return E_NOT_FOUND;
    case 409:
        return E_CONFLICT;
    default:
        return E_IO;
    }
}

static int client_report_refusal(const struct call *call, const struct http_answer *answer,
                                 const json_t *json)
{
    const char *type = client_text_of(json, "error_type");
    const char *message = client_text_of(json, "message");
    if (call->missing && answer->status == 404 && strcmp(type, "NOT_FOUND") == 0)
        print_error("Error", "%s", call->missing);
    else if (answer->status == 409 && strcmp(type, "CONFLICT") == 0)
        print_error("Conflict", "%s", call->conflict ? call->conflict : message);
    else
        print_error(answer->status == 409 ? "Conflict" : "Error", "%s (%s)", message, type);
    return client_code_of(answer, type);
}

static bool client_is_write(const struct call *call)
{
    return call->body || call->text;
}

/* An answer that no INSI server gives. A write may have passed through to one all the same. */
static int client_report_stranger(const struct call *call, const struct target *target,
                                  const struct http_answer *answer)
{
    bool unknown = client_is_write(call) && answer->status >= 500;
    print_error("Error", "HTTP %ld from %s is no answer of an INSI server%s.", answer->status,
                target->url, unknown ? "; the write may or may not have happened" : "");
    return unknown ? E_OUTCOME_UNKNOWN : E_IO;
}

static int client_take_answer(struct client *client, const struct call *call,
                              const struct target *target, const struct http_answer *answer,
                              json_t **out)
{
    bool good = answer->status >= 200 && answer->status < 300;
    json_t *json = client_parse(answer);
    int error = 0;
    if (!json_is_object(json) || (!good && !client_text_of(json, "error_type")[0])) {
        error = client_report_stranger(call, target, answer);
    } else {
        if (client->options->json)
            print_json_line(stdout, buf_slice(&answer->body));
        if (!good)
            error = client_report_refusal(call, answer, json);
    }
    if (error)
        json_decref(json);
    else
        *out = json;
    return error;
}

int client_report_answer(struct client *client, const struct client_attempt *attempt)
{
    const struct call call = {0};
    json_t *json = NULL;
    int error = client_take_answer(client, &call, attempt->target, &attempt->answer, &json);
    json_decref(json);
    return error ? error : client_refuse_answer();
}

int client_refuse_answer(void)
{
    print_error("Error", "the server's answer lacks what was asked for.");
    return E_IO;
}

/* ---- one call, several servers ---- */

/* Nobody was asked with success: one server on one line, several below each other. */
int client_report_unreachable(const struct client_attempt *attempts, unsigned count)
{
    if (count == 1) {
        print_error("Error", "%s does not answer: %s.", attempts[0].target->name,
                    attempts[0].answer.problem);
        return attempts[0].error;
    }
    print_error("Error", "no node answers.");
    for (unsigned i = 0; i < count; i++)
        print_note("  %s: %s", attempts[i].target->name, attempts[i].answer.problem);
    return attempts[count - 1].error;
}

static int client_report_unknown(const struct client_attempt *attempt)
{
    print_error("Error",
                "%s was lost after the request was sent: %s. The write may or may not have "
                "happened (OUTCOME_UNKNOWN).",
                attempt->target->name, attempt->answer.problem);
    return E_OUTCOME_UNKNOWN;
}

/* Each server gets its share of what is left of the time; a write that was sent gets all of it. */
static void client_try(struct client *client, const struct call *call, const struct buf *body,
                       uint64_t deadline_ms, struct client_attempt *attempt, unsigned left)
{
    uint64_t now_ms = clock_boot_ms();
    uint64_t rest_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 1;
    uint64_t share_ms = rest_ms / left > 0 ? rest_ms / left : 1;
    char path[128];
    CHECK((size_t)snprintf(path, sizeof(path), "%s%s", CLIENT_API, call->path) < sizeof(path));
    const struct http_request request = {.target = attempt->target,
                                         .path = path,
                                         .query = call->query ? call->query : "",
                                         .token = call->token ? call->token : client->token,
                                         .body = body,
                                         .timeout_ms = rest_ms,
                                         .connect_ms = share_ms,
                                         .stall_ms = !body && left > 1 ? share_ms : 0};
    attempt->error = http_send(client->http, &request, &attempt->answer);
}

/* Asks the servers in turn. What counts is the last attempt, or the last one that was answered. */
static unsigned client_try_all(struct client *client, const struct call *call,
                               const struct buf *body, struct client_attempt *attempts,
                               const struct client_attempt **out_counts)
{
    unsigned count = client->targets.count, made = 0;
    uint64_t deadline_ms = clock_boot_ms() + client->options->timeout_ms + call->hold_ms;
    *out_counts = NULL;
    while (made < count) {
        unsigned index = (client->first + made) % count;
        struct client_attempt *attempt = &attempts[made];
        attempt->target = &client->targets.list[index];
        client_try(client, call, body, deadline_ms, attempt, count - made);
        made++;
        if (!attempt->error)
            *out_counts = attempt;
        if (!attempt->error && !client_is_no_leader(&attempt->answer)) {
            client->first = index;
            break;
        }
        if (attempt->error && body && attempt->answer.sent) {
            *out_counts = attempt;
            break;
        }
    }
    return made;
}

static void client_encode(struct buf *out, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    CHECK(text);
    CHECK(buf_append_text(out, text) == 0);
    free(text);
    json_decref(body);
}

int client_call(struct client *client, const struct call *call, json_t **out)
{
    struct buf body;
    struct client_attempt attempts[LIMIT_NODES];
    const struct client_attempt *counts;
    int error;
    buf_init(&body, CLIENT_BODY_BYTES_MAX);
    if (call->body)
        client_encode(&body, call->body);
    unsigned made =
        client_try_all(client, call, call->body ? &body : call->text, attempts, &counts);
    CHECK(made > 0);
    if (!counts)
        error = client_report_unreachable(attempts, made);
    else if (counts->error)
        error = client_report_unknown(counts);
    else
        error = client_take_answer(client, call, counts->target, &counts->answer, out);
    for (unsigned i = 0; i < made; i++)
        http_answer_fini(&attempts[i].answer);
    buf_fini(&body);
    return error;
}

int client_call_ok(struct client *client, const struct call *call)
{
    json_t *answer = NULL;
    int error = client_call(client, call, &answer);
    if (error)
        return error;
    if (!client->options->json)
        puts("OK");
    json_decref(answer);
    return 0;
}

int client_call_member(struct client *client, const struct call *call, const char *member,
                       json_type type)
{
    json_t *answer = NULL;
    int error = client_call(client, call, &answer);
    if (error)
        return error;
    const json_t *value = json_object_get(answer, member);
    if (!value || json_typeof(value) != type) {
        error = client_refuse_answer();
    } else if (!client->options->json) {
        print_json_value(stdout, value);
        putchar('\n');
    }
    json_decref(answer);
    return error;
}

int client_get_member(struct client *client, const struct call *call, const char *key,
                      const char *member, json_type type)
{
    struct buf query;
    struct call asked = *call;
    buf_init(&query, CLIENT_QUERY_BYTES_MAX);
    url_add_text(&query, "key", key);
    CHECK(buf_append_byte(&query, '\0') == 0);
    asked.query = (const char *)query.data;
    int error = client_call_member(client, &asked, member, type);
    buf_fini(&query);
    return error;
}
