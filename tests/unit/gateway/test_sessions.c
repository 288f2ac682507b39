/* test_sessions.c - subscribers with a worker, a socket and a clock that are the test's. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "procs/gateway/events/sessions.h"

#define MS NS_PER_MS
#define WINDOW 2000
#define DATA_BYTES 71 /* so that an event costs 200 with a topic of one byte */
#define COST UINT64_C(200)
#define LINK_CREDIT_EVENTS (EVENT_LINK_CREDIT_BYTES / (COST + EVENT_CONNECTION_BYTES) + 1)

static char folder[] = "/tmp/insi-sessions-XXXXXX", path[64];
static struct config config;
static struct seats *seats;
static struct sessions *sessions;
static uint64_t now_ns;

/* the worker */
static struct msg_subscribe asked; /* the last one */
static unsigned subscribed, unsubscribed;
static int subscribe_error;
static uint64_t paid, link_paid;
static bool keys_are_gone;

/* the transport */
struct client {
    struct session *session;
    unsigned writes, frames, pings; /* handed over */
    bool is_writing;
    unsigned code; /* of its goodbye; 0: none */
    bool is_aborted;
    uint64_t taken;
    int placed; /* what its request was told; -1: nothing */
};

static int on_subscribe(void *arg, const struct msg_subscribe *msg)
{
    (void)arg;
    asked = *msg;
    subscribed += subscribe_error == 0;
    return subscribe_error;
}

static int on_unsubscribe(void *arg, uint64_t connection)
{
    (void)arg;
    (void)connection;
    unsubscribed++;
    return 0;
}

static int on_credit(void *arg, uint64_t connection, uint64_t bytes)
{
    (void)arg;
    if (connection == 0)
        link_paid += bytes;
    else
        paid += bytes;
    return 0;
}

static bool on_look_at_keys(void *arg, struct session_keys *keys)
{
    (void)arg;
    for (unsigned i = 0; i < keys->room; i++) {
        if (keys->keys[i] != NULL)
            keys->keys[i]->is_gone = keys_are_gone;
    }
    return true;
}

static uint64_t on_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static void transport_write(struct session *session, const struct slice *pieces, unsigned count)
{
    struct client *client = session->carrier;
    client->writes++;
    client->is_writing = true;
    for (unsigned i = 0; i < count; i++) {
        if (slice_equal(pieces[i], session->transport->ping))
            client->pings++;
        else
            client->frames++;
    }
}

static void transport_close(struct session *session, unsigned code)
{
    struct client *client = session->carrier;
    client->code = code;
}

static void transport_abort(struct session *session)
{
    struct client *client = session->carrier;
    client->is_aborted = true;
    client->session = NULL;
}

static uint64_t transport_taken(struct session *session)
{
    return ((struct client *)session->carrier)->taken;
}

static const struct session_transport websocket = {.answers_pings = true,
                                                   .ping = {"ping", 4},
                                                   .write = transport_write,
                                                   .close = transport_close,
                                                   .abort = transport_abort,
                                                   .taken = transport_taken};
static const struct session_transport silent = {.ping = {"ping", 4},
                                                .write = transport_write,
                                                .close = transport_close,
                                                .abort = transport_abort,
                                                .taken = transport_taken};

static void start(void)
{
    static const struct sessions_wire wire = {.subscribe = on_subscribe,
                                              .unsubscribe = on_unsubscribe,
                                              .credit = on_credit,
                                              .look_at_keys = on_look_at_keys,
                                              .now_ns = on_now};
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/seats", folder);
    cr_assert_eq(seats_open(&seats, path, 0), 0);
    config.sessions.max_connections = 100;
    config.sessions.send_buffer_bytes = WINDOW;
    config.sessions.ping_interval_ms = 60000;
    now_ns = 1000 * NS_PER_S;
    sessions = sessions_new(&config, seats, &wire);
    sessions_on_up(sessions);
}

static void stop(void)
{
    sessions_free(&sessions);
    cr_assert_eq(seats_taken(seats), 0);
    seats_close(&seats);
    unlink(path);
    rmdir(folder);
}

TestSuite(sessions, .init = start, .fini = stop);

static void on_placed(void *arg, int error)
{
    struct client *client = arg;
    client->placed = error;
    if (error != 0)
        client->session = NULL;
}

static void begin(struct client *client, const uint8_t *key, bool from_now, uint64_t after)
{
    const struct session_wish wish = {.token_hash = key,
                                      .topic = slice_text("t"),
                                      .from_now = from_now,
                                      .after = after,
                                      .deadline_ns = now_ns + 5000 * MS,
                                      .placed = on_placed,
                                      .arg = client};
    *client = (struct client){.placed = -1};
    cr_assert_eq(session_begin(sessions, &wish, &client->session), 0);
    cr_assert_eq(client->placed, -1);
}

