/* children.c - the table. Rows are states, columns events; read it before you read supervise.c. */
#include "insid-supervisor/children.h"

#include "base/check.h"

#define STAY(state)                                                                                \
    {                                                                                              \
        CHILD_##state, CHILD_ACTION_NONE                                                           \
    }
#define GO(state, action)                                                                          \
    {                                                                                              \
        CHILD_##state, CHILD_ACTION_##action                                                       \
    }

static const struct child_step child_table[CHILD_STATE_COUNT][CHILD_EVENT_COUNT] = {
    [CHILD_STOPPED] = {[CHILD_EVENT_START] = GO(STARTING, SPAWN),
                       [CHILD_EVENT_READY] = STAY(STOPPED),
                       [CHILD_EVENT_EXIT] = STAY(STOPPED),
                       [CHILD_EVENT_TIMEOUT] = STAY(STOPPED),
                       [CHILD_EVENT_STOP] = STAY(STOPPED)},
    [CHILD_STARTING] = {[CHILD_EVENT_START] = STAY(STARTING),
                        [CHILD_EVENT_READY] = GO(READY, ANNOUNCE),
                        [CHILD_EVENT_EXIT] = GO(BACKOFF, SCHEDULE),
                        [CHILD_EVENT_TIMEOUT] = GO(HUNG, ABORT),
                        [CHILD_EVENT_STOP] = GO(STOPPING, TELL)},
    [CHILD_READY] = {[CHILD_EVENT_START] = STAY(READY),
                     [CHILD_EVENT_READY] = STAY(READY),
                     [CHILD_EVENT_EXIT] = GO(BACKOFF, SCHEDULE),
                     [CHILD_EVENT_TIMEOUT] = GO(HUNG, ABORT),
                     [CHILD_EVENT_STOP] = GO(STOPPING, TELL)},
    [CHILD_HUNG] = {[CHILD_EVENT_START] = STAY(HUNG),
                    [CHILD_EVENT_READY] = STAY(HUNG), /* too late: it is being ended */
                    [CHILD_EVENT_EXIT] = GO(BACKOFF, SCHEDULE),
                    [CHILD_EVENT_TIMEOUT] = GO(KILLED, KILL),
                    [CHILD_EVENT_STOP] = GO(STOPPING, KILL)},
    [CHILD_KILLED] = {[CHILD_EVENT_START] = STAY(KILLED),
                      [CHILD_EVENT_READY] = STAY(KILLED),
                      [CHILD_EVENT_EXIT] = GO(BACKOFF, SCHEDULE),
                      [CHILD_EVENT_TIMEOUT] = GO(KILLED, KILL),
                      [CHILD_EVENT_STOP] = STAY(STOPPING)},
    [CHILD_BACKOFF] = {[CHILD_EVENT_START] = STAY(BACKOFF),
                       [CHILD_EVENT_READY] = STAY(BACKOFF),
                       [CHILD_EVENT_EXIT] = STAY(BACKOFF),
                       [CHILD_EVENT_TIMEOUT] = GO(STARTING, SPAWN),
                       [CHILD_EVENT_STOP] = GO(STOPPED, FORGET)},
    [CHILD_STOPPING] = {[CHILD_EVENT_START] = STAY(STOPPING),
                        [CHILD_EVENT_READY] = STAY(STOPPING),
                        [CHILD_EVENT_EXIT] = GO(STOPPED, FORGET),
                        [CHILD_EVENT_TIMEOUT] = GO(STOPPING, KILL),
                        [CHILD_EVENT_STOP] = STAY(STOPPING)},
};

struct child_step child_step(enum child_state state, enum child_event event)
{
    CHECK(state < CHILD_STATE_COUNT && event < CHILD_EVENT_COUNT);
    return child_table[state][event];
}

const char *child_state_name(enum child_state state)
{
    static const char *const names[] = {"stopped", "starting", "ready",   "hung",
                                        "killed",  "backoff",  "stopping"};
    CHECK(state < CHILD_STATE_COUNT);
    return names[state];
}

uint64_t child_backoff_ms(unsigned failures)
{
    uint64_t delay = CHILD_BACKOFF_FIRST_MS;
    if (failures <= 1)
        return 0;
    for (unsigned i = 2; i < failures && delay < CHILD_BACKOFF_MAX_MS; i++)
        delay *= 2;
    return delay < CHILD_BACKOFF_MAX_MS ? delay : CHILD_BACKOFF_MAX_MS;
}
