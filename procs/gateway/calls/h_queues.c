/* h_queues.c - queues: first in, first out, each item to one pop. */
#include "base/check.h"
#include "base/error.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/calls/volatile_write.h"
#include "procs/gateway/http/json.h"
#include "shm/volatile.h"

/* ---- reads ----------------------------------------------------------------------------------- */

/* The queue that the query names; with *found false there is an answer already. */
static int queues_find(struct request *request, struct map *map, MDB_txn *txn, struct slice *key,
                       struct queue_view *queue, bool *found)
{
    *found = false;
    if (!params_query_key(request, "key", key))
        return 0;
    int error = queue_get(txn, map_database(map, MAP_QUEUES), &request->who.scope, *key, queue);
    *found = error == 0;
    if (error != E_QUEUE_NOT_FOUND)
        return error;
    request_refuse_about(request, REPLY_QUEUE_NOT_FOUND, "queue '", *key, "' does not exist");
    return 0;
}

int queues_length(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct queue_view queue;
    bool found;
    int error = queues_find(request, map, txn, &key, &queue, &found);
    if (!found)
        return error;
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key\":");
    json_append_string(out, key);
    buf_printf(out, ",\"length\":%llu}", (unsigned long long)(queue.tail - queue.head));
    request_reply(request);
    return 0;
}

static int queues_answer_item(struct request *request, struct slice key, struct slice item,
                              uint64_t index)
{
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key\":");
    json_append_string(out, key);
    buf_append_text(out, ",\"value\":");
    int error = json_append_string(out, item);
    if (error != 0)
        return error;
    if (index != 0)
        buf_printf(out, ",\"index\":%llu", (unsigned long long)index);
    buf_append_byte(out, '}');
    request_reply(request);
    return 0;
}

int queues_peek(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct queue_view queue;
    struct value_view item;
    bool found;
    int error = queues_find(request, map, txn, &key, &queue, &found);
    if (!found)
        return error;
    error = queue_peek(txn, map_database(map, MAP_ITEMS), &queue, &item);
    if (error == 0)
        return queues_answer_item(request, key, item.data, 0);
    if (error != E_QUEUE_EMPTY)
        return error;
    request_refuse_about(request, REPLY_QUEUE_EMPTY, "queue '", key, "' is empty");
    return 0;
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void queues_propose(struct request *request, struct command *command)
{
    request_keep(request, command->key); /* the answer names it */
    volatile_propose(request, command);
}

static void queues_propose_key(struct request *request, enum command_operation operation)
{
    struct command command = {.operation = operation};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key))
        queues_propose(request, &command);
    json_decref(body);
}

void queues_new(struct request *request)
{
    queues_propose_key(request, COMMAND_QUEUE_NEW);
}

void queues_delete(struct request *request)
{
    queues_propose_key(request, COMMAND_QUEUE_DELETE);
}

void queues_push(struct request *request)
{
    struct command command = {.operation = COMMAND_QUEUE_PUSH};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_value(request, body, "value", &command.value))
        queues_propose(request, &command);
    json_decref(body);
}

void queues_pushed(struct request *request, const struct inflight_outcome *outcome)
{
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"key\":");
    json_append_string(out, request->kept);
    buf_append_text(out, ",\"new_length\":");
    buf_append(out, outcome->detail.data, outcome->detail.len); /* a number in decimal */
    buf_printf(out, ",\"index\":%llu}", (unsigned long long)outcome->index);
    request_reply(request);
}

/* A process that is to end lets nobody wait. */
void queues_pop(struct request *request)
{
    static const struct params_seconds wanted = {.name = "wait",
                                                 .limit = "the limit",
                                                 .max_ms = LIMIT_QUEUE_WAIT_MS,
                                                 .too_long = REPLY_BAD_REQUEST};
    struct command command = {.operation = COMMAND_QUEUE_POP};
    json_t *body;
    uint64_t wait_ms;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_seconds(request, body, &wanted, &wait_ms)) {
        if (wait_ms > 0 && !request->gateway->skel.stopping)
            request_pop(request, command.key, wait_ms);
        else
            queues_propose(request, &command);
    }
    json_decref(body);
}

void queues_popped(struct request *request, const struct inflight_outcome *outcome)
{
    int error = queues_answer_item(request, request->kept, outcome->detail, outcome->index);
    CHECK(error == 0); /* an item is no longer than a body was, and answers may be twice that */
}
