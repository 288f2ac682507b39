/* loop.h - the event loop of a worker (epoll): descriptors, timers, end-of-turn runners.
 *
 * One turn: wait until the next timer or event, dispatch every ready descriptor, fire due timers,
 * then call every runner in order of registration (links flush there: batching costs no timer).
 * Nothing polls: without events and timers the process sleeps. Single-threaded: whoever has
 * something to say from another thread writes to a descriptor of his own (ipc/helper.h).
 * The gateway runs h2o's loop instead and hosts link descriptors there.
 */
#ifndef INSI_IPC_LOOP_H
#define INSI_IPC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

typedef void loop_fd_fn(void *arg);
typedef void loop_timer_fn(void *arg);
typedef void loop_runner_fn(void *arg);

struct loop_timer {  /* embedded by its owner, zeroed before first use */
    uint64_t due_ns; /* boot time; 0 = not set */
    loop_timer_fn *fire;
    void *arg;
    unsigned heap_slot; /* the loop's: position + 1, 0 = not queued */
};

struct loop *loop_new(void);
void loop_free(struct loop **loop);

int loop_add_fd(struct loop *loop, int fd, loop_fd_fn *ready, void *arg); /* readable; E_IO */
void loop_remove_fd(struct loop *loop, int fd); /* allowed from within any callback */
/* Whether ready is to be called when the descriptor is writable, too. At first: no. */
void loop_watch_write(struct loop *loop, int fd, bool wants);
int loop_add_runner(struct loop *loop, loop_runner_fn *run, void *arg);     /* at most 96; E_BUSY */
void loop_remove_runner(struct loop *loop, loop_runner_fn *run, void *arg); /* not from a runner */

/* Has the runners called once more before the loop sleeps: for work that a runner made for another
 * one which had its turn already. */
void loop_run_again(struct loop *loop);

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

uint64_t loop_now_ns(const struct loop *loop); /* boot time at the start of this turn */
void loop_run(struct loop *loop);              /* until loop_stop */
void loop_stop(struct loop *loop);

#endif
