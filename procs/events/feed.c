/* feed.c - see feed.h. Sending is in fanout.c. */
#include "procs/events/feed.h"

#include "base/check.h"
#include "base/error.h"
#include "procs/events/fanout.h"

/* ---- places and states ---- */

/* It has been sent everything up to here. */
static uint64_t feed_place(const struct feed *feed, const struct subscription *subscription)
{
    uint64_t shared = 0;

    if (subscription->state == SUBSCRIPTION_LIVE)
        shared = feed->live_index;
    else if (subscription->state == SUBSCRIPTION_READING)
        shared = feed->sweep_index;
    return subscription->position > shared ? subscription->position : shared;
}

static struct subscription_queue *feed_queue(struct feed *feed, enum subscription_state state)
{
    switch (state) {
    case SUBSCRIPTION_READING:
        return &feed->reading;
    case SUBSCRIPTION_WAITING:
        return &feed->waiting;
    case SUBSCRIPTION_PARKED:
        return &feed->parked;
    default:
        return NULL;
    }
}

static void feed_leave_queue(struct feed *feed, struct subscription *subscription)
{
    struct subscription_queue *queue = feed_queue(feed, subscription->state);

    if (queue != NULL)
        subscription_queue_take(queue, subscription);
}

static void feed_set_state(struct feed *feed, struct subscription *subscription,
                           enum subscription_state state)
{
    feed_leave_queue(feed, subscription);
    subscription->state = state;
    struct subscription_queue *queue = feed_queue(feed, state);
    if (queue != NULL)
        subscription_queue_add(queue, subscription);
}

static bool feed_has_window(const struct subscription *subscription)
{
    return subscription->unpaid < subscription->window;
}

/* It is behind, at its position, and may read on. */
static void feed_read_on(struct feed *feed, struct subscription *subscription)
{
    bool may_join = feed->reading.count > 0 && subscription->position >= feed->sweep_index;

    feed_set_state(feed, subscription, may_join ? SUBSCRIPTION_READING : SUBSCRIPTION_WAITING);
}

static void feed_go_live(struct feed *feed, struct subscription *subscription)
{
    if (subscription->position < feed->live_index)
        subscription->position = feed->live_index;
    feed_set_state(feed, subscription, SUBSCRIPTION_LIVE);
    fanout_tell_place(feed, MSG_EVENT_CAUGHT_UP, subscription->connection, subscription->position);
}

void feed_park(struct feed *feed, struct subscription *subscription, uint64_t next_index)
{
    uint64_t place = feed_place(feed, subscription);
    bool was_live = subscription->state == SUBSCRIPTION_LIVE;

    CHECK(place < next_index);
    subscription->position = next_index - 1;
    feed_set_state(feed, subscription, SUBSCRIPTION_PARKED);
    if (was_live)
        fanout_tell_place(feed, MSG_EVENT_BEHIND, subscription->connection, next_index - 1);
}

static void feed_remove(struct feed *feed, struct subscription *subscription)
{
    feed_leave_queue(feed, subscription);
    topics_remove(&feed->topics, subscription);
    subscriptions_remove(&feed->subscriptions, subscription);
}

static void feed_outrun(struct feed *feed, struct subscription *subscription)
{
    fanout_tell_place(feed, MSG_EVENT_OUTRUN, subscription->connection,
                      feed_place(feed, subscription));
    feed_remove(feed, subscription);
}

/* ---- life ---- */

static void feed_clear(struct feed *feed)
{
    topics_free(&feed->topics);
    subscriptions_free(&feed->subscriptions);
    subscription_list_free(&feed->found);
    subscription_list_free(&feed->getting);
    buf_fini(&feed->connections);
}

void feed_init(struct feed *feed)
{
    *feed = (struct feed){0};
    topics_init(&feed->topics);
    buf_init(&feed->connections, (size_t)EVENT_CONNECTIONS_MAX * EVENT_CONNECTION_BYTES);
}

void feed_begin(struct feed *feed, struct link *link, uint64_t applied_index)
{
    feed_clear(feed);
    feed_init(feed);
    feed->link = link;
    feed->live_index = applied_index;
    feed->told_index = applied_index;
}

void feed_end(struct feed *feed)
{
    feed_clear(feed);
    feed_init(feed);
}

/* ---- what the gateway says ---- */

