/* children.c - the table of a worker's life, its time limits and its restart delays. Pure: it may
 * be read and tested without a process. */
#include "insid-supervisor/children.h"

#include "base/check.h"

const struct child_limits children_limits = {
    .beat_ms = 1000,
    .answer_ms = 5000,
    .start_ms = 60000, /* raft may have gigabytes of log to verify before its loop turns */
    .leave_ms = 1000,
    .yield_ms = 2000,
    .stop_gateway_ms = 4000,
    .stop_ms = 1900,
    .end_ms = 500,
    .stop_total_ms = 9900,
    .delay_first_ms = 100,
    .delay_max_ms = 5000,
    .delay_reset_ms = 10000,
    .operator_ms = 1000,
};

#define RULE(action_, next_)                                                                       \
    {                                                                                              \
        CHILD_ACTION_##action_, CHILD_STATE_##next_                                                \
    }

/* Combinations that are not listed are NEVER: only the worker itself or its operator can surprise
 * us, and what they can do (READY, ANSWER, HANGUP, YIELDED, an end at any time) is listed wherever
 * a process can exist. Events of our own making come only where they make sense. */
static const struct child_rule children_rules[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] =
    {
        [CHILD_STATE_IDLE] =
            {
                [CHILD_EVENT_START] = RULE(SPAWN, STARTING),
                [CHILD_EVENT_STOP] = RULE(NOTHING, STOPPED),
            },
        [CHILD_STATE_STARTING] =
            {
                [CHILD_EVENT_READY] = RULE(ANNOUNCE, READY),
                [CHILD_EVENT_BEAT] = RULE(SEND_BEAT, STARTING),
                [CHILD_EVENT_ANSWER] = RULE(RENEW, STARTING),
                [CHILD_EVENT_HANGUP] = RULE(NOTHING, LEAVING),
                [CHILD_EVENT_TIMEOUT] = RULE(ABORT, LEAVING),
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_SPAWN_FAILED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, STARTING),
                [CHILD_EVENT_RESTART] = RULE(HASTEN, STARTING),
                [CHILD_EVENT_STOP] = RULE(ASK, STOPPING),
            },
        [CHILD_STATE_READY] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, READY),
                [CHILD_EVENT_BEAT] = RULE(SEND_BEAT, READY),
                [CHILD_EVENT_ANSWER] = RULE(RENEW, READY),
                [CHILD_EVENT_HANGUP] = RULE(NOTHING, LEAVING),
                [CHILD_EVENT_TIMEOUT] = RULE(ABORT, LEAVING),
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, READY),
                [CHILD_EVENT_RESTART] = RULE(ASK, RESTARTING),
                [CHILD_EVENT_STOP] = RULE(ASK, STOPPING),
            },
        [CHILD_STATE_RESTARTING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, RESTARTING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, RESTARTING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, RESTARTING),
                [CHILD_EVENT_TIMEOUT] = RULE(KILL, KILLING),
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, RESTARTING),
                [CHILD_EVENT_RESTART] = RULE(IGNORE, RESTARTING),
                [CHILD_EVENT_STOP] = RULE(NOTHING, STOPPING),
            },
        [CHILD_STATE_LEAVING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_RESTART] = RULE(HASTEN, LEAVING),
                [CHILD_EVENT_TIMEOUT] = RULE(KILL, KILLING),
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_STOP] = RULE(KILL, ENDING),
            },
        [CHILD_STATE_KILLING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, KILLING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, KILLING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, KILLING),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, KILLING),
                [CHILD_EVENT_RESTART] = RULE(HASTEN, KILLING),
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_STOP] = RULE(NOTHING, ENDING),
            },
        [CHILD_STATE_WAITING] =
            {
                [CHILD_EVENT_TIMEOUT] = RULE(SPAWN, STARTING),
                [CHILD_EVENT_RESTART] = RULE(SPAWN, STARTING),
                [CHILD_EVENT_STOP] = RULE(NOTHING, STOPPED),
            },
        [CHILD_STATE_STOPPING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_TIMEOUT] = RULE(KILL, ENDING),
                [CHILD_EVENT_EXITED] = RULE(NOTHING, STOPPED),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
            },
        [CHILD_STATE_ENDING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_TIMEOUT] = RULE(PASS_OVER, OVERDUE),
                [CHILD_EVENT_EXITED] = RULE(NOTHING, STOPPED),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
            },
        [CHILD_STATE_OVERDUE] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, OVERDUE),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, OVERDUE),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, OVERDUE),
                [CHILD_EVENT_YIELDED] = RULE(IGNORE, OVERDUE),
                [CHILD_EVENT_TIMEOUT] = RULE(ABANDON, STOPPED),
                [CHILD_EVENT_EXITED] = RULE(NOTHING, STOPPED),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
            },
        [CHILD_STATE_STOPPED] =
            {
                [CHILD_EVENT_STOP] = RULE(IGNORE, STOPPED),
            },
};

struct child_rule children_rule(enum child_state state, enum child_event event)
{
    CHECK((unsigned)state < CHILD_STATE_COUNT && (unsigned)event < CHILD_EVENT_COUNT);
    return children_rules[state][event];
}

const char *children_state_name(enum child_state state)
{
    static const char *const names[] = {
#define X(name, text) text,
        CHILD_STATES(X)
#undef X
    };
    return (unsigned)state < CHILD_STATE_COUNT ? names[state] : "?";
}

const char *children_event_name(enum child_event event)
{
    static const char *const names[] = {
#define X(name, text) text,
        CHILD_EVENTS(X)
#undef X
    };
    return (unsigned)event < CHILD_EVENT_COUNT ? names[event] : "?";
}

uint64_t children_limit_ms(const struct child_limits *limits, enum child_state state,
                           enum proc proc)
{
    switch (state) {
    case CHILD_STATE_STARTING:
        return limits->start_ms;
    case CHILD_STATE_LEAVING:
        return limits->leave_ms;
    case CHILD_STATE_RESTARTING:
    case CHILD_STATE_STOPPING:
        return proc == PROC_GATEWAY ? limits->stop_gateway_ms : limits->stop_ms;
    case CHILD_STATE_ENDING:
        return limits->end_ms;
    default:
        return 0;
    }
}

unsigned children_stop_round(enum proc proc)
{
    if (proc == PROC_GATEWAY)
        return 0;
    return proc == PROC_RAFT ? 2 : 1;
}

uint64_t children_delay_ms(const struct child_limits *limits, unsigned *failures,
                           const struct child_end *end)
{
    if (end->alive_ms >= limits->delay_reset_ms)
        *failures = 0;
    if (end->clean && end->alive_ms >= limits->operator_ms)
        return 0;
    unsigned doublings = (*failures)++;
    if (doublings == 0)
        return 0;
    uint64_t delay = limits->delay_first_ms;
    while (--doublings > 0 && delay < limits->delay_max_ms)
        delay *= 2;
    return delay < limits->delay_max_ms ? delay : limits->delay_max_ms;
}
