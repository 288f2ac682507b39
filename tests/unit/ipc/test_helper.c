/* A thread beside a loop. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/helper.h"

TestSuite(helper, .timeout = 30);

static struct loop *loop;
static pthread_t loop_thread;

struct work {
    struct helper_job job;
    unsigned number;
    bool stands_back;
    sem_t *waits_for; /* NULL: nothing */
    struct helper *gives_to;
    struct work *gives;
    pthread_t ran_in;
    int niceness;
};

static unsigned ran[64], done[64];
static atomic_uint ran_count;
static unsigned done_count, done_goal;

static void on_run(struct helper_job *job)
{
    struct work *work = (struct work *)job;
    if (work->waits_for != NULL)
        sem_wait(work->waits_for);
    if (work->stands_back)
        helper_stand_back();
    work->ran_in = pthread_self();
    work->niceness = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    ran[atomic_fetch_add(&ran_count, 1)] = work->number;
}

static void on_done(struct helper_job *job)
{
    struct work *work = (struct work *)job;
    cr_assert(pthread_equal(pthread_self(), loop_thread));
    cr_assert(!pthread_equal(work->ran_in, loop_thread));
    done[done_count++] = work->number;
    if (work->gives != NULL)
        helper_give(work->gives_to, &work->gives->job);
    if (done_count == done_goal)
        loop_stop(loop);
}

static struct work work_of(unsigned number)
{
    return (struct work){.job = {.run = on_run, .done = on_done}, .number = number};
}

static struct helper *begin(void)
{
    loop = loop_new();
    loop_thread = pthread_self();
    return helper_new(loop);
}

static void run_until(unsigned goal)
{
    done_goal = goal;
    loop_run(loop);
}

Test(helper, jobs_run_elsewhere_in_order_and_their_ends_come_in_the_loop)
{
    struct helper *helper = begin();
    struct work works[20];
    for (unsigned i = 0; i < 20; i++) {
        works[i] = work_of(i);
        helper_give(helper, &works[i].job);
    }
    run_until(20);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(ran[i], i);
        cr_assert_eq(done[i], i);
    }
    helper_free(&helper);
    cr_assert_null(helper);
    loop_free(&loop);
}

Test(helper, the_end_of_a_job_may_give_the_next_one)
{
    struct helper *helper = begin();
    struct work first = work_of(1), second = work_of(2);
    first.gives_to = helper;
    first.gives = &second;
    helper_give(helper, &first.job);
    run_until(2);
    cr_assert_eq(done[1], 2);
    helper_free(&helper);
    loop_free(&loop);
}

Test(helper, freeing_it_waits_for_the_job_that_runs_and_for_no_other)
{
    struct helper *helper = begin();
    sem_t gate;
    cr_assert_eq(sem_init(&gate, 0, 0), 0);
    struct work first = work_of(1), second = work_of(2);
    first.waits_for = &gate;
    helper_give(helper, &first.job);
    helper_give(helper, &second.job);
    sem_post(&gate);
    helper_free(&helper);
    cr_assert_leq(atomic_load(&ran_count), 2);
    cr_assert_eq(done_count, 0);
    loop_free(&loop);
}

Test(helper, a_thread_that_stands_back_leaves_the_loop_s_as_it_is)
{
    struct helper *helper = begin();
    int before = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    struct work work = work_of(1);
    work.stands_back = true;
    helper_give(helper, &work.job);
    run_until(1);
    cr_assert_gt(work.niceness, before);
    cr_assert_eq(getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)), before);
    helper_free(&helper);
    loop_free(&loop);
}
