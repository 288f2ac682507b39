/* command_atomic.c - atomic new, get, add, delete. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "insic/command.h"
#include "insic/print.h"

int command_atomic_new(struct client *client, char *const *arguments, unsigned count)
{
    bool overwrites = count > 1 && strcmp(arguments[1], "true") == 0;
    char *conflict = NULL;
    if (count > 1 && !overwrites && strcmp(arguments[1], "false") != 0) {
        print_error("Error", "whether to set back one that exists is true or false, not '%s'.",
                    arguments[1]);
        return E_USAGE;
    }
    CHECK(asprintf(&conflict, "counter '%s' exists already.", arguments[0]) >= 0);
    const struct call call = {
        .path = "/atomic/new",
        .body = json_pack("{s:s, s:b}", "key", arguments[0], "overwrite", (int)overwrites),
        .conflict = conflict};
    int error = client_call_ok(client, &call);
    free(conflict);
    return error;
}

int command_atomic_get(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/atomic/get"};
    return client_get_member(client, &call, arguments[0], "value", JSON_INTEGER);
}

int command_atomic_add(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    errno = 0;
    long long delta = strtoll(arguments[1], NULL, 10);
    if (!command_is_integer(arguments[1]) || errno != 0) {
        print_error("Error", "<delta> must be a whole number of 64 bits such as 5 or -3, not '%s'.",
                    arguments[1]);
        return E_USAGE;
    }
    const struct call call = {
        .path = "/atomic/add",
        .body = json_pack("{s:s, s:I}", "key", arguments[0], "delta", (json_int_t)delta)};
    return client_call_member(client, &call, "new_value", JSON_INTEGER);
}

int command_atomic_delete(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/atomic/delete",
                              .body = json_pack("{s:s}", "key", arguments[0])};
    return client_call_ok(client, &call);
}
