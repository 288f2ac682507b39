/* sessions_private.h - what session.c, sessions.c and sessions_link.c share (sessions.h). */
#ifndef INSI_GATEWAY_SESSIONS_PRIVATE_H
#define INSI_GATEWAY_SESSIONS_PRIVATE_H

#include "base/pace.h"
#include "procs/gateway/events/sessions.h"

#define SESSIONS_NEVER UINT64_MAX

/* A place in the table. A session's number on the link is its place and how often the place was
 * used, so it is found without searching and no number comes twice. */
struct session_place {
    struct session *session; /* NULL: free */
    uint32_t uses;
    unsigned next_free;
};

struct sessions {
    const struct config *config; /* borrowed */
    struct seats *seats;         /* likewise */
    struct sessions_wire wire;
    struct session_place *places;
    unsigned place_room, first_free; /* first_free: place_room when there is none */
    unsigned count;
    struct session_list open;    /* OPEN, in order of the last ping */
    struct session_list passing; /* all others; they have deadlines */
    struct session_list touched, full;
    struct session_keys keys;
    uint64_t late_ns;                     /* no deadline is earlier */
    uint64_t stall_ns, keys_ns, retry_ns; /* when to look next; SESSIONS_NEVER: no need */
    uint64_t reached;                     /* EVENT_REACHED of this connection of the link */
    uint64_t link_due;                    /* of the link's window, not paid back yet */
    struct pace slow_pace;                /* of lines that say so: */
    uint64_t slow_count;                  /* slow clients that were closed, not told yet */
    bool link_is_up, is_stopping;
};

uint64_t sessions_now(const struct sessions *sessions);

/* ---- session.c ---- */

void session_subscribe(struct session *session); /* anew, behind what it knows of */
void session_unsubscribe(struct session *session);
void session_add(struct session *session, struct frame *frame); /* leaves at the batch's end */
void session_pump(struct session *session);                  /* writes what there is; may free it */
void session_look_full(struct session *session);             /* whether its window is */
void session_placed(struct session *session, int error);     /* answers its request; may free it */
void session_ping(struct session *session, uint64_t now_ns); /* may free it */
void session_abort(struct session *session);                 /* ends and frees it */

/* ---- sessions.c ---- */

struct session *sessions_find(const struct sessions *sessions, uint64_t connection);
void sessions_number(struct session *session); /* gives it a fresh number */
void sessions_move(struct session *session, struct session_list *from, struct session_list *to);
void sessions_look_by(uint64_t *when, uint64_t due_ns); /* or earlier */
void session_free(struct session *session); /* out of all lists, and its place is given back */

#endif
