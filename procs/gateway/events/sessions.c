/* sessions.c - see sessions.h: all sessions, their places and their times. */
#include "procs/gateway/events/sessions_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define SESSIONS_FIRST_ROOM 16

uint64_t sessions_now(const struct sessions *sessions)
{
    return sessions->wire.now_ns(sessions->wire.arg);
}

void sessions_look_by(uint64_t *when, uint64_t due_ns)
{
    if (due_ns < *when)
        *when = due_ns;
}

/* ---- places ---------------------------------------------------------------------------------- */

static void sessions_take_place(struct sessions *sessions, struct session *session)
{
    if (sessions->first_free == sessions->place_room) {
        unsigned old_room = sessions->place_room;
        sessions->places = mem_grow(sessions->places, &sessions->place_room,
                                    sizeof(*sessions->places), SESSIONS_FIRST_ROOM);
        for (unsigned i = old_room; i < sessions->place_room; i++)
            sessions->places[i] = (struct session_place){.next_free = i + 1};
        sessions->first_free = old_room;
    }
    session->place = sessions->first_free;
    struct session_place *place = &sessions->places[session->place];
    sessions->first_free = place->next_free;
    place->session = session;
}

static void sessions_free_place(struct sessions *sessions, struct session *session)
{
    struct session_place *place = &sessions->places[session->place];
    place->session = NULL;
    place->next_free = sessions->first_free;
    sessions->first_free = session->place;
}

void sessions_number(struct session *session)
{
    struct session_place *place = &session->sessions->places[session->place];
    place->uses++;
    CHECK(place->uses > 0);
    session->connection = (uint64_t)place->uses << 32 | session->place;
}

struct session *sessions_find(const struct sessions *sessions, uint64_t connection)
{
    uint64_t number = connection & UINT32_MAX;
    if (number >= sessions->place_room)
        return NULL;
    struct session *session = sessions->places[number].session;
    return session != NULL && session->connection == connection ? session : NULL;
}

/* ---- coming and going ------------------------------------------------------------------------ */

void sessions_move(struct session *session, struct session_list *from, struct session_list *to)
{
    TAILQ_REMOVE(from, session, all);
    TAILQ_INSERT_TAIL(to, session, all);
}

static struct session *session_new(struct sessions *sessions, const struct session_wish *wish)
{
    struct session *session = mem_alloc(sizeof(*session));
    session->sessions = sessions;
    session->scope = wish->scope;
    session->topic = mem_copy(wish->topic.data, wish->topic.len);
    session->topic_len = (uint32_t)wish->topic.len;
    session->from_now = wish->from_now;
    session->position = wish->after;
    session->window = sessions->config->sessions.send_buffer_bytes;
    session->deadline_ns = wish->deadline_ns;
    session->placed = wish->placed;
    session->arg = wish->arg;
    if (wish->token_hash != NULL)
        session->key = session_key_take(&sessions->keys, wish->token_hash);
    return session;
}

int session_begin(struct sessions *sessions, const struct session_wish *wish, struct session **out)
{
    *out = NULL;
    if (sessions->is_stopping)
        return E_CLOSED;
    if (!seats_take(sessions->seats, sessions->config->sessions.max_connections))
        return E_BUSY;
    struct session *session = session_new(sessions, wish);
    sessions_take_place(sessions, session);
    TAILQ_INSERT_TAIL(&sessions->passing, session, all);
    sessions->count++;
    sessions_look_by(&sessions->late_ns, session->deadline_ns);
    if (session->key != NULL)
        sessions_look_by(&sessions->keys_ns,
                         sessions_now(sessions) + SESSION_KEYS_LOOK_MS * NS_PER_MS);
    session_subscribe(session);
    *out = session;
    return 0;
}

void session_free(struct session *session)
{
    struct sessions *sessions = session->sessions;
    bool is_open = session->state == SESSION_OPEN;
    TAILQ_REMOVE(is_open ? &sessions->open : &sessions->passing, session, all);
    if (session->is_touched)
        TAILQ_REMOVE(&sessions->touched, session, touched);
    if (session->is_full)
        TAILQ_REMOVE(&sessions->full, session, full);
    outbox_fini(&session->outbox);
    frame_unref(&session->urgent);
    frame_unref(&session->urgent_written);
    session_key_release(&sessions->keys, &session->key);
    sessions_free_place(sessions, session);
    seats_give_back(sessions->seats);
    sessions->count--;
    free(session->topic);
    free(session);
}

/* What is called may free the session it is called with, and no other. */
static void sessions_each(struct sessions *sessions, void (*call)(struct session *session))
{
    struct session_list *lists[] = {&sessions->passing, &sessions->open};
    for (unsigned i = 0; i < 2; i++) {
        struct session *last = TAILQ_LAST(lists[i], session_list);
        for (struct session *session = TAILQ_FIRST(lists[i]), *next; session != NULL;
             session = next) {
            bool is_last = session == last;
            next = is_last ? NULL : TAILQ_NEXT(session, all);
            call(session);
        }
    }
}

static void session_close_for_restart(struct session *session)
{
    session_close(session, SESSION_CODE_RESTART);
}

