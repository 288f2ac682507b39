/* helper.h - a thread beside a loop, for work that blocks: files.
 *
 * Jobs run one at a time in the order in which they were given. When a job has run, its done is
 * called in the loop's thread. A job belongs to its owner, who leaves it alone from helper_give
 * until done; run touches nothing else that the loop's thread uses.
 */
#ifndef INSI_IPC_HELPER_H
#define INSI_IPC_HELPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "ipc/loop.h"

struct helper_job {                       /* embedded by its owner */
    void (*run)(struct helper_job *job);  /* in the helper's thread */
    void (*done)(struct helper_job *job); /* in the loop's; may free the job, and give others */
    struct helper_job *next;
};

struct helper;

struct helper *helper_new(struct loop *loop);

/* Waits for the job that is running; the done of no job is called any more. Not from within a done.
 */
void helper_free(struct helper **helper);

void helper_give(struct helper *helper, struct helper_job *job);

/* For a job: from now on this thread takes processor and disk only when others leave them. */
void helper_stand_back(void);
void helper_make_stand_back(pid_t thread); /* another thread of this process */

#endif
