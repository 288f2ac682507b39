/* h_atomics.c - counters: durable, apart from values, never below 0. */
#include "base/check.h"
#include "base/error.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

int atomics_get(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct atomic_view atomic = {0};
    if (!params_query_key(request, "key", &key))
        return 0;
    int error = atomic_get(txn, map_database(map, MAP_ATOMICS), &request->who.scope, key, &atomic);
    if (error != 0 && error != E_NOT_FOUND)
        return error;
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key\":");
    json_append_string(out, key);
    buf_printf(out, ",\"value\":%lld}", error == 0 ? (long long)atomic.value : 0);
    request_reply(request);
    return 0;
}

/* Keys and numbers always fit a command. */
static void atomics_propose(struct request *request, struct command *command)
{
    command->scope = request->who.scope;
    CHECK(command_encode(request_command(request), command) == 0);
    request_propose(request, PROC_STORAGE);
}

void atomics_new(struct request *request)
{
    struct command command = {.operation = COMMAND_ATOMIC_NEW};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_bool(request, body, "overwrite", false, &command.overwrite))
        atomics_propose(request, &command);
    json_decref(body);
}

void atomics_add(struct request *request)
{
    struct command command = {.operation = COMMAND_ATOMIC_ADD};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    const json_t *delta = json_object_get(body, "delta");
    if (params_key(request, body, "key", &command.key)) {
        if (json_is_integer(delta)) {
            command.delta = json_integer_value(delta);
            request_keep(request, command.key);
            atomics_propose(request, &command);
        } else {
            request_refuse(request, REPLY_BAD_REQUEST, "'delta' must be an integer of 64 bits");
        }
    }
    json_decref(body);
}

void atomics_added(struct request *request, const struct inflight_outcome *outcome)
{
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key\":");
    json_append_string(out, request->kept);
    buf_append_text(out, ",\"new_value\":");
    buf_append(out, outcome->detail.data, outcome->detail.len); /* a number in decimal */
    buf_printf(out, ",\"index\":%llu}", (unsigned long long)outcome->index);
    request_reply(request);
}

void atomics_delete(struct request *request)
{
    struct command command = {.operation = COMMAND_ATOMIC_DELETE};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key))
        atomics_propose(request, &command);
    json_decref(body);
}