/* Behind what may be gone already nothing is missed in silence. */
static void feed_tell_gap(struct feed *feed, const struct ring *ring,
                          struct subscription *subscription)
{
    if (subscription->position >= ring->dropped_index)
        return;
    const struct msg_event_gap gap = {.connection = subscription->connection,
                                      .from = subscription->position + 1,
                                      .to = ring->dropped_index};
    fanout_note(feed, msg_event_gap_send(feed->link, &gap));
    subscription->position = ring->dropped_index;
}

static void feed_place_after(struct feed *feed, const struct ring *ring,
                             struct subscription *subscription)
{
    feed_tell_gap(feed, ring, subscription);
    if (subscription->position >= feed->live_index)
        feed_go_live(feed, subscription);
    else if (feed_has_window(subscription))
        feed_read_on(feed, subscription);
    else
        feed_set_state(feed, subscription, SUBSCRIPTION_PARKED);
}

int feed_subscribe(struct feed *feed, const struct ring *ring, const struct msg_subscribe *msg,
                   uint64_t applied_index)
{
    struct msg_subscribed answer = {.connection = msg->connection,
                                    .index = msg->from_now ? applied_index : msg->after};

    if (subscriptions_find(&feed->subscriptions, msg->connection) != NULL)
        return E_INVALID;
    if (feed->subscriptions.count >= EVENT_SUBSCRIPTIONS_MAX)
        answer.error = E_BUSY;
    fanout_note(feed, msg_subscribed_send(feed->link, &answer));
    if (answer.error != 0)
        return 0;
    struct subscription *subscription = subscriptions_add(&feed->subscriptions, msg->connection);
    subscription->state = SUBSCRIPTION_LIVE;
    subscription->position = answer.index;
    subscription->window = msg->window;
    subscription->unpaid = msg->unpaid;
    topics_add(&feed->topics, subscription, &msg->scope, msg->topic);
    if (!msg->from_now)
        feed_place_after(feed, ring, subscription);
    return 0;
}

void feed_unsubscribe(struct feed *feed, uint64_t connection)
{
    struct subscription *subscription = subscriptions_find(&feed->subscriptions, connection);

    if (subscription != NULL)
        feed_remove(feed, subscription);
}

static void feed_pay(uint64_t *unpaid, uint64_t bytes)
{
    *unpaid -= bytes < *unpaid ? bytes : *unpaid;
}

void feed_credit(struct feed *feed, uint64_t connection, uint64_t bytes)
{
    if (connection == 0) {
        feed_pay(&feed->unpaid, bytes);
        return;
    }
    struct subscription *subscription = subscriptions_find(&feed->subscriptions, connection);
    if (subscription == NULL)
        return;
    feed_pay(&subscription->unpaid, bytes);
    if (subscription->state == SUBSCRIPTION_PARKED && feed_has_window(subscription))
        feed_read_on(feed, subscription);
}

/* ---- live ---- */

struct feed_run {
    struct feed *feed;
    uint64_t last_index; /* what lies behind it is not yet committed, or not for a sweep */
    unsigned events;     /* left to be looked at */
    bool is_done;        /* up to last_index */
};

static unsigned feed_live_count(const struct feed *feed)
{
    return feed->subscriptions.count - feed->reading.count - feed->waiting.count -
           feed->parked.count;
}

static bool feed_may_send_live(const struct feed *feed)
{
    return feed->unpaid < EVENT_LINK_WINDOW_BYTES - FEED_SWEEP_BYTES;
}

bool feed_has_news(const struct feed *feed, uint64_t applied_index)
{
    return feed->link != NULL && !feed->is_broken && feed->live_index < applied_index &&
           feed_may_send_live(feed);
}

static int feed_on_live_event(const struct ring_event *event, void *arg)
{
    struct feed_run *run = arg;
    struct feed *feed = run->feed;

    if (event->index > run->last_index)
        return E_CLOSED;
    run->is_done =
        fanout_send(feed, event, SUBSCRIPTION_LIVE, EVENT_LINK_WINDOW_BYTES - FEED_SWEEP_BYTES);
    if (!run->is_done)
        return E_CLOSED;
    feed->live_index = event->index;
    return 0;
}

