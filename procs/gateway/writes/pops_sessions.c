/* pops_sessions.c - the sessions of waiting pops: where the next one goes, what the worker has to
 * keep for them, their renewal and their end; and what happens, to all of them. See pops.h.
 *
 * A session that was begun stays for the next pops. It is used up when it is POPS_SPAN sequences
 * long, or POPS_HEAVY_BYTES heavy, and its oldest pop still waits. Before the last place is used up
 * one is emptied: its pops go on in another one. Those and broken ones go when nothing of them is
 * open any more, and so do those that were begun beside others. */
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "procs/gateway/writes/pops_private.h"

#define POPS_COMMAND_BYTES 1024
#define POPS_SPARE_PLACES 1 /* with no more left, one is emptied */

/* ---- where the next pop goes ----------------------------------------------------------------- */

/* Bytes are counted anew whenever the floor has passed what was the newest then. */
void pop_session_keep(struct pop_session *session, size_t bytes)
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

static bool pop_session_is_on_its_way_out(const struct pop_session *session)
{
    return session->is_broken || session->is_emptying || session->is_ending;
}

static bool pop_session_has_room(const struct pop_session *session)
{
    return session->inflight != NULL && !pop_session_is_on_its_way_out(session) &&
           inflight_span(session->inflight) < POPS_SPAN && pop_session_is_light(session);
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

/* A place with a session that has room, or else a free one; POPS_SESSIONS: there is none. */
static unsigned pops_find_place(const struct pops *pops, unsigned *usable)
{
    unsigned free_place = POPS_SESSIONS, roomy_place = POPS_SESSIONS;
    *usable = 0;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        unsigned place = (pops->current + i) % POPS_SESSIONS;
        const struct pop_session *session = &pops->sessions[place];
        bool has_room = pop_session_has_room(session);
        if (has_room && roomy_place == POPS_SESSIONS)
            roomy_place = place;
        if (session->inflight == NULL && free_place == POPS_SESSIONS)
            free_place = place;
        *usable += has_room || session->inflight == NULL;
    }
    return roomy_place < POPS_SESSIONS ? roomy_place : free_place;
}

/* The one that is used up and has the fewest pops, unless one is on its way out already. */
static void pops_empty_one(struct pops *pops)
{
    struct pop_session *fewest = NULL;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        struct pop_session *session = &pops->sessions[i];
        if (session->inflight == NULL || pop_session_has_room(session))
            continue;
        if (pop_session_is_on_its_way_out(session))
            return;
        if (fewest == NULL || session->pop_count < fewest->pop_count)
            fewest = session;
    }
    if (fewest == NULL)
        return;
    fewest->is_emptying = true;
    pops_look_again_by(pops, 0); /* its pops are moved in the next tick */
}

struct pop_session *pops_find_room(struct pops *pops)
{
    unsigned usable, place = pops_find_place(pops, &usable);
    if (usable <= POPS_SPARE_PLACES)
        pops_empty_one(pops);
    if (place == POPS_SESSIONS)
        return NULL;
    if (pops->sessions[place].inflight == NULL)
        pop_session_begin(pops, &pops->sessions[place]);
    pops->current = place;
    return &pops->sessions[place];
}

/* ---- proposing ------------------------------------------------------------------------------- */

