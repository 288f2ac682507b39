/* pops.c - the way of one pop, from its proposal to its last answer; see pops.h. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "procs/gateway/writes/pops_private.h"

enum pop_state {
    POP_PLACING,    /* proposed */
    POP_WAITING,    /* in the log */
    POP_CANCELLING, /* in the log or not; its cancel is proposed */
    POP_FEEDING,    /* it could not be cancelled: its final result is there */
};

struct pop {
    struct pop *next, *previous;
    struct pops *pops;
    struct pop_session *session;
    enum pop_state state;
    uint64_t ticket, cancel_ticket; /* 0: none */
    bool is_over;                   /* whatever is left of its wait */
    bool is_moving;                 /* cancelled to go on in another session */
    struct scope scope;
    uint8_t key[LIMIT_KEY_BYTES];
    size_t key_len;
    uint64_t wait_end_ns;
    uint64_t placed_ns; /* when it was proposed */
    uint64_t again_ns;  /* 0, or when to try the cancel again */
    uint64_t origin;
    inflight_done_fn *done; /* NULL: the client is gone */
    void *arg;
};

/* ---- a pop ----------------------------------------------------------------------------------- */

static void pop_set_state(struct pop *pop, enum pop_state state)
{
    pop->session->waiting_count -= pop->state == POP_WAITING;
    pop->session->waiting_count += state == POP_WAITING;
    pop->state = state;
}

static void pop_link(struct pop *pop)
{
    struct pops *pops = pop->pops;
    pop->previous = pops->last;
    if (pops->last != NULL)
        pops->last->next = pop;
    else
        pops->first = pop;
    pops->last = pop;
    pops->count++;
}

static void pop_unlink(struct pop *pop)
{
    struct pops *pops = pop->pops;
    CHECK((pop->previous == NULL) == (pops->first == pop));
    if (pop->previous != NULL)
        pop->previous->next = pop->next;
    else
        pops->first = pop->next;
    if (pop->next != NULL)
        pop->next->previous = pop->previous;
    else
        pops->last = pop->previous;
    pops->count--;
}

/* Its proposals are over, or of no interest any more. */
static void pop_leave_session(struct pop *pop)
{
    if (pop->ticket != 0)
        inflight_drop(pop->session->inflight, pop->ticket);
    if (pop->cancel_ticket != 0)
        inflight_detach(pop->session->inflight, pop->cancel_ticket);
    pop->ticket = pop->cancel_ticket = 0;
    pop_set_state(pop, POP_PLACING);
    pop->session->pop_count--;
    pop->session = NULL;
}

static void pop_finish(struct pop *pop, const struct inflight_outcome *outcome)
{
    inflight_done_fn *done = pop->done;
    void *arg = pop->arg;
    if (pop->session != NULL)
        pop_leave_session(pop);
    pop_unlink(pop);
    free(pop);
    if (done != NULL)
        done(arg, outcome);
}

static void pop_finish_with(struct pop *pop, int error, uint64_t index)
{
    pop_finish(pop, &(struct inflight_outcome){.error = error, .index = index});
}

static void pop_on_outcome(void *arg, const struct inflight_outcome *outcome);

static int pop_propose(struct pop *pop, uint64_t wait_ms)
{
    const struct command command = {.operation = COMMAND_QUEUE_POP,
                                    .scope = pop->scope,
                                    .key = slice_of(pop->key, pop->key_len),
                                    .wait_ms = wait_ms};
    const struct inflight_write write = {
        .origin = pop->origin, .may_wait = true, .done = pop_on_outcome, .arg = pop};
    struct pop_session *session = pops_find_room(pop->pops);
    if (session == NULL)
        return E_BUSY;
    int error = pop_session_propose(session, &command, &write, &pop->ticket);
    if (error != 0) {
        pop->ticket = 0;
        return error;
    }
    pop->session = session;
    pop->state = POP_PLACING;
    pop->is_moving = false;
    pop->placed_ns = pops_now(pop->pops);
    session->newest = pop->ticket;
    session->pop_count++;
    return 0;
}

/* ---- its end --------------------------------------------------------------------------------- */

/* Without an item while it has wait left: given up by the worker, or cancelled to be moved. Not so
 * when it was never let wait, because too many do in its queue: to ask again and again would help
 * nobody. One whose first result got lost has waited for a lease at least. */
