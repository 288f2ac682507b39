/* pops_private.h - what pops.c (pops) and pops_sessions.c (their sessions) share. */
#ifndef INSI_GATEWAY_POPS_PRIVATE_H
#define INSI_GATEWAY_POPS_PRIVATE_H

#include "ipc/command.h"
#include "procs/gateway/writes/pops.h"

#define POPS_NEVER UINT64_MAX

struct pop_session {
    struct pops *pops;
    struct inflight *inflight; /* NULL: a free place */
    unsigned pop_count, waiting_count;
    uint64_t newest;     /* sequence of a pop */
    uint64_t kept_since; /* the newest when counting began, and until the floor passes it: */
    uint64_t kept_bytes; /* of items that the worker cannot forget yet */
    uint64_t renew_ns;   /* when to renew next */
    bool is_renewing;
    bool is_broken;   /* nobody can tell what becomes of its pops */
    bool is_emptying; /* those that wait go on in another one */
    bool is_ending;   /* its last word is under way, and lets the worker forget what it keeps */
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

static inline uint64_t pops_now(const struct pops *pops)
{
    return pops->wire.writes.now_ns(pops->wire.writes.arg);
}

/* All pops are looked at in the first tick from then on. */
static inline void pops_look_again_by(struct pops *pops, uint64_t due_ns)
{
    if (due_ns < pops->late_ns)
        pops->late_ns = due_ns;
}

/* ---- pops_sessions.c ---- */

/* Where the next pop goes; NULL: all are full. May have one be emptied. */
struct pop_session *pops_find_room(struct pops *pops);
/* With the patience of the last wish, as of inflight_add. */
int pop_session_propose(struct pop_session *session, const struct command *command,
                        const struct inflight_write *what, uint64_t *ticket);
/* Counts an item that the worker keeps until the floor has passed it. */
void pop_session_keep(struct pop_session *session, size_t bytes);
void pop_session_break(struct pop_session *session); /* its pops are told in the next tick */
/* What a renewal or a cancel may come to without its session being lost. */
bool pops_was_applied(int error);

void pops_tick_sessions(struct pops *pops); /* before the pops are looked at */
void pops_renew_sessions(struct pops *pops, uint64_t now_ns);
void pops_tidy(struct pops *pops); /* behind both */
uint64_t pops_sessions_due_ns(const struct pops *pops);

#endif
