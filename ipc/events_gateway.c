/* events_gateway.c - see events_gateway.h. */
#include "ipc/events_gateway.h"

#include <string.h>

#include "base/error.h"

_Static_assert(LIMIT_BODY_MAX + (size_t)EVENT_CONNECTIONS_MAX * EVENT_CONNECTION_BYTES + 4096 <
                   LIMIT_ENTRY_BYTES,
               "the largest EVENT is a message that a link takes");

static uint64_t events_gateway_unpack_connection(struct unpack *body)
{
    uint64_t connection = unpack_u64(body);

    if (connection == 0)
        unpack_refuse(body);
    return connection;
}

/* A message that is a connection and a number. */
static int events_gateway_send_pair(struct link *link, enum msg type, uint64_t connection,
                                    uint64_t number)
{
    struct pack *pack;
    int error = link_begin(link, type, 2, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, connection);
    pack_u64(pack, number);
    link_end(link);
    return 0;
}

/* A message that is one number. */
static int events_gateway_send_number(struct link *link, enum msg type, uint64_t number)
{
    struct pack *pack;
    int error = link_begin(link, type, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, number);
    link_end(link);
    return 0;
}

/* ---- gateway -> events ---- */

static bool events_gateway_pattern_fits(struct slice topic)
{
    bool is_prefix = topic.len > 0 && ((const char *)topic.data)[topic.len - 1] == '*';

    return topic.len > 0 && topic.len <= (is_prefix ? EVENT_PATTERN_BYTES : LIMIT_KEY_BYTES);
}

int msg_subscribe_send(struct link *link, const struct msg_subscribe *msg)
{
    struct pack *pack;
    if (!events_gateway_pattern_fits(msg->topic))
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_SUBSCRIBE, 7, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->connection);
    pack_bytes(pack, slice_of(msg->scope.id, SCOPE_BYTES));
    pack_bytes(pack, msg->topic);
    pack_bool(pack, msg->from_now);
    pack_u64(pack, msg->after);
    pack_u64(pack, msg->window);
    pack_u64(pack, msg->unpaid);
    link_end(link);
    return 0;
}

int msg_subscribe_decode(struct msg_subscribe *msg, struct unpack *body)
{
    *msg = (struct msg_subscribe){0};
    msg->connection = events_gateway_unpack_connection(body);
    struct slice scope = unpack_bytes(body);
    msg->topic = unpack_bytes(body);
    msg->from_now = unpack_bool(body);
    msg->after = unpack_u64(body);
    msg->window = unpack_u64(body);
    msg->unpaid = unpack_u64(body);
    if (scope.len != SCOPE_BYTES || !events_gateway_pattern_fits(msg->topic) || msg->window == 0)
        unpack_refuse(body);
    else
        memcpy(msg->scope.id, scope.data, SCOPE_BYTES);
    return unpack_end(body);
}

int msg_unsubscribe_send(struct link *link, const struct msg_unsubscribe *msg)
{
    return events_gateway_send_number(link, MSG_UNSUBSCRIBE, msg->connection);
}

int msg_unsubscribe_decode(struct msg_unsubscribe *msg, struct unpack *body)
{
    msg->connection = events_gateway_unpack_connection(body);
    return unpack_end(body);
}

int msg_event_credit_send(struct link *link, const struct msg_event_credit *msg)
{
    return events_gateway_send_pair(link, MSG_EVENT_CREDIT, msg->connection, msg->bytes);
}

int msg_event_credit_decode(struct msg_event_credit *msg, struct unpack *body)
{
    msg->connection = unpack_u64(body);
    msg->bytes = unpack_u64(body);
    return unpack_end(body);
}

/* ---- events -> gateway ---- */

int msg_subscribed_send(struct link *link, const struct msg_subscribed *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_SUBSCRIBED, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->connection);
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->error);
    link_end(link);
    return 0;
}

int msg_subscribed_decode(struct msg_subscribed *msg, struct unpack *body)
{
    msg->connection = events_gateway_unpack_connection(body);
    msg->index = unpack_u64(body);
    msg->error = unpack_error_code(body);
    return unpack_end(body);
}

static bool events_gateway_event_fits(const struct msg_event *msg)
{
    return msg->topic.len > 0 && msg->topic.len <= LIMIT_KEY_BYTES &&
           msg->data.len <= LIMIT_BODY_MAX && msg->connections.len > 0 &&
           msg->connections.len % EVENT_CONNECTION_BYTES == 0 &&
           msg->connections.len <= (size_t)EVENT_CONNECTIONS_MAX * EVENT_CONNECTION_BYTES;
}

int msg_event_send(struct link *link, const struct msg_event *msg)
{
    struct pack *pack;
    if (!events_gateway_event_fits(msg))
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_EVENT, 5, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->emitted_ms);
    pack_bytes(pack, msg->topic);
    pack_bytes(pack, msg->data);
    pack_bytes(pack, msg->connections);
    link_end(link);
    return 0;
}

int msg_event_decode(struct msg_event *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->emitted_ms = unpack_u64(body);
    msg->topic = unpack_bytes(body);
    msg->data = unpack_bytes(body);
    msg->connections = unpack_bytes(body);
    if (msg->index == 0 || !events_gateway_event_fits(msg))
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_event_gap_send(struct link *link, const struct msg_event_gap *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_EVENT_GAP, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->connection);
    pack_u64(pack, msg->from);
    pack_u64(pack, msg->to);
    link_end(link);
    return 0;
}

int msg_event_gap_decode(struct msg_event_gap *msg, struct unpack *body)
{
    msg->connection = events_gateway_unpack_connection(body);
    msg->from = unpack_u64(body);
    msg->to = unpack_u64(body);
    if (msg->from == 0 || msg->from > msg->to)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_event_reached_send(struct link *link, const struct msg_event_reached *msg)
{
    return events_gateway_send_number(link, MSG_EVENT_REACHED, msg->index);
}

int msg_event_reached_decode(struct msg_event_reached *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    return unpack_end(body);
}

int msg_event_outrun_send(struct link *link, const struct msg_event_place *msg)
{
    return events_gateway_send_pair(link, MSG_EVENT_OUTRUN, msg->connection, msg->index);
}

int msg_event_caught_up_send(struct link *link, const struct msg_event_place *msg)
{
    return events_gateway_send_pair(link, MSG_EVENT_CAUGHT_UP, msg->connection, msg->index);
}

int msg_event_behind_send(struct link *link, const struct msg_event_place *msg)
{
    return events_gateway_send_pair(link, MSG_EVENT_BEHIND, msg->connection, msg->index);
}

int msg_event_place_decode(struct msg_event_place *msg, struct unpack *body)
{
    msg->connection = events_gateway_unpack_connection(body);
    msg->index = unpack_u64(body);
    return unpack_end(body);
}
