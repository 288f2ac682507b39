/* link_timer.h - the one timer of a link. It runs on NNG's clock, because a link is hosted by more
 * than one kind of loop; it is heard of by LINK_EVENT_TIMER. */
#ifndef INSI_IPC_LINK_TIMER_H
#define INSI_IPC_LINK_TIMER_H

#include <nng/nng.h>

#include "ipc/link_inbox.h"

struct link_timer {
    struct link_inbox *inbox;
    nng_aio *aio;
    bool is_asleep;    /* the aio sleeps, or its event is on its way to us */
    uint64_t wakes_ms; /* boot time, when asleep */
    uint64_t due_ms;   /* boot time; 0: not set */
};

int link_timer_init(struct link_timer *timer, struct link_inbox *inbox); /* E_IO */
void link_timer_fini(struct link_timer *timer);

void link_timer_set(struct link_timer *timer, uint64_t wait_ms); /* from now, instead of before */
void link_timer_clear(struct link_timer *timer);

/* On LINK_EVENT_TIMER: whether it was due; then it is no longer set. */
bool link_timer_is_due(struct link_timer *timer);

#endif
