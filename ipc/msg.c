/* msg.c - see msg.h. */
#include "ipc/msg.h"

enum msg_party {
    MSG_PARTY_ANY,
    MSG_PARTY_GATEWAY,
    MSG_PARTY_RAFT,
    MSG_PARTY_WORKER,
    MSG_PARTY_EVENTS
};

static bool msg_party_holds(enum msg_party party, enum proc proc)
{
    switch (party) {
    case MSG_PARTY_GATEWAY:
        return proc == PROC_GATEWAY;
    case MSG_PARTY_RAFT:
        return proc == PROC_RAFT;
    case MSG_PARTY_EVENTS:
        return proc == PROC_EVENTS;
    case MSG_PARTY_WORKER:
        return proc >= PROC_FIRST_WORKER && proc <= PROC_LAST_WORKER;
    default:
        return true;
    }
}

const char *msg_name(int type)
{
    switch (type) {
#define X(name, number, elements, from, to)                                                        \
    case number:                                                                                   \
        return #name;
        MSG_LIST(X)
#undef X
    default:
        return "?";
    }
}

int msg_elements(int type)
{
    switch (type) {
#define X(name, number, elements, from, to)                                                        \
    case number:                                                                                   \
        return elements;
        MSG_LIST(X)
#undef X
    default:
        return -1;
    }
}

bool msg_may_travel(int type, enum proc from, enum proc to)
{
    switch (type) {
#define X(name, number, elements, from_party, to_party)                                            \
    case number:                                                                                   \
        return msg_party_holds(MSG_PARTY_##from_party, from) &&                                    \
               msg_party_holds(MSG_PARTY_##to_party, to);
        MSG_LIST(X)
#undef X
    default:
        return false;
    }
}
