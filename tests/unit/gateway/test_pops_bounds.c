/* Pops that wait: what a long wait costs others, and the bounds. */
#include "tests/unit/gateway/popping.h"

TestSuite(pops_bounds, .init = popping_start, .fini = popping_stop);

Test(pops_bounds, a_long_wait_does_not_use_up_the_window_for_others)
{
    struct client patient, other;
    struct sent sent = begin_waiting(&patient, 60000);
    for (unsigned i = 0; i < LIMIT_SESSION_WINDOW + 100; i++) {
        cr_assert_eq(begin(&other, 1000), 0, "%u", i);
        result(find_last(COMMAND_QUEUE_POP), 0, "item");
        expect(&other, 0);
    }
    cr_assert_eq(patient.told, 0);
    cr_assert_gt(rig.session_count, 1);
    result(&sent, 0, "mine");
    expect(&patient, 0);
    pass_ms(1);
    uint64_t sessions[POPS_SESSIONS];
    cr_assert_leq(pops_sessions(rig.pops, sessions), 2); /* the first one has gone */
}

/* A worker keeps what was popped until the floor has passed it, which a pop that waits prevents. */
Test(pops_bounds, a_long_wait_does_not_have_the_worker_keep_what_others_pop)
{
    static char item[1 << 20];
    const struct inflight_outcome large = {0, 1, slice_of(item, sizeof(item))};
    struct client patient, other;
    uint64_t waits_in = begin_waiting(&patient, 60000).session, there = 0;
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(begin(&other, 1000), 0);
        struct sent sent = *find_last(COMMAND_QUEUE_POP);
        there += sent.session == waits_in ? large.detail.len : 0;
        pops_on_result(rig.pops, PROC_CACHEQ, sent.session, sent.sequence, &large);
    }
    cr_assert_leq(there, POPS_HEAVY_BYTES);
    cr_assert_eq(rig.session_count, 2, "one in which nothing waits does for all");
    cr_assert_eq(patient.told, 0);
}

/* Cancels and renewals are nobody's: a connection that has all the pops it may does not hold up
 * those of others. */
Test(pops_bounds, a_connection_that_is_full_keeps_no_other_from_its_end_nor_from_its_renewal)
{
    static struct client greedy[2 * INFLIGHT_PER_ORIGIN];
    struct client client;
    cr_assert_eq(begin_from(&client, 400, 1000), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    result(&sent, E_QUEUE_WAITING, "");
    for (unsigned i = 0; i < 2 * INFLIGHT_PER_ORIGIN; i++)
        cr_assert_eq(begin_from(&greedy[i], 60000, i % 2 == 0 ? 0 : sent.sequence), 0);
    cr_assert_eq(begin_from(&greedy[0], 60000, 0), E_BUSY);
    pass_ms(400);
    const struct sent *cancel = find_last(COMMAND_QUEUE_POP_CANCEL);
    cr_assert(cancel != NULL && cancel->cancelled == sent.sequence);
    result(cancel, 0, "");
    expect(&client, E_QUEUE_EMPTY);
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 1);
}

Test(pops_bounds, so_many_wait_and_no_more)
{
    static struct client clients[POPS_MAX + 1];
    for (unsigned i = 0; i < POPS_MAX; i++)
        cr_assert_eq(begin(&clients[i], 60000), 0);
    cr_assert_eq(begin(&clients[POPS_MAX], 60000), E_BUSY);
    cr_assert_eq(pops_count(rig.pops), POPS_MAX);
}

/* ---- what the worker keeps, as it would count ---- */

#define KEEPERS 64

static char large_item[1 << 20];

static struct keeper {
    uint64_t session, sequences[SENT_MAX / KEEPERS], floor;
    unsigned count;
} keepers[KEEPERS];

static struct keeper *keeper_of(uint64_t session)
{
    unsigned i = 0;
    while (keepers[i].session != 0 && keepers[i].session != session)
        cr_assert_lt(++i, KEEPERS);
    keepers[i].session = session;
    return &keepers[i];
}

static unsigned looked_at; /* of what was sent */

/* What the floors that were sent leave there, in items of 1 MiB. */
static unsigned kept(void)
{
    unsigned count = 0;
    for (; looked_at < rig.sent_count; looked_at++) {
        struct keeper *keeper = keeper_of(rig.sent[looked_at].session);
        if (rig.sent[looked_at].floor > keeper->floor)
            keeper->floor = rig.sent[looked_at].floor;
    }
    for (unsigned i = 0; i < KEEPERS; i++) {
        for (unsigned j = 0; j < keepers[i].count; j++)
            count += keepers[i].sequences[j] >= keepers[i].floor;
    }
    return count;
}

