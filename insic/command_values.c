/* command_values.c - get, set, delete, setnx, cas, bump, iterate prefix. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "insic/command.h"
#include "insic/print.h"
#include "insic/url.h"

#define VALUES_QUERY_BYTES_MAX (1u << 20)
#define VALUES_LIMIT_DEFAULT 100 /* of the API */

/* A sentence with the key in it; the caller frees. */
static char *values_sentence(const char *begin, const char *key, const char *end)
{
    char *text = NULL;
    CHECK(asprintf(&text, "%s'%s'%s", begin, key, end) >= 0);
    return text;
}

int command_get(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    char *missing = values_sentence("Key ", arguments[0], " not found.");
    const struct call call = {.path = "/get", .missing = missing};
    int error = client_get_member(client, &call, arguments[0], "data", JSON_STRING);
    free(missing);
    return error;
}

int command_set(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {
        .path = "/set",
        .body = json_pack("{s:s, s:s}", "key", arguments[0], "value", arguments[1])};
    return client_call_ok(client, &call);
}

int command_delete(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    const struct call call = {.path = "/delete", .body = json_pack("{s:s}", "key", arguments[0])};
    return client_call_ok(client, &call);
}

int command_setnx(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    char *conflict = values_sentence("key ", arguments[0], " exists already.");
    const struct call call = {
        .path = "/setnx",
        .body = json_pack("{s:s, s:s}", "key", arguments[0], "value", arguments[1]),
        .conflict = conflict};
    int error = client_call_ok(client, &call);
    free(conflict);
    return error;
}

int command_cas(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    char *conflict = values_sentence("key ", arguments[0], " has another value, or none.");
    const struct call call = {.path = "/cas",
                              .body = json_pack("{s:s, s:s, s:s}", "key", arguments[0], "old_value",
                                                arguments[1], "new_value", arguments[2]),
                              .conflict = conflict};
    int error = client_call_ok(client, &call);
    free(conflict);
    return error;
}

int command_bump(struct client *client, char *const *arguments, unsigned count)
{
    (void)count;
    if (!command_is_integer(arguments[1])) {
        print_error("Error", "<n> must be a whole number such as 5 or -3, not '%s'.", arguments[1]);
        return E_USAGE;
    }
    const struct call call = {
        .path = "/bump",
        .body = json_pack("{s:s, s:s}", "key", arguments[0], "value", arguments[1])};
    return client_call_member(client, &call, "value", JSON_STRING);
}

/* ---- iterate prefix ---- */

struct iteration {
    const char *prefix;
    uint64_t offset, limit, printed;
    bool limited;     /* a limit was given */
    char *after;      /* the last key of the page before; NULL: the first page */
    bool more_follow; /* behind what was asked for so far */
};

static int iterate_number(uint64_t *out, const char *text, const char *name, uint64_t least)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value < least) {
        print_error("Error", "[%s] must be a whole number of at least %llu, not '%s'.", name,
                    (unsigned long long)least, text);
        return E_USAGE;
    }
    *out = value;
    return 0;
}

static void iterate_print_page(struct iteration *iteration, const json_t *keys, FILE *out)
{
    size_t index;
    json_t *key = NULL;
    json_array_foreach(keys, index, key)
    {
        if (out)
            print_bytes(out, slice_of(json_string_value(key), json_string_length(key)));
        iteration->printed++;
    }
    free(iteration->after);
    iteration->after = key ? mem_copy_string(json_string_value(key)) : NULL;
}

static bool iterate_is_page(const json_t *keys)
{
    size_t index;
    json_t *key;
    json_array_foreach(keys, index, key) if (!json_is_string(key)) return false;
    return json_is_array(keys);
}

/* One page, of at most what the API gives at once. */
static int iterate_page(struct client *client, struct iteration *iteration)
{
    struct buf query;
    json_t *answer = NULL;
    uint64_t left = iteration->limit - iteration->printed;
    buf_init(&query, VALUES_QUERY_BYTES_MAX);
    url_add_text(&query, "prefix", iteration->prefix);
    if (iteration->after)
        url_add_text(&query, "after", iteration->after);
    else
        url_add_number(&query, "offset", iteration->offset);
    url_add_number(&query, "limit", left < LIMIT_SCAN_ITEMS ? left : LIMIT_SCAN_ITEMS);
    CHECK(buf_append_byte(&query, '\0') == 0);
    const struct call call = {.path = "/iterate/prefix", .query = (const char *)query.data};
    int error = client_call(client, &call, &answer);
    buf_fini(&query);
    if (error)
        return error;
    const json_t *keys = json_object_get(answer, "data");
    if (iterate_is_page(keys))
        iterate_print_page(iteration, keys, client->options->json ? NULL : stdout);
    else
        error = client_refuse_answer();
    iteration->more_follow = json_object_get(answer, "next") && iteration->after;
    json_decref(answer);
    return error;
}

int command_iterate(struct client *client, char *const *arguments, unsigned count)
{
    struct iteration iteration = {.prefix = arguments[0], .limit = VALUES_LIMIT_DEFAULT};
    iteration.limited = count > 2;
    if (count > 1 && iterate_number(&iteration.offset, arguments[1], "offset", 0) != 0)
        return E_USAGE;
    if (count > 2 && iterate_number(&iteration.limit, arguments[2], "limit", 1) != 0)
        return E_USAGE;
    int error;
    do {
        error = iterate_page(client, &iteration);
    } while (!error && iteration.more_follow && iteration.printed < iteration.limit &&
             !print_failed());
    if (!error && iteration.more_follow && !iteration.limited)
        print_note("Note: more keys follow; go on with: insic iterate prefix '%s' %" PRIu64,
                   arguments[0], iteration.offset + iteration.printed);
    free(iteration.after);
    return error;
}
