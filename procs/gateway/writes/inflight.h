/* inflight.h - the proposals of this gateway that have not been answered yet, and its session.
 *
 * A write becomes an entry with (session, sequence), is kept here until its result comes, and is
 * proposed again whenever a copy may have been lost: to a raft process that was started anew, to a
 * new leader, and when this node's way to its leader was interrupted. Raft says so each time with
 * LEADER (also when neither leader nor term are new). The workers apply each (session, sequence) at
 * most once (I5), so copies do no harm.
 *
 * What a proposal waits for:
 *   parked   not with raft: no leader is known, the session is not open yet at a worker concerned,
 *            or raft refused for now (E_NO_LEADER, E_BUSY). Proposed, oldest first, as soon as that
 *            has changed, and every INFLIGHT_RETRY_MS while a leader is known.
 *   sent     with raft; ends with the RESULT of every worker concerned, or a REFUSE of every copy.
 * At its deadline it ends with E_NO_LEADER, E_BUSY or E_STORAGE_FULL when no copy of it can ever be
 * applied (none was sent, or every one was refused), and with E_OUTCOME_UNKNOWN otherwise. A
 * refusal speaks of one copy, and which one does not matter: what counts is how many of them nobody
 * has told of. What was refused in all its copies is not proposed again in the last
 * INFLIGHT_LAST_MS: the next refusal would come too late to say for certain that nothing was done.
 *
 * The session. It is opened through the log, by a command with a part for each worker, and nothing
 * else is proposed to a worker that has not confirmed it. A command that simply followed in order
 * could find the session unknown after all, when the opening was refused and the command behind it
 * was not; so E_SESSION_EXPIRED would have two meanings. This way it has one: the worker forgot us.
 * Then nothing more is sent, what is still under way comes back, and the owner begins a new session
 * (inflight_renew). A command that was refused so is proposed again there if it cannot have been
 * applied before: its only copy met the forgetful worker, and no result can have been lost.
 *
 * Results that never came. On every connect, and with every new session, a worker is told our
 * session and tells all that it remembers of it. Should a result not come all the same, the worker
 * is asked for it after INFLIGHT_RECALL_MS (RECALL).
 *
 * Given up sequences: once a client has been told E_OUTCOME_UNKNOWN, the floor of later entries
 * passes its sequence, and a worker applies nothing below the floor: a copy that is still under way
 * somewhere comes to nothing after the next write of this session.
 *
 * Waiting pops. E_QUEUE_WAITING is a first result of a QUEUE_POP: it was applied, and its final
 * result comes when there is an item for it, or when it is cancelled (pops.h). Meanwhile it holds
 * its sequence, and the floor, so it does not belong into the session of other writes.
 *
 * Bounds: LIMIT_SESSION_WINDOW sequences, INFLIGHT_BYTES of entries, INFLIGHT_PER_ORIGIN of one
 * connection (clients that reset their requests leave them here; what the gateway proposes by
 * itself is of none, and is not counted). Beyond: E_BUSY. One loop's thread. Knows no HTTP, no
 * link: tests hand in their own wire and time.
 */
#ifndef INSI_GATEWAY_INFLIGHT_H
#define INSI_GATEWAY_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/entry.h"

#define INFLIGHT_BYTES (64u << 20)
#define INFLIGHT_PER_ORIGIN 256
#define INFLIGHT_NO_ORIGIN UINT64_MAX
#define INFLIGHT_RETRY_MS 25
#define INFLIGHT_LAST_MS 100
#define INFLIGHT_RECALL_MS 100      /* without a result: the worker is asked for it, again ... */
#define INFLIGHT_RECALL_MAX_MS 1600 /* ... after twice the time, up to this, while none comes */
#define INFLIGHT_RECALL_WAITING_MS 2000 /* of one that waits, in case its final result got lost */
#define INFLIGHT_OPEN_MIN_MS 250  /* until the session's opening is tried again, doubling ... */
#define INFLIGHT_OPEN_MAX_MS 5000 /* ... up to this */

struct inflight_outcome {
    /* 0, a stored code of a worker, or E_NO_LEADER, E_BUSY, E_STORAGE_FULL, E_BAD_COMMAND (surely
     * not applied), E_OUTCOME_UNKNOWN */
    int error;
    uint64_t index;
    struct slice detail; /* borrowed during the call */
};

/* Called once, in the loop; never from within inflight_add. May add. With may_wait: before that any
 * number of times with E_QUEUE_WAITING, whenever the worker says so. */
typedef void inflight_done_fn(void *arg, const struct inflight_outcome *outcome);

struct inflight_wire {
    int (*propose)(void *arg, struct slice entry); /* to raft; 0, E_PEER_DOWN, E_BUSY */
    /* likewise, to a worker */
    int (*recall)(void *arg, enum proc worker, uint64_t session, uint64_t sequence);
    uint64_t (*now_ns)(void *arg);
    void *arg;
};

struct inflight_write {
    const struct entry_part *parts;
    uint32_t part_count;
    uint64_t origin; /* the connection it came by, or INFLIGHT_NO_ORIGIN */
    uint64_t deadline_ns;
    bool may_wait; /* a QUEUE_POP: E_QUEUE_WAITING is no final result, and ends the deadline */
    inflight_done_fn *done;
    void *arg;
};

struct inflight;

struct inflight *inflight_new(uint64_t session, const struct inflight_wire *wire);
void inflight_free(struct inflight **inflight); /* calls nobody */

/* 0 and a ticket. E_BUSY: a bound from above is reached; E_TOO_LARGE: the entry would be beyond
 * LIMIT_ENTRY_BYTES. Then nothing was taken. */
int inflight_add(struct inflight *inflight, const struct inflight_write *write, uint64_t *ticket);

/* The client is gone: done will not be called. The proposal goes its way. */
void inflight_detach(struct inflight *inflight, uint64_t ticket);

/* Ends a proposal without a word: its owner knows what became of it. */
void inflight_drop(struct inflight *inflight, uint64_t ticket);

/* Of one that waits: its final result is there by now. The worker is asked for it, and the proposal
 * has a deadline again. */
void inflight_await_final(struct inflight *inflight, uint64_t ticket, uint64_t deadline_ns);

/* Sequences from the oldest open proposal on, of LIMIT_SESSION_WINDOW. */
uint64_t inflight_span(const struct inflight *inflight);
uint64_t inflight_floor(const struct inflight *inflight); /* that sequence, or the next one */

/* ---- what happens ---- */

void inflight_on_leader(struct inflight *inflight, bool is_known);
void inflight_on_raft_down(struct inflight *inflight);
void inflight_on_refuse(struct inflight *inflight, uint64_t session, uint64_t sequence, int error);
void inflight_on_worker_up(struct inflight *inflight, enum proc worker);
void inflight_on_result(struct inflight *inflight, enum proc worker, uint64_t session,
                        uint64_t sequence, const struct inflight_outcome *outcome);

/* Deadlines and retries. due: when to call it next, UINT64_MAX for never; it may become earlier
 * with every call of the others. */
void inflight_tick(struct inflight *inflight);
uint64_t inflight_due_ns(struct inflight *inflight);

/* True when the session was forgotten and nothing is under way any more. The owner then tells all
 * workers the id of a new one, and calls renew. */
bool inflight_wants_renewal(const struct inflight *inflight);
void inflight_renew(struct inflight *inflight, uint64_t session);
uint64_t inflight_session(const struct inflight *inflight);

unsigned
inflight_open_count(const struct inflight *inflight); /* proposals, without the session's */

#endif
