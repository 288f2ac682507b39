/* h_values.c - durable values: one key at a time, and walks over a prefix. */
#include "base/error.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/page.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

#define VALUES_GET_FRAME_BYTES 64

/* ---- reads ----------------------------------------------------------------------------------- */

int values_get(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct value_view value;
    if (!params_query_key(request, "key", &key))
        return 0;
    int error = value_get(txn, map_database(map, MAP_VALUES_DB), &request->who.scope, key, &value);
    if (error == E_NOT_FOUND) {
        request_refuse_about(request, REPLY_NOT_FOUND, "key '", key, "' does not exist");
        return 0;
    }
    if (error != 0)
        return error;
    struct buf *out = request_answer(request);
    buf_reserve(out,
                value.data.len + VALUES_GET_FRAME_BYTES); /* at once, when nothing is escaped */
    buf_append_text(out, "{\"data\":");
    error = json_append_string(out, value.data);
    if (error != 0)
        return error;
    buf_printf(out, ",\"index\":%llu}", (unsigned long long)value.index);
    request_reply(request);
    return 0;
}

int values_iterate(struct request *request, struct map *map, MDB_txn *txn)
{
    struct page page;
    if (!page_begin(&page, request))
        return 0;
    int error = value_scan(txn, map_database(map, MAP_VALUES_DB), &request->who.scope, page.prefix,
                           page.after, 0, page_on_key, &page);
    return page_end(&page, request, error);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void values_propose(struct request *request, struct command *command)
{
    command->scope = request->who.scope;
    if (command_encode(request_command(request), command) == 0)
        request_propose(request, PROC_STORAGE);
    else
        request_refuse(request, REPLY_PAYLOAD_TOO_LARGE, "the request is too large");
}

static void values_propose_pair(struct request *request, enum command_operation operation)
{
    struct command command = {.operation = operation};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_value(request, body, "value", &command.value))
        values_propose(request, &command);
    json_decref(body);
}

void values_set(struct request *request)
{
    values_propose_pair(request, COMMAND_VALUE_SET);
}

void values_setnx(struct request *request)
{
    values_propose_pair(request, COMMAND_VALUE_SETNX);
}

void values_cas(struct request *request)
{
    struct command command = {.operation = COMMAND_VALUE_CAS};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_value(request, body, "old_value", &command.expected) &&
        params_value(request, body, "new_value", &command.value))
        values_propose(request, &command);
    json_decref(body);
}

void values_bump(struct request *request)
{
    struct command command = {.operation = COMMAND_VALUE_BUMP};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key)) {
        if (json_integer_text(json_object_get(body, "value"), &command.delta))
            values_propose(request, &command);
        else
            request_refuse(request, REPLY_BAD_REQUEST,
                           "'value' must be an integer of 64 bits, as a number or a string");
    }
    json_decref(body);
}

void values_bumped(struct request *request, const struct inflight_outcome *outcome)
{
    struct buf *out = request_answer(request);
    buf_printf(out, "{\"index\":%llu,\"value\":", (unsigned long long)outcome->index);
    json_append_string(out, outcome->detail);
    buf_append_byte(out, '}');
    request_reply(request);
}

void values_delete(struct request *request)
{
    struct command command = {.operation = COMMAND_VALUE_DELETE};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key))
        values_propose(request, &command);
    json_decref(body);
}
