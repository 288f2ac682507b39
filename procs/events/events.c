/* events.c - see events.h. */
#include "procs/events/events.h"

#include "base/error.h"
#include "procs/events/retention.h"

void events_init(struct events *events)
{
    *events = (struct events){0};
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        feed_init(&events->feeds[i]);
}

void events_free(struct events *events)
{
    doomed_free(&events->doomed);
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        feed_end(&events->feeds[i]);
}

void events_configured(void *arg, const struct config *config)
{
    struct events *events = arg;

    events->retention_bytes = config->events.retention_bytes;
    events->is_shrinking = events->ring.bytes > events->retention_bytes;
}

/* ---- loading and storing ---- */

int events_load(void *arg, const struct map *map, MDB_txn *txn)
{
    struct events *events = arg;

    doomed_free(&events->doomed);
    events->purge_after = 0;
    int error = doomed_load(&events->doomed, map, txn, purge_remove, events);
    if (error == 0)
        error = ring_load(&events->ring, map, txn);
    events->is_shrinking = events->ring.bytes > events->retention_bytes;
    for (unsigned i = 0; error == 0 && i < LIMIT_GATEWAYS; i++)
        feed_on_other_ring(&events->feeds[i], events->ring.dropped_index);
    return error;
}

static int events_on_drop(const struct ring_event *event, void *arg)
{
    struct events *events = arg;

    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        feed_on_drop(&events->feeds[i], event);
    return 0;
}

/* What this transaction adds stays: live connections get it first. */
static int events_drop(struct events *events, const struct map *map, MDB_txn *txn)
{
    uint64_t limit_bytes = retention_of(map, events->retention_bytes);
    int error = ring_drop(&events->ring, txn, limit_bytes, map_applied_index(map), EVENTS_DROP_STEP,
                          events_on_drop, events);
    if (events->ring.bytes <= limit_bytes)
        events->is_shrinking = false;
    return error;
}

static int events_purge(struct events *events, MDB_txn *txn)
{
    unsigned removed;

    if (events->doomed.pending_count == 0)
        return 0;
    const struct doomed_pending first = events->doomed.pending[0];
    int error = doomed_purge(&events->doomed, txn, &first.scope, first.steps, &removed);
    bool is_done = events->doomed.pending_count == 0 ||
                   memcmp(&events->doomed.pending[0].scope, &first.scope, sizeof(first.scope)) != 0;
    if (is_done)
        events->purge_after = 0;
    return error;
}

int events_store(void *arg, const struct map *map, MDB_txn *txn)
{
    struct events *events = arg;

    int error = events_drop(events, map, txn);
    if (error == 0)
        error = events_purge(events, txn);
    return error != 0 ? error : ring_store(&events->ring, map, txn);
}

bool events_have_housework(const struct events *events)
{
    return events->doomed.pending_count > 0 || events->is_shrinking;
}

/* ---- applying ---- */

static int events_publish(struct events *events, const struct worker_turn *turn,
                          const struct command *command, struct worker_result *result)
{
    const struct ring_event event = {.index = turn->index,
                                     .stamp_ms = turn->stamp_ms,
                                     .scope = command->scope,
                                     .topic = command->key,
                                     .data = command->value};

    int error = doomed_check(&events->doomed, turn->txn, &command->scope);
    if (error == E_SCOPE_GONE) {
        result->error = error;
        return 0;
    }
    return error != 0 ? error : ring_append(&events->ring, turn->txn, &event);
}

int events_apply(void *arg, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result)
{
    struct events *events = arg;

    switch (command->operation) {
    case COMMAND_EVENT_PUBLISH:
        return events_publish(events, turn, command, result);
    case COMMAND_SCOPE_PURGE: /* each step that storage proposes; the first one dooms the scope */
        return doomed_add(&events->doomed, turn->txn, &command->scope, turn->index, turn->stamp_ms);
    default:
        result->error = E_BAD_COMMAND;
        return 0;
    }
}

/* ---- gateways ---- */

static void events_on_subscribe(struct events *events, struct feed *feed, struct unpack *body,
                                uint64_t applied_index)
{
    struct msg_subscribe msg;

    if (msg_subscribe_decode(&msg, body) == 0 &&
        feed_subscribe(feed, &events->ring, &msg, applied_index) != 0)
        unpack_refuse(body);
}

void events_on_message(struct events *events, unsigned gateway, enum msg type, struct unpack *body,
                       uint64_t applied_index)
{
    struct feed *feed = &events->feeds[gateway];
    struct msg_unsubscribe unsubscribe;
    struct msg_event_credit credit;

    if (feed->is_broken) {
        unpack_refuse(body);
        return;
    }
    switch (type) {
    case MSG_SUBSCRIBE:
        events_on_subscribe(events, feed, body, applied_index);
        break;
    case MSG_UNSUBSCRIBE:
        if (msg_unsubscribe_decode(&unsubscribe, body) == 0)
            feed_unsubscribe(feed, unsubscribe.connection);
        break;
    case MSG_EVENT_CREDIT:
        if (msg_event_credit_decode(&credit, body) == 0)
            feed_credit(feed, credit.connection, credit.bytes);
        break;
    default:
        unpack_refuse(body);
    }
}

bool events_have_news(const struct events *events, uint64_t applied_index)
{
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++) {
        if (feed_has_news(&events->feeds[i], applied_index))
            return true;
    }
    return false;
}

bool events_have_sweeps(const struct events *events)
{
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++) {
        if (feed_has_sweep(&events->feeds[i]))
            return true;
    }
    return false;
}

int events_run_live(struct events *events, MDB_txn *txn, uint64_t applied_index)
{
    int error = 0;

    for (unsigned i = 0; error == 0 && i < LIMIT_GATEWAYS; i++)
        error = feed_run_live(&events->feeds[i], &events->ring, txn, applied_index);
    return error;
}

int events_run_sweeps(struct events *events, MDB_txn *txn)
{
    int error = 0;

    for (unsigned i = 0; error == 0 && i < LIMIT_GATEWAYS; i++)
        error = feed_run_sweep(&events->feeds[i], &events->ring, txn);
    return error;
}
