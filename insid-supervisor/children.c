/* children.c - the table of a worker's life, its time limits and its restart delays. Pure: it may
 * be read and tested without a process. */
#include "insid-supervisor/children.h"

#include "base/check.h"

#define DELAY_FIRST_MS 100
#define DELAY_MAX_MS 5000
#define DELAY_RESET_MS 10000 /* alive for so long: earlier failures are forgotten */
#define OPERATOR_MS 1000     /* ends 0 after at least so long: an operator's restart */

#define RULE(action_, next_)                                                                       \
    {                                                                                              \
        CHILD_ACTION_##action_, CHILD_STATE_##next_                                                \
    }

/* Combinations that are not listed are NEVER: only the worker itself or its operator can surprise
 * us, and what they can do (READY, ANSWER, HANGUP, an end at any time) is listed wherever a process
 * can exist. Events of our own making come only where they make sense. */
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
                [CHILD_EVENT_STOP] = RULE(ASK, STOPPING),
            },
        [CHILD_STATE_LEAVING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, LEAVING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, LEAVING),
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
                [CHILD_EVENT_EXITED] = RULE(BACK_OFF, WAITING),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
                [CHILD_EVENT_STOP] = RULE(NOTHING, ENDING),
            },
        [CHILD_STATE_WAITING] =
            {
                [CHILD_EVENT_TIMEOUT] = RULE(SPAWN, STARTING),
                [CHILD_EVENT_STOP] = RULE(NOTHING, STOPPED),
            },
        [CHILD_STATE_STOPPING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, STOPPING),
                [CHILD_EVENT_TIMEOUT] = RULE(KILL, ENDING),
                [CHILD_EVENT_EXITED] = RULE(DONE, STOPPED),
                [CHILD_EVENT_GAVE_UP] = RULE(STOP_NODE, STOPPED),
            },
        [CHILD_STATE_ENDING] =
            {
                [CHILD_EVENT_READY] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_ANSWER] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_HANGUP] = RULE(IGNORE, ENDING),
                [CHILD_EVENT_TIMEOUT] = RULE(ABANDON, STOPPED),
                [CHILD_EVENT_EXITED] = RULE(DONE, STOPPED),
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

/* A gateway finishes its clients' requests; the others only what they hold. */
static uint64_t children_stop_ms(enum proc proc)
{
    return proc == PROC_GATEWAY ? 4000 : 1900;
}

uint64_t children_limit_ms(enum child_state state, enum proc proc)
{
    switch (state) {
    case CHILD_STATE_STARTING:
        return CHILDREN_START_MS;
    case CHILD_STATE_LEAVING:
        return CHILDREN_LEAVE_MS;
    case CHILD_STATE_STOPPING:
        return children_stop_ms(proc);
    case CHILD_STATE_ENDING:
        return CHILDREN_END_MS;
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

uint64_t children_delay_ms(unsigned *failures, const struct child_end *end)
{
    if (end->alive_ms >= DELAY_RESET_MS)
        *failures = 0;
    if (end->clean && end->alive_ms >= OPERATOR_MS)
        return 0;
    unsigned doublings = (*failures)++;
    if (doublings == 0)
        return 0;
    uint64_t delay = DELAY_FIRST_MS;
    while (--doublings > 0 && delay < DELAY_MAX_MS)
        delay *= 2;
    return delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS;
}
