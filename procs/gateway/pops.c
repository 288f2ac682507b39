/* pops.c - see pops.h. A session that was begun stays for the next pops; those that were needed
 * beside it, and broken ones, go when nothing of them is open any more. */
#include "procs/gateway/pops.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"

#define POPS_NEVER UINT64_MAX
#define POPS_COMMAND_BYTES 1024

enum pop_state {
    POP_PLACING,    /* proposed */
    POP_WAITING,    /* in the log */
    POP_CANCELLING, /* in the log or not; its cancel is proposed */
    POP_FEEDING,    /* it could not be cancelled: its final result is there */
};

struct pop_session {
    struct pops *pops;
    struct inflight *inflight; /* NULL: a free place */
    unsigned pop_count, waiting_count;
    uint64_t newest;     /* sequence of a pop */
    uint64_t kept_since; /* the newest when counting began, and until the floor passes it: */
    uint64_t kept_bytes; /* of items that the worker cannot forget yet */
    uint64_t renew_ns;   /* when to renew next */
    bool is_renewing, is_broken;
};

struct pop {
    struct pop *next, *previous;
    struct pops *pops;
    struct pop_session *session;
    enum pop_state state;
    uint64_t ticket, cancel_ticket; /* 0: none */
    bool is_over;                   /* whatever is left of its wait */
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

struct pops {
    struct pops_wire wire;
    struct pop_session sessions[POPS_SESSIONS];
    unsigned current; /* where the next pop goes */
    struct pop *first, *last;
    unsigned count;
    uint64_t late_ns; /* no wait ends earlier */
    uint64_t patience_ms;
    bool leader_is_known, is_stopping;
};

static uint64_t pops_now(const struct pops *pops)
{
    return pops->wire.writes.now_ns(pops->wire.writes.arg);
}

static void pops_look_again_by(struct pops *pops, uint64_t due_ns)
{
    if (due_ns < pops->late_ns)
        pops->late_ns = due_ns;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static bool pop_session_has_room(const struct pop_session *session)
{
    return session->inflight != NULL && !session->is_broken &&
           inflight_span(session->inflight) < POPS_SPAN;
}

static uint64_t pops_random_session(void)
{
    uint64_t session;
    do {
        token_random(&session, sizeof(session));
    } while (session == 0);
    return session;
}

static void pop_session_begin(struct pops *pops, struct pop_session *session)
{
    uint64_t id = pops_random_session();
    *session = (struct pop_session){.pops = pops, .inflight = inflight_new(id, &pops->wire.writes)};
    pops->wire.begin_session(pops->wire.arg, id);
    if (pops->leader_is_known)
        inflight_on_leader(session->inflight, true);
}

/* Bytes are counted anew whenever the floor has passed what was the newest then. */
static void pop_session_keep(struct pop_session *session, size_t bytes)
{
    if (inflight_floor(session->inflight) > session->kept_since) {
        session->kept_since = session->newest;
        session->kept_bytes = 0;
    }
    session->kept_bytes += bytes;
}

static bool pop_session_is_light(const struct pop_session *session)
{
    return session->kept_bytes < POPS_HEAVY_BYTES ||
           inflight_floor(session->inflight) > session->kept_since;
}

/* A place with a session that has room, and is light; a free one; any with room. POPS_SESSIONS: all
 * are full. */
static unsigned pops_find_place(const struct pops *pops)
{
    unsigned free_place = POPS_SESSIONS, heavy_place = POPS_SESSIONS;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        unsigned place = (pops->current + i) % POPS_SESSIONS;
        const struct pop_session *session = &pops->sessions[place];
        bool has_room = pop_session_has_room(session);
        if (has_room && pop_session_is_light(session))
            return place;
        if (session->inflight == NULL && free_place == POPS_SESSIONS)
            free_place = place;
        if (has_room && (heavy_place == POPS_SESSIONS ||
                         session->kept_bytes < pops->sessions[heavy_place].kept_bytes))
            heavy_place = place;
    }
    return free_place < POPS_SESSIONS ? free_place : heavy_place;
}

/* Where the next pop goes; NULL: all are full. */
static struct pop_session *pops_find_room(struct pops *pops)
{
    unsigned place = pops_find_place(pops);
    if (place == POPS_SESSIONS)
        return NULL;
    if (pops->sessions[place].inflight == NULL)
        pop_session_begin(pops, &pops->sessions[place]);
    pops->current = place;
    return &pops->sessions[place];
}

static void pop_session_break(struct pop_session *session)
{
    session->is_broken = true;
    pops_look_again_by(session->pops, 0); /* its pops are told in the next tick */
}

/* What a renewal or a cancel may come to without its session being lost. */
static bool pops_was_applied(int error)
{
    return error == 0 || error == E_NOT_FOUND;
}

static int pops_propose(struct pop_session *session, const struct command *command,
                        const struct inflight_write *what, uint64_t *ticket)
{
    struct inflight_write write = *what;
    struct buf bytes;
    buf_init(&bytes, POPS_COMMAND_BYTES);
    CHECK(command_encode(&bytes, command) == 0);
    const struct entry_part part = {PROC_CACHEQ, buf_slice(&bytes)};
    write.parts = &part;
    write.part_count = 1;
    write.deadline_ns = pops_now(session->pops) + session->pops->patience_ms * NS_PER_MS;
    int error = inflight_add(session->inflight, &write, ticket);
    buf_fini(&bytes);
    return error;
}

static void pops_on_renewed(void *arg, const struct inflight_outcome *outcome)
{
    struct pop_session *session = arg;
    session->is_renewing = false;
    if (!pops_was_applied(outcome->error))
        pop_session_break(session);
}

static void pop_session_renew(struct pop_session *session, uint64_t now_ns)
{
    const struct command command = {.operation = COMMAND_QUEUE_WAIT_RENEW};
    const struct inflight_write write = {
        .origin = INFLIGHT_NO_ORIGIN, .done = pops_on_renewed, .arg = session};
    uint64_t ticket;
    session->renew_ns = now_ns + POPS_RENEW_MS * NS_PER_MS;
    session->is_renewing = pops_propose(session, &command, &write, &ticket) == 0;
}

static bool pop_session_wants_renewal(const struct pop_session *session)
{
    return session->inflight != NULL && !session->is_broken && !session->is_renewing &&
           session->waiting_count > 0;
}

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
    int error = pops_propose(session, &command, &write, &pop->ticket);
    if (error != 0) {
        pop->ticket = 0;
        return error;
    }
    pop->session = session;
    pop->state = POP_PLACING;
    pop->placed_ns = pops_now(pop->pops);
    session->newest = pop->ticket;
    session->pop_count++;
    return 0;
}

