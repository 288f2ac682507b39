/* Live connections: who gets what, in which order, and from when on. */
#include <string.h>

#include "feeding.h"

TestSuite(live, .init = feeding_init, .fini = feeding_fini, .timeout = 120);

Test(live, an_event_comes_once_with_all_that_it_is)
{
    subscribe(1, "orders/7");
    uint64_t index = publish("orders/7", "{\"a\":1}");
    cr_assert_str_eq(heard(1), "+0", "what is not committed is not sent");
    commit();
    cr_assert_str_eq(heard(1), "e1");
    cr_assert_str_eq(last_data, "orders/7={\"a\":1}@1000001");
    turns();
    cr_assert_str_eq(heard(1), "");
    cr_assert_eq(index, 1);
}

Test(live, exact_topics_and_prefixes_get_what_is_theirs)
{
    subscribe(1, "a/b");
    subscribe(2, "a/*");
    subscribe(3, "*");
    subscribe(4, "a/b*");
    subscribe(5, "a");
    subscribe(6, "a/b/c/d/e/f/g/h*");
    publish("a/b", "1");              /* 1 */
    publish("a/bc", "1");             /* 2 */
    publish("a/", "1");               /* 3 */
    publish("a", "1");                /* 4 */
    publish("A/b", "1");              /* 5 */
    publish("a/b/c/d/e/f/g/hi", "1"); /* 6 */
    publish("a/b/c/d/e/f/g/", "1");   /* 7 */
    turns();
    cr_assert_str_eq(heard(1), "+0 e1");
    cr_assert_str_eq(heard(2), "+0 e1 e2 e3 e6 e7");
    cr_assert_str_eq(heard(3), "+0 e1 e2 e3 e4 e5 e6 e7");
    cr_assert_str_eq(heard(4), "+0 e1 e2 e6 e7");
    cr_assert_str_eq(heard(5), "+0 e4");
    cr_assert_str_eq(heard(6), "+0 e6");
}

Test(live, a_star_within_a_topic_is_a_letter)
{
    subscribe(1, "a*b");
    subscribe(2, "a**");
    publish("a*b", "1");
    publish("axb", "1");
    publish("a*", "1");
    turns();
    cr_assert_str_eq(heard(1), "+0 e1");
    cr_assert_str_eq(heard(2), "+0 e1 e3");
}

Test(live, topics_of_every_length_and_prefixes_of_every_length)
{
    static char topic[LIMIT_KEY_BYTES + 2];
    for (unsigned len = 1; len <= LIMIT_KEY_BYTES; len++) {
        memset(topic, 'x', len);
        topic[len] = '\0';
        subscribe(len, topic);
        topic[len] = '*';
        topic[len + 1] = '\0';
        subscribe(1000 + len, topic);
    }
    for (unsigned len = 1; len <= LIMIT_KEY_BYTES; len++) {
        memset(topic, 'x', len);
        topic[len] = '\0';
        publish(topic, "1");
        turns();
    }
    for (unsigned len = 1; len <= LIMIT_KEY_BYTES; len++) {
        cr_assert_eq(gateways[0].clients[len].events, 1);
        cr_assert_eq(gateways[0].clients[len].last_index, len);
        cr_assert_eq(gateways[0].clients[1000 + len].events, LIMIT_KEY_BYTES - len + 1);
    }
}

Test(live, scopes_do_not_hear_each_other)
{
    subscribe(1, "*");
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 2,
                                                         .scope = other_scope,
                                                         .topic = slice_text("t"),
                                                         .from_now = true,
                                                         .window = WINDOW}),
                 0);
    publish("t", "1");
    publish_in(&other_scope, "t", slice_text("2"));
    turns();
    cr_assert_str_eq(heard(1), "+0 e1");
    cr_assert_str_eq(heard(2), "+0 e2");
}

Test(live, what_was_before_does_not_come)
{
    publish("t", "1");
    commit();
    subscribe(1, "t");
    publish("t", "2");
    commit();
    cr_assert_str_eq(heard(1), "+1 e2");
}

