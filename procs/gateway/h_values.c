/* h_values.c - durable values: one key at a time, and walks over a prefix. */
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/handlers.h"
#include "procs/gateway/json.h"
#include "procs/gateway/params.h"

#define VALUES_PAGE_BYTES (4u << 20) /* of keys and values; a page ends early beyond */
#define VALUES_PASSED_MAX 1000000    /* keys that an offset passes over: some 50 ms */
#define VALUES_LIMIT_OTHERWISE 100
#define VALUES_GET_FRAME_BYTES 64

/* ---- reads ----------------------------------------------------------------------------------- */

static bool values_query_key(struct request *request, const char *name, struct slice *key)
{
    if (query_find(&request->query, name, key))
        return params_check_key(request, name, *key);
    request_refuse_about(request, REPLY_BAD_REQUEST, "the query lacks '", slice_text(name), "'");
    return false;
}

int values_get(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct value_view value;
    if (!values_query_key(request, "key", &key))
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

struct values_page {
    struct buf *out;
    uint64_t offset, passed;
    uint64_t limit, count;
    uint8_t last[LIMIT_KEY_BYTES]; /* the last key of the page */
    size_t last_len;
    bool with_values, has_more;
    int error;
};

static int values_append_item(struct values_page *page, struct slice key, struct slice value)
{
    int error = page->count > 0 ? buf_append_byte(page->out, ',') : 0;
    if (!page->with_values)
        return error != 0 ? error : json_append_string(page->out, key);
    error = error != 0 ? error : buf_append_text(page->out, "{\"key\":");
    error = error != 0 ? error : json_append_string(page->out, key);
    error = error != 0 ? error : buf_append_text(page->out, ",\"value\":");
    error = error != 0 ? error : json_append_string(page->out, value);
    return error != 0 ? error : buf_append_byte(page->out, '}');
}

static bool values_on_key(struct slice key, const struct value_view *value, void *arg)
{
    struct values_page *page = arg;
    if (page->passed < page->offset)
        return ++page->passed <= VALUES_PASSED_MAX;
    size_t bytes = page->out->len + key.len + (page->with_values ? value->data.len : 0);
    if (page->count == page->limit || (page->count > 0 && bytes > VALUES_PAGE_BYTES)) {
        page->has_more = true;
        return false;
    }
    page->error = values_append_item(page, key, value->data);
    memcpy(page->last, key.data, key.len);
    page->last_len = key.len;
    page->count++;
    return page->error == 0;
}

/* False after a refusal. */
static bool values_take_page(struct request *request, struct values_page *page,
                             struct slice *prefix, struct slice *after)
{
    struct slice unused;
    *prefix = *after = slice_of("", 0);
    bool resumes = query_find(&request->query, "after", after);
    if (query_find(&request->query, "prefix", prefix) && prefix->len > 0 &&
        !params_check_key(request, "prefix", *prefix))
        return false;
    if (after->len > 0 && !params_check_key(request, "after", *after))
        return false;
    if (!params_number(request, "limit", VALUES_LIMIT_OTHERWISE, 1, LIMIT_SCAN_ITEMS,
                       &page->limit) ||
        !params_number(request, "offset", 0, 0, INT64_MAX, &page->offset) ||
        !params_flag(request, "values", &page->with_values))
        return false;
    if (resumes && query_find(&request->query, "offset", &unused)) {
        request_refuse(request, REPLY_BAD_REQUEST, "'after' and 'offset' exclude each other");
        return false;
    }
    return true;
}

int values_iterate(struct request *request, struct map *map, MDB_txn *txn)
{
    struct values_page page = {.out = request_answer(request)};
    struct slice prefix, after;
    if (!values_take_page(request, &page, &prefix, &after))
        return 0;
    buf_append_text(page.out, "{\"data\":[");
    int error = value_scan(txn, map_database(map, MAP_VALUES_DB), &request->who.scope, prefix,
                           after, 0, values_on_key, &page);
    error = error != 0 ? error : page.error;
    if (error != 0)
        return error;
    if (page.passed > VALUES_PASSED_MAX) {
        request_refuse(request, REPLY_BAD_REQUEST,
                       "'offset' passes over more than 1000000 keys: use 'after'");
        return 0;
    }
    buf_append_byte(page.out, ']');
    if (page.has_more) {
        buf_append_text(page.out, ",\"next\":");
        json_append_string(page.out, slice_of(page.last, page.last_len));
    }
    buf_append_byte(page.out, '}');
    request_reply(request);
    return 0;
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