/* ---- its end --------------------------------------------------------------------------------- */

static void pop_on_cancelled(void *arg, const struct inflight_outcome *outcome)
{
    struct pop *pop = arg;
    struct pops *pops = pop->pops;
    pop->cancel_ticket = 0;
    if (outcome->error == 0) {
        pop_finish_with(pop, E_QUEUE_EMPTY, outcome->index);
    } else if (pops_was_applied(outcome->error)) {
        pop_set_state(pop, POP_FEEDING);
        inflight_await_final(pop->session->inflight, pop->ticket,
                             pops_now(pops) + pops->patience_ms * NS_PER_MS);
    } else {
        pop_session_break(pop->session);
    }
}

/* Also of one that may not have been applied yet: a cancel that comes first holds all the same. */
static void pop_cancel(struct pop *pop)
{
    const struct command command = {.operation = COMMAND_QUEUE_POP_CANCEL, .sequence = pop->ticket};
    const struct inflight_write write = {
        .origin = INFLIGHT_NO_ORIGIN, .done = pop_on_cancelled, .arg = pop};
    pop->is_over = true;
    pop->again_ns = 0;
    if (pop->state == POP_CANCELLING || pop->state == POP_FEEDING || pop->session->is_broken)
        return;
    if (pops_propose(pop->session, &command, &write, &pop->cancel_ticket) == 0) {
        pop_set_state(pop, POP_CANCELLING);
        return;
    }
    pop->cancel_ticket = 0;
    pop->again_ns = pops_now(pop->pops) + POPS_AGAIN_MS * NS_PER_MS;
    pops_look_again_by(pop->pops, pop->again_ns);
}

/* Not so when it was never let wait, because too many do in its queue: to ask again and again would
 * help nobody. One whose first result got lost has waited for a lease at least. */
