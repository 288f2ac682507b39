/* raft_main.c - insi-raft: the log, votes and the order of everything that is written. */
#include <malloc.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/driver.h"

#define RAFT_MMAP_BYTES (128 << 10) /* larger pieces of memory go back to the system when freed */

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

int main(int argc, char **argv)
{
    static struct raft_process process;
    struct skel *skel = &process.skel;
    skel_start(skel, PROC_RAFT, argc, argv);
    mallopt(M_MMAP_THRESHOLD, RAFT_MMAP_BYTES); /* a fixed one: by itself it would grow */
    int error = board_open(&process.board, skel->paths.board, true);
    if (error) {
        LOG_ERROR("board_open_failed", LOG_STR("path", skel->paths.board),
                  LOG_STR("error", error_text(error)));
        skel_exit(skel, 1);
    }
    /* Before anything else (I7): what an earlier life of this process promised ends now. */
    uint64_t epoch = board_raise_epoch(process.board);
    process.loop = loop_new();
    process.driver = driver_start(skel, process.loop, process.board, epoch);
    skel_set_hooks(skel, &(struct skel_hooks){.on_stop = raft_on_stop, .arg = &process});
    skel_attach(skel, process.loop);
    skel_ready(skel);
    loop_run(process.loop);
    CHECK(false); /* the process ends in driver_stop, or when it cannot go on */
}