static bool pop_has_wait_left(const struct pop *pop, uint64_t now_ns)
{
    bool has_waited = pop->is_moving || pop->state == POP_WAITING ||
                      now_ns - pop->placed_ns >= QUEUE_WAIT_LEASE_MS * NS_PER_MS;
    return has_waited && pop->done != NULL && !pop->is_over &&
           now_ns + POPS_REST_MS * NS_PER_MS < pop->wait_end_ns;
}

/* Ends it, unless there is no item and it can wait on. */
static void pop_settle(struct pop *pop, const struct inflight_outcome *outcome)
{
    uint64_t now_ns = pops_now(pop->pops);
    if (outcome->error == E_QUEUE_EMPTY && pop_has_wait_left(pop, now_ns)) {
        pop_leave_session(pop);
        if (pop_propose(pop, (pop->wait_end_ns - now_ns) / NS_PER_MS) == 0)
            return;
    }
    pop_finish(pop, outcome);
}

static void pop_on_cancelled(void *arg, const struct inflight_outcome *outcome)
{
    struct pop *pop = arg;
    struct pops *pops = pop->pops;
    pop->cancel_ticket = 0;
    if (outcome->error == 0) {
        pop_settle(pop,
                   &(struct inflight_outcome){.error = E_QUEUE_EMPTY, .index = outcome->index});
    } else if (pops_was_applied(outcome->error)) {
        pop_set_state(pop, POP_FEEDING);
        inflight_await_final(pop->session->inflight, pop->ticket,
                             pops_now(pops) + pops->patience_ms * NS_PER_MS);
    } else {
        pop_session_break(pop->session);
    }
}

/* Also of one that may not have been applied yet: a cancel that comes first holds all the same. */
static int pop_propose_cancel(struct pop *pop)
{
    const struct command command = {.operation = COMMAND_QUEUE_POP_CANCEL, .sequence = pop->ticket};
    const struct inflight_write write = {
        .origin = INFLIGHT_NO_ORIGIN, .done = pop_on_cancelled, .arg = pop};
    int error = pop_session_propose(pop->session, &command, &write, &pop->cancel_ticket);
    if (error == 0)
        pop_set_state(pop, POP_CANCELLING);
    else
        pop->cancel_ticket = 0;
    return error;
}

static void pop_cancel(struct pop *pop)
{
    pop->is_over = true;
    pop->again_ns = 0;
    if (pop->state == POP_CANCELLING || pop->state == POP_FEEDING || pop->session->is_broken ||
        pop_propose_cancel(pop) == 0)
        return;
    pop->again_ns = pops_now(pop->pops) + POPS_AGAIN_MS * NS_PER_MS;
    pops_look_again_by(pop->pops, pop->again_ns);
}

/* What cannot be cancelled now is tried again with the next look at all. */
static void pop_move(struct pop *pop)
{
    pop->is_moving = pop_propose_cancel(pop) == 0;
    if (!pop->is_moving)
        pops_look_again_by(pop->pops, pops_now(pop->pops) + POPS_AGAIN_MS * NS_PER_MS);
}

static void pop_on_waiting(struct pop *pop)
{
    if (pop->state != POP_PLACING)
        return;
    pop_set_state(pop, POP_WAITING);
    if (pop->session->waiting_count == 1)
        pop->session->renew_ns = pops_now(pop->pops) + POPS_RENEW_MS * NS_PER_MS;
    if (pop->session->is_broken)
        pops_look_again_by(pop->pops, 0);
    else if (pop->is_over || pop->pops->is_stopping)
        pop_cancel(pop);
    else if (pop->session->is_emptying)
        pop_move(pop);
}

static void pop_on_outcome(void *arg, const struct inflight_outcome *outcome)
{
    struct pop *pop = arg;
    if (outcome->error == E_QUEUE_WAITING) {
        pop_on_waiting(pop);
        return;
    }
    pop->ticket = 0;
    pop_session_keep(pop->session, outcome->detail.len);
    if (outcome->error == E_OUTCOME_UNKNOWN)
        pop_session_break(pop->session); /* it may wait there all the same */
    pop_settle(pop, outcome);
}

/* ---- what the gateway calls ------------------------------------------------------------------ */

struct pops *pops_new(const struct pops_wire *wire)
{
    struct pops *pops = mem_alloc(sizeof(*pops));
    pops->wire = *wire;
    pops->late_ns = POPS_NEVER;
    return pops;
}

