/* The list of messages: numbers, names, and who may say what to whom. */
#include <criterion/criterion.h>

#include "ipc/msg.h"

static const int types[] = {
#define X(name, number, elements, from, to) number,
    MSG_LIST(X)
#undef X
};

Test(msg, each_may_travel_one_way_only)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        int type = types[i];
        if (type == MSG_HELLO)
            continue; /* everybody's */
        unsigned ways = 0;
        for (int from = PROC_RAFT; from < PROC_COUNT; from++)
            for (int to = PROC_RAFT; to < PROC_COUNT; to++) {
                bool may = msg_may_travel(type, (enum proc)from, (enum proc)to);
                ways += may;
                cr_assert(!may || from != to, "%s", msg_name(type));
                cr_assert(!may || !msg_may_travel(type, (enum proc)to, (enum proc)from));
            }
        cr_assert(ways == 1 || ways == PROC_WORKER_COUNT, "%s", msg_name(type));
    }
    cr_assert(msg_may_travel(MSG_PROPOSE, PROC_GATEWAY, PROC_RAFT));
    cr_assert(msg_may_travel(MSG_APPLY, PROC_RAFT, PROC_EVENTS));
    cr_assert(msg_may_travel(MSG_RESULT, PROC_CACHEQ, PROC_GATEWAY));
    cr_assert(!msg_may_travel(MSG_APPLY, PROC_RAFT, PROC_GATEWAY));
}

Test(msg, an_unknown_number_is_no_message)
{
    cr_assert_str_eq(msg_name(9999), "?");
    cr_assert_eq(msg_elements(9999), -1);
    cr_assert(!msg_may_travel(9999, PROC_GATEWAY, PROC_RAFT));
    cr_assert_str_eq(msg_name(MSG_RESUME_OK), "RESUME_OK");
}