static void answer(uint64_t index)
{
    sessions_on_subscribed(sessions, &(struct msg_subscribed){asked.connection, index, 0});
}

static void open_with(struct client *client, const struct session_transport *transport,
                      const uint8_t *key)
{
    begin(client, key, true, 0);
    answer(10);
    cr_assert_eq(client->placed, 0);
    client->session->transport = transport;
    client->session->carrier = client;
    session_open(client->session);
}

static void emit(const struct client *client, uint64_t index, unsigned count)
{
    static const char data[DATA_BYTES];
    uint8_t number[EVENT_CONNECTION_BYTES];
    bytes_put_u64(number, client->session->connection);
    for (unsigned i = 0; i < count; i++) {
        const struct msg_event msg = {.index = index + i,
                                      .topic = slice_text("t"),
                                      .data = slice_of(data, sizeof(data)),
                                      .connections = slice_of(number, sizeof(number))};
        sessions_on_event(sessions, &msg);
    }
    sessions_on_batch_end(sessions);
}

static void wrote(struct client *client)
{
    cr_assert(client->is_writing);
    client->is_writing = false;
    session_written(client->session);
}

static void pass_ms(uint64_t ms)
{
    uint64_t end_ns = now_ns + ms * MS;
    for (uint64_t due_ns; (due_ns = sessions_due_ns(sessions)) <= end_ns;) {
        now_ns = due_ns > now_ns ? due_ns : now_ns;
        sessions_tick(sessions);
    }
    now_ns = end_ns;
}

static void place(void (*on_place)(struct sessions *, const struct msg_event_place *),
                  const struct client *client, uint64_t index)
{
    on_place(sessions, &(struct msg_event_place){client->session->connection, index});
}

/* ---- delivery -------------------------------------------------------------------------------- */

Test(sessions, a_batch_is_one_write_and_the_rest_follows_it)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, 5);
    cr_assert(client.writes == 1 && client.frames == 5);
    emit(&client, 16, 2);
    cr_assert_eq(client.writes, 1);
    cr_assert_eq(link_paid, 0); /* too little is due */
    cr_assert_eq(paid, 0);
    wrote(&client);
    cr_assert(client.writes == 2 && client.frames == 7);
    cr_assert_eq(paid, 5 * COST);
    wrote(&client);
    cr_assert_eq(paid, 5 * COST); /* less than a quarter is due */
}

Test(sessions, what_comes_while_the_answer_is_on_its_way_is_kept)
{
    struct client client;
    begin(&client, NULL, true, 0);
    answer(10);
    emit(&client, 11, 3);
    client.session->transport = &websocket;
    client.session->carrier = &client;
    session_open(client.session);
    cr_assert(client.writes == 1 && client.frames == 3);
}

Test(sessions, events_of_one_that_has_ended_are_passed_over_and_paid)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    struct client old = client;
    struct session copy = *client.session;
    session_lost(client.session);
    cr_assert(unsubscribed == 1 && sessions_count(sessions) == 0);
    old.session = &copy;
    emit(&old, 11, LINK_CREDIT_EVENTS);
    cr_assert_eq(link_paid, LINK_CREDIT_EVENTS * (COST + EVENT_CONNECTION_BYTES));
    open_with(&client, &websocket, NULL);
    cr_assert_neq(client.session->connection, copy.connection); /* the same place */
    emit(&old, 12, 1);
    cr_assert_eq(client.writes, 0);
}

/* ---- the worker's restart -------------------------------------------------------------------- */

static void restart_worker(void)
{
    sessions_on_down(sessions);
    sessions_on_up(sessions);
}

Test(sessions, who_is_live_goes_on_behind_what_was_reached)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    sessions_on_reached(sessions, &(struct msg_event_reached){50});
    emit(&client, 51, 1);
    restart_worker();
    cr_assert(!asked.from_now && asked.after == 51);
    cr_assert_eq(asked.unpaid, COST);                               /* it has not left yet */
    sessions_on_reached(sessions, &(struct msg_event_reached){90}); /* not live: behind that */
    restart_worker();
    cr_assert_eq(asked.after, 51);
    answer(51);
    place(sessions_on_caught_up, &client, 80);
    restart_worker();
    cr_assert_eq(asked.after, 80);
    answer(80);
    place(sessions_on_caught_up, &client, 81);
    sessions_on_reached(sessions, &(struct msg_event_reached){95});
    place(sessions_on_behind, &client, 100);
    sessions_on_reached(sessions, &(struct msg_event_reached){200});
    restart_worker();
    cr_assert_eq(asked.after, 100);
    sessions_on_gap(sessions, &(struct msg_event_gap){asked.connection, 101, 150});
    restart_worker();
    cr_assert_eq(asked.after, 150);
}