void sessions_stop(struct sessions *sessions)
{
    sessions->is_stopping = true;
    if (sessions->count > 0)
        LOG_INFO("sessions_closed", LOG_U64("count", sessions->count), LOG_STR("reason", "stop"));
    sessions_each(sessions, session_close_for_restart);
}

unsigned sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

/* ---- times ----------------------------------------------------------------------------------- */

static void session_end_late(struct session *session)
{
    struct sessions *sessions = session->sessions;
    if (session->state == SESSION_OPEN)
        return;
    if (session->deadline_ns > sessions_now(sessions))
        sessions_look_by(&sessions->late_ns, session->deadline_ns);
    else if (session->state == SESSION_PLACING)
        session_placed(session, E_TIMEOUT);
    else
        session_abort(session);
}

static uint64_t session_ping_due(const struct session *session)
{
    return session->pinged_ns + session->sessions->config->sessions.ping_interval_ms * NS_PER_MS;
}

static void sessions_ping(struct sessions *sessions, uint64_t now_ns)
{
    struct session *session;
    while ((session = TAILQ_FIRST(&sessions->open)) != NULL &&
           session_ping_due(session) <= now_ns) {
        sessions_move(session, &sessions->open, &sessions->open);
        session_ping(session, now_ns);
    }
}

static void sessions_look_at_stalls(struct sessions *sessions, uint64_t now_ns)
{
    for (struct session *session = TAILQ_FIRST(&sessions->full), *next; session != NULL;
         session = next) {
        uint64_t taken = session->transport->taken(session);
        next = TAILQ_NEXT(session, full);
        if (taken != session->taken_full) {
            session->taken_full = taken;
            session->full_since_ns = now_ns;
        } else if (now_ns - session->full_since_ns >= SESSION_STALL_MS * NS_PER_MS) {
            session_close(session, SESSION_CODE_SLOW);
        }
    }
    sessions->stall_ns =
        TAILQ_EMPTY(&sessions->full) ? SESSIONS_NEVER : now_ns + SESSION_STALL_LOOK_MS * NS_PER_MS;
}

static void session_close_if_revoked(struct session *session)
{
    if (session->key != NULL && session->key->is_gone)
        session_close(session, SESSION_CODE_REVOKED);
}

static void sessions_look_at_keys(struct sessions *sessions, uint64_t now_ns)
{
    const struct sessions_wire *wire = &sessions->wire;
    if (sessions->keys.count > 0 && wire->look_at_keys(wire->arg, &sessions->keys))
        sessions_each(sessions, session_close_if_revoked);
    sessions->keys_ns =
        sessions->keys.count > 0 ? now_ns + SESSION_KEYS_LOOK_MS * NS_PER_MS : SESSIONS_NEVER;
}

static void session_subscribe_if_not(struct session *session)
{
    if (!session->is_subscribed && session->state != SESSION_CLOSING)
        session_subscribe(session);
}

void sessions_tick(struct sessions *sessions)
{
    uint64_t now_ns = sessions_now(sessions);
    if (sessions->late_ns <= now_ns) {
        sessions->late_ns = SESSIONS_NEVER;
        sessions_each(sessions, session_end_late);
    }
    if (sessions->retry_ns <= now_ns) {
        sessions->retry_ns = SESSIONS_NEVER;
        if (sessions->link_is_up)
            sessions_each(sessions, session_subscribe_if_not);
    }
    sessions_ping(sessions, now_ns);
    if (sessions->stall_ns <= now_ns)
        sessions_look_at_stalls(sessions, now_ns);
    if (sessions->keys_ns <= now_ns)
        sessions_look_at_keys(sessions, now_ns);
}

uint64_t sessions_due_ns(const struct sessions *sessions)
{
    const struct session *first = TAILQ_FIRST(&sessions->open);
    const uint64_t dues[] = {sessions->late_ns, sessions->retry_ns, sessions->stall_ns,
                             sessions->keys_ns,
                             first != NULL ? session_ping_due(first) : SESSIONS_NEVER};
    uint64_t due_ns = SESSIONS_NEVER;
    for (unsigned i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
        due_ns = dues[i] < due_ns ? dues[i] : due_ns;
    return due_ns;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sessions *sessions_new(const struct config *config, struct seats *seats,
                              const struct sessions_wire *wire)
{
    struct sessions *sessions = mem_alloc(sizeof(*sessions));
    sessions->config = config;
    sessions->seats = seats;
    sessions->wire = *wire;
    TAILQ_INIT(&sessions->open);
    TAILQ_INIT(&sessions->passing);
    TAILQ_INIT(&sessions->touched);
    TAILQ_INIT(&sessions->full);
    sessions->late_ns = sessions->stall_ns = sessions->keys_ns = sessions->retry_ns =
        SESSIONS_NEVER;
    return sessions;
}

static void session_end(struct session *session)
{
    if (session->transport != NULL)
        session->transport->abort(session);
    session_free(session);
}

void sessions_free(struct sessions **sessions)
{
    if (*sessions == NULL)
        return;
    sessions_each(*sessions, session_end);
    session_keys_fini(&(*sessions)->keys);
    free((*sessions)->places);
    free(*sessions);
    *sessions = NULL;
}
