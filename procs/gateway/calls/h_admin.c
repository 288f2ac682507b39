/* h_admin.c - API keys. A key is shown once, in the answer that made it; what travels further and
 * what is stored is its hash. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

struct admin_new_key { /* between create and its result */
    char key[TOKEN_APIKEY_BYTES];
    char name[LIMIT_APIKEY_NAME_BYTES];
    size_t name_len;
};

/* ---- create ---------------------------------------------------------------------------------- */

static bool admin_take_name(struct request *request, const json_t *body, struct slice *name)
{
    if (!json_text(json_object_get(body, "key_name"), name) || name->len == 0)
        request_refuse(request, REPLY_BAD_REQUEST, "'key_name' must be a string and not empty");
    else if (name->len > LIMIT_APIKEY_NAME_BYTES)
        request_refuse(request, REPLY_BAD_REQUEST, "'key_name' is longer than 128 bytes");
    else if (memchr(name->data, '\0', name->len) != NULL)
        request_refuse(request, REPLY_BAD_REQUEST, "'key_name' holds a NUL byte");
    else
        return true;
    return false;
}

static void admin_propose(struct request *request, const struct command *command)
{
    CHECK(command_encode(request_command(request), command) == 0);
    request_propose(request, PROC_STORAGE);
}

static void admin_propose_key(struct request *request, struct slice name)
{
    struct command command = {.operation = COMMAND_APIKEY_CREATE, .key = name};
    struct admin_new_key *fresh = h2o_mem_alloc_pool(&request->http->pool, sizeof(*fresh));
    uint8_t hash[SHA256_BYTES];
    token_apikey_new(fresh->key);
    memcpy(fresh->name, name.data, name.len);
    fresh->name_len = name.len;
    token_apikey_hash(slice_text(fresh->key), hash);
    token_random(&command.scope, sizeof(command.scope));
    command.value = slice_of(hash, sizeof(hash));
    command.created_ms = clock_wall_ms();
    request->own = fresh;
    admin_propose(request, &command);
}

void admin_create(struct request *request)
{
    struct slice name;
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (admin_take_name(request, body, &name))
        admin_propose_key(request, name);
    json_decref(body);
}

void admin_created(struct request *request, const struct inflight_outcome *outcome)
{
    struct admin_new_key *fresh = request->own;
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key_name\":");
    json_append_string(out, slice_of(fresh->name, fresh->name_len));
    buf_printf(out, ",\"key\":\"%s\",\"index\":%llu}", fresh->key,
               (unsigned long long)outcome->index);
    request_reply(request);
    explicit_bzero(fresh->key, sizeof(fresh->key));
}

/* ---- delete ---------------------------------------------------------------------------------- */

void admin_delete(struct request *request)
{
    struct command command = {.operation = COMMAND_APIKEY_DELETE};
    uint8_t hash[SHA256_BYTES];
    struct slice key;
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (json_text(json_object_get(body, "key"), &key) && key.len > 0) {
        token_apikey_hash(key, hash);
        command.value = slice_of(hash, sizeof(hash));
        admin_propose(request, &command);
    } else {
        request_refuse(request, REPLY_BAD_REQUEST, "'key' must be the API key to delete");
    }
    json_decref(body);
}

/* ---- list ------------------------------------------------------------------------------------ */

struct admin_row {
    struct scope scope;
    uint64_t created_ms;
    size_t name_len;
    char name[LIMIT_APIKEY_NAME_BYTES];
};

#define ADMIN_ROWS_FIRST 16

struct admin_rows {
    struct admin_row *rows;
    unsigned count, capacity;
};

static bool admin_on_key(const struct apikey_view *key, void *arg)
{
    struct admin_rows *rows = arg;
    if (rows->count == rows->capacity)
        rows->rows = mem_grow(rows->rows, &rows->capacity, sizeof(*rows->rows), ADMIN_ROWS_FIRST);
    struct admin_row *row = &rows->rows[rows->count++];
    row->scope = key->scope;
    row->created_ms = key->created_ms;
    row->name_len = key->name.len < sizeof(row->name) ? key->name.len : sizeof(row->name);
    memcpy(row->name, key->name.data, row->name_len);
    return true;
}

/* By creation, then by scope, so that the order is the same on every node. */
static int admin_order(const void *left, const void *right)
{
    const struct admin_row *a = left, *b = right;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return memcmp(a->scope.id, b->scope.id, SCOPE_BYTES);
}

static int admin_append_row(struct buf *out, const struct admin_row *row)
{
    char scope[2 * SCOPE_BYTES + 1], created[CLOCK_RFC3339_BYTES];
    hash_hex(row->scope.id, SCOPE_BYTES, scope);
    clock_format_rfc3339(row->created_ms, created);
    int error = buf_append_text(out, "{\"key_name\":");
    error = error != 0 ? error : json_append_string(out, slice_of(row->name, row->name_len));
    return error != 0 ? error
                      : buf_printf(out, ",\"scope\":\"%s\",\"created_at\":\"%s\"}", scope, created);
}

int admin_list(struct request *request, struct map *map, MDB_txn *txn)
{
    struct admin_rows rows = {0};
    struct buf *out = request_answer(request);
    int error = apikey_scan(txn, map_database(map, MAP_APIKEYS), admin_on_key, &rows);
    if (error == 0 && rows.count > 0)
        qsort(rows.rows, rows.count, sizeof(*rows.rows), admin_order);
    error = error != 0 ? error : buf_append_text(out, "{\"data\":[");
    for (size_t i = 0; i < rows.count && error == 0; i++) {
        error = i > 0 ? buf_append_byte(out, ',') : 0;
        error = error != 0 ? error : admin_append_row(out, &rows.rows[i]);
    }
    error = error != 0 ? error : buf_append_text(out, "]}");
    free(rows.rows);
    if (error == 0)
        request_reply(request);
    return error;
}
