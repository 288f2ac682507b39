/* fanout.c - see fanout.h. */
#include "procs/events/fanout.h"

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

void fanout_note(struct feed *feed, int error)
{
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
    if (error != E_BUSY || feed->is_broken)
        return;
    feed->is_broken = true;
    LOG_ERROR("feed_broken", LOG_U64("subscriptions", feed->subscriptions.count),
              LOG_U64("queued_bytes", link_queued_bytes(feed->link)));
}

void fanout_tell_place(struct feed *feed, enum msg type, uint64_t connection, uint64_t index)
{
    const struct msg_event_place place = {.connection = connection, .index = index};

    if (type == MSG_EVENT_OUTRUN)
        fanout_note(feed, msg_event_outrun_send(feed->link, &place));
    else if (type == MSG_EVENT_CAUGHT_UP)
        fanout_note(feed, msg_event_caught_up_send(feed->link, &place));
    else
        fanout_note(feed, msg_event_behind_send(feed->link, &place));
}

/* Those that have been gathered. */
static bool fanout_flush(struct feed *feed, const struct ring_event *event, uint64_t window_bytes)
{
    const struct msg_event msg = {.index = event->index,
                                  .emitted_ms = event->stamp_ms,
                                  .topic = event->topic,
                                  .data = event->data,
                                  .connections = buf_slice(&feed->connections)};
    uint64_t cost = event_cost(event->topic.len, event->data.len);

    if (feed->getting.count == 0)
        return true;
    if (feed->unpaid >= window_bytes)
        return false;
    int error = msg_event_send(feed->link, &msg);
    fanout_note(feed, error);
    if (error != 0)
        return false;
    for (unsigned i = 0; i < feed->getting.count; i++) {
        feed->getting.items[i]->position = event->index;
        feed->getting.items[i]->unpaid += cost;
    }
    feed->unpaid += event_message_cost(&msg);
    feed->getting.count = 0;
    buf_clear(&feed->connections);
    return true;
}

static void fanout_gather(struct feed *feed, struct subscription *subscription)
{
    uint8_t number[EVENT_CONNECTION_BYTES];

    bytes_put_u64(number, subscription->connection);
    CHECK(buf_append(&feed->connections, number, sizeof(number)) == 0);
    subscription_list_push(&feed->getting, subscription);
}

bool fanout_send(struct feed *feed, const struct ring_event *event, enum subscription_state state,
                 uint64_t window_bytes)
{
    bool may_go_on = true;

    feed->found.count = 0;
    feed->getting.count = 0;
    buf_clear(&feed->connections);
    topics_match(&feed->topics, &event->scope, event->topic, &feed->found);
    for (unsigned i = 0; i < feed->found.count && may_go_on; i++) {
        struct subscription *subscription = feed->found.items[i];
        if (subscription->state != state || subscription->position >= event->index)
            continue;
        if (subscription->unpaid >= subscription->window) {
            feed_park(feed, subscription, event->index);
            continue;
        }
        fanout_gather(feed, subscription);
        if (feed->getting.count == EVENT_CONNECTIONS_MAX)
            may_go_on = fanout_flush(feed, event, window_bytes);
    }
    return may_go_on && fanout_flush(feed, event, window_bytes);
}
