/* events_link.c - see events_link.h. */
#include "procs/gateway/events/events_link.h"

#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/gateway/gateway.h"

/* ---- the sessions' wire ---------------------------------------------------------------------- */

static struct link *events_link_find(void *arg)
{
    return links_find(arg, PROC_EVENTS);
}

static int events_link_send_subscribe(void *arg, const struct msg_subscribe *msg)
{
    return msg_subscribe_send(events_link_find(arg), msg);
}

static int events_link_send_unsubscribe(void *arg, uint64_t connection)
{
    return msg_unsubscribe_send(events_link_find(arg), &(struct msg_unsubscribe){connection});
}

static int events_link_send_credit(void *arg, uint64_t connection, uint64_t bytes)
{
    return msg_event_credit_send(events_link_find(arg),
                                 &(struct msg_event_credit){connection, bytes});
}

static int events_link_find_keys(struct map *map, MDB_txn *txn, void *arg)
{
    struct session_keys *keys = arg;
    int error = 0;
    for (unsigned i = 0; i < keys->room && error == 0; i++) {
        struct session_key *key = keys->keys[i];
        struct identity who;
        if (key == NULL)
            continue;
        error = auth_find_apikey(map, txn, key->hash, &who);
        key->is_gone = error == E_NOT_FOUND;
        error = key->is_gone ? 0 : error;
    }
    return error;
}

/* A map that is being built anew lacks keys that were not deleted: only one that is as far as any
 * map of this node ever was may say so. */
static bool events_link_look_at_keys(void *arg, struct session_keys *keys)
{
    struct gateway *gateway = arg;
    uint64_t applied_index = board_read_applied(gateway->board, PROC_STORAGE);
    uint64_t shown_index = board_read_shown(gateway->board, PROC_STORAGE);
    if (applied_index == gateway->keys_index || applied_index < shown_index)
        return false;
    if (read_now(gateway->reads, READ_AT_INDEX, shown_index, events_link_find_keys, keys) != 0)
        return false;
    gateway->keys_index = applied_index;
    return true;
}

static uint64_t events_link_now(void *arg)
{
    (void)arg;
    return clock_boot_ns();
}

void events_link_open(struct gateway *gateway)
{
    const struct sessions_wire wire = {.subscribe = events_link_send_subscribe,
                                       .unsubscribe = events_link_send_unsubscribe,
                                       .credit = events_link_send_credit,
                                       .look_at_keys = events_link_look_at_keys,
                                       .now_ns = events_link_now,
                                       .arg = gateway};
    const char *path = gateway->skel.paths.seats;
    int error = seats_open(&gateway->seats, path, gateway->skel.index);
    if (error != 0) {
        LOG_ERROR("worker_start_failed", LOG_STR("path", path), LOG_CAUSE(error, errno));
        skel_exit(&gateway->skel, 1);
    }
    gateway->sessions = sessions_new(&gateway->skel.config, gateway->seats, &wire);
}

/* ---- what comes in --------------------------------------------------------------------------- */

void events_link_on_up(struct gateway *gateway)
{
    sessions_on_up(gateway->sessions);
}

void events_link_on_down(struct gateway *gateway)
{
    sessions_on_down(gateway->sessions);
}

static void events_link_on_place(struct gateway *gateway, struct unpack *body,
                                 void (*on_place)(struct sessions *,
                                                  const struct msg_event_place *))
{
    struct msg_event_place msg;
    if (msg_event_place_decode(&msg, body) == 0)
        on_place(gateway->sessions, &msg);
}

static void events_link_on_subscribed(struct gateway *gateway, struct unpack *body)
{
    struct msg_subscribed msg;
    if (msg_subscribed_decode(&msg, body) == 0)
        sessions_on_subscribed(gateway->sessions, &msg);
}

static void events_link_on_event(struct gateway *gateway, struct unpack *body)
{
    struct msg_event msg;
    if (msg_event_decode(&msg, body) == 0)
        sessions_on_event(gateway->sessions, &msg);
}

static void events_link_on_gap(struct gateway *gateway, struct unpack *body)
{
    struct msg_event_gap msg;
    if (msg_event_gap_decode(&msg, body) == 0)
        sessions_on_gap(gateway->sessions, &msg);
}

static void events_link_on_reached(struct gateway *gateway, struct unpack *body)
{
    struct msg_event_reached msg;
    if (msg_event_reached_decode(&msg, body) == 0)
        sessions_on_reached(gateway->sessions, &msg);
}

bool events_link_on_message(struct gateway *gateway, enum msg type, struct unpack *body)
{
    switch (type) {
    case MSG_SUBSCRIBED:
        events_link_on_subscribed(gateway, body);
        return true;
    case MSG_EVENT:
        events_link_on_event(gateway, body);
        return true;
    case MSG_EVENT_GAP:
        events_link_on_gap(gateway, body);
        return true;
    case MSG_EVENT_REACHED:
        events_link_on_reached(gateway, body);
        return true;
    case MSG_EVENT_OUTRUN:
        events_link_on_place(gateway, body, sessions_on_outrun);
        return true;
    case MSG_EVENT_CAUGHT_UP:
        events_link_on_place(gateway, body, sessions_on_caught_up);
        return true;
    case MSG_EVENT_BEHIND:
        events_link_on_place(gateway, body, sessions_on_behind);
        return true;
    default:
        return false;
    }
}

void events_link_on_batch_end(struct gateway *gateway)
{
    sessions_on_batch_end(gateway->sessions);
}
