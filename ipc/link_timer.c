/* link_timer.c - see link_timer.h. */
#include "ipc/link_timer.h"

#include "base/clock.h"
#include "base/error.h"

static void timer_on_wake(void *arg)
{
    struct link_timer *timer = arg;
    link_inbox_put(timer->inbox, (struct link_event){.kind = LINK_EVENT_TIMER});
    link_inbox_wake(timer->inbox);
}

int link_timer_init(struct link_timer *timer, struct link_inbox *inbox)
{
    *timer = (struct link_timer){.inbox = inbox};
    return nng_aio_alloc(&timer->aio, timer_on_wake, timer) == 0 ? 0 : E_IO;
}

void link_timer_fini(struct link_timer *timer)
{
    if (timer->aio != NULL)
        nng_aio_stop(timer->aio);
    nng_aio_free(timer->aio);
    timer->aio = NULL;
}

static void timer_sleep(struct link_timer *timer, uint64_t now_ms)
{
    uint64_t wait_ms = timer->due_ms > now_ms ? timer->due_ms - now_ms : 0;
    timer->is_asleep = true;
    timer->wakes_ms = now_ms + wait_ms;
    nng_sleep_aio((nng_duration)wait_ms, timer->aio);
}

void link_timer_set(struct link_timer *timer, uint64_t wait_ms)
{
    uint64_t now_ms = clock_boot_ms();
    timer->due_ms = now_ms + wait_ms;
    if (!timer->is_asleep)
        timer_sleep(timer, now_ms);
    else if (timer->due_ms < timer->wakes_ms)
        nng_aio_cancel(timer->aio); /* ends the sleep: the event comes, and what is left is slept */
}

void link_timer_clear(struct link_timer *timer)
{
    timer->due_ms = 0;
}

bool link_timer_is_due(struct link_timer *timer)
{
    uint64_t now_ms = clock_boot_ms();
    timer->is_asleep = false;
    if (timer->due_ms == 0)
        return false;
    if (timer->due_ms > now_ms) {
        timer_sleep(timer, now_ms);
        return false;
    }
    timer->due_ms = 0;
    return true;
}