Test(live, what_is_applied_but_not_committed_when_it_subscribes_is_before)
{
    publish("t", "1");
    subscribe(1, "t"); /* commits first */
    turns();
    cr_assert_str_eq(heard(1), "+1");
}

Test(live, an_event_is_sent_to_a_gateway_once_for_all_its_connections)
{
    for (uint64_t i = 1; i <= 50; i++)
        subscribe(i, i % 2 == 0 ? "t" : "t*");
    publish("t", "1");
    publish("t", "2");
    turns();
    cr_assert_eq(gateways[0].messages, 2);
    cr_assert_eq(gateways[0].deliveries, 100);
    cr_assert_eq(gateways[1].messages, 0);
}

Test(live, each_gateway_is_fed)
{
    const struct msg_subscribe msg = {.connection = 1,
                                      .scope = scope,
                                      .topic = slice_text("t"),
                                      .from_now = true,
                                      .window = WINDOW};
    cr_assert_eq(subscribe_as(0, &msg), 0);
    cr_assert_eq(subscribe_as(1, &msg), 0);
    publish("t", "1");
    turns();
    cr_assert_str_eq(heard_by(0, 1), "+0 e1");
    cr_assert_str_eq(heard_by(1, 1), "+0 e1");
    feeding_reconnect(0);
    publish("t", "1");
    turns();
    cr_assert_str_eq(heard_by(0, 1), "");
    cr_assert_str_eq(heard_by(1, 1), "e2");
}

Test(live, who_unsubscribed_hears_no_more)
{
    subscribe(1, "t");
    subscribe(2, "t");
    subscribe(3, "t");
    unsubscribe(1);
    unsubscribe(77);
    publish("t", "1");
    turns();
    cr_assert_str_eq(heard(1), "+0");
    cr_assert_str_eq(heard(2), "+0 e1");
    unsubscribe(3);
    unsubscribe(2);
    publish("t", "1");
    turns();
    cr_assert_str_eq(heard(2), "");
    cr_assert_eq(events.feeds[0].topics.topic_count, 0);
    cr_assert_eq(events.feeds[0].topics.scope_count, 0);
}

Test(live, a_number_in_use_is_refused)
{
    subscribe(1, "t");
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 1,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .window = 1}),
                 E_INVALID);
}

Test(live, the_gateway_is_told_how_far_live_connections_are)
{
    tell_reached();
    cr_assert_eq(gateways[0].reached, 0);
    subscribe(1, "t");
    for (unsigned i = 0; i < 5; i++)
        other_entry();
    turns();
    cr_assert(feed_has_reached(&events.feeds[0]));
    cr_assert(!feed_has_reached(&events.feeds[1]), "nobody listens there");
    tell_reached();
    cr_assert_eq(gateways[0].reached, 5);
    cr_assert(!feed_has_reached(&events.feeds[0]));
}

Test(live, a_subscription_ahead_of_the_log_gets_nothing_up_to_there)
{
    publish("t", "1");
    turns();
    subscribe_after(1, "t", 3);
    publish("t", "2");
    publish("t", "3");
    publish("t", "4");
    publish("t", "5");
    turns();
    cr_assert_str_eq(heard(1), "+3 l3 e4 e5");
}

Test(live, an_event_of_any_size_comes)
{
    static char data[3 << 20];
    memset(data, '1', sizeof(data));
    subscribe(1, "t");
    publish_in(&scope, "t", slice_of(data, sizeof(data)));
    publish("t", "2");
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 b1", "one event may overshoot the window");
    credit(1, sizeof(data) + EVENT_COST_BYTES + 1);
    turns();
    cr_assert_str_eq(heard(1), "e2 l2");
}

Test(live, other_commands_are_not_ours)
{
    const struct command command = {
        .operation = COMMAND_VALUE_DELETE, .scope = scope, .key = slice_text("k")};
    struct worker_result result = {0};
    struct command copy = command;
    cr_assert_eq(events_apply(&events, &(struct worker_turn){0}, &copy, &result), 0);
    cr_assert_eq(result.error, E_BAD_COMMAND);
}
