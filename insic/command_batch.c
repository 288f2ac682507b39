/* command_batch.c - batchset and batchdelete. The file is checked here, so that the message can
 * name the item; how many items there may be is the server's to say. */
#include "base/error.h"
#include "base/limits.h"
#include "insic/command.h"
#include "insic/input.h"
#include "insic/print.h"

#define BATCH_MIB_MAX (LIMIT_BODY_MAX >> 20) /* no server takes more */

/* The array of a file. E_IO, E_TOO_LARGE, E_INVALID after saying what is wrong. */
static int batch_read(json_t **out, const char *path, const char *shape)
{
    struct buf text;
    json_error_t problem;
    buf_init(&text, BATCH_MIB_MAX << 20);
    int error = input_read(&text, path);
    if (error) {
        buf_fini(&text);
        return error;
    }
    json_t *items = json_loadb(text.data ? (const char *)text.data : "", text.len,
                               JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    buf_fini(&text);
    if (json_is_array(items)) {
        *out = items;
        return 0;
    }
    if (items)
        print_error("Error", "%s must hold an array: %s.", path, shape);
    else
        print_error("Error", "%s:%d:%d: not valid JSON: %s.", path, problem.line, problem.column,
                    problem.text);
    json_decref(items);
    return E_INVALID;
}

static int batch_check_item(const char *path, size_t index, const json_t *item)
{
    static const char *const members[] = {"key", "value"};
    const char *name;
    json_t *value;
    if (!json_is_object(item)) {
        print_error("Error", "%s: item %zu must be {\"key\":\"...\",\"value\":\"...\"}.", path,
                    index + 1);
        return E_INVALID;
    }
    for (size_t i = 0; i < 2; i++)
        if (!json_is_string(json_object_get(item, members[i]))) {
            print_error("Error", "%s: item %zu: \"%s\" must be there, and a string.", path,
                        index + 1, members[i]);
            return E_INVALID;
        }
    if (json_object_size(item) == 2)
        return 0;
    json_object_foreach((json_t *)item, name,
                        value) if (strcmp(name, "key") != 0 && strcmp(name, "value") != 0)
        print_error("Error", "%s: item %zu: unknown member \"%s\".", path, index + 1, name);
    return E_INVALID;
}

int command_batchset(struct client *client, char *const *arguments, unsigned count)
{
    size_t index;
    json_t *item;
    (void)count;
    json_t *items;
    int error = batch_read(&items, arguments[0], "[{\"key\":\"a\",\"value\":\"1\"}, ...]");
    if (error)
        return error;
    json_array_foreach(items, index, item) if (batch_check_item(arguments[0], index, item) != 0)
    {
        json_decref(items);
        return E_INVALID;
    }
    const struct call call = {.path = "/batchset", .body = json_pack("{s:o}", "items", items)};
    return client_call_ok(client, &call);
}

int command_batchdelete(struct client *client, char *const *arguments, unsigned count)
{
    size_t index;
    json_t *key, *answer = NULL;
    (void)count;
    json_t *keys;
    int error = batch_read(&keys, arguments[0], "[\"a\", \"b\", ...]");
    if (error)
        return error;
    json_array_foreach(keys, index, key) if (!json_is_string(key))
    {
        print_error("Error", "%s: item %zu must be a string.", arguments[0], index + 1);
        json_decref(keys);
        return E_INVALID;
    }
    size_t asked = json_array_size(keys);
    const struct call call = {.path = "/batchdelete", .body = json_pack("{s:o}", "keys", keys)};
    error = client_call(client, &call, &answer);
    if (error)
        return error;
    if (!client->options->json)
        printf("OK (%zu keys processed)\n", asked);
    json_decref(answer);
    return 0;
}
