/* The event loop: timers, descriptors, runners, waking. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "ipc/loop.h"

static struct loop *loop;

static void open_loop(void)
{
    loop = loop_new();
}

static void close_loop(void)
{
    loop_free(&loop);
    cr_assert_null(loop);
}

TestSuite(loop, .init = open_loop, .fini = close_loop, .timeout = 20);

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void stop_in_ms(struct loop_timer *timer, unsigned ms)
{
    timer->fire = stop;
    loop_timer_set(loop, timer, clock_boot_ns() + ms * NS_PER_MS);
}

/* ---- timers ---- */

#define MANY 500
static struct loop_timer many[MANY];
static unsigned fired_order[MANY], fired_count;

static void note_fired(void *arg)
{
    struct loop_timer *timer = arg;
    fired_order[fired_count++] = (unsigned)(timer - many);
}

Test(loop, timers_fire_in_the_order_of_their_due_times_and_cleared_ones_never)
{
    uint64_t due[MANY], now_ns = clock_boot_ns();
    unsigned expected = 0;
    srand(3);
    for (unsigned i = 0; i < MANY; i++) {
        many[i].fire = note_fired;
        many[i].arg = &many[i];
        loop_timer_set(loop, &many[i], now_ns + (uint64_t)(rand() % 1000000) + 1);
        due[i] = many[i].due_ns;
    }
    for (unsigned i = 0; i < MANY; i += 3) {
        due[i] = now_ns + (uint64_t)(rand() % 3000000);
        loop_timer_set(loop, &many[i], due[i]); /* moved while queued */
    }
    for (unsigned i = 0; i < MANY; i += 5) {
        loop_timer_clear(loop, &many[i]);
        due[i] = 0;
    }
    struct loop_timer end = {0};
    stop_in_ms(&end, 20);
    loop_run(loop);
    for (unsigned i = 0; i < MANY; i++)
        expected += due[i] != 0;
    cr_assert_eq(fired_count, expected);
    for (unsigned i = 0; i < fired_count; i++) {
        cr_assert_neq(due[fired_order[i]], 0, "a cleared timer fired");
        cr_assert(i == 0 || due[fired_order[i - 1]] <= due[fired_order[i]]);
        cr_assert_eq(many[fired_order[i]].due_ns, 0, "a fired timer is not set any more");
    }
}

static struct loop_timer again_timer, victim_timer;
static unsigned again_count, victim_count;

static void fire_again(void *arg)
{
    (void)arg;
    loop_timer_clear(loop, &victim_timer);
    if (++again_count < 5)
        loop_timer_set(loop, &again_timer, loop_now_ns(loop)); /* due at once: next turn */
    else
        loop_stop(loop);
}

static void fire_victim(void *arg)
{
    (void)arg;
    victim_count++;
}

Test(loop, a_timer_may_set_itself_and_clear_another_one_that_is_due)
{
    uint64_t now_ns = clock_boot_ns();
    again_timer.fire = fire_again;
    victim_timer.fire = fire_victim;
    loop_timer_set(loop, &again_timer, now_ns);
    loop_timer_set(loop, &victim_timer, now_ns + 1);
    loop_run(loop);
    cr_assert_eq(again_count, 5);
    cr_assert_eq(victim_count, 0);
}

Test(loop, a_timer_is_never_early_and_not_late_by_a_scheduler_tick)
{
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < 200 && best_ns >= 900000; i++) { /* the machine may be busy */
        struct loop_timer timer = {.fire = stop};
        uint64_t due_ns = clock_boot_ns() + 2 * NS_PER_MS + 300000;
        loop_timer_set(loop, &timer, due_ns);
        loop_run(loop);
        uint64_t now_ns = clock_boot_ns();
        cr_assert_geq(now_ns, due_ns);
        best_ns = now_ns - due_ns < best_ns ? now_ns - due_ns : best_ns;
    }
    cr_assert_lt(best_ns, 900000, "late by %llu ns at best", (unsigned long long)best_ns);
}

/* ---- descriptors ---- */

struct source {
    int fd;
    unsigned count;
    struct source *removes;
};

static void consume(void *arg)
{
    struct source *source = arg;
    uint64_t value;
    source->count++;
    cr_assert_eq(read(source->fd, &value, sizeof(value)), sizeof(value));
    if (source->removes != NULL) {
        loop_remove_fd(loop, source->removes->fd);
        close(source->removes->fd);
        source->removes = NULL;
    }
    loop_stop(loop);
}

static void signal_source(const struct source *source)
{
    uint64_t one = 1;
    cr_assert_eq(write(source->fd, &one, sizeof(one)), sizeof(one));
}

Test(loop, a_ready_descriptor_is_dispatched)
{
    struct source source = {.fd = eventfd(0, EFD_CLOEXEC)};
    cr_assert_eq(loop_add_fd(loop, source.fd, consume, &source), 0);
    signal_source(&source);
    loop_run(loop);
    cr_assert_eq(source.count, 1);
    loop_remove_fd(loop, source.fd);
    loop_remove_fd(loop, source.fd); /* a second time is harmless */
    close(source.fd);
}