static void feed_large(const struct sent *sent)
{
    const struct inflight_outcome large = {0, 1, slice_of(large_item, sizeof(large_item))};
    struct keeper *keeper = keeper_of(sent->session);
    keeper->sequences[keeper->count++] = sent->sequence;
    pops_on_result(rig.pops, PROC_CACHEQ, sent->session, sent->sequence, &large);
}

static unsigned answered; /* of what was sent */

/* The worker lets pops wait, cancels and renews. */
static void answer_all(void)
{
    for (; answered < rig.sent_count; answered++) {
        const struct sent sent = rig.sent[answered];
        if (sent.operation == COMMAND_QUEUE_POP)
            result(&sent, E_QUEUE_WAITING, "");
        else if (sent.operation != COMMAND_SESSION_OPEN)
            result(&sent, 0, "");
    }
}

/* One that waits in each session, while so many large items are popped. How many were not taken. */
static unsigned pop_large(struct client patient[POPS_SESSIONS], unsigned items, bool is_answering)
{
    unsigned refused = 0, most = 0;
    for (unsigned i = 0; i < items; i++) {
        struct client other;
        if (i % (POPS_HEAVY_BYTES >> 20) == 0 && i / (POPS_HEAVY_BYTES >> 20) < POPS_SESSIONS &&
            begin(&patient[i / (POPS_HEAVY_BYTES >> 20)], 60000) == 0)
            result(find_last(COMMAND_QUEUE_POP), E_QUEUE_WAITING, "");
        int error = begin(&other, 1000);
        refused += error == E_BUSY;
        if (error == 0) {
            feed_large(find_last(COMMAND_QUEUE_POP));
            expect(&other, 0);
        }
        pass_ms(1);
        answered = is_answering ? answered : rig.sent_count;
        answer_all();
        most = kept() > most ? kept() : most;
    }
    cr_assert_leq(most, POPS_SESSIONS * ((POPS_HEAVY_BYTES >> 20) + 1));
    return refused;
}

Test(pops_bounds, before_the_last_session_is_used_up_those_that_wait_in_one_go_on_in_another)
{
    struct client patient[POPS_SESSIONS] = {0};
    cr_assert_eq(pop_large(patient, 400, true), 0);
    for (unsigned i = 0; i < POPS_SESSIONS; i++)
        cr_assert_eq(patient[i].told, 0);
    cr_assert_gt(count_of(COMMAND_QUEUE_POP_CANCEL), 0);
    cr_assert_lt(count_of(COMMAND_QUEUE_POP_CANCEL), 100);
    struct sent moved = *find_last(COMMAND_QUEUE_POP);
    for (unsigned i = rig.sent_count; moved.wait_ms < 50000; i--)
        moved = rig.sent[i - 1];
    result(&moved, 0, "mine");
    unsigned told = 0;
    for (unsigned i = 0; i < POPS_SESSIONS; i++)
        told += patient[i].told;
    cr_assert_eq(told, 1);
}

Test(pops_bounds, when_none_can_be_emptied_pops_are_refused_and_the_worker_keeps_no_more)
{
    struct client patient[POPS_SESSIONS] = {0};
    cr_assert_gt(pop_large(patient, 400, false), 200);
}

Test(pops_bounds, one_that_waits_in_each_session_does_not_use_up_all_windows)
{
    struct client patient[10], other;
    for (unsigned i = 0; i < 10 * POPS_SPAN; i++) {
        if (i % POPS_SPAN == 0)
            begin_waiting(&patient[i / POPS_SPAN], 60000);
        cr_assert_eq(begin(&other, 1000), 0, "%u", i);
        result(find_last(COMMAND_QUEUE_POP), 0, "item");
        expect(&other, 0);
        answered = answered == 0 ? rig.sent_count : answered;
        if (i % 100 == 1) {
            pass_ms(1);
            answer_all();
        }
    }
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(patient[i].told, 0);
}

Test(pops_bounds, the_last_word_of_a_session_lets_the_worker_forget_all_of_it)
{
    struct client patient;
    struct sent sent = begin_waiting(&patient, 60000);
    for (unsigned i = 0; i <= POPS_HEAVY_BYTES >> 20; i++) {
        struct client other;
        cr_assert_eq(begin(&other, 1000), 0);
        feed_large(find_last(COMMAND_QUEUE_POP));
    }
    cr_assert_gt(kept(), 16 - 1);
    result(&sent, 0, "mine");
    cr_assert_eq(pops_due_ns(rig.pops), 0);
    pass_ms(0);
    const struct sent *last = find_last(COMMAND_QUEUE_WAIT_RENEW);
    cr_assert(last != NULL && last->session == sent.session);
    cr_assert_leq(kept(), 1); /* of the other session */
    result(last, 0, "");
    pass_ms(0);
    uint64_t sessions[POPS_SESSIONS];
    cr_assert_eq(pops_sessions(rig.pops, sessions), 1);
    cr_assert_neq(sessions[0], sent.session);
}