int pop_session_propose(struct pop_session *session, const struct command *command,
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

void pop_session_break(struct pop_session *session)
{
    session->is_broken = true;
    pops_look_again_by(session->pops, 0);
}

bool pops_was_applied(int error)
{
    return error == 0 || error == E_NOT_FOUND;
}

/* ---- renewal --------------------------------------------------------------------------------- */

static void pops_on_renewed(void *arg, const struct inflight_outcome *outcome)
{
    struct pop_session *session = arg;
    session->is_renewing = false;
    if (!pops_was_applied(outcome->error))
        pop_session_break(session);
}

static bool pop_session_renew(struct pop_session *session)
{
    const struct command command = {.operation = COMMAND_QUEUE_WAIT_RENEW};
    const struct inflight_write write = {
        .origin = INFLIGHT_NO_ORIGIN, .done = pops_on_renewed, .arg = session};
    uint64_t ticket;
    session->is_renewing = pop_session_propose(session, &command, &write, &ticket) == 0;
    return session->is_renewing;
}

static bool pop_session_wants_renewal(const struct pop_session *session)
{
    return session->inflight != NULL && !session->is_broken && !session->is_renewing &&
           session->waiting_count > 0;
}

void pops_renew_sessions(struct pops *pops, uint64_t now_ns)
{
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        struct pop_session *session = &pops->sessions[i];
        if (!pop_session_wants_renewal(session) || session->renew_ns > now_ns)
            continue;
        session->renew_ns = now_ns + POPS_RENEW_MS * NS_PER_MS;
        pop_session_renew(session);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool pop_session_may_go(const struct pop_session *session)
{
    const struct pops *pops = session->pops;
    return session->inflight != NULL &&
           (pop_session_is_on_its_way_out(session) || session != &pops->sessions[pops->current]) &&
           session->pop_count == 0 && inflight_open_count(session->inflight) == 0;
}

/* An entry of it names the floor behind all of its pops: the worker then forgets their items, which
 * it would keep as long as it remembers the session. */
static bool pop_session_say_last_word(struct pop_session *session)
{
    if (session->is_ending || session->is_broken || session->kept_bytes == 0)
        return false;
    session->is_ending = pop_session_renew(session);
    return session->is_ending;
}

static void pop_session_begin_anew(struct pops *pops, struct pop_session *session)
{
    uint64_t id = pops_random_session();
    inflight_renew(session->inflight, id);
    pops->wire.begin_session(pops->wire.arg, id);
}

/* A session that the worker forgot begins anew, one that is not needed any more goes. */
void pops_tidy(struct pops *pops)
{
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        struct pop_session *session = &pops->sessions[i];
        if (session->inflight == NULL)
            continue;
        if (inflight_wants_renewal(session->inflight))
            pop_session_begin_anew(pops, session);
        if (pop_session_may_go(session) && !pop_session_say_last_word(session))
            inflight_free(&session->inflight);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

uint64_t pops_sessions_due_ns(const struct pops *pops)
{
    uint64_t due_ns = POPS_NEVER;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        const struct pop_session *session = &pops->sessions[i];
        if (session->inflight == NULL)
            continue;
        if (inflight_wants_renewal(session->inflight) || pop_session_may_go(session))
            return 0;
        uint64_t inner_ns = inflight_due_ns(session->inflight);
        if (inner_ns < due_ns)
            due_ns = inner_ns;
        if (pop_session_wants_renewal(session) && session->renew_ns < due_ns)
            due_ns = session->renew_ns;
    }
    return due_ns;
}

/* ---- what happens, to all of them ------------------------------------------------------------ */

/* The session at *at or behind it; NULL: no more. */
static struct pop_session *pops_next(struct pops *pops, unsigned *at)
{
    while (*at < POPS_SESSIONS && pops->sessions[*at].inflight == NULL)
        ++*at;
    return *at < POPS_SESSIONS ? &pops->sessions[(*at)++] : NULL;
}

void pops_tick_sessions(struct pops *pops)
{
    struct pop_session *session;
    for (unsigned at = 0; (session = pops_next(pops, &at)) != NULL;)
        inflight_tick(session->inflight);
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

unsigned pops_sessions(const struct pops *pops, uint64_t out[POPS_SESSIONS])
{
    unsigned count = 0;
    for (unsigned i = 0; i < POPS_SESSIONS; i++) {
        if (pops->sessions[i].inflight != NULL)
            out[count++] = inflight_session(pops->sessions[i].inflight);
    }
    return count;
}