void pops_free(struct pops **pops_pointer)
{
    struct pops *pops = *pops_pointer;
    if (pops == NULL)
        return;
    *pops_pointer = NULL;
    for (struct pop *pop = pops->first, *next; pop != NULL; pop = next) {
        next = pop->next;
        free(pop);
    }
    for (unsigned i = 0; i < POPS_SESSIONS; i++)
        inflight_free(&pops->sessions[i].inflight);
    free(pops);
}

int pop_begin(struct pops *pops, const struct pop_wish *wish, struct pop **out)
{
    if (pops->count >= POPS_MAX)
        return E_BUSY;
    CHECK(wish->key.len > 0 && wish->key.len <= LIMIT_KEY_BYTES && wish->wait_ms > 0);
    struct pop *pop = mem_alloc(sizeof(*pop));
    pop->pops = pops;
    pop->scope = wish->scope;
    memcpy(pop->key, wish->key.data, wish->key.len);
    pop->key_len = wish->key.len;
    pop->wait_end_ns = pops_now(pops) + wish->wait_ms * NS_PER_MS;
    pop->origin = wish->origin;
    pop->done = wish->done;
    pop->arg = wish->arg;
    pops->patience_ms = wish->patience_ms;
    int error = pop_propose(pop, wish->wait_ms);
    if (error != 0) {
        free(pop);
        return error;
    }
    pop_link(pop);
    pops_look_again_by(pops, pop->wait_end_ns);
    *out = pop;
    return 0;
}

void pop_leave(struct pop *pop)
{
    pop->done = NULL;
    pop_cancel(pop);
}

void pop_end(struct pop *pop)
{
    if (!pop->is_over)
        pop_cancel(pop);
}

void pops_end_left(struct pops *pops, bool (*has_left)(void *arg))
{
    for (struct pop *pop = pops->first; pop != NULL; pop = pop->next) {
        if (pop->done != NULL && !pop->is_over && has_left(pop->arg))
            pop_cancel(pop);
    }
}

void pops_stop(struct pops *pops)
{
    pops->is_stopping = true;
    for (struct pop *pop = pops->first; pop != NULL; pop = pop->next) {
        if (pop->state == POP_WAITING)
            pop_end(pop);
    }
}

unsigned pops_count(const struct pops *pops)
{
    return pops->count;
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool pop_must_end(const struct pop *pop, uint64_t now_ns)
{
    return (!pop->is_over && pop->state != POP_PLACING && pop->wait_end_ns <= now_ns) ||
           (pop->again_ns != 0 && pop->again_ns <= now_ns);
}

/* The wait of one that is not in the log yet ends when it would begin to wait there. */
static void pop_look(struct pop *pop, uint64_t now_ns)
{
    struct pops *pops = pop->pops;
    if (pop->wait_end_ns <= now_ns && pop->state == POP_PLACING)
        pop->is_over = true;
    if (pop_must_end(pop, now_ns))
        pop_cancel(pop);
    else if (pop->state == POP_WAITING && pop->session->is_emptying)
        pop_move(pop);
    if (!pop->is_over)
        pops_look_again_by(pops, pop->wait_end_ns);
    else if (pop->again_ns != 0)
        pops_look_again_by(pops, pop->again_ns);
}

/* Whoever is told may begin others, at the end of the list, and leave others, which takes none out
 * of it. */
static void pops_look_at_all(struct pops *pops, uint64_t now_ns)
{
    pops->late_ns = POPS_NEVER;
    for (struct pop *pop = pops->first, *next; pop != NULL; pop = next) {
        next = pop->next;
        if (pop->session->is_broken && pop->state != POP_PLACING)
            pop_finish_with(pop, E_OUTCOME_UNKNOWN, 0);
        else
            pop_look(pop, now_ns);
    }
}

void pops_tick(struct pops *pops)
{
    uint64_t now_ns = pops_now(pops);
    pops_tick_sessions(pops);
    if (pops->late_ns <= now_ns)
        pops_look_at_all(pops, now_ns);
    pops_renew_sessions(pops, now_ns);
    pops_tidy(pops);
}

uint64_t pops_due_ns(const struct pops *pops)
{
    uint64_t due_ns = pops_sessions_due_ns(pops);
    return pops->late_ns < due_ns ? pops->late_ns : due_ns;
}
