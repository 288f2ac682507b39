/* Resuming: what is retained comes, then what is new, without a hole or a double; and what is not
 * retained is told as a gap. */
#include "feeding.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

TestSuite(resume, .init = feeding_init, .fini = feeding_fini, .timeout = 120);

#define EACH ((uint64_t)RING_EVENT_BYTES + 2) /* what publish("t", "1") counts in the ring */

static void publish_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        publish("t", "1");
        commit();
    }
}

Test(resume, what_is_retained_comes_and_then_what_is_new)
{
    publish_many(5);
    subscribe_after(1, "t", 2);
    turns();
    cr_assert_str_eq(heard(1), "+2 e3 e4 e5 l5");
    publish_many(1);
    cr_assert_str_eq(heard(1), "e6");
}

Test(resume, from_the_end_is_live_at_once)
{
    publish_many(5);
    subscribe_after(1, "t", 5);
    cr_assert_str_eq(heard(1), "+5 l5");
    publish_many(1);
    cr_assert_str_eq(heard(1), "e6");
}

Test(resume, only_what_is_of_the_topic_and_the_scope_comes)
{
    publish("t", "1");
    publish("u", "1");
    publish_in(&other_scope, "t", slice_text("1"));
    publish("t", "1");
    other_entry();
    turns();
    subscribe_after(1, "t", 0);
    turns();
    cr_assert_str_eq(heard(1), "+0 e1 e4 l5");
}

Test(resume, what_is_dropped_is_a_gap)
{
    events.retention_bytes = 3 * EACH;
    publish_many(10); /* of which the last transaction's stays in any case */
    uint64_t dropped = events.ring.dropped_index;
    cr_assert_eq(dropped, 7);
    subscribe_after(1, "t", 2);
    turns();
    cr_assert_str_eq(heard(1), "+2 g3-7 e8 e9 e10 l10");
    subscribe_after(2, "t", 7);
    turns();
    cr_assert_str_eq(heard(2), "+7 e8 e9 e10 l10",
                     "nothing is missing behind the last one dropped");
    subscribe_after(3, "t", 0);
    turns();
    cr_assert_str_eq(heard(3), "+0 g1-7 e8 e9 e10 l10");
}

Test(resume, behind_a_gap_is_where_it_is)
{
    events.retention_bytes = 3 * EACH;
    publish_many(10);
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 1,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .after = 2,
                                                         .window = 1,
                                                         .unpaid = 1}),
                 0);
    cr_assert_str_eq(heard(1), "+2 g3-7");
    publish_many(3);
    cr_assert_str_eq(heard(1), "o7");
}

Test(resume, retention_goes_by_bytes)
{
    events.retention_bytes = 10 * EACH;
    publish_many(10);
    cr_assert_eq(events.ring.dropped_index, 0);
    publish("a longer topic", "and more data than before");
    commit();
    publish_many(1);
    cr_assert_eq(events.ring.bytes <= events.retention_bytes, true);
    cr_assert_gt(events.ring.dropped_index, 0);
    events.retention_bytes = 1;
    publish_many(1);
    cr_assert_eq(events.ring.dropped_index, 12, "all but those of the last transaction");
    cr_assert_eq(events.ring.bytes, EACH);
}

Test(resume, a_smaller_retention_takes_effect_without_anything_published)
{
    struct config config = {.events.retention_bytes = 10 * EACH};
    for (unsigned i = 0; i < 3 * EVENTS_DROP_STEP; i++)
        publish("t", "1");
    turns();
    cr_assert_not(events_have_housework(&events));
    events_configured(&events, &config);
    cr_assert(events_have_housework(&events));
    turn();
    cr_assert_eq(events.ring.dropped_index, EVENTS_DROP_STEP);
    turns();
    cr_assert_eq(events.ring.bytes, 10 * EACH);
    config.events.retention_bytes = 5 * EACH; /* while it is down */
    events.retention_bytes = 5 * EACH;
    feeding_restart();
    turns();
    cr_assert_eq(events.ring.bytes, 5 * EACH);
    config.events.retention_bytes = 50 * EACH;
    events_configured(&events, &config);
    cr_assert_not(events_have_housework(&events));
}

Test(resume, live_connections_get_what_a_small_ring_drops_at_once)
{
    events.retention_bytes = 1;
    subscribe(1, "t");
    for (unsigned i = 0; i < 300; i++) {
        publish("t", "1");
        if (i % 7 == 0)
            commit();
    }
    turns();
    heard(1);
    cr_assert_eq(gateways[0].clients[1].events, 300);
}

