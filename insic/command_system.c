/* command_system.c - ping and the API keys. */
#include "base/error.h"
#include "insic/command.h"
#include "insic/print.h"
#include "insic/target.h"

static void system_print_ping(const json_t *answer)
{
    puts("Ping Response:");
    print_members(stdout, answer);
}

int command_ping(struct client *client, char *const *arguments, unsigned count)
{
    json_t *answer = NULL;
    (void)arguments;
    (void)count;
    const struct call call = {.path = "/ping"};
    int error = client_call(client, &call, &answer);
    if (error)
        return error;
    if (!client->options->json)
        system_print_ping(answer);
    json_decref(answer);
    return 0;
}

int command_api_add(struct client *client, char *const *arguments, unsigned count)
{
    json_t *answer = NULL;
    (void)count;
    const struct call call = {.path = "/admin/api/create",
                              .body = json_pack("{s:s}", "key_name", arguments[0])};
    int error = client_call(client, &call, &answer);
    if (error)
        return error;
    const char *name = json_string_value(json_object_get(answer, "key_name"));
    const char *key = json_string_value(json_object_get(answer, "key"));
    if (!name || !key)
        error = client_refuse_answer();
    else if (!client->options->json)
        printf("API Key Name: %s\nAPI Key:      %s\nOK\n", name, key);
    json_decref(answer);
    return error;
}

int command_api_delete(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/admin/api/delete",
                              .body = json_pack("{s:s}", "key", arguments[0]),
                              .missing = "there is no such API key."};
    return client_call_ok(client, &call);
}

int command_api_list(struct client *client, char *const *arguments, unsigned count)
{
    static const char *const members[] = {"key_name", "scope", "created_at", NULL};
    static const char *const titles[] = {"NAME", "SCOPE", "CREATED", NULL};
    json_t *answer = NULL;
    (void)arguments;
    (void)count;
    const struct call call = {.path = "/admin/api/list"};
    int error = client_call(client, &call, &answer);
    if (error)
        return error;
    const json_t *keys = json_object_get(answer, "data");
    if (!json_is_array(keys))
        error = client_refuse_answer();
    else if (!client->options->json)
        print_table(stdout, keys, members, titles);
    json_decref(answer);
    return error;
}

int command_api_verify(struct client *client, char *const *arguments, unsigned count)
{
    json_t *answer = NULL;
    (void)count;
    const struct call call = {.path = "/ping", .token = arguments[0]};
    int error = target_token_check(arguments[0], "<key>") == 0 ? client_call(client, &call, &answer)
                                                               : E_DENIED;
    if (error) {
        if (!client->options->json)
            puts("Verification FAILED");
        return error;
    }
    if (!client->options->json) {
        puts("API Key Verified Successfully!");
        system_print_ping(answer);
    }
    json_decref(answer);
    return 0;
}
