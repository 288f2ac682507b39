/* loop.c - see loop.h. epoll for descriptors, a binary heap of timers whose
 * earliest member is epoll's timeout. */
#include "ipc/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define LOOP_RUNNERS 96 /* a link each: raft has one per gateway and worker */
#define LOOP_EVENTS 64
#define LOOP_TIMERS_FIRST 16
#define LOOP_RUNNER_ROUNDS 8 /* then descriptors get their turn again */

struct loop_source {
    int fd;
    bool wants_write;
    loop_fd_fn *ready; /* NULL once removed */
    void *arg;
    struct loop_source *next_removed;
};

struct loop_runner {
    loop_runner_fn *run;
    void *arg;
};

struct loop {
    int epoll_fd;
    bool stopped, again;
    uint64_t now_ns;
    struct loop_source **sources; /* by descriptor */
    size_t source_capacity;
    struct loop_source *removed; /* freed at the end of the turn: events may still name them */
    struct loop_runner runners[LOOP_RUNNERS];
    unsigned runner_count;
    struct loop_timer **timers; /* binary heap by due_ns; timer->heap_slot is position + 1 */
    unsigned timer_count, timer_capacity;
};

/* ---- descriptors ---- */

struct loop *loop_new(void)
{
    struct loop *loop = mem_alloc(sizeof(*loop));
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(loop->epoll_fd >= 0);
    loop->now_ns = clock_boot_ns();
    return loop;
}

static void loop_free_removed(struct loop *loop)
{
    while (loop->removed != NULL) {
        struct loop_source *source = loop->removed;
        loop->removed = source->next_removed;
        free(source);
    }
}

void loop_free(struct loop **loop_pointer)
{
    struct loop *loop = *loop_pointer;
    if (loop == NULL)
        return;
    *loop_pointer = NULL;
    for (size_t i = 0; i < loop->source_capacity; i++)
        free(loop->sources[i]);
    loop_free_removed(loop);
    for (unsigned i = 0; i < loop->timer_count; i++)
        loop->timers[i]->heap_slot = 0;
    free((void *)loop->sources);
    free((void *)loop->timers);
    close(loop->epoll_fd);
    free(loop);
}

int loop_add_fd(struct loop *loop, int fd, loop_fd_fn *ready, void *arg)
{
    CHECK(fd >= 0 && ready != NULL);
    size_t slot = (size_t)fd;
    if (slot >= loop->source_capacity) {
        size_t capacity = slot + 64;
        loop->sources = mem_resize((void *)loop->sources, capacity * sizeof(struct loop_source *));
        memset((void *)(loop->sources + loop->source_capacity), 0,
               (capacity - loop->source_capacity) * sizeof(struct loop_source *));
        loop->source_capacity = capacity;
    }
    CHECK(loop->sources[slot] == NULL);
    struct loop_source *source = mem_alloc(sizeof(*source));
    source->fd = fd;
    source->ready = ready;
    source->arg = arg;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(source);
        return E_IO;
    }
    loop->sources[slot] = source;
    return 0;
}

void loop_remove_fd(struct loop *loop, int fd)
{
    CHECK(fd >= 0);
    if ((size_t)fd >= loop->source_capacity || loop->sources[fd] == NULL)
        return;
    struct loop_source *source = loop->sources[fd];
    loop->sources[fd] = NULL;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    source->ready = NULL;
    source->next_removed = loop->removed;
    loop->removed = source;
}

