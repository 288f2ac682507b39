/* The table of a worker's life, its time limits and its restart delays. */
#include <criterion/criterion.h>

#include "insid-supervisor/children.h"

#define EXPECT(state, event, action_, next_)                                                       \
    do {                                                                                           \
        struct child_rule rule_ = children_rule(CHILD_STATE_##state, CHILD_EVENT_##event);         \
        cr_expect_eq(rule_.action, CHILD_ACTION_##action_, #state " " #event ": action %d",        \
                     rule_.action);                                                                \
        cr_expect_eq(rule_.next, CHILD_STATE_##next_, #state " " #event ": next is %s",            \
                     children_state_name(rule_.next));                                             \
    } while (0)

/* States in which a process exists. */
static const enum child_state living[] = {
    CHILD_STATE_STARTING, CHILD_STATE_READY,    CHILD_STATE_LEAVING, CHILD_STATE_RESTARTING,
    CHILD_STATE_KILLING,  CHILD_STATE_STOPPING, CHILD_STATE_ENDING,  CHILD_STATE_OVERDUE};
#define LIVING (sizeof(living) / sizeof(living[0]))

Test(children, a_good_life)
{
    EXPECT(IDLE, START, SPAWN, STARTING);
    EXPECT(STARTING, BEAT, SEND_BEAT, STARTING);
    EXPECT(STARTING, ANSWER, RENEW, STARTING);
    EXPECT(STARTING, READY, ANNOUNCE, READY);
    EXPECT(READY, BEAT, SEND_BEAT, READY);
    EXPECT(READY, ANSWER, RENEW, READY);
    EXPECT(READY, STOP, ASK, STOPPING);
    EXPECT(STOPPING, EXITED, NOTHING, STOPPED);
}

Test(children, an_end_is_followed_by_a_restart_whatever_came_before)
{
    EXPECT(STARTING, EXITED, BACK_OFF, WAITING);
    EXPECT(READY, EXITED, BACK_OFF, WAITING);
    EXPECT(LEAVING, EXITED, BACK_OFF, WAITING);
    EXPECT(KILLING, EXITED, BACK_OFF, WAITING);
    EXPECT(STARTING, SPAWN_FAILED, BACK_OFF, WAITING);
    EXPECT(WAITING, TIMEOUT, SPAWN, STARTING);
}

Test(children, an_operators_restart_is_asked_for_and_in_the_end_forced)
{
    EXPECT(READY, RESTART, ASK, RESTARTING);
    EXPECT(RESTARTING, EXITED, BACK_OFF, WAITING);
    EXPECT(RESTARTING, TIMEOUT, KILL, KILLING);
    EXPECT(RESTARTING, RESTART, IGNORE, RESTARTING);
    EXPECT(RESTARTING, STOP, NOTHING, STOPPING); /* it has been asked to end already */
    EXPECT(WAITING, RESTART, SPAWN, STARTING);   /* no need to wait for the delay */
    /* it ends anyhow, or may: then it is started without a delay */
    EXPECT(STARTING, RESTART, HASTEN, STARTING);
    EXPECT(LEAVING, RESTART, HASTEN, LEAVING);
    EXPECT(KILLING, RESTART, HASTEN, KILLING);
}

Test(children, a_hung_worker_is_aborted_and_then_killed)
{
    EXPECT(STARTING, TIMEOUT, ABORT, LEAVING);
    EXPECT(READY, TIMEOUT, ABORT, LEAVING);
    EXPECT(LEAVING, TIMEOUT, KILL, KILLING);
}

Test(children, a_worker_that_hangs_up_is_given_time_to_end_by_itself)
{
    EXPECT(STARTING, HANGUP, NOTHING, LEAVING);
    EXPECT(READY, HANGUP, NOTHING, LEAVING);
    EXPECT(LEAVING, TIMEOUT, KILL, KILLING);
}

Test(children, a_worker_that_does_not_stop_is_killed_and_at_last_abandoned)
{
    EXPECT(STARTING, STOP, ASK, STOPPING);
    EXPECT(STOPPING, TIMEOUT, KILL, ENDING);
    EXPECT(ENDING, EXITED, NOTHING, STOPPED);
    EXPECT(ENDING, TIMEOUT, PASS_OVER, OVERDUE);
    EXPECT(OVERDUE, EXITED, NOTHING, STOPPED);
    EXPECT(OVERDUE, TIMEOUT, ABANDON, STOPPED);
}

Test(children, what_hangs_already_is_not_asked_to_stop)
{
    EXPECT(LEAVING, STOP, KILL, ENDING);
    EXPECT(KILLING, STOP, NOTHING, ENDING);
}

Test(children, a_worker_that_no_restart_can_help_stops_the_node_from_wherever_it_is)
{
    for (size_t i = 0; i < LIVING; i++) {
        struct child_rule rule = children_rule(living[i], CHILD_EVENT_GAVE_UP);
        cr_expect_eq(rule.action, CHILD_ACTION_STOP_NODE, "%s", children_state_name(living[i]));
        cr_expect_eq(rule.next, CHILD_STATE_STOPPED);
    }
}

Test(children, nothing_is_started_once_it_was_asked_to_stop)
{
    static const enum child_state after[] = {CHILD_STATE_STOPPING, CHILD_STATE_ENDING,
                                             CHILD_STATE_OVERDUE, CHILD_STATE_STOPPED};
    for (int state = 0; state < CHILD_STATE_COUNT; state++) {
        struct child_rule rule = children_rule((enum child_state)state, CHILD_EVENT_STOP);
        cr_expect_neq(rule.action, CHILD_ACTION_SPAWN);
        bool is_after = false;
        for (unsigned i = 0; i < 4; i++)
            is_after |= rule.next == after[i];
        /* stopping is not asked for twice: supervise.c asks each round once */
        cr_expect(is_after || rule.action == CHILD_ACTION_NEVER, "%s",
                  children_state_name((enum child_state)state));
    }
    for (unsigned i = 0; i < 4; i++)
        for (int event = 0; event < CHILD_EVENT_COUNT; event++) {
            struct child_rule rule = children_rule(after[i], (enum child_event)event);
            cr_expect_neq(rule.action, CHILD_ACTION_SPAWN);
            cr_expect_neq(rule.action, CHILD_ACTION_BACK_OFF);
        }
}

Test(children, nothing_that_a_worker_does_can_surprise_the_table)
{
    static const enum child_event its_own[] = {CHILD_EVENT_READY,  CHILD_EVENT_ANSWER,
                                               CHILD_EVENT_HANGUP, CHILD_EVENT_YIELDED,
                                               CHILD_EVENT_EXITED, CHILD_EVENT_GAVE_UP};
    for (size_t i = 0; i < LIVING; i++)
        for (unsigned e = 0; e < sizeof(its_own) / sizeof(its_own[0]); e++)
            cr_expect_neq(children_rule(living[i], its_own[e]).action, CHILD_ACTION_NEVER, "%s, %s",
                          children_state_name(living[i]), children_event_name(its_own[e]));
}

Test(children, late_and_repeated_words_change_nothing)
{
    EXPECT(READY, READY, IGNORE, READY);
    for (size_t i = 2; i < LIVING; i++) {
        static const enum child_event words[] = {CHILD_EVENT_READY, CHILD_EVENT_ANSWER,
                                                 CHILD_EVENT_HANGUP, CHILD_EVENT_YIELDED};
        for (unsigned w = 0; w < 4; w++) {
            struct child_rule rule = children_rule(living[i], words[w]);
            cr_expect_eq(rule.action, CHILD_ACTION_IGNORE, "%s", children_state_name(living[i]));
            cr_expect_eq(rule.next, living[i]);
        }
    }
}

Test(children, a_state_with_a_time_limit_knows_what_to_do_when_it_is_over)
{
    for (int state = 0; state < CHILD_STATE_COUNT; state++)
        if (children_limit_ms(&children_limits, (enum child_state)state, PROC_RAFT) > 0)
            cr_expect_neq(children_rule((enum child_state)state, CHILD_EVENT_TIMEOUT).action,
                          CHILD_ACTION_NEVER, "%s", children_state_name((enum child_state)state));
    cr_expect_gt(children_limit_ms(&children_limits, CHILD_STATE_LEAVING, PROC_RAFT), 0);
    cr_expect_eq(children_limit_ms(&children_limits, CHILD_STATE_READY, PROC_RAFT), 0);
}

Test(children, states_and_events_have_names)
{
    cr_expect_str_eq(children_state_name(CHILD_STATE_IDLE), "idle");
    cr_expect_str_eq(children_state_name(CHILD_STATE_STOPPED), "stopped");
    cr_expect_str_eq(children_state_name(CHILD_STATE_COUNT), "?");
    cr_expect_str_eq(children_event_name(CHILD_EVENT_START), "start");
    cr_expect_str_eq(children_event_name(CHILD_EVENT_STOP), "stop");
    cr_expect_str_eq(children_event_name(CHILD_EVENT_COUNT), "?");
}

Test(children, the_stop_goes_from_the_clients_to_the_log_and_fits_into_ten_seconds)
{
    uint64_t sum = 0;
    cr_expect_eq(children_stop_round(PROC_GATEWAY), 0);
    cr_expect_eq(children_stop_round(PROC_STORAGE), 1);
    cr_expect_eq(children_stop_round(PROC_CACHEQ), 1);
    cr_expect_eq(children_stop_round(PROC_EVENTS), 1);
    cr_expect_eq(children_stop_round(PROC_RAFT), 2);
    static const enum proc of_round[CHILDREN_STOP_ROUNDS] = {PROC_GATEWAY, PROC_STORAGE, PROC_RAFT};
    for (unsigned round = 0; round < CHILDREN_STOP_ROUNDS; round++)
        sum += children_limit_ms(&children_limits, CHILD_STATE_STOPPING, of_round[round]) +
               children_limit_ms(&children_limits, CHILD_STATE_ENDING, of_round[round]);
    cr_expect_leq(sum, children_limits.stop_total_ms);
    cr_expect_lt(children_limits.stop_total_ms, 10000);
    /* what raft takes to hand over is the gateways', who keep some of it */
    cr_expect_leq(children_limits.yield_ms + 1500, children_limits.stop_gateway_ms);
}

/* ---- delays ---- */

static uint64_t delay(unsigned *failures, bool clean, uint64_t alive_ms)
{
    const struct child_end end = {clean, alive_ms};
    return children_delay_ms(&children_limits, failures, &end);
}

Test(children, the_first_restart_is_at_once_then_delays_double_to_five_seconds)
{
    static const uint64_t expected[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    unsigned failures = 0;
    for (unsigned i = 0; i < 9; i++)
        cr_expect_eq(delay(&failures, false, 5), expected[i], "end %u", i);
    failures = 1000000;
    cr_expect_eq(delay(&failures, false, 9999), 5000);
}

Test(children, ten_seconds_of_life_are_a_new_beginning)
{
    unsigned failures = 7;
    cr_expect_eq(delay(&failures, false, 10000), 0);
    cr_expect_eq(delay(&failures, false, 10), 100);
}

Test(children, an_operators_restart_is_at_once_and_not_counted)
{
    unsigned failures = 0;
    for (unsigned i = 0; i < 20; i++)
        cr_expect_eq(delay(&failures, true, 1000), 0);
    cr_expect_eq(failures, 0);
    failures = 3;
    cr_expect_eq(delay(&failures, true, 5000), 0);
    cr_expect_eq(failures, 3, "nor does it forgive what was before");
}

Test(children, a_worker_that_ends_at_once_is_no_operators_doing)
{
    unsigned failures = 0;
    cr_expect_eq(delay(&failures, true, 999), 0);
    cr_expect_eq(delay(&failures, true, 999), 100);
    cr_expect_eq(delay(&failures, true, 999), 200);
}
