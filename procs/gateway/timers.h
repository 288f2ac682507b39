/* timers.h - boot-time timers in h2o's loop.
 *
 * h2o's own timeouts follow the wall clock, so a clock that is set back would hold up every
 * deadline; these run on CLOCK_BOOTTIME, by one timerfd. A timer that is asked for by an earlier
 * time is moved forward, never back: whoever is woken too early asks again. The kernel is told once
 * per turn, and only of something earlier than what it knows. Without timers nothing is armed.
 */
#ifndef INSI_GATEWAY_TIMERS_H
#define INSI_GATEWAY_TIMERS_H

#include <stdint.h>

#include <h2o.h>

#define TIMER_NEVER UINT64_MAX

typedef void timer_fn(void *arg);

struct timer { /* embedded by its owner */
    uint64_t due_ns;
    timer_fn *fire;
    void *arg;
    struct timer *next;
};

struct timers;

struct timers *timers_new(h2o_loop_t *loop);
void timers_add(struct timers *timers, struct timer *timer, timer_fn *fire,
                void *arg);                              /* for good */
void timer_set_by(struct timer *timer, uint64_t due_ns); /* fires then, or earlier if so set */
void timers_arm(struct timers *timers);                  /* at the end of every turn */

#endif
