/* Very many subscriptions: what an event costs does not depend on those that it is not for. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "feeding.h"

#define MANY 100000

TestSuite(many, .init = feeding_init, .fini = feeding_fini, .timeout = 300);

/* Exact topics, prefixes of many lengths, and some scopes. */
static void subscribe_many(void)
{
    for (unsigned i = 1; i <= MANY; i++) {
        char topic[64];
        struct scope where = scope;
        where.id[15] = (uint8_t)(i % 4);
        int len = snprintf(topic, sizeof(topic), i % 3 == 0 ? "prefix/%u/*" : "topic/%u", i);
        cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = i,
                                                             .scope = where,
                                                             .topic = slice_of(topic, (size_t)len),
                                                             .from_now = true,
                                                             .window = WINDOW}),
                     0);
    }
}

static void publish_to(unsigned i)
{
    char topic[64];
    struct scope where = scope;
    where.id[15] = (uint8_t)(i % 4);
    snprintf(topic, sizeof(topic), i % 3 == 0 ? "prefix/%u/x" : "topic/%u", i);
    publish_in(&where, topic, slice_text("1"));
}

static uint64_t publish_some_ns(unsigned count)
{
    uint64_t start_ns = clock_boot_ns();
    for (unsigned i = 0; i < count; i++)
        publish_to(1 + i * 7919 % MANY);
    turns();
    return clock_boot_ns() - start_ns;
}

Test(many, each_gets_what_is_its_own_and_the_others_cost_nothing)
{
    uint64_t alone_ns = publish_some_ns(20000);
    subscribe_many();
    uint64_t many_ns = publish_some_ns(20000);
    uint64_t deliveries = 0;
    for (unsigned i = 1; i <= MANY; i++)
        deliveries += gateways[0].clients[i].events;
    cr_assert_eq(deliveries, 20000);
    cr_assert_eq(gateways[0].messages, 20000);
    cr_assert_lt(many_ns, 20 * alone_ns + NS_PER_S, "%d ms, alone %d ms",
                 (int)(many_ns / NS_PER_MS), (int)(alone_ns / NS_PER_MS));
    for (unsigned i = 1; i <= MANY; i++)
        unsubscribe(i);
    cr_assert_eq(events.feeds[0].topics.topic_count, 0);
    cr_assert_eq(events.feeds[0].topics.scope_count, 0);
    cr_assert_eq(events.feeds[0].subscriptions.count, 0);
}

Test(many, of_one_topic_all_get_it_in_lists_that_are_bounded)
{
    for (unsigned i = 1; i <= MANY; i++)
        subscribe(i, "t");
    publish("t", "1");
    turns();
    cr_assert_eq(gateways[0].deliveries, MANY);
    cr_assert_eq(gateways[0].messages, 2);
    cr_assert_eq(gateways[0].entries_of_largest_list, EVENT_CONNECTIONS_MAX);
}

/* The link's window closes between the two lists. */
Test(many, an_event_that_is_sent_in_parts_comes_once_to_each)
{
    static char data[9 << 20];
    memset(data, '1', sizeof(data));
    gateways[0].pays = false;
    for (unsigned i = 1; i <= MANY; i++)
        subscribe(i, "t");
    publish_in(&scope, "t", slice_of(data, sizeof(data)));
    turns();
    cr_assert_eq(gateways[0].deliveries, EVENT_CONNECTIONS_MAX);
    tell_reached();
    cr_assert_eq(gateways[0].reached, 0);
    credit(0, gateways[0].owed);
    turns();
    cr_assert_eq(gateways[0].deliveries, MANY);
    cr_assert_eq(gateways[0].messages, 2);
    tell_reached();
    cr_assert_eq(gateways[0].reached, 1);
}

Test(many, all_resume_at_once)
{
    for (unsigned i = 0; i < 50; i++)
        publish("t", "1");
    commit();
    for (unsigned i = 1; i <= MANY; i++)
        subscribe_after(i, "t", i % 50);
    turns();
    uint64_t deliveries = 0;
    for (unsigned i = 1; i <= MANY; i++)
        deliveries += 50 - i % 50;
    cr_assert_eq(gateways[0].deliveries, deliveries);
}

Test(many, there_is_an_end_to_it)
{
    events.feeds[0].subscriptions.count = EVENT_SUBSCRIPTIONS_MAX;
    subscribe(1, "t");
    events.feeds[0].subscriptions.count = 0;
    char expected[16];
    snprintf(expected, sizeof(expected), "!%d", E_BUSY);
    cr_assert_str_eq(heard(1), expected);
}
