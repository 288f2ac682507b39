/* command_queue.c - queue new, push, pop, delete, length, peek. */
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/error.h"
#include "insic/command.h"
#include "insic/print.h"

#define QUEUE_WAIT_FLAG "--wait"
#define QUEUE_WAIT_MAX_MS 60000
#define QUEUE_MS_PER_S 1000.0

static int queue_call_ok(struct client *client, const char *path, const char *key)
{
    const struct call call = {.path = path, .body = json_pack("{s:s}", "key", key)};
    return client_call_ok(client, &call);
}

int command_queue_new(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    return queue_call_ok(client, "/queue/new", arguments[0]);
}

int command_queue_delete(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    return queue_call_ok(client, "/queue/delete", arguments[0]);
}

int command_queue_push(struct client *client, char *const *arguments, unsigned count)
{
    json_t *answer = NULL;
    (void)count;
    const struct call call = {
        .path = "/queue/push",
        .body = json_pack("{s:s, s:s}", "key", arguments[0], "value", arguments[1])};
    int error = client_call(client, &call, &answer);
    if (error)
        return error;
    const json_t *length = json_object_get(answer, "new_length");
    if (!json_is_integer(length))
        error = client_refuse_answer();
    else if (!client->options->json)
        printf("New length: %" JSON_INTEGER_FORMAT "\nOK\n", json_integer_value(length));
    json_decref(answer);
    return error;
}

/* ---- pop ---- */

struct pop { /* what the arguments say */
    const char *key;
    const char *wait; /* NULL: not at all */
};

/* "jobs", "jobs --wait 5s", "--wait 5s jobs", "jobs --wait=5s" */
static int pop_read_arguments(struct pop *pop, char *const *arguments, unsigned count)
{
    const size_t flag = strlen(QUEUE_WAIT_FLAG);
    *pop = (struct pop){NULL, NULL};
    for (unsigned i = 0; i < count; i++) {
        const char *word = arguments[i];
        bool is_flag = strncmp(word, QUEUE_WAIT_FLAG, flag) == 0;
        if (is_flag && word[flag] == '=' && !pop->wait)
            pop->wait = word + flag + 1;
        else if (is_flag && !word[flag] && !pop->wait && i + 1 < count)
            pop->wait = arguments[++i];
        else if (!pop->key && !(is_flag && !word[flag]))
            pop->key = word;
        else
            pop->key = NULL, i = count;
    }
    if (pop->key)
        return 0;
    print_error("Error", "'queue pop' takes a key, and perhaps " QUEUE_WAIT_FLAG " 5s.");
    return E_USAGE;
}

int command_queue_pop(struct client *client, char *const *arguments, unsigned count)
{
    struct pop pop;
    uint64_t wait_ms = 0;
    if (pop_read_arguments(&pop, arguments, count) != 0)
        return E_USAGE;
    if (pop.wait && (config_parse_duration(slice_text(pop.wait), &wait_ms) != 0 ||
                     wait_ms > QUEUE_WAIT_MAX_MS)) {
        print_error("Error", QUEUE_WAIT_FLAG " must be a duration up to 60s such as 5s, not '%s'.",
                    pop.wait);
        return E_USAGE;
    }
    json_t *body = json_pack("{s:s}", "key", pop.key);
    if (wait_ms > 0)
        json_object_set_new(body, "wait", json_real((double)wait_ms / QUEUE_MS_PER_S));
    const struct call call = {.path = "/queue/pop", .body = body, .hold_ms = wait_ms};
    return client_call_member(client, &call, "value", JSON_STRING);
}

/* ---- looking ---- */

int command_queue_length(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/queue/length"};
    return client_get_member(client, &call, arguments[0], "length", JSON_INTEGER);
}

int command_queue_peek(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/queue/peek"};
    return client_get_member(client, &call, arguments[0], "value", JSON_STRING);
}