void loop_watch_write(struct loop *loop, int fd, bool wants)
{
    CHECK(fd >= 0 && (size_t)fd < loop->source_capacity && loop->sources[fd] != NULL);
    struct loop_source *source = loop->sources[fd];
    if (source->wants_write == wants)
        return;
    source->wants_write = wants;
    struct epoll_event event = {.events = EPOLLIN | (wants ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = source};
    CHECK(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
}

/* ---- runners ---- */

int loop_add_runner(struct loop *loop, loop_runner_fn *run, void *arg)
{
    if (loop->runner_count == LOOP_RUNNERS)
        return E_BUSY;
    loop->runners[loop->runner_count++] = (struct loop_runner){run, arg};
    return 0;
}

void loop_remove_runner(struct loop *loop, loop_runner_fn *run, void *arg)
{
    for (unsigned i = 0; i < loop->runner_count; i++) {
        if (loop->runners[i].run == run && loop->runners[i].arg == arg) {
            memmove(&loop->runners[i], &loop->runners[i + 1],
                    (loop->runner_count - i - 1) * sizeof(loop->runners[0]));
            loop->runner_count--;
            return;
        }
    }
}

void loop_run_again(struct loop *loop)
{
    loop->again = true;
}

static void loop_run_runners(struct loop *loop)
{
    for (unsigned round = 0; round < LOOP_RUNNER_ROUNDS; round++) {
        loop->again = false;
        for (unsigned i = 0; i < loop->runner_count; i++)
            loop->runners[i].run(loop->runners[i].arg);
        if (!loop->again)
            return;
    }
}

/* ---- timers ---- */

static void loop_timer_place(struct loop *loop, unsigned slot, struct loop_timer *timer)
{
    loop->timers[slot] = timer;
    timer->heap_slot = slot + 1;
}

static void loop_timer_sift_up(struct loop *loop, unsigned slot, struct loop_timer *timer)
{
    while (slot > 0) {
        unsigned parent = (slot - 1) / 2;
        if (loop->timers[parent]->due_ns <= timer->due_ns)
            break;
        loop_timer_place(loop, slot, loop->timers[parent]);
        slot = parent;
    }
    loop_timer_place(loop, slot, timer);
}

static void loop_timer_sift_down(struct loop *loop, unsigned slot, struct loop_timer *timer)
{
    for (;;) {
        unsigned child = 2 * slot + 1;
        if (child >= loop->timer_count)
            break;
        if (child + 1 < loop->timer_count &&
            loop->timers[child + 1]->due_ns < loop->timers[child]->due_ns)
            child++;
        if (loop->timers[child]->due_ns >= timer->due_ns)
            break;
        loop_timer_place(loop, slot, loop->timers[child]);
        slot = child;
    }
    loop_timer_place(loop, slot, timer);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    timer->due_ns = 0;
    if (timer->heap_slot == 0)
        return;
    unsigned slot = timer->heap_slot - 1;
    CHECK(slot < loop->timer_count && loop->timers[slot] == timer);
    timer->heap_slot = 0;
    struct loop_timer *last = loop->timers[--loop->timer_count];
    if (last == timer)
        return;
    if (slot > 0 && loop->timers[(slot - 1) / 2]->due_ns > last->due_ns)
        loop_timer_sift_up(loop, slot, last);
    else
        loop_timer_sift_down(loop, slot, last);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t due_ns)
{
    CHECK(timer->fire != NULL && due_ns != 0);
    if (timer->heap_slot != 0 && timer->due_ns == due_ns)
        return;
    loop_timer_clear(loop, timer);
    if (loop->timer_count == loop->timer_capacity)
        loop->timers = mem_grow((void *)loop->timers, &loop->timer_capacity,
                                sizeof(struct loop_timer *), LOOP_TIMERS_FIRST);
    timer->due_ns = due_ns;
    loop_timer_sift_up(loop, loop->timer_count++, timer);
}

/* Fires what is due now; what is set meanwhile, even for now, waits for the next turn. */
static void loop_fire_timers(struct loop *loop)
{
    for (unsigned left = loop->timer_count; left > 0 && loop->timer_count > 0; left--) {
        struct loop_timer *timer = loop->timers[0];
        if (timer->due_ns > loop->now_ns)
            return;
        loop_timer_clear(loop, timer);
        timer->fire(timer->arg);
    }
}

/* ---- the loop ---- */

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

static int loop_wait(struct loop *loop, struct epoll_event *events)
{
    struct timespec timeout = {0, 0};
    const struct timespec *limit = &timeout;
    if (loop->again) {
        /* runners have more to do: only look */
    } else if (loop->timer_count == 0) {
        limit = NULL;
    } else {
        uint64_t due_ns = loop->timers[0]->due_ns;
        uint64_t now_ns = clock_boot_ns();
        uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
        timeout.tv_sec = (time_t)(wait_ns / NS_PER_S);
        timeout.tv_nsec = (long)(wait_ns % NS_PER_S);
    }
    int count = epoll_pwait2(loop->epoll_fd, events, LOOP_EVENTS, limit, NULL);
    CHECK(count >= 0 || errno == EINTR);
    return count > 0 ? count : 0;
}

void loop_run(struct loop *loop)
{
    struct epoll_event events[LOOP_EVENTS];
    loop->stopped = false;
    while (!loop->stopped) {
        int count = loop_wait(loop, events);
        loop->now_ns = clock_boot_ns();
        for (int i = 0; i < count; i++) {
            struct loop_source *source = events[i].data.ptr;
            if (source->ready != NULL)
                source->ready(source->arg);
        }
        loop_fire_timers(loop);
        loop_run_runners(loop);
        loop_free_removed(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
