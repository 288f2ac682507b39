/* sessions_link.c - see sessions.h: what the events worker says. */
#include "procs/gateway/events/sessions_private.h"

#include "base/error.h"

/* ---- the link -------------------------------------------------------------------------------- */

static void sessions_subscribe_all(struct session_list *list)
{
    for (struct session *session = TAILQ_FIRST(list); session != NULL;
         session = TAILQ_NEXT(session, all)) {
        if (session->state != SESSION_CLOSING)
            session_subscribe(session);
    }
}

void sessions_on_up(struct sessions *sessions)
{
    sessions->link_is_up = true;
    sessions->reached = 0;
    sessions->link_due = 0;
    sessions->retry_ns = SESSIONS_NEVER;
    sessions_subscribe_all(&sessions->passing);
    sessions_subscribe_all(&sessions->open);
}

static void session_raise_position(struct session *session, uint64_t index)
{
    if (index > session->position)
        session->position = index;
}

static void sessions_note_down(struct session_list *list, uint64_t reached)
{
    for (struct session *session = TAILQ_FIRST(list); session != NULL;
         session = TAILQ_NEXT(session, all)) {
        if (session->is_subscribed && session->is_live)
            session_raise_position(session, reached);
        session->is_subscribed = session->is_live = false;
        session->outbox.due = 0;
        session_look_full(session);
    }
}

void sessions_on_down(struct sessions *sessions)
{
    sessions->link_is_up = false;
    sessions_note_down(&sessions->passing, sessions->reached);
    sessions_note_down(&sessions->open, sessions->reached);
}

/* Those that are ended by us still hear of what was under way. */
static struct session *sessions_find_subscribed(const struct sessions *sessions,
                                                uint64_t connection)
{
    struct session *session = sessions_find(sessions, connection);
    return session != NULL && session->is_subscribed ? session : NULL;
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static void sessions_on_refused(struct session *session)
{
    session->is_subscribed = false;
    if (session->state == SESSION_PLACING)
        session_placed(session, E_BUSY);
    else
        session_close(session, SESSION_CODE_RESTART);
}

void sessions_on_subscribed(struct sessions *sessions, const struct msg_subscribed *msg)
{
    struct session *session = sessions_find_subscribed(sessions, msg->connection);
    if (session == NULL)
        return;
    if (msg->error != 0) {
        sessions_on_refused(session);
        return;
    }
    session->is_live = session->from_now && !session->is_known;
    session->is_known = true;
    session_raise_position(session, msg->index);
    if (session->state == SESSION_PLACING)
        session_placed(session, 0);
}

void sessions_on_gap(struct sessions *sessions, const struct msg_event_gap *msg)
{
    struct session *session = sessions_find_subscribed(sessions, msg->connection);
    if (session == NULL)
        return;
    struct frame *frame = frame_of_gap(msg->from, msg->to);
    session_raise_position(session, msg->to);
    session_add(session, frame);
    frame_unref(&frame);
}

void sessions_on_outrun(struct sessions *sessions, const struct msg_event_place *msg)
{
    struct session *session = sessions_find_subscribed(sessions, msg->connection);
    if (session == NULL)
        return;
    session->is_subscribed = false;
    session_close(session, SESSION_CODE_SLOW);
}

/* ---- events ---------------------------------------------------------------------------------- */

void sessions_on_event(struct sessions *sessions, const struct msg_event *msg)
{
    struct frame *frame = NULL;
    size_t count = msg_event_connection_count(msg);
    sessions->link_due += event_message_cost(msg);
    for (size_t i = 0; i < count; i++) {
        struct session *session = sessions_find_subscribed(sessions, msg_event_connection(msg, i));
        if (session == NULL)
            continue;
        if (frame == NULL)
            frame = frame_of_event(msg);
        session_raise_position(session, msg->index);
        session_add(session, frame);
    }
    frame_unref(&frame);
}

void sessions_on_batch_end(struct sessions *sessions)
{
    const struct sessions_wire *wire = &sessions->wire;
    struct session *session;
    while ((session = TAILQ_FIRST(&sessions->touched)) != NULL)
        session_pump(session);
    if (sessions->link_due >= EVENT_LINK_CREDIT_BYTES &&
        wire->credit(wire->arg, 0, sessions->link_due) == 0)
        sessions->link_due = 0;
}

/* ---- how far it is --------------------------------------------------------------------------- */

void sessions_on_reached(struct sessions *sessions, const struct msg_event_reached *msg)
{
    sessions->reached = msg->index;
}

void sessions_on_caught_up(struct sessions *sessions, const struct msg_event_place *msg)
{
    struct session *session = sessions_find_subscribed(sessions, msg->connection);
    if (session == NULL)
        return;
    session_raise_position(session, msg->index);
    session->is_live = true;
}

/* What was reached so far, it was live for. */
void sessions_on_behind(struct sessions *sessions, const struct msg_event_place *msg)
{
    struct session *session = sessions_find_subscribed(sessions, msg->connection);
    if (session == NULL)
        return;
    session_raise_position(session, msg->index);
    session->is_live = false;
}
