/* timers.c - see timers.h. */
#include "procs/gateway/timers.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

struct timers {
    struct timer *first;
    int fd;
    uint64_t armed_ns; /* TIMER_NEVER: not armed */
};

static void timers_on_ready(h2o_socket_t *socket, const char *error)
{
    struct timers *timers = socket->data;
    uint64_t count, now_ns = clock_boot_ns();
    (void)error;
    if (read(timers->fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    timers->armed_ns = TIMER_NEVER;
    for (struct timer *timer = timers->first; timer != NULL; timer = timer->next) {
        if (timer->due_ns <= now_ns) {
            timer->due_ns = TIMER_NEVER;
            timer->fire(timer->arg);
        }
    }
}

struct timers *timers_new(h2o_loop_t *loop)
{
    struct timers *timers = mem_alloc(sizeof(*timers));
    timers->armed_ns = TIMER_NEVER;
    timers->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(timers->fd >= 0);
    h2o_socket_t *socket = h2o_evloop_socket_create(loop, timers->fd, H2O_SOCKET_FLAG_DONT_READ);
    socket->data = timers;
    h2o_socket_read_start(socket, timers_on_ready);
    return timers;
}

void timers_add(struct timers *timers, struct timer *timer, timer_fn *fire, void *arg)
{
    *timer = (struct timer){.due_ns = TIMER_NEVER, .fire = fire, .arg = arg, .next = timers->first};
    timers->first = timer;
}

void timer_set_by(struct timer *timer, uint64_t due_ns)
{
    if (due_ns < timer->due_ns)
        timer->due_ns = due_ns;
}

void timers_arm(struct timers *timers)
{
    uint64_t due_ns = TIMER_NEVER;
    for (const struct timer *timer = timers->first; timer != NULL; timer = timer->next)
        due_ns = timer->due_ns < due_ns ? timer->due_ns : due_ns;
    if (due_ns >= timers->armed_ns)
        return;
    due_ns = due_ns > 0 ? due_ns : 1; /* zero would disarm */
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(due_ns / NS_PER_S), .tv_nsec = (long)(due_ns % NS_PER_S)}};
    CHECK(timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
    timers->armed_ns = due_ns;
}
