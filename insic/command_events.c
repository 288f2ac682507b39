/* command_events.c - publish and subscribe. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "insic/command.h"
#include "insic/json_text.h"
#include "insic/print.h"
#include "insic/subscription.h"

#define EVENTS_BODY_BYTES_MAX (LIMIT_BODY_MAX + (1u << 20)) /* arguments are shorter */

#define SUBSCRIBE_AFTER "--after"

/* What stands behind a flag ("--after=") in an argument that is not behind "--"; NULL: it is not
 * that flag. */
static const char *events_flag_value(const struct client *client, char *const *argument,
                                     const char *flag)
{
    const struct options *options = client->options;
    ptrdiff_t word = argument - (char *const *)options->words;
    size_t len = strlen(flag);
    bool is_flag = word < (ptrdiff_t)options->plain_from && strncmp(*argument, flag, len) == 0;
    return is_flag ? *argument + len : NULL;
}

static bool events_is_flag(const struct client *client, char *const *argument, const char *flag)
{
    const char *rest = events_flag_value(client, argument, flag);
    return rest && !*rest;
}

/* ---- publish ---- */

struct publication { /* what the arguments say */
    const char *topic, *data;
    bool json;
};

/* "news hello", "news '{}' --json", "--json news '{}'" */
static int publish_read_arguments(struct publication *publication, const struct client *client,
                                  char *const *arguments, unsigned count)
{
    *publication = (struct publication){0};
    for (unsigned i = 0; i < count; i++) {
        if (events_is_flag(client, &arguments[i], "--json"))
            publication->json = true;
        else if (!publication->topic)
            publication->topic = arguments[i];
        else if (!publication->data)
            publication->data = arguments[i];
        else
            publication->topic = NULL, i = count;
    }
    if (publication->topic && publication->data)
        return 0;
    print_error("Error", "'publish' takes a topic and data, and perhaps --json.");
    return E_USAGE;
}

static int publish_check_json(const char *text)
{
    json_error_t problem;
    if (json_text_check(text, &problem))
        return 0;
    print_error("Error", "<data> is not valid JSON: %d:%d: %s.", problem.line, problem.column,
                problem.text);
    return E_USAGE;
}

/* The data as they were given: no number goes through a double. */
static void publish_encode(struct buf *out, const struct publication *publication)
{
    json_t *topic = json_string(publication->topic);
    char *text = json_dumps(topic, JSON_ENCODE_ANY);
    CHECK(text);
    CHECK(buf_printf(out, "{\"topic\":%s,\"data\":", text) == 0);
    CHECK(json_text_compact(out, slice_text(publication->data)) == 0);
    CHECK(buf_append_byte(out, '}') == 0);
    free(text);
    json_decref(topic);
}

int command_publish(struct client *client, char *const *arguments, unsigned count)
{
    struct publication publication;
    struct buf body;
    struct call call = {.path = "/events"};
    int error = publish_read_arguments(&publication, client, arguments, count);
    if (!error && publication.json)
        error = publish_check_json(publication.data);
    if (error)
        return error;
    buf_init(&body, EVENTS_BODY_BYTES_MAX);
    if (publication.json) {
        publish_encode(&body, &publication);
        call.text = &body;
    } else {
        call.body = json_pack("{s:s, s:s}", "topic", publication.topic, "data", publication.data);
    }
    error = client_call_ok(client, &call);
    buf_fini(&body);
    return error;
}

/* ---- subscribe ---- */

/* "news", "news --after 5", "--after 5 news", "news --after=5" */
static int subscribe_read_arguments(const char **topic, const char **after,
                                    const struct client *client, char *const *arguments,
                                    unsigned count)
{
    *topic = *after = NULL;
    for (unsigned i = 0; i < count; i++) {
        bool is_flag = events_is_flag(client, &arguments[i], SUBSCRIBE_AFTER);
        const char *value = events_flag_value(client, &arguments[i], SUBSCRIBE_AFTER "=");
        if (is_flag && !*after && i + 1 < count)
            *after = arguments[++i];
        else if (value && !*after)
            *after = value;
        else if (!is_flag && !value && !*topic)
            *topic = arguments[i];
        else
            *topic = NULL, i = count;
    }
    if (*topic)
        return 0;
    print_error("Error", "'subscribe' takes a topic, and perhaps --after N.");
    return E_USAGE;
}

/* Every line was written when it came, and the servers notice by themselves: nothing is left to do.
 * A flag instead would not be looked at while stdout takes nothing. */
static void subscribe_end(int number)
{
    (void)number;
    _exit(0);
}

int command_subscribe(struct client *client, char *const *arguments, unsigned count)
{
    const char *topic, *after;
    uint64_t index = 0;
    int error = subscribe_read_arguments(&topic, &after, client, arguments, count);
    if (error)
        return error;
    if (after && !json_text_u64(slice_text(after), &index)) {
        print_error("Error", SUBSCRIBE_AFTER " must be the index of an event such as 42, not '%s'.",
                    after);
        return E_USAGE;
    }
    CHECK(signal(SIGINT, subscribe_end) != SIG_ERR);
    CHECK(signal(SIGTERM, subscribe_end) != SIG_ERR);
    return subscription_follow(client, topic, after ? &index : NULL);
}
