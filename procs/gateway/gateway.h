/* gateway.h - the gateway process: what its files share, and how it runs.
 *
 *   procs/gateway/   the process, its links and timers; a request's way from route to answer;
 *                    reads, and questions to raft
 *   http/            HTTP and TLS in and out, queries, JSON
 *   calls/           a file for each kind of call, and what they take from query and body
 *   writes/          proposals until their results are there; pops that wait
 *   events/          subscribers, their WebSockets and streams
 *
 * One thread, h2o's loop. A turn: h2o_evloop_run dispatches sockets (clients, links, the
 * supervisor, the timer) and calls handlers, which answer or leave something in the tables; then
 * gateway_end_turn sends what the turn collected: this turn's read question and every link's batch.
 * Nothing may be sent to a client outside of h2o_evloop_run, for h2o finishes a write in the same
 * run only.
 */
#ifndef INSI_GATEWAY_GATEWAY_H
#define INSI_GATEWAY_GATEWAY_H

#include "procs/gateway/asks.h"
#include "procs/gateway/auth.h"
#include "procs/gateway/events/sessions.h"
#include "procs/gateway/http/http.h"
#include "procs/gateway/links.h"
#include "procs/gateway/read.h"
#include "procs/gateway/timers.h"
#include "procs/gateway/writes/inflight.h"
#include "procs/gateway/writes/pops.h"
#include "procs/gateway/writes/volatile_limit.h"
#include "procs/skel/skel.h"
#include "shm/rate.h"

struct gateway_view { /* of what one state worker keeps */
    struct gateway *gateway;
    enum proc worker;
    struct reads *reads;
};

struct gateway {
    struct skel skel;
    h2o_loop_t *loop;
    struct timers *timers;
    struct timer writes_timer, reads_timer, asks_timer, pops_timer, sessions_timer;
    struct board *board;
    struct rate *rate;
    struct auth auth;
    struct inflight *inflight; /* all writes, but for pops that wait */
    struct pops *pops;
    struct seats *seats;
    struct sessions *sessions; /* subscribers */
    uint64_t keys_index;       /* as of which it was looked whether their API keys are there */
    struct gateway_view views[PROC_WORKER_COUNT];
    struct reads *reads; /* the storage worker's: tokens, values, atomics */
    struct asks asks;
    struct links links;
    struct http http;
    struct buf answer;                    /* where an answer is built, one at a time (reply.h) */
    struct buf command;                   /* where a command is encoded, one at a time */
    uint64_t started_ns;                  /* boot time at which the node was started */
    struct volatile_limit volatile_limit; /* of writes to cache and queues */
};

/* Raft's answer to a question of a read, to the reads that asked it. */
void gateway_on_answer(struct gateway *gateway, uint64_t id, int error, uint64_t index);

/* The whole life of the process. Does not return. */
_Noreturn void gateway_run(int argc, char **argv);

#endif
