/* h_events.c - events: publishing, and what a subscription asks for. What becomes of it is
 * sessions.h's. */
#include "base/error.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/events/origin.h"
#include "procs/gateway/events/stream.h"
#include "procs/gateway/events/websocket.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/json_scan.h"

/* ---- publishing ------------------------------------------------------------------------------ */

static bool events_ends_in_star(struct slice topic)
{
    return topic.len > 0 && ((const char *)topic.data)[topic.len - 1] == '*';
}

static bool events_take_topic(struct request *request, const struct json_member *member,
                              struct slice *topic)
{
    char *space = h2o_mem_alloc_pool(&request->http->pool, member->raw.len + 1);
    if (!json_raw_text(member->raw, space, topic)) {
        request_refuse(request, REPLY_BAD_REQUEST, "'topic' must be a string");
        return false;
    }
    if (!params_check_key(request, member->name, *topic))
        return false;
    if (!events_ends_in_star(*topic))
        return true;
    request_refuse(request, REPLY_BAD_REQUEST,
                   "'topic' ends in '*', which stands for a prefix in subscriptions");
    return false;
}

static bool events_take_data(struct request *request, const struct json_member *member,
                             struct slice *data)
{
    struct buf compact;
    if (member->raw.len == 0) {
        request_refuse(request, REPLY_BAD_REQUEST, "'data' is missing: any JSON, null included");
        return false;
    }
    /* Never more than there was: the memory is the request's. */
    buf_init(&compact, member->raw.len);
    compact.data = h2o_mem_alloc_pool(&request->http->pool, member->raw.len);
    compact.cap = member->raw.len;
    int error = json_append_compact(&compact, member->raw);
    *data = buf_slice(&compact);
    return error == 0 && params_check_value(request, member->name, *data);
}

void events_publish(struct request *request)
{
    struct json_member members[] = {{.name = "topic"}, {.name = "data"}};
    struct command command = {.operation = COMMAND_EVENT_PUBLISH, .scope = request->who.scope};
    char reason[JSON_REASON_BYTES];
    h2o_iovec_t body = request->http->entity;
    if (!json_scan_object(slice_of(body.base, body.len), members, 2, reason)) {
        request_refuse(request, REPLY_BAD_REQUEST, reason);
        return;
    }
    if (!events_take_topic(request, &members[0], &command.key) ||
        !events_take_data(request, &members[1], &command.value))
        return;
    if (command_encode(request_command(request), &command) == 0)
        request_propose(request, PROC_EVENTS);
    else
        request_refuse(request, REPLY_PAYLOAD_TOO_LARGE, "the request is too large");
}

/* ---- what a subscription asks for ------------------------------------------------------------ */

static bool events_take_pattern(struct request *request, struct slice *topic)
{
    if (!query_find(&request->query, "topic", topic) || topic->len == 0) {
        request_refuse(request, REPLY_BAD_REQUEST,
                       "the query lacks 'topic', or it is empty; '*' stands for all topics");
        return false;
    }
    if (topic->len <= LIMIT_KEY_BYTES + (events_ends_in_star(*topic) ? 1 : 0))
        return true;
    request_refuse(request, REPLY_KEY_TOO_LONG, "'topic' is longer than 480 bytes");
    return false;
}

static bool events_take_wish(struct request *request, struct session_wish *wish)
{
    struct slice text;
    wish->from_now = !query_find(&request->query, "after", &text);
    return events_take_pattern(request, &wish->topic) &&
           params_number(request, "after", 0, 0, INT64_MAX, &wish->after);
}

/* ---- WebSockets ------------------------------------------------------------------------------ */

static bool events_check_origin(struct request *request)
{
    const struct config *config = &request->gateway->skel.config;
    const h2o_iovec_t host = request->http->input.authority;
    struct slice origin = http_header(request->http, "origin");
    if (origin.len == 0 ||
        origin_is_allowed(origin, slice_of(host.base, host.len), config->sessions.allowed_origins,
                          config->sessions.allowed_origin_count))
        return true;
    request_refuse(request, REPLY_FORBIDDEN,
                   "pages of this origin may not subscribe: see sessions.allowedOrigins");
    return false;
}

static bool events_check_offer(struct request *request)
{
    switch (websocket_look(request->http)) {
    case WEBSOCKET_OFFERED:
        return true;
    case WEBSOCKET_MALFORMED:
        request_refuse(request, REPLY_BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed");
        return false;
    default:
        request_refuse(request, REPLY_UPGRADE_REQUIRED,
                       "this is for WebSockets, version 13, over HTTP/1.1; /events/stream is for "
                       "all others");
        request->reply.upgrade = WEBSOCKET_VERSION;
        return false;
    }
}

void events_subscribe(struct request *request)
{
    struct session_wish wish = {0};
    if (events_check_offer(request) && events_check_origin(request) &&
        events_take_wish(request, &wish))
        request_subscribe(request, &wish);
}

void events_subscribed(struct request *request, struct session *session)
{
    websocket_open(request->http, session);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* A browser that comes again names the last event that it had, whatever the address says. */
static bool events_take_last(struct request *request, struct session_wish *wish)
{
    struct slice text = http_header(request->http, "last-event-id");
    if (text.len == 0)
        return true;
    wish->from_now = false;
    if (params_parse_number(text, &wish->after) && wish->after <= INT64_MAX)
        return true;
    request_refuse(request, REPLY_BAD_REQUEST, "Last-Event-ID must be the index of an event");
    return false;
}

void events_stream(struct request *request)
{
    struct session_wish wish = {0};
    if (events_take_wish(request, &wish) && events_take_last(request, &wish))
        request_subscribe(request, &wish);
}

/* Browsers let a page read what comes from another host only if that allows it. */
void events_streamed(struct request *request, struct session *session)
{
    const struct config *config = &request->gateway->skel.config;
    struct slice origin = http_header(request->http, "origin");
    if (!origin_is_listed(origin, config->sessions.allowed_origins,
                          config->sessions.allowed_origin_count))
        origin.len = 0;
    stream_open(request->http, session, origin);
}
