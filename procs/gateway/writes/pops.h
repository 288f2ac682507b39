/* pops.h - pops that wait for an item: from their request to their last answer.
 *
 * Order of arrival is the order in the log, so a pop that waits is an entry like any other: the
 * worker keeps it (E_QUEUE_WAITING), and the push that feeds it gives it its final result,
 * whichever node that push came by. What the gateway adds:
 *
 *   Sessions of their own. A pop that waits holds its sequence, and with it the floor of its
 *   session, for a minute perhaps. So these pops are proposed in other sessions than all other
 *   writes (inflight.h). A session is used up when it is POPS_SPAN sequences beyond the oldest
 *   pop that still waits; or when POPS_HEAVY_BYTES were popped beyond it, which the worker keeps
 *   until the floor has passed them. Then another one is used.
 *   Moving. Before the last of them is used up one is emptied: its pops are cancelled and pop again
 *   in another one. They stand behind the others of their queues then.
 *   A last word. A session that is not needed any more says so (by a renewal): its floor then
 *   passes all, and the worker keeps nothing for it.
 *   Renewal. Every POPS_RENEW_MS a session with pops that wait says so (QUEUE_WAIT_RENEW): those of
 *   a gateway or node that died swallow no item for longer than QUEUE_WAIT_LEASE_MS.
 *   The end. When the wait is over, the client leaves or the process is to end, the pop is
 *   cancelled (QUEUE_POP_CANCEL), and only what the log says counts: cancelled (E_QUEUE_EMPTY), or
 *   else its item was on the way, and comes.
 *   Going on. A worker that gives a pop up, because no renewal came through for too long, says
 *   E_QUEUE_EMPTY by itself; who has wait left then pops again.
 *   Broken sessions. When a renewal or a cancel cannot be applied within the request timeout, or
 *   the session was forgotten, nobody can tell what becomes of its pops: they end with
 *   E_OUTCOME_UNKNOWN, and the session, never renewed again, lets go of whatever is left of them.
 *
 * Bounds: POPS_MAX at a time; POPS_SESSIONS sessions that are not used up; beyond: E_BUSY. So the
 * worker keeps for a gateway at most POPS_SESSIONS times POPS_HEAVY_BYTES and the items of the pops
 * that are under way. One loop's thread; knows no HTTP and no link.
 */
#ifndef INSI_GATEWAY_POPS_H
#define INSI_GATEWAY_POPS_H

#include "base/token.h"
#include "procs/gateway/writes/inflight.h"

#define POPS_MAX 4096
#define POPS_SESSIONS 8
#define POPS_SPAN 4000 /* of LIMIT_SESSION_WINDOW: as much again for cancels and renewals */
#define POPS_HEAVY_BYTES (16u << 20)
#define POPS_RENEW_MS 500
#define POPS_REST_MS 10  /* not worth another try */
#define POPS_AGAIN_MS 25 /* a cancel that could not be taken */

struct pops_wire {
    struct inflight_wire writes;
    void (*begin_session)(void *arg, uint64_t session); /* tells the workers: SESSION */
    void *arg;                                          /* of begin_session */
};

struct pop_wish {
    struct scope scope;
    struct slice key;
    uint64_t wait_ms;     /* 1 to LIMIT_QUEUE_WAIT_MS, from now on */
    uint64_t patience_ms; /* how long it may take until an entry is applied */
    uint64_t origin;      /* the connection it came by */
    /* Called once, in the loop, never from within pop_begin: 0 with the item, or an error as of
     * inflight.h; never E_QUEUE_WAITING. */
    inflight_done_fn *done;
    void *arg;
};

struct pops;
struct pop;

struct pops *pops_new(const struct pops_wire *wire);
void pops_free(struct pops **pops); /* calls nobody */

/* E_BUSY: a bound is reached, nothing was taken. *out lasts until done is called or pop_leave. */
int pop_begin(struct pops *pops, const struct pop_wish *wish, struct pop **out);
void pop_leave(struct pop *pop); /* the client is gone: cancelled, and done will not be called */
void pop_end(struct pop *pop);   /* its wait is over now; done will be called */

/* Ends those whose client has left, as has_left says of their arg. */
void pops_end_left(struct pops *pops, bool (*has_left)(void *arg));

/* No pop waits any more: those there are end, later ones end as soon as they would wait. */
void pops_stop(struct pops *pops);

/* ---- what happens: as of inflight.h, to every session ---- */

void pops_on_leader(struct pops *pops, bool is_known);
void pops_on_raft_down(struct pops *pops);
void pops_on_refuse(struct pops *pops, uint64_t session, uint64_t sequence, int error);
void pops_on_worker_up(struct pops *pops, enum proc worker);
void pops_on_result(struct pops *pops, enum proc worker, uint64_t session, uint64_t sequence,
                    const struct inflight_outcome *outcome);

/* The sessions there are; how many. */
unsigned pops_sessions(const struct pops *pops, uint64_t out[POPS_SESSIONS]);

void pops_tick(struct pops *pops);
uint64_t pops_due_ns(const struct pops *pops); /* when to tick next; UINT64_MAX: never */
unsigned pops_count(const struct pops *pops);

#endif