int feed_run_live(struct feed *feed, const struct ring *ring, MDB_txn *txn, uint64_t applied_index)
{
    struct feed_run run = {.feed = feed, .last_index = applied_index, .is_done = true};
    int error = 0;

    if (!feed_has_news(feed, applied_index))
        return 0;
    if (feed_live_count(feed) > 0)
        error = ring_scan(ring, txn, feed->live_index, feed_on_live_event, &run);
    if (error == 0 && run.is_done)
        feed->live_index = applied_index;
    return error;
}

/* ---- sweeps ---- */

bool feed_has_sweep(const struct feed *feed)
{
    return feed->link != NULL && !feed->is_broken &&
           feed->reading.count + feed->waiting.count > 0 && feed->unpaid < EVENT_LINK_WINDOW_BYTES;
}

static void feed_begin_sweep(struct feed *feed)
{
    feed->sweep_index = UINT64_MAX;
    for (struct subscription *at = feed->waiting.first; at != NULL; at = at->next) {
        if (at->position < feed->sweep_index)
            feed->sweep_index = at->position;
        at->state = SUBSCRIPTION_READING;
    }
    feed->reading = feed->waiting;
    feed->waiting = (struct subscription_queue){0};
}

static int feed_on_sweep_event(const struct ring_event *event, void *arg)
{
    struct feed_run *run = arg;
    struct feed *feed = run->feed;

    if (event->index > run->last_index)
        return E_CLOSED;
    run->is_done = run->events > 0 && feed->reading.count > 0 &&
                   fanout_send(feed, event, SUBSCRIPTION_READING, EVENT_LINK_WINDOW_BYTES);
    if (!run->is_done)
        return E_CLOSED;
    feed->sweep_index = event->index;
    run->events--;
    return 0;
}

int feed_run_sweep(struct feed *feed, const struct ring *ring, MDB_txn *txn)
{
    struct feed_run run = {
        .feed = feed, .last_index = feed->live_index, .events = FEED_SWEEP_EVENTS, .is_done = true};

    if (!feed_has_sweep(feed))
        return 0;
    if (feed->reading.count == 0)
        feed_begin_sweep(feed);
    int error = ring_scan(ring, txn, feed->sweep_index, feed_on_sweep_event, &run);
    if (error != 0 || !run.is_done)
        return error;
    while (feed->reading.first != NULL)
        feed_go_live(feed, feed->reading.first);
    return 0;
}

/* ---- how far ---- */

bool feed_has_reached(const struct feed *feed)
{
    return feed->link != NULL && !feed->is_broken && feed->live_index > feed->told_index &&
           feed_live_count(feed) > 0;
}

void feed_tell_reached(struct feed *feed)
{
    const struct msg_event_reached msg = {.index = feed->live_index};

    if (!feed_has_reached(feed))
        return;
    fanout_note(feed, msg_event_reached_send(feed->link, &msg));
    feed->told_index = feed->live_index;
}

/* ---- what is dropped ---- */

static bool feed_may_miss(const struct feed *feed, uint64_t index)
{
    return feed->link != NULL && feed->subscriptions.count > 0 &&
           (index > feed->live_index || feed_live_count(feed) < feed->subscriptions.count);
}

void feed_on_drop(struct feed *feed, const struct ring_event *event)
{
    if (!feed_may_miss(feed, event->index))
        return;
    feed->found.count = 0;
    topics_match(&feed->topics, &event->scope, event->topic, &feed->found);
    for (unsigned i = 0; i < feed->found.count; i++) {
        if (feed_place(feed, feed->found.items[i]) < event->index)
            feed_outrun(feed, feed->found.items[i]);
    }
}

struct feed_lost {
    struct feed *feed;
    uint64_t dropped_index;
};

static void feed_look_for_lost(struct subscription *subscription, void *arg)
{
    const struct feed_lost *lost = arg;

    if (feed_place(lost->feed, subscription) < lost->dropped_index)
        subscription_list_push(&lost->feed->found, subscription);
}

void feed_on_other_ring(struct feed *feed, uint64_t dropped_index)
{
    struct feed_lost lost = {feed, dropped_index};

    if (feed->link == NULL)
        return;
    feed->found.count = 0;
    subscriptions_visit(&feed->subscriptions, feed_look_for_lost, &lost);
    for (unsigned i = 0; i < feed->found.count; i++)
        feed_outrun(feed, feed->found.items[i]);
}