Test(resume, a_long_way_is_gone_in_steps_while_new_events_come)
{
    for (unsigned i = 0; i < 3 * FEED_SWEEP_EVENTS; i++)
        publish("t", "1");
    commit();
    subscribe(2, "t");
    heard(2);
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = 1,
                                                         .scope = scope,
                                                         .topic = slice_text("t"),
                                                         .window = 1u << 30}),
                 0);
    unsigned count = 0;
    bool more = true;
    while (more) {
        publish("t", "1");
        more = turn();
        count++;
    }
    cr_assert_gt(count, 3);
    cr_assert_eq(gateways[0].clients[1].events, last_index);
    cr_assert_eq(gateways[0].clients[2].events, count);
}

Test(resume, many_that_are_behind_read_the_ring_together)
{
    publish_many(100);
    for (uint64_t i = 1; i <= 60; i++)
        subscribe_after(i, "t", i);
    turns();
    cr_assert_eq(gateways[0].messages, 99);
    for (uint64_t i = 1; i <= 60; i++)
        cr_assert_eq(gateways[0].clients[i].events, 100 - i);
}

Test(resume, who_comes_behind_a_sweep_waits_for_the_next_one)
{
    for (unsigned i = 0; i < 2 * FEED_SWEEP_EVENTS; i++)
        publish("t", "1");
    commit();
    const struct msg_subscribe first = {
        .connection = 1, .scope = scope, .topic = slice_text("t"), .window = 1u << 30};
    struct msg_subscribe second = first;
    cr_assert_eq(subscribe_as(0, &first), 0);
    cr_assert(turn());
    second.connection = 2;
    second.after = 10;
    cr_assert_eq(subscribe_as(0, &second), 0);
    turns();
    cr_assert_eq(gateways[0].clients[1].events, last_index);
    cr_assert_eq(gateways[0].clients[2].events, last_index - 10);
}

/* The worker and the gateway's link begin anew; the ring is there, and so is what it remembers. */
Test(resume, a_restarted_worker_goes_on_from_its_ring)
{
    subscribe(1, "t");
    publish_many(5);
    cr_assert_str_eq(heard(1), "+0 e1 e2 e3 e4 e5");
    publish("t", "lost with the process");
    feeding_restart();
    cr_assert_eq(last_index, 5);
    subscribe_after(1, "t", 3);
    publish_many(2);
    turns();
    cr_assert_str_eq(heard(1), "+3 e4 e5 e6 e7 l7");
}

/* A rebuilt map: the gateway knows more than the worker, which applies the same log once more. */
Test(resume, a_worker_that_begins_anew_repeats_nothing)
{
    subscribe_after(1, "t", 5);
    publish_many(5);
    cr_assert_str_eq(heard(1), "+5 l5");
    publish_many(1);
    cr_assert_str_eq(heard(1), "e6");
}

Test(resume, a_snapshot_takes_the_ring_along)
{
    events.retention_bytes = 3 * EACH;
    publish_many(10);
    feeding_move();
    cr_assert_eq(events.ring.dropped_index, 7);
    subscribe_after(1, "t", 8);
    turns();
    cr_assert_str_eq(heard(1), "+8 e9 e10 l10");
}

/* As if another node had applied them: nobody here is told, not even of what is dropped. */
static void publish_elsewhere(unsigned count)
{
    struct link *link = events.feeds[0].link;
    events.feeds[0].link = NULL;
    publish_many(count);
    events.feeds[0].link = link;
}

Test(resume, a_snapshot_that_leaps_ahead_is_caught_up_with)
{
    subscribe(1, "t");
    subscribe(2, "quiet");
    publish_many(3);
    cr_assert_str_eq(heard(1), "+0 e1 e2 e3");
    publish_elsewhere(5);
    feeding_move();
    publish_many(1);
    turns();
    cr_assert_str_eq(heard(1), "e4 e5 e6 e7 e8 e9");
    cr_assert_str_eq(heard(2), "+0");
}

Test(resume, a_snapshot_that_lacks_what_a_connection_has_to_get_outruns_it)
{
    subscribe(1, "t");
    subscribe(2, "quiet");
    publish_many(3);
    subscribe_after(3, "t", 7);
    cr_assert_str_eq(heard(1), "+0 e1 e2 e3");
    events.retention_bytes = 2 * EACH;
    publish_elsewhere(6);
    cr_assert_eq(events.ring.dropped_index, 7);
    feeding_move();
    turns();
    cr_assert_str_eq(heard(1), "o3");
    cr_assert_str_eq(heard(2), "+0 o3", "nobody knows what of its topic is missing");
    cr_assert_str_eq(heard(3), "+7 l7 e8 e9");
}

