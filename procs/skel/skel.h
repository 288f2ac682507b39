/* skel.h - the life of a worker process, written once.
 *
 * Order of start: parse arguments, die with the supervisor (PR_SET_PDEATHSIG), refuse core dumps of
 * secrets, umask 077, read the configuration from the inherited memfd, start the log, block signals
 * into a signalfd, and hand over to the worker's init. The worker says skel_ready once it serves.
 * Afterwards the skeleton answers heartbeats and turns a STOP message or SIGTERM into one call of
 * on_stop; the worker finishes what it holds and calls skel_exit. A YIELD message is one call of
 * on_yield, answered by skel_yielded when it is done. The supervisor's going away ends the process
 * at once.
 *
 * Workers on ipc/loop.h call skel_attach; the gateway hosts skel's descriptors in h2o's loop.
 */
#ifndef INSI_PROCS_SKEL_H
#define INSI_PROCS_SKEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/path.h"
#include "base/proc.h"
#include "ipc/loop.h"

struct skel_hooks {
    void (*on_stop)(void *arg);   /* once: begin to finish */
    void (*on_reload)(void *arg); /* skel->config was replaced; may be NULL. The strings of the old
                                     one are freed when it returns: keep no pointers to them. */
    void (*on_yield)(void *arg);  /* once: hand over what others can do; may be NULL: nothing to */
    void *arg;
};

struct skel {
    enum proc proc;
    unsigned index;    /* among the processes of this kind */
    const char *node;  /* id */
    uint64_t start_id; /* random, never 0 */
    struct config config;
    const struct config_node *self; /* this node in config */
    struct node_paths paths;
    struct skel_hooks hooks;
    int control_fd, signal_fd;
    bool stopping, yielding;
};

/* Everything up to the worker's own init; exits with a log line when something is missing (status 2
 * when started by hand: "started by insid only"). */
void skel_start(struct skel *skel, enum proc proc, int argc, char **argv);

void skel_set_hooks(struct skel *skel, const struct skel_hooks *hooks);
void skel_drain_control(struct skel *skel);             /* call when control_fd is readable */
void skel_drain_signals(struct skel *skel);             /* call when signal_fd is readable */
void skel_attach(struct skel *skel, struct loop *loop); /* both, in a loop.c loop */

void skel_ready(struct skel *skel); /* once: tells the supervisor that this worker serves */

/* Answers a YIELD; from on_yield or later, once. A worker that stops meanwhile need not. */
void skel_yielded(struct skel *skel);

/* The end of a worker: 0 as asked, 1 failed (and is started anew), PROC_EXIT_STOP_NODE when no
 * restart can help. Logs the end; other threads may still run. */
_Noreturn void skel_exit(struct skel *skel, int status);

#endif