Test(loop, a_callback_may_remove_another_ready_descriptor_and_its_own)
{
    struct source a = {.fd = eventfd(0, EFD_CLOEXEC)}, b = {.fd = eventfd(0, EFD_CLOEXEC)};
    a.removes = &b;
    b.removes = &a;
    cr_assert_eq(loop_add_fd(loop, a.fd, consume, &a), 0);
    cr_assert_eq(loop_add_fd(loop, b.fd, consume, &b), 0);
    signal_source(&a);
    signal_source(&b);
    loop_run(loop);
    cr_assert_eq(a.count + b.count, 1, "whoever came first removed the other");
    struct source *left = a.count == 1 ? &a : &b;
    left->removes = left;
    signal_source(left);
    loop_run(loop);
    cr_assert_eq(left->count, 2);
}

Test(loop, a_descriptor_number_can_be_used_again)
{
    for (int i = 0; i < 3; i++) {
        struct source source = {.fd = eventfd(0, EFD_CLOEXEC)};
        cr_assert_eq(loop_add_fd(loop, source.fd, consume, &source), 0);
        signal_source(&source);
        loop_run(loop);
        cr_assert_eq(source.count, 1);
        loop_remove_fd(loop, source.fd);
        close(source.fd);
    }
}

Test(loop, what_epoll_does_not_take_is_an_error)
{
    char path[] = "/tmp/insi-loop-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    unlink(path);
    cr_assert_eq(loop_add_fd(loop, fd, consume, NULL), E_IO);
    loop_remove_fd(loop, fd);
    close(fd);
}

static struct {
    int fd;
    unsigned calls;
} writable;

static void on_writable(void *arg)
{
    (void)arg;
    if (++writable.calls == 3)
        loop_watch_write(loop, writable.fd, false);
}

Test(loop, a_descriptor_is_watched_for_writing_only_as_long_as_it_is_wanted)
{
    int pair[2];
    struct loop_timer end = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    writable.fd = pair[0];
    cr_assert_eq(loop_add_fd(loop, pair[0], on_writable, NULL), 0);
    stop_in_ms(&end, 20);
    loop_run(loop);
    cr_assert_eq(writable.calls, 0);
    loop_watch_write(loop, pair[0], true);
    stop_in_ms(&end, 20);
    loop_run(loop);
    cr_assert_eq(writable.calls, 3);
    cr_assert_eq(write(pair[1], "x", 1), 1);
    stop_in_ms(&end, 20);
    loop_run(loop);
    cr_assert_gt(writable.calls, 3, "reading goes on");
    loop_remove_fd(loop, pair[0]);
    close(pair[0]);
    close(pair[1]);
}

/* ---- runners ---- */

static unsigned runner_calls[3], runner_wishes;

static void fire_nothing(void *arg)
{
    (void)arg;
}

static void run_first(void *arg)
{
    (void)arg;
    runner_calls[0]++;
}

static void run_second(void *arg)
{
    (void)arg;
    cr_assert_eq(runner_calls[1] + 1, runner_calls[0], "runners run in order of registration");
    runner_calls[1]++;
    if (runner_wishes > 0) {
        runner_wishes--;
        loop_run_again(loop);
    }
}

Test(loop, runners_end_every_turn_and_again_means_before_sleeping)
{
    struct loop_timer timer = {.fire = stop};
    cr_assert_eq(loop_add_runner(loop, run_first, NULL), 0);
    cr_assert_eq(loop_add_runner(loop, run_second, NULL), 0);
    loop_timer_set(loop, &timer, clock_boot_ns());
    loop_run(loop);
    cr_assert_eq(runner_calls[1], 1, "the turn that stops is finished");
    runner_wishes = 100; /* more than the rounds of one turn: descriptors get a chance between */
    struct loop_timer first = {.fire = fire_nothing};
    loop_timer_set(loop, &first, clock_boot_ns());
    loop_timer_set(loop, &timer, clock_boot_ns() + 50 * NS_PER_MS);
    loop_run(loop);
    cr_assert_eq(runner_wishes, 0);
    cr_assert_eq(runner_calls[1], 1 + 100 + 1 + 1, "each wish, the round after, and the last turn");
    loop_remove_runner(loop, run_first, NULL);
    loop_remove_runner(loop, run_second, NULL);
    loop_timer_set(loop, &timer, clock_boot_ns());
    loop_run(loop);
    cr_assert_eq(runner_calls[1], 103);
}

Test(loop, an_idle_loop_takes_no_turns)
{
    struct loop_timer timer = {0};
    cr_assert_eq(loop_add_runner(loop, run_first, NULL), 0);
    stop_in_ms(&timer, 100);
    loop_run(loop);
    cr_assert_leq(runner_calls[0], 2);
}

Test(loop, runners_are_bounded)
{
    for (int i = 0; i < 96; i++)
        cr_assert_eq(loop_add_runner(loop, run_first, NULL), 0);
    cr_assert_eq(loop_add_runner(loop, run_first, NULL), E_BUSY);
}
