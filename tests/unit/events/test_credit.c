/* Windows: a slow connection holds up nobody, and is told when it has missed the boat; a slow
 * gateway costs no memory. */
#include <string.h>

#include "feeding.h"
#include "ipc/link_private.h"

TestSuite(credit, .init = feeding_init, .fini = feeding_fini, .timeout = 120);

#define COST ((uint64_t)EVENT_COST_BYTES + 2) /* of publish("t", "1") */
#define EACH ((uint64_t)RING_EVENT_BYTES + 2) /* what it counts in the ring */
#define LINK_COST (COST + EVENT_CONNECTION_BYTES)

static void subscribe_with(uint64_t connection, uint64_t window, uint64_t unpaid)
{
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = connection,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .from_now = true,
                                                         .window = window,
                                                         .unpaid = unpaid}),
                 0);
}

static void publish_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        publish("t", "1");
    commit();
}

Test(credit, a_connection_gets_no_more_than_its_window)
{
    subscribe_with(1, 2 * COST, 0);
    subscribe_with(2, WINDOW, 0);
    publish_many(5);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 e2 b2");
    cr_assert_str_eq(heard(2), "+0 e1 e2 e3 e4 e5", "nobody waits for another");
}

Test(credit, it_reads_on_when_it_pays_and_is_live_at_the_end)
{
    subscribe_with(1, 2 * COST, 0);
    publish_many(5);
    turns();
    heard(1);
    credit(1, 2 * COST);
    turns();
    cr_assert_str_eq(heard(1), "e3 e4");
    credit(1, 2 * COST);
    turns();
    cr_assert_str_eq(heard(1), "e5 l5");
    publish_many(1);
    turns();
    cr_assert_str_eq(heard(1), "e6");
}

Test(credit, one_event_may_overshoot)
{
    subscribe_with(1, COST + 1, 0);
    publish_many(3);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 e2 b2");
    credit(1, COST - 1); /* it owes one byte more than its window has */
    turns();
    cr_assert_str_eq(heard(1), "");
    credit(1, 1);
    turns();
    cr_assert_str_eq(heard(1), "e3 l3");
}

Test(credit, what_it_owed_before_counts)
{
    subscribe_with(1, 2 * COST, 2 * COST);
    publish_many(1);
    turns();
    cr_assert_str_eq(heard(1), "+0 b0");
    credit(1, 1);
    turns();
    cr_assert_str_eq(heard(1), "e1 l1");
}

Test(credit, what_it_owed_before_counts_when_it_resumes)
{
    publish_many(3);
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 1,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .after = 1,
                                                         .window = COST,
                                                         .unpaid = 2 * COST}),
                 0);
    turns();
    cr_assert_str_eq(heard(1), "+1");
    credit(1, COST);
    turns();
    cr_assert_str_eq(heard(1), "");
    credit(1, COST);
    turns();
    cr_assert_str_eq(heard(1), "e2");
}

Test(credit, more_than_is_owed_pays_everything)
{
    subscribe_with(1, COST, 0);
    publish_many(1);
    credit(1, UINT64_MAX);
    credit(99, 5);
    credit(0, UINT64_MAX);
    publish_many(2);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 e2 b2");
}

Test(credit, who_is_behind_is_outrun_when_the_ring_drops_what_it_needs)
{
    events.retention_bytes = 4 * EACH;
    subscribe_with(1, 2 * COST, 0);
    publish_many(3);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 e2 b2");
    publish_many(2);
    publish("u", "1");
    commit();
    cr_assert_eq(events.ring.dropped_index, 2);
    cr_assert_str_eq(heard(1), "", "nothing that was to come is gone");
    publish("u", "1");
    commit();
    cr_assert_eq(events.ring.dropped_index, 3);
    cr_assert_str_eq(heard(1), "o2");
    credit(1, 2 * COST);
    unsubscribe(1);
    turns();
    cr_assert_str_eq(heard(1), "");
    cr_assert_eq(events.feeds[0].subscriptions.count, 0);
}

