/* h_batch.c - many durable values in one log entry: all or nothing. */
#include <stdio.h>

#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

/* A non-empty array of at most LIMIT_BATCH_ITEMS; NULL after a refusal. */
static const json_t *batch_array(struct request *request, const json_t *body, const char *name)
{
    const json_t *array = json_object_get(body, name);
    if (!json_is_array(array))
        request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                             "' must be an array");
    else if (json_array_size(array) == 0)
        request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                             "' must not be empty");
    else if (json_array_size(array) > LIMIT_BATCH_ITEMS)
        request_refuse_about(request, REPLY_BATCH_TOO_LARGE, "'", slice_text(name),
                             "' holds more than 1000 items");
    else
        return array;
    return NULL;
}

static bool batch_item(struct request *request, const json_t *item,
                       enum command_operation operation, struct slice *key, struct slice *value)
{
    *value = slice_of(NULL, 0);
    if (operation == COMMAND_VALUE_BATCH_SET)
        return params_key(request, item, "key", key) && params_value(request, item, "value", value);
    if (json_text(item, key))
        return params_check_key(request, "keys", *key);
    request_refuse(request, REPLY_BAD_REQUEST, "'keys' must hold strings only");
    return false;
}

static bool batch_encode(struct request *request, const json_t *array,
                         enum command_operation operation)
{
    struct pack pack;
    pack_init(&pack, request_command(request));
    command_batch_begin(&pack, operation, &request->who.scope, (uint32_t)json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct slice key, value;
        if (!batch_item(request, json_array_get(array, i), operation, &key, &value))
            return false;
        command_batch_item(&pack, operation, key, value);
    }
    if (pack_result(&pack) == 0)
        return true;
    request_refuse(request, REPLY_PAYLOAD_TOO_LARGE, "the request is too large");
    return false;
}

static void batch_propose(struct request *request, enum command_operation operation,
                          const char *name)
{
    json_t *body;
    if (!params_body(request, REPLY_BATCH_TOO_LARGE, &body))
        return;
    const json_t *array = batch_array(request, body, name);
    if (array != NULL && batch_encode(request, array, operation))
        request_propose(request, PROC_STORAGE);
    json_decref(body);
}

void values_batchset(struct request *request)
{
    batch_propose(request, COMMAND_VALUE_BATCH_SET, "items");
}

void values_batchdelete(struct request *request)
{
    batch_propose(request, COMMAND_VALUE_BATCH_DELETE, "keys");
}
