/* helper.c - see helper.h. */
#include "ipc/helper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"

#define HELPER_NICE 10
/* <linux/ioprio.h>, which older headers lack */
#define HELPER_IOPRIO_THREAD 1
#define HELPER_IOPRIO_IDLE (3 << 13)

struct helper_list {
    struct helper_job *first, **end;
};

struct helper {
    struct loop *loop;
    int wake_fd;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct helper_list waiting, finished;
    bool stops;
};

static void helper_list_init(struct helper_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void helper_list_add(struct helper_list *list, struct helper_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static struct helper_job *helper_list_take(struct helper_list *list)
{
    struct helper_job *job = list->first;
    if (job == NULL)
        return NULL;
    list->first = job->next;
    if (list->first == NULL)
        list->end = &list->first;
    return job;
}

/* NULL: the end. */
static struct helper_job *helper_next(struct helper *helper)
{
    pthread_mutex_lock(&helper->mutex);
    while (helper->waiting.first == NULL && !helper->stops)
        pthread_cond_wait(&helper->work, &helper->mutex);
    struct helper_job *job = helper->stops ? NULL : helper_list_take(&helper->waiting);
    pthread_mutex_unlock(&helper->mutex);
    return job;
}

static void helper_finish(struct helper *helper, struct helper_job *job)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&helper->mutex);
    helper_list_add(&helper->finished, job);
    pthread_mutex_unlock(&helper->mutex);
    CHECK(write(helper->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void *helper_run(void *arg)
{
    struct helper *helper = arg;
    for (struct helper_job *job; (job = helper_next(helper)) != NULL;) {
        job->run(job);
        helper_finish(helper, job);
    }
    return NULL;
}

static void helper_on_finished(void *arg)
{
    struct helper *helper = arg;
    uint64_t count;
    ssize_t got = read(helper->wake_fd, &count, sizeof(count));
    CHECK(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    for (;;) {
        pthread_mutex_lock(&helper->mutex);
        struct helper_job *job = helper_list_take(&helper->finished);
        pthread_mutex_unlock(&helper->mutex);
        if (job == NULL)
            return;
        job->done(job);
    }
}

struct helper *helper_new(struct loop *loop)
{
    struct helper *helper = mem_alloc(sizeof(*helper));
    helper->loop = loop;
    helper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(helper->wake_fd >= 0);
    helper_list_init(&helper->waiting);
    helper_list_init(&helper->finished);
    CHECK(pthread_mutex_init(&helper->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&helper->work, NULL) == 0);
    CHECK(loop_add_fd(loop, helper->wake_fd, helper_on_finished, helper) == 0);
    CHECK(pthread_create(&helper->thread, NULL, helper_run, helper) == 0);
    return helper;
}

void helper_free(struct helper **helper_pointer)
{
    struct helper *helper = *helper_pointer;
    *helper_pointer = NULL;
    if (helper == NULL)
        return;
    pthread_mutex_lock(&helper->mutex);
    helper->stops = true;
    pthread_cond_signal(&helper->work);
    pthread_mutex_unlock(&helper->mutex);
    CHECK(pthread_join(helper->thread, NULL) == 0);
    loop_remove_fd(helper->loop, helper->wake_fd);
    close(helper->wake_fd);
    pthread_cond_destroy(&helper->work);
    pthread_mutex_destroy(&helper->mutex);
    free(helper);
}

void helper_give(struct helper *helper, struct helper_job *job)
{
    pthread_mutex_lock(&helper->mutex);
    helper_list_add(&helper->waiting, job);
    pthread_cond_signal(&helper->work);
    pthread_mutex_unlock(&helper->mutex);
}

/* Both are wishes: a system that does not grant them is only less smooth. Linux has both per
 * thread.
 */
void helper_make_stand_back(pid_t thread)
{
    (void)setpriority(PRIO_PROCESS, (id_t)thread, HELPER_NICE);
    (void)syscall(SYS_ioprio_set, HELPER_IOPRIO_THREAD, thread, HELPER_IOPRIO_IDLE);
}

void helper_stand_back(void)
{
    helper_make_stand_back((pid_t)syscall(SYS_gettid));
}