Test(credit, what_others_publish_outruns_nobody)
{
    events.retention_bytes = 4 * EACH;
    subscribe_with(1, COST, 0);
    publish_many(2);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 b1");
    credit(1, COST);
    turns();
    cr_assert_str_eq(heard(1), "e2 l2");
    subscribe_with(2, COST, COST); /* live; it will be parked with the first of its events */
    for (unsigned i = 0; i < 20; i++) {
        publish("u", "1");
        commit();
    }
    turns();
    publish_many(1);
    turns();
    cr_assert_str_eq(heard(2), "+2 b22");
    credit(2, COST);
    turns();
    cr_assert_str_eq(heard(2), "e23 l23");
}

Test(credit, the_link_holds_up_what_it_does_not_pay)
{
    static char data[64 << 10];
    memset(data, '1', sizeof(data));
    gateways[0].pays = false;
    subscribe_with(1, 1u << 30, 0);
    cr_assert_eq(subscribe_as(1, &(struct msg_subscribe){.connection = 1,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .from_now = true,
                                                         .window = 1u << 30}),
                 0);
    for (unsigned i = 0; i < 300; i++) {
        publish_in(&scope, "t", slice_of(data, sizeof(data)));
        if (i % 10 == 0)
            turn();
    }
    turns();
    uint64_t sent = gateways[0].clients[1].events;
    cr_assert_gt(sent, 50);
    cr_assert_lt(sent, 150);
    cr_assert_leq(gateways[0].owed, EVENT_LINK_WINDOW_BYTES + sizeof(data) + LINK_COST);
    cr_assert_eq(gateways[1].clients[1].events, 300, "the other gateway has everything");
    tell_reached();
    cr_assert_eq(gateways[0].reached, sent);
    while (gateways[0].owed > 0) {
        credit(0, gateways[0].owed);
        turns();
    }
    cr_assert_eq(gateways[0].clients[1].events, 300);
    tell_reached();
    cr_assert_eq(gateways[0].reached, 300);
}

Test(credit, a_gateway_that_pays_too_late_has_lost_only_those_who_missed_something)
{
    gateways[0].pays = false;
    events.retention_bytes = 4 * EACH;
    subscribe_with(1, WINDOW, 0);
    subscribe(2, "quiet");
    events.feeds[0].unpaid = EVENT_LINK_WINDOW_BYTES;
    gateways[0].owed = EVENT_LINK_WINDOW_BYTES;
    for (unsigned i = 0; i < 20; i++)
        publish_many(1);
    cr_assert_str_eq(heard(1), "+0 o0");
    cr_assert_str_eq(heard(2), "+0");
    publish("quiet", "1");
    commit();
    credit(0, EVENT_LINK_WINDOW_BYTES);
    turns();
    cr_assert_str_eq(heard(2), "e21");
}

Test(credit, sweeps_have_a_share_of_the_link)
{
    gateways[0].pays = false;
    publish_many(10);
    events.feeds[0].unpaid = gateways[0].owed = EVENT_LINK_WINDOW_BYTES - FEED_SWEEP_BYTES;
    subscribe_after(1, "t", 5);
    turns();
    cr_assert_str_eq(heard(1), "+5 e6 e7 e8 e9 e10 l10");
    publish_many(1);
    turns();
    cr_assert_str_eq(heard(1), "");
}

Test(credit, a_broken_gateway_is_refused_until_its_link_is_new)
{
    subscribe_with(1, WINDOW, 0);
    events.feeds[0].link->ready_bytes = LINK_QUEUE_BYTES;
    publish_many(1);
    turn();
    cr_assert(events.feeds[0].is_broken);
    events.feeds[0].link->ready_bytes = 0;
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 2,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .window = 1}),
                 E_INVALID);
    feeding_reconnect(0);
    subscribe_after(2, "t", 0);
    turns();
    cr_assert_str_eq(heard(2), "+0 e1 l1");
}
