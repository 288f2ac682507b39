/* raft_main.c - insi-raft: the log, votes and the order of everything that is written. */
#include <errno.h>
#include <malloc.h>

#include "base/check.h"
#include "base/log.h"
#include "procs/raft/driver.h"

/* Freed memory stays with the process while it works (returning it and taking it again costs three
 * quarters of the throughput of large values); driver.c gives it back when it rests. */
#define RAFT_MMAP_BYTES (32 << 20)
#define RAFT_KEEP_BYTES (256 << 20)

struct raft_process {
    struct skel skel;
    struct loop *loop;
    struct board *board;
    struct driver *driver;
};

static void raft_on_stop(void *arg)
{
    struct raft_process *process = arg;
    driver_stop(process->driver);
}

static void raft_on_yield(void *arg)
{
    struct raft_process *process = arg;
    driver_yield(process->driver);
}

static void raft_on_reload(void *arg)
{
    struct raft_process *process = arg;
    driver_reload(process->driver);
}

int main(int argc, char **argv)
{
    static struct raft_process process;
    struct skel *skel = &process.skel;
    skel_start(skel, PROC_RAFT, argc, argv);
    mallopt(M_ARENA_MAX, 1); /* malloc_trim gives only this one back as a whole */
    mallopt(M_MMAP_THRESHOLD, RAFT_MMAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, RAFT_KEEP_BYTES);
    int error = board_open(&process.board, skel->paths.board, true);
    if (error) {
        LOG_ERROR("board_open_failed", LOG_STR("path", skel->paths.board), LOG_CAUSE(error, errno));
        skel_exit(skel, 1);
    }
    /* Before anything else (I7): what an earlier life of this process promised ends now. */
    uint64_t epoch = board_raise_epoch(process.board);
    process.loop = loop_new();
    process.driver = driver_start(skel, process.loop, process.board, epoch);
    skel_set_hooks(skel, &(struct skel_hooks){.on_stop = raft_on_stop,
                                              .on_reload = raft_on_reload,
                                              .on_yield = raft_on_yield,
                                              .arg = &process});
    skel_attach(skel, process.loop);
    skel_ready(skel);
    loop_run(process.loop);
    CHECK(false); /* the process ends in driver_stop, or when it cannot go on */
}