Test(sessions, who_was_not_answered_yet_asks_as_the_first_time)
{
    struct client client;
    begin(&client, NULL, true, 0);
    restart_worker();
    cr_assert(asked.from_now && subscribed == 2);
    answer(77);
    cr_assert_eq(client.placed, 0);
    restart_worker();
    cr_assert(!asked.from_now && asked.after == 77);
}

Test(sessions, what_the_link_does_not_take_is_asked_again)
{
    struct client client;
    subscribe_error = E_BUSY;
    begin(&client, NULL, false, 5);
    pass_ms(100);
    cr_assert_eq(subscribed, 0);
    subscribe_error = 0;
    pass_ms(100);
    cr_assert(subscribed == 1 && asked.after == 5);
    subscribe_error = E_PEER_DOWN;
    sessions_on_down(sessions);
    pass_ms(5000);
    cr_assert_eq(client.placed, E_TIMEOUT);
    cr_assert_eq(sessions_count(sessions), 0);
}

/* ---- slow clients ---------------------------------------------------------------------------- */

Test(sessions, a_full_window_that_does_not_move_for_a_second_is_4008)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, WINDOW / COST);
    for (unsigned i = 0; i < 10; i++) {
        pass_ms(900);
        client.taken++; /* slow, but it takes something */
    }
    cr_assert_eq(client.session->state, SESSION_OPEN);
    pass_ms(1500);
    cr_assert_eq(client.session->state, SESSION_CLOSING);
    cr_assert_eq(unsubscribed, 1);
    cr_assert_eq(client.code, 0); /* what is with the socket comes first */
    wrote(&client);
    cr_assert_eq(client.code, SESSION_CODE_SLOW);
    session_goodbye_sent(client.session);
    pass_ms(SESSION_LINGER_MS + 100);
    cr_assert(client.is_aborted);
}

Test(sessions, a_window_that_is_not_full_may_stand_still)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, WINDOW / COST - 1);
    pass_ms(10000);
    cr_assert_eq(client.session->state, SESSION_OPEN);
}

/* The worker counts what it was not told of: a window is full although a part of it has left. */
Test(sessions, what_is_due_counts_for_the_window)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, 2);
    wrote(&client);
    cr_assert_eq(paid, 0);
    emit(&client, 13, WINDOW / COST - 2);
    pass_ms(2000);
    cr_assert_eq(client.session->state, SESSION_CLOSING);
}

/* What has left is owed to nobody while the worker is away. */
Test(sessions, who_has_taken_everything_is_not_slow_while_the_worker_is_away)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, WINDOW / COST);
    sessions_on_down(sessions);
    wrote(&client);
    pass_ms(UINT64_C(10) * SESSION_STALL_MS);
    cr_assert_eq(client.session->state, SESSION_OPEN);
    sessions_on_up(sessions);
    cr_assert(asked.after == 10 + WINDOW / COST && asked.unpaid == 0);
}

Test(sessions, what_was_due_when_the_worker_went_away_does_not_count)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, 2);
    wrote(&client);
    emit(&client, 13, WINDOW / COST - 2);
    sessions_on_down(sessions);
    pass_ms(UINT64_C(10) * SESSION_STALL_MS);
    cr_assert_eq(client.session->state, SESSION_OPEN);
}

Test(sessions, a_slow_client_has_time_to_read_up_to_the_goodbye)
{
    struct client client;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, 1);
    place(sessions_on_outrun, &client, 9);
    cr_assert_eq(unsubscribed, 0); /* the worker has ended it */
    pass_ms(SESSION_GOODBYE_SLOW_MS - 1000);
    cr_assert(!client.is_aborted);
    pass_ms(2000);
    cr_assert(client.is_aborted && client.code == 0);
}

/* ---- what cannot be taken back --------------------------------------------------------------- */

static struct slice handed_over; /* the first piece of the last write */
static struct outbox kept;

static void stubborn_write(struct session *session, const struct slice *pieces, unsigned count)
{
    handed_over = pieces[0];
    transport_write(session, pieces, count);
}

static void stubborn_abort(struct session *session)
{
    session_take_written(session, &kept);
    transport_abort(session);
}

/* Reading what is gone would be an error of the sanitizer's. */
Test(sessions, what_a_transport_cannot_take_back_outlives_the_session)
{
    static const struct session_transport stubborn = {.ping = {"ping", 4},
                                                      .write = stubborn_write,
                                                      .close = transport_close,
                                                      .abort = stubborn_abort,
                                                      .taken = transport_taken};
    struct client client;
    open_with(&client, &stubborn, NULL);
    emit(&client, 11, 1);
    emit(&client, 12, 3);
    place(sessions_on_outrun, &client, 14);
    pass_ms(SESSION_GOODBYE_SLOW_MS + 1000);
    cr_assert(client.is_aborted && sessions_count(sessions) == 0);
    cr_assert(kept.count == 1 && kept.gathered == 1);
    cr_assert_not_null(memmem(handed_over.data, handed_over.len, "\"index\":11", 10));
    outbox_fini(&kept);
}

