/* command_cache.c - cache set, cache get, cache delete. */
#include <stdlib.h>

#include "base/check.h"
#include "base/config.h"
#include "base/error.h"
#include "insic/command.h"
#include "insic/print.h"

#define CACHE_MS_PER_S 1000

int command_cache_set(struct client *client, char *const *arguments, unsigned count)
{
    uint64_t ttl_ms;
    (void)count;
    if (config_parse_duration(slice_text(arguments[2]), &ttl_ms) != 0 || ttl_ms == 0 ||
        ttl_ms > INT64_MAX) {
        print_error("Error", "<ttl> must be a duration such as 250ms, 90s or 5m, not '%s'.",
                    arguments[2]);
        return E_USAGE;
    }
    /* whole seconds as a whole number: how a person would write them */
    json_t *ttl = ttl_ms % CACHE_MS_PER_S == 0 ? json_integer((json_int_t)(ttl_ms / CACHE_MS_PER_S))
                                               : json_real((double)ttl_ms / CACHE_MS_PER_S);
    const struct call call = {.path = "/cache/set",
                              .body = json_pack("{s:s, s:s, s:o}", "key", arguments[0], "value",
                                                arguments[1], "ttl", ttl)};
    return client_call_ok(client, &call);
}

int command_cache_get(struct client *client, char *const *arguments, unsigned count)
{
    char *missing = NULL;
    (void)count;
    CHECK(asprintf(&missing, "Key '%s' not found.", arguments[0]) >= 0);
    const struct call call = {.path = "/cache/get", .missing = missing};
    int error = client_get_member(client, &call, arguments[0], "data", JSON_STRING);
    free(missing);
    return error;
}

int command_cache_delete(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/cache/delete",
                              .body = json_pack("{s:s}", "key", arguments[0])};
    return client_call_ok(client, &call);
}
