/* The child table: every state meets every event. */
#include <criterion/criterion.h>

#include "insid-supervisor/children.h"

static void expect(enum child_state state, enum child_event event, enum child_state next,
                   enum child_action action)
{
    struct child_step step = child_step(state, event);
    cr_expect_eq(step.next, next, "%s, event %d: next is %s", child_state_name(state), event,
                 child_state_name(step.next));
    cr_expect_eq(step.action, action, "%s, event %d: action is %d", child_state_name(state), event,
                 step.action);
}

Test(children, a_good_life)
{
    expect(CHILD_STOPPED, CHILD_EVENT_START, CHILD_STARTING, CHILD_ACTION_SPAWN);
    expect(CHILD_STARTING, CHILD_EVENT_READY, CHILD_READY, CHILD_ACTION_ANNOUNCE);
    expect(CHILD_READY, CHILD_EVENT_STOP, CHILD_STOPPING, CHILD_ACTION_TELL);
    expect(CHILD_STOPPING, CHILD_EVENT_EXIT, CHILD_STOPPED, CHILD_ACTION_FORGET);
}

Test(children, an_end_is_followed_by_a_restart_whatever_came_before)
{
    static const enum child_state running[] = {CHILD_STARTING, CHILD_READY, CHILD_HUNG,
                                               CHILD_KILLED};
    for (unsigned i = 0; i < sizeof(running) / sizeof(running[0]); i++)
        expect(running[i], CHILD_EVENT_EXIT, CHILD_BACKOFF, CHILD_ACTION_SCHEDULE);
    expect(CHILD_BACKOFF, CHILD_EVENT_TIMEOUT, CHILD_STARTING, CHILD_ACTION_SPAWN);
}

Test(children, a_hung_child_is_aborted_and_then_killed)
{
    expect(CHILD_READY, CHILD_EVENT_TIMEOUT, CHILD_HUNG, CHILD_ACTION_ABORT);
    expect(CHILD_STARTING, CHILD_EVENT_TIMEOUT, CHILD_HUNG, CHILD_ACTION_ABORT);
    expect(CHILD_HUNG, CHILD_EVENT_TIMEOUT, CHILD_KILLED, CHILD_ACTION_KILL);
    expect(CHILD_KILLED, CHILD_EVENT_TIMEOUT, CHILD_KILLED, CHILD_ACTION_KILL);
}

Test(children, nothing_is_started_while_stopping)
{
    for (enum child_state state = CHILD_STOPPED; state < CHILD_STATE_COUNT; state++) {
        struct child_step step = child_step(state, CHILD_EVENT_STOP);
        cr_expect(step.next == CHILD_STOPPED || step.next == CHILD_STOPPING, "%s",
                  child_state_name(state));
        cr_expect_neq(step.action, CHILD_ACTION_SPAWN);
    }
    for (enum child_event event = CHILD_EVENT_START; event < CHILD_EVENT_COUNT; event++)
        cr_expect_neq(child_step(CHILD_STOPPING, event).action, CHILD_ACTION_SPAWN);
    expect(CHILD_STOPPING, CHILD_EVENT_TIMEOUT, CHILD_STOPPING, CHILD_ACTION_KILL);
    expect(CHILD_BACKOFF, CHILD_EVENT_STOP, CHILD_STOPPED, CHILD_ACTION_FORGET);
}

Test(children, late_and_repeated_words_change_nothing)
{
    expect(CHILD_READY, CHILD_EVENT_READY, CHILD_READY, CHILD_ACTION_NONE);
    expect(CHILD_HUNG, CHILD_EVENT_READY, CHILD_HUNG, CHILD_ACTION_NONE);
    expect(CHILD_STOPPING, CHILD_EVENT_READY, CHILD_STOPPING, CHILD_ACTION_NONE);
    expect(CHILD_STOPPED, CHILD_EVENT_EXIT, CHILD_STOPPED, CHILD_ACTION_NONE);
    expect(CHILD_READY, CHILD_EVENT_START, CHILD_READY, CHILD_ACTION_NONE);
}

Test(children, every_pair_has_an_answer_within_the_lists)
{
    for (enum child_state state = CHILD_STOPPED; state < CHILD_STATE_COUNT; state++)
        for (enum child_event event = CHILD_EVENT_START; event < CHILD_EVENT_COUNT; event++) {
            struct child_step step = child_step(state, event);
            cr_expect_lt(step.next, CHILD_STATE_COUNT);
            cr_expect_leq(step.action, CHILD_ACTION_FORGET);
            /* an unfilled cell of the table would mean STOPPED without an action */
            if (step.next == CHILD_STOPPED && state != CHILD_STOPPED)
                cr_expect_eq(step.action, CHILD_ACTION_FORGET, "%s, event %d",
                             child_state_name(state), event);
        }
}

Test(children, the_first_restart_is_at_once_then_delays_double_to_five_seconds)
{
    static const uint64_t expected[] = {0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (unsigned failures = 0; failures < 10; failures++)
        cr_expect_eq(child_backoff_ms(failures), expected[failures], "%u failures", failures);
    cr_expect_eq(child_backoff_ms(1000000), 5000);
}
