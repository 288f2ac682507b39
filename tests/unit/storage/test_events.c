/* insi-events as its neighbours see it: whatever is killed in between, a subscriber that goes on
 * from where it was gets every event once, and in order. */
#include <stdio.h>

#include "ipc/events_gateway.h"
#include "rig.h"

#define EVENTS 3000
#define TIMES 6

static uint64_t connection; /* the last one that subscribed */
static uint64_t last_event; /* it got all up to here */
static uint64_t reached, subscribed, event_count, gap_to;
static bool is_live;

static void on_event(struct unpack *body)
{
    struct msg_event msg;
    cr_assert_eq(msg_event_decode(&msg, body), 0);
    cr_assert_eq(msg_event_connection_count(&msg), 1);
    cr_assert_eq(msg.emitted_ms, 1000000 + msg.index);
    const struct msg_event_credit paid = {.bytes = event_message_cost(&msg)};
    cr_assert_eq(msg_event_credit_send(rig.gateway, &paid), 0);
    if (msg_event_connection(&msg, 0) != connection)
        return;
    const struct msg_event_credit own = {connection, event_cost(msg.topic.len, msg.data.len)};
    cr_assert_eq(msg_event_credit_send(rig.gateway, &own), 0);
    cr_assert_gt(msg.index, last_event);
    last_event = msg.index;
    event_count++;
}

static void on_other(enum msg type, struct unpack *body)
{
    struct msg_subscribed answer;
    struct msg_event_place place;
    struct msg_event_reached far;
    struct msg_event_gap gap;
    switch (type) {
    case MSG_EVENT:
        on_event(body);
        break;
    case MSG_SUBSCRIBED:
        cr_assert_eq(msg_subscribed_decode(&answer, body), 0);
        cr_assert_eq(answer.error, 0);
        subscribed = answer.connection;
        break;
    case MSG_EVENT_REACHED:
        cr_assert_eq(msg_event_reached_decode(&far, body), 0);
        reached = far.index;
        break;
    case MSG_EVENT_GAP:
        cr_assert_eq(msg_event_gap_decode(&gap, body), 0);
        gap_to = gap.to;
        break;
    default:
        cr_assert_neq(type, MSG_EVENT_OUTRUN);
        cr_assert_eq(msg_event_place_decode(&place, body), 0);
        is_live = type == MSG_EVENT_CAUGHT_UP;
    }
}

static void start(void)
{
    connection = last_event = reached = subscribed = event_count = gap_to = 0;
    is_live = false;
    rig_init(PROC_EVENTS);
    rig.on_other = on_other;
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 1 && link_is_up(rig.gateway));
    rig_open_session();
}

TestSuite(events, .init = start, .fini = rig_fini, .timeout = 180);

static uint64_t append_event(const char *topic)
{
    return rig_append(&(struct command){.operation = COMMAND_EVENT_PUBLISH,
                                        .scope = rig_scope,
                                        .key = slice_text(topic),
                                        .value = slice_text("{\"data\":\"some of it\"}")});
}

static void subscribe_after(uint64_t after)
{
    is_live = false;
    cr_assert_eq(msg_subscribe_send(rig.gateway, &(struct msg_subscribe){.connection = ++connection,
                                                                         .scope = rig_scope,
                                                                         .topic = slice_text("t*"),
                                                                         .after = after,
                                                                         .window = 4000}),
                 0);
}

Test(events, a_subscriber_gets_what_was_and_what_comes)
{
    append_event("topic");
    append_event("other");
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == 3);
    subscribe_after(0);
    RIG_WAIT_FOR(is_live);
    cr_assert_eq(subscribed, 1);
    cr_assert_eq(event_count, 1);
    append_event("topic");
    rig_append_other();
    rig_stream();
    RIG_WAIT_FOR(event_count == 2 && reached == 5);
    cr_assert_eq(last_event, 4);
    cr_assert_eq(rig.results[2].error, 0);
    cr_assert_eq(rig.results[2].index, 2);
    cr_assert_eq(gap_to, 0);
}

Test(events, killed_again_and_again_it_goes_on_where_it_was)
{
    for (unsigned i = 0; i < EVENTS; i++)
        append_event("topic");
    subscribe_after(0);
    rig_stream();
    for (unsigned i = 1; i <= TIMES; i++) {
        RIG_WAIT_FOR(event_count >= i * EVENTS / (TIMES + 1));
        rig_kill(SIGKILL);
        rig_start();
        RIG_WAIT_FOR(link_is_up(rig.gateway));
        subscribe_after(last_event);
    }
    RIG_WAIT_FOR(last_event == rig.last_index);
    cr_assert_eq(event_count, EVENTS);
    cr_assert_eq(gap_to, 0);
}

Test(events, the_gateway_that_comes_back_goes_on_where_it_was)
{
    for (unsigned i = 0; i < EVENTS; i++)
        append_event("topic");
    subscribe_after(0);
    rig_stream();
    RIG_WAIT_FOR(event_count >= EVENTS / 3);
    rig_close_gateway();
    rig_open_gateway();
    RIG_WAIT_FOR(link_is_up(rig.gateway));
    subscribe_after(last_event);
    RIG_WAIT_FOR(last_event == rig.last_index && is_live);
    cr_assert_eq(event_count, EVENTS);
}

Test(events, a_raft_that_comes_back_is_a_pause)
{
    subscribe_after(0);
    for (unsigned i = 0; i < EVENTS; i++) {
        append_event("topic");
        if (i % 1000 == 500) {
            rig_stream();
            rig_close_raft();
            rig_open_raft();
            RIG_WAIT_FOR(link_is_up(rig.raft));
        }
    }
    RIG_WAIT_FOR(rig.resumes == 4);
    rig_stream();
    RIG_WAIT_FOR(last_event == rig.last_index);
    cr_assert_eq(event_count, EVENTS);
    cr_assert_eq(connection, 1);
}

static uint64_t count_retained(void)
{
    struct map *map;
    MDB_stat stat;
    MDB_txn *txn;
    cr_assert_eq(map_open_reader(&map, rig.paths.events_map, MAP_EVENTS), 0);
    cr_assert_eq(map_read_begin(map, &txn), 0);
    cr_assert_eq(mdb_stat(txn, map_database(map, MAP_RING), &stat), 0);
    map_read_end(map);
    map_close(&map);
    return stat.ms_entries;
}

Test(events, a_deleted_scope_is_emptied_without_anything_else_going_on)
{
    for (unsigned i = 0; i < 1000; i++)
        append_event("topic");
    rig_append(&(struct command){.operation = COMMAND_SCOPE_PURGE, .scope = rig_scope});
    rig_stream();
    RIG_WAIT_FOR(rig.results[1002].count == 1);
    cr_assert_eq(rig.results[1002].error, 0);
    RIG_WAIT_FOR(count_retained() == 0);
    append_event("topic");
    rig_stream();
    RIG_WAIT_FOR(rig.results[1003].count == 1);
    cr_assert_eq(rig.results[1003].error, E_SCOPE_GONE);
}
