/* events_gateway.h - the conversation of the events worker with a gateway: subscriptions.
 *
 * Events. An event is a COMMAND_EVENT_PUBLISH that was applied: its index is the entry's, its time
 * the entry's stamp (cluster time), its topic the command's key, its data the command's value: one
 * JSON text without line breaks, which this side never looks into. A topic that ends in '*' could
 * not be subscribed to, so the gateway refuses to publish to it; here it is one like any other.
 *
 * Subscriptions. A connection is one subscription of one client. Its number is the gateway's
 * choice: never 0, and never used a second time on the same link (a place in a table and how often
 * it was used, say, so that an EVENT's connections are found without searching). SUBSCRIBE names
 * scope and topic: exact (1 to LIMIT_KEY_BYTES bytes), or a prefix of 0 to LIMIT_KEY_BYTES bytes
 * and a '*'. A connection gets all events of its topic that lie behind its beginning, each once, in
 * index order:
 *   - from_now: behind what the worker has applied by then; `after` does not count. An event that
 *     anybody publishes once SUBSCRIBED is there comes for certain, for it gets a higher index;
 *   - else: behind `after`, first what is retained, then what comes. `after` may lie ahead of what
 *     the worker has applied (a read index, or a worker that begins anew): up to it nothing comes.
 * The answer is SUBSCRIBED, before anything else of this connection. Its index is the beginning.
 * With an error the subscription does not exist: E_BUSY, EVENT_SUBSCRIPTIONS_MAX are there.
 * EVENT_GAP comes next, at most once, when something behind `after` is not retained any more:
 * events with indexes `from` to `to` (both included), whether any of them was of this topic is
 * unknown, are gone. What comes lies behind `to`.
 * UNSUBSCRIBE ends it, and may name one that has ended. What was under way still comes.
 *
 * EVENT names all connections of this link that get the event now. Those that are behind get it
 * later, and of very many (EVENT_CONNECTIONS_MAX) only so many are told at once: the same event may
 * come more than once on a link, but once to each connection. A connection of the list that the
 * gateway has unsubscribed is passed over.
 *
 * Live and behind. A connection is *live* when it has been sent all that there is, and is *behind*
 * while it reads on in what is retained: after SUBSCRIBE with `after`, and when it had no window
 * left. It is live from SUBSCRIBED (from_now) or EVENT_CAUGHT_UP on, until EVENT_BEHIND. Their
 * index says how far it had been sent everything.
 * EVENT_REACHED: all connections that are live have been sent everything up to index. It comes a
 * few times a second as long as the index moves on.
 *
 * Window of a connection. Each EVENT costs each of its connections event_cost. It is paid back with
 * EVENT_CREDIT when the bytes have left the gateway (not one by one: when a quarter of the window
 * is due). A connection gets an EVENT only while what it owes is below `window`, so one event may
 * overshoot it, whatever its size. `unpaid` is what it owes at SUBSCRIBE: events of the link's last
 * connection that still wait in the gateway. Beyond the window it is behind; when the worker has to
 * drop from its ring what the connection has to get next, EVENT_OUTRUN ends the subscription:
 * everything up to index has been sent. Nothing of it is ever passed over in silence.
 *
 * Window of the link. Each EVENT costs the link event_message_cost, paid back with EVENT_CREDIT for
 * connection 0 when the gateway has handled the message, whatever became of its connections: at the
 * end of a received batch, in one, when EVENT_LINK_CREDIT_BYTES are due, for each credit wakes the
 * worker. EVENT_LINK_WINDOW_BYTES, by the same rule; so a gateway that does not read costs no
 * memory. Meanwhile its connections wait, and may be OUTRUN.
 *
 * When the link has been down the worker knows no subscription of this gateway any more, and both
 * windows are full again. The gateway subscribes again, with `after` the highest that it knows of:
 * index of SUBSCRIBED, EVENT, EVENT_CAUGHT_UP, EVENT_BEHIND, `to` of EVENT_GAP, and EVENT_REACHED
 * while it was live (which spares subscribers of quiet topics a gap that is none). If no SUBSCRIBED
 * had come, as the first time. Events carry no trace of which life of the worker sent them: index
 * order goes on across it without hole or double.
 */
#ifndef INSI_IPC_EVENTS_GATEWAY_H
#define INSI_IPC_EVENTS_GATEWAY_H