static bool pop_is_given_up_early(const struct pop *pop, int error, uint64_t now_ns)
{
    bool has_waited =
        pop->state == POP_WAITING || now_ns - pop->placed_ns >= QUEUE_WAIT_LEASE_MS * NS_PER_MS;
    return error == E_QUEUE_EMPTY && has_waited && pop->done != NULL && !pop->is_over &&
           now_ns + POPS_REST_MS * NS_PER_MS < pop->wait_end_ns;
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
}

static void pop_on_outcome(void *arg, const struct inflight_outcome *outcome)
{
    struct pop *pop = arg;
    uint64_t now_ns = pops_now(pop->pops);
    if (outcome->error == E_QUEUE_WAITING) {
        pop_on_waiting(pop);
        return;
    }
    pop->ticket = 0;
    pop_session_keep(pop->session, outcome->detail.len);
    if (outcome->error == E_OUTCOME_UNKNOWN)
        pop_session_break(pop->session); /* it may wait there all the same */
    if (pop_is_given_up_early(pop, outcome->error, now_ns)) {
        pop_leave_session(pop);
        if (pop_propose(pop, (pop->wait_end_ns - now_ns) / NS_PER_MS) == 0)
            return;
    }
    pop_finish(pop, outcome);
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

unsigned pops_sessions(const struct pops *pops, uint64_t out[POPS_SESSIONS])
{
    unsigned count = 0;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        if (pops->sessions[i].inflight != NULL)
            out[count++] = inflight_session(pops->sessions[i].inflight);
    }
    return count;
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* The session at *at or behind it; NULL: no more. */
static struct pop_session *pops_next(struct pops *pops, unsigned *at)
{
    while (*at < POPS_SESSIONS && pops->sessions[*at].inflight == NULL)
        ++*at;
    return *at < POPS_SESSIONS ? &pops->sessions[(*at)++] : NULL;
}

void pops_on_leader(struct pops *pops, bool is_known)
{
    pops->leader_is_known = is_known;
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_on_leader(session->inflight, is_known);
}

void pops_on_raft_down(struct pops *pops)
{
    pops->leader_is_known = false;
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_on_raft_down(session->inflight);
}

void pops_on_refuse(struct pops *pops, uint64_t session_id, uint64_t sequence, int error)
{
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_on_refuse(session->inflight, session_id, sequence, error);
}

void pops_on_worker_up(struct pops *pops, enum proc worker)
{
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_on_worker_up(session->inflight, worker);
}

void pops_on_result(struct pops *pops, enum proc worker, uint64_t session_id, uint64_t sequence,
                    const struct inflight_outcome *outcome)
{
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_on_result(session->inflight, worker, session_id, sequence, outcome);
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

/* A session that the worker forgot begins anew, one that is not needed any more goes. */
static void pops_tidy(struct pops *pops)
{
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        struct pop_session *session = &pops->sessions[i];
        if (session->inflight == NULL)
            continue;
        if (inflight_wants_renewal(session->inflight)) {
            uint64_t id = pops_random_session();
            inflight_renew(session->inflight, id);
            pops->wire.begin_session(pops->wire.arg, id);
        }
        if ((session->is_broken || i != pops->current) && session->pop_count == 0 &&
            inflight_open_count(session->inflight) == 0)
            inflight_free(&session->inflight);
    }
}

void pops_tick(struct pops *pops)
{
    uint64_t now_ns = pops_now(pops);
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_tick(session->inflight);
    if (pops->late_ns <= now_ns)
        pops_look_at_all(pops, now_ns);
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;) {
        if (pop_session_wants_renewal(session) && session->renew_ns <= now_ns)
            pop_session_renew(session, now_ns);
    }
    pops_tidy(pops);
}

uint64_t pops_due_ns(const struct pops *pops)
{
    uint64_t due_ns = pops->late_ns;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        const struct pop_session *session = &pops->sessions[i];
        if (session->inflight == NULL)
            continue;
        uint64_t inner_ns =
            inflight_wants_renewal(session->inflight) ? 0 : inflight_due_ns(session->inflight);
        if (inner_ns < due_ns)
            due_ns = inner_ns;
        if (pop_session_wants_renewal(session) && session->renew_ns < due_ns)
            due_ns = session->renew_ns;
    }
    return due_ns;
}