/* ---- dead clients ---------------------------------------------------------------------------- */

Test(sessions, who_answers_no_ping_is_dropped_before_the_third)
{
    struct client quiet, lively;
    config.sessions.ping_interval_ms = 1000;
    open_with(&quiet, &websocket, NULL);
    open_with(&lively, &websocket, NULL);
    pass_ms(1100);
    cr_assert(quiet.pings == 1 && lively.pings == 1);
    wrote(&quiet);
    wrote(&lively);
    session_heard(lively.session);
    pass_ms(1000);
    cr_assert(quiet.is_aborted);
    cr_assert(!lively.is_aborted && lively.pings == 2);
}

Test(sessions, a_client_that_never_answers_is_alive_while_its_machine_takes_pings)
{
    struct client client;
    config.sessions.ping_interval_ms = 1000;
    open_with(&client, &silent, NULL);
    for (unsigned i = 1; i <= 5; i++) {
        pass_ms(1000);
        cr_assert_eq(client.pings, i);
        wrote(&client);
        client.taken += 8;
    }
    pass_ms(1000);
    wrote(&client);
    pass_ms(1000);
    cr_assert(client.is_aborted);
}

Test(sessions, bytes_that_wait_are_the_question_and_no_ping_stands_in_line)
{
    struct client client;
    config.sessions.ping_interval_ms = 1000;
    open_with(&client, &websocket, NULL);
    emit(&client, 11, 1);
    for (unsigned i = 0; i < 5; i++) {
        pass_ms(1000);
        client.taken++;
    }
    cr_assert(client.pings == 0 && !client.is_aborted);
    pass_ms(2100);
    cr_assert(client.is_aborted);
}

/* ---- the end --------------------------------------------------------------------------------- */

Test(sessions, the_limit_counts_also_those_that_are_being_placed)
{
    struct client one, other;
    struct session *refused;
    const struct session_wish wish = {.topic = slice_text("t")};
    config.sessions.max_connections = 2;
    begin(&one, NULL, true, 0);
    begin(&other, NULL, true, 0);
    cr_assert_eq(session_begin(sessions, &wish, &refused), E_BUSY);
    session_leave(one.session);
    begin(&one, NULL, true, 0);
    cr_assert_eq(session_begin(sessions, &wish, &refused), E_BUSY);
    sessions_on_subscribed(sessions, &(struct msg_subscribed){asked.connection, 0, E_BUSY});
    cr_assert_eq(one.placed, E_BUSY);
    begin(&one, NULL, true, 0);
}

Test(sessions, a_deleted_key_ends_those_that_came_with_it)
{
    static const uint8_t key[SHA256_BYTES] = {1}, same[SHA256_BYTES] = {1};
    struct client open, waiting, ours;
    open_with(&open, &websocket, key);
    begin(&waiting, same, true, 0);
    open_with(&ours, &websocket, NULL);
    pass_ms(1000);
    cr_assert_eq(open.code, 0);
    keys_are_gone = true;
    pass_ms(SESSION_KEYS_LOOK_MS + 10);
    cr_assert_eq(open.code, SESSION_CODE_REVOKED);
    cr_assert_eq(waiting.placed, E_SCOPE_GONE);
    cr_assert_eq(ours.code, 0);
    session_lost(open.session);
    pass_ms(SESSION_KEYS_LOOK_MS + 10);
    cr_assert_gt(sessions_due_ns(sessions),
                 now_ns + UINT64_C(10) * SESSION_KEYS_LOOK_MS * MS); /* no need */
}

Test(sessions, a_stop_ends_all_and_lets_nobody_in)
{
    struct client open, waiting, writing, slow;
    struct session *refused;
    open_with(&open, &websocket, NULL);
    open_with(&writing, &websocket, NULL);
    emit(&writing, 11, 1);
    open_with(&slow, &websocket, NULL);
    emit(&slow, 12, 1);
    place(sessions_on_outrun, &slow, 12); /* has much time, otherwise */
    begin(&waiting, NULL, true, 0);
    sessions_stop(sessions);
    cr_assert_eq(open.code, SESSION_CODE_RESTART);
    cr_assert_eq(waiting.placed, E_CLOSED);
    cr_assert_eq(
        session_begin(sessions, &(struct session_wish){.topic = slice_text("t")}, &refused),
        E_CLOSED);
    pass_ms(SESSION_GOODBYE_STOP_MS + 10);
    cr_assert(open.is_aborted && writing.is_aborted && slow.is_aborted);
    cr_assert_eq(sessions_count(sessions), 0);
}