#include "base/bytes.h"
#include "base/limits.h"
#include "base/token.h"
#include "ipc/link.h"

#define EVENT_LINK_WINDOW_BYTES (8u << 20)
#define EVENT_LINK_CREDIT_BYTES (EVENT_LINK_WINDOW_BYTES / 8)
#define EVENT_SUBSCRIPTIONS_MAX (1u << 20)        /* of one link */
#define EVENT_CONNECTIONS_MAX (1u << 16)          /* of one EVENT */
#define EVENT_CONNECTION_BYTES 8                  /* a number in an EVENT's list: little-endian */
#define EVENT_COST_BYTES 128                      /* of an event, besides topic and data */
#define EVENT_PATTERN_BYTES (LIMIT_KEY_BYTES + 1) /* the longest topic of a SUBSCRIBE */

/* What an event costs each connection: about its length as a frame. */
static inline uint64_t event_cost(size_t topic_len, size_t data_len)
{
    return EVENT_COST_BYTES + (uint64_t)topic_len + data_len;
}

/* ---- gateway -> events ---- */

struct msg_subscribe {
    uint64_t connection;
    struct scope scope;
    struct slice topic;
    bool from_now;
    uint64_t after;
    uint64_t window; /* never 0 */
    uint64_t unpaid;
};
int msg_subscribe_send(struct link *link, const struct msg_subscribe *msg);
int msg_subscribe_decode(struct msg_subscribe *msg, struct unpack *body);

struct msg_unsubscribe {
    uint64_t connection;
};
int msg_unsubscribe_send(struct link *link, const struct msg_unsubscribe *msg);
int msg_unsubscribe_decode(struct msg_unsubscribe *msg, struct unpack *body);

struct msg_event_credit {
    uint64_t connection; /* 0: the link */
    uint64_t bytes;      /* more than is owed pays everything */
};
int msg_event_credit_send(struct link *link, const struct msg_event_credit *msg);
int msg_event_credit_decode(struct msg_event_credit *msg, struct unpack *body);

/* ---- events -> gateway ---- */

struct msg_subscribed {
    uint64_t connection, index;
    uint64_t error; /* 0 or E_BUSY */
};
int msg_subscribed_send(struct link *link, const struct msg_subscribed *msg);
int msg_subscribed_decode(struct msg_subscribed *msg, struct unpack *body);

struct msg_event {
    uint64_t index;
    uint64_t emitted_ms;      /* cluster time: ms since 1970 */
    struct slice topic, data; /* borrowed */
    struct slice connections; /* at least one; borrowed, see msg_event_connection */
};
int msg_event_send(struct link *link, const struct msg_event *msg); /* also E_TOO_LARGE */
int msg_event_decode(struct msg_event *msg, struct unpack *body);

static inline size_t msg_event_connection_count(const struct msg_event *msg)
{
    return msg->connections.len / EVENT_CONNECTION_BYTES;
}

static inline uint64_t msg_event_connection(const struct msg_event *msg, size_t number)
{
    return bytes_get_u64((const uint8_t *)msg->connections.data + number * EVENT_CONNECTION_BYTES);
}

/* What the message costs the link. */
static inline uint64_t event_message_cost(const struct msg_event *msg)
{
    return event_cost(msg->topic.len, msg->data.len) + msg->connections.len;
}

struct msg_event_gap {
    uint64_t connection;
    uint64_t from, to; /* from <= to */
};
int msg_event_gap_send(struct link *link, const struct msg_event_gap *msg);
int msg_event_gap_decode(struct msg_event_gap *msg, struct unpack *body);

struct msg_event_reached {
    uint64_t index;
};
int msg_event_reached_send(struct link *link, const struct msg_event_reached *msg);
int msg_event_reached_decode(struct msg_event_reached *msg, struct unpack *body);

/* Of one connection: EVENT_OUTRUN, EVENT_CAUGHT_UP and EVENT_BEHIND. */
struct msg_event_place {
    uint64_t connection;
    uint64_t index; /* it has been sent everything up to it */
};
int msg_event_outrun_send(struct link *link, const struct msg_event_place *msg);
int msg_event_caught_up_send(struct link *link, const struct msg_event_place *msg);
int msg_event_behind_send(struct link *link, const struct msg_event_place *msg);
int msg_event_place_decode(struct msg_event_place *msg, struct unpack *body);

#endif