Test(resume, deleted_scopes_publish_no_more_and_leave_nothing)
{
    for (unsigned i = 0; i < 1000; i++) {
        publish("t", "1");
        publish_in(&other_scope, "t", slice_text("1"));
    }
    commit();
    cr_assert_eq(purge(&other_scope, 0), 0);
    publish_in(&other_scope, "t", slice_text("1"));
    cr_assert_eq(last_error, E_SCOPE_GONE);
    publish("t", "1");
    cr_assert_eq(last_error, 0);
    commit();
    cr_assert(events_have_housework(&events));
    turns();
    cr_assert_not(events_have_housework(&events));
    cr_assert_eq(events.ring.bytes, 1001 * EACH);
    cr_assert_eq(purge(&other_scope, 1), 0, "a later step of storage's");
    subscribe_after(1, "t", 0);
    turns();
    heard(1);
    cr_assert_eq(gateways[0].clients[1].events, 1001);
}

Test(resume, purging_goes_on_after_a_restart)
{
    for (unsigned i = 0; i < 1000; i++)
        publish_in(&other_scope, "t", slice_text("1"));
    cr_assert_eq(purge(&other_scope, 0), 0);
    commit();
    cr_assert(events_have_housework(&events));
    feeding_restart();
    cr_assert(events_have_housework(&events));
    turns();
    cr_assert_not(events_have_housework(&events));
    cr_assert_eq(events.ring.bytes, 0);
    publish_in(&other_scope, "t", slice_text("1"));
    cr_assert_eq(last_error, E_SCOPE_GONE);
}

/* Connections that come and go at random, with windows that fill and are paid at random, while the
 * ring drops: each gets what is of its topic behind its beginning, all of it and in order, until it
 * is outrun. (That each comes once and in order is looked at by feeding.c.) */
Test(resume, whatever_happens_nothing_is_missed)
{
    enum { CONNECTIONS = 40, ROUNDS = 3000 };
    static uint64_t begun[CONNECTIONS + 1], mine[CONNECTIONS + 1];
    struct rng rng;
    rng_init(&rng, 42);
    events.retention_bytes = 200 * EACH;
    unsigned checked = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t i = rng_below(&rng, 20); i > 0; i--) {
            publish(rng_below(&rng, 2) == 0 ? "t" : "u", "1");
            if (rng_below(&rng, 5) == 0)
                commit();
        }
        uint64_t who = 1 + rng_below(&rng, CONNECTIONS);
        if (begun[who] == 0) {
            begun[who] = 1;
            cr_assert_eq(
                subscribe_as(0, &(struct msg_subscribe){.connection = who,
                                                        .scope = scope,
                                                        .topic = slice_text("*"),
                                                        .after = last_index -
                                                                 rng_below(&rng, last_index + 1),
                                                        .window = 1 + rng_below(&rng, 5000)}),
                0);
        }
        for (uint64_t i = 1; i <= CONNECTIONS; i++)
            if (rng_below(&rng, 3) == 0)
                credit(i, rng_below(&rng, 3000));
        turn();
        for (uint64_t i = 1; i <= CONNECTIONS; i++) {
            char *rest = NULL, *text = strdup(heard(i));
            for (char *word = strtok_r(text, " ", &rest); word != NULL;
                 word = strtok_r(NULL, " ", &rest)) {
                uint64_t number = strtoull(word + 1, NULL, 10);
                if (word[0] == '+')
                    mine[i] = number;
                else if (word[0] == 'g') {
                    cr_assert_eq(number, mine[i] + 1);
                    mine[i] = strtoull(strchr(word, '-') + 1, NULL, 10);
                } else if (word[0] == 'e') {
                    cr_assert_eq(number, mine[i] + 1, "every entry here is an event of '*'");
                    mine[i] = number;
                    checked++;
                } else {
                    cr_assert_eq(number, mine[i], "%s: it had been sent everything up to %d", word,
                                 (int)mine[i]);
                    if (word[0] == 'o') {
                        begun[i] = 0;
                        gateways[0].clients[i].last_index = 0;
                    }
                }
            }
            free(text);
        }
    }
    cr_assert_gt(checked, 50000);
}
