/* session.c - see sessions.h: one session. */
#include "procs/gateway/events/sessions_private.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define SESSION_SLOW_TELL_S 60

static struct session_list *session_list_of(struct session *session)
{
    struct sessions *sessions = session->sessions;
    return session->state == SESSION_OPEN ? &sessions->open : &sessions->passing;
}

static void session_set_state(struct session *session, enum session_state state)
{
    struct session_list *old = session_list_of(session);
    session->state = state;
    sessions_move(session, old, session_list_of(session));
}

static void session_set_deadline(struct session *session, uint64_t ms)
{
    struct sessions *sessions = session->sessions;
    session->deadline_ns = sessions_now(sessions) + ms * NS_PER_MS;
    sessions_look_by(&sessions->late_ns, session->deadline_ns);
}

/* ---- the subscription ------------------------------------------------------------------------ */

void session_subscribe(struct session *session)
{
    struct sessions *sessions = session->sessions;
    const struct sessions_wire *wire = &sessions->wire;
    sessions_number(session);
    session->outbox.due = 0; /* both sides count anew: what still waits here is owed */
    const struct msg_subscribe msg = {.connection = session->connection,
                                      .scope = session->scope,
                                      .topic = slice_of(session->topic, session->topic_len),
                                      .from_now = session->from_now && !session->is_known,
                                      .after = session->position,
                                      .window = session->window,
                                      .unpaid = outbox_unpaid(&session->outbox)};
    int error = wire->subscribe(wire->arg, &msg);
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
    session->is_subscribed = error == 0;
    if (error == E_BUSY)
        sessions_look_by(&sessions->retry_ns,
                         sessions_now(sessions) + SESSION_RETRY_MS * NS_PER_MS);
}

/* Should the link not take it, the worker goes on to one that is passed over. */
void session_unsubscribe(struct session *session)
{
    const struct sessions_wire *wire = &session->sessions->wire;
    if (session->is_subscribed)
        wire->unsubscribe(wire->arg, session->connection);
    session->is_subscribed = false;
}

static void session_pay(struct session *session)
{
    const struct sessions_wire *wire = &session->sessions->wire;
    if (!session->is_subscribed) {
        session->outbox.due = 0; /* to nobody: the worker will count anew */
        return;
    }
    uint64_t bytes = outbox_take_credit(&session->outbox, session->window);
    if (bytes > 0 && wire->credit(wire->arg, session->connection, bytes) == E_BUSY)
        session->outbox.due += bytes; /* with the next write */
}

/* ---- slow clients ---------------------------------------------------------------------------- */

static void session_set_full(struct session *session, bool is_full)
{
    struct sessions *sessions = session->sessions;
    if (session->is_full == is_full)
        return;
    session->is_full = is_full;
    if (!is_full) {
        TAILQ_REMOVE(&sessions->full, session, full);
        return;
    }
    uint64_t now_ns = sessions_now(sessions);
    TAILQ_INSERT_TAIL(&sessions->full, session, full);
    session->full_since_ns = now_ns;
    session->taken_full = session->transport->taken(session);
    sessions_look_by(&sessions->stall_ns, now_ns + SESSION_STALL_LOOK_MS * NS_PER_MS);
}

void session_look_full(struct session *session)
{
    session_set_full(session, session->state == SESSION_OPEN &&
                                  outbox_unpaid(&session->outbox) >= session->window);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void session_set_touched(struct session *session, bool is_touched)
{
    if (session->is_touched == is_touched)
        return;
    session->is_touched = is_touched;
    if (is_touched)
        TAILQ_INSERT_TAIL(&session->sessions->touched, session, touched);
    else
        TAILQ_REMOVE(&session->sessions->touched, session, touched);
}

void session_add(struct session *session, struct frame *frame)
{
    outbox_add(&session->outbox, frame);
    if (session->state != SESSION_OPEN)
        return;
    session_set_touched(session, true);
    session_look_full(session);
}

static unsigned session_put(const struct session *session, const struct frame *frame,
                            struct slice *pieces)
{
    if (session->transport->is_stream) {
        frame_of_stream(frame, pieces);
        return FRAME_STREAM_PIECES;
    }
    pieces[0] = frame_of_websocket(frame);
    return 1;
}

static void session_write(struct session *session)
{
    struct slice pieces[SESSION_WRITE_PIECES];
    struct frame *frames[SESSION_WRITE_FRAMES];
    unsigned count = 0;
    if (session->urgent != NULL)
        pieces[count++] = frame_of_websocket(session->urgent);
    session->urgent_written = session->urgent;
    session->urgent = NULL;
    if (session->wants_ping)
        pieces[count++] = session->transport->ping;
    session->wants_ping = false;
    unsigned gathered =
        outbox_gather(&session->outbox, frames, SESSION_WRITE_FRAMES, SESSION_WRITE_BYTES);
    for (unsigned i = 0; i < gathered; i++)
        count += session_put(session, frames[i], pieces + count);
    if (count == 0)
        return;
    session->is_writing = true;
    session->transport->write(session, pieces, count);
}

void session_pump(struct session *session)
{
    session_set_touched(session, false);
    if (session->is_writing)
        return;
    if (session->state == SESSION_OPEN) {
        session_write(session);
    } else if (session->state == SESSION_CLOSING && !session->has_said_goodbye) {
        session->has_said_goodbye = true;
        session->transport->close(session, session->code);
    }
}

void session_written(struct session *session)
{
    CHECK(session->is_writing);
    session->is_writing = false;
    frame_unref(&session->urgent_written);
    outbox_written(&session->outbox);
    session_pay(session);
    session_look_full(session);
    session_pump(session);
}

void session_send_first(struct session *session, struct frame *frame)
{
    frame_unref(&session->urgent);
    session->urgent = frame;
    session_pump(session);
}

/* ---- its life -------------------------------------------------------------------------------- */

void session_placed(struct session *session, int error)
{
    session_placed_fn *placed = session->placed;
    void *arg = session->arg;
    CHECK(session->state == SESSION_PLACING);
    if (error != 0) {
        session_unsubscribe(session);
        session_free(session);
    } else {
        session_set_state(session, SESSION_OPENING);
        session_set_deadline(session, SESSION_GOODBYE_MS);
    }
    placed(arg, error);
}

void session_leave(struct session *session)
{
    CHECK(session->state == SESSION_PLACING);
    session_unsubscribe(session);
    session_free(session);
}

void session_open(struct session *session)
{
    if (session->state == SESSION_OPENING) {
        session_set_state(session, SESSION_OPEN);
        session->pinged_ns = sessions_now(session->sessions);
        session->taken = session->transport->taken(session);
        session_look_full(session);
    }
    session->is_opened = true;
    session_pump(session);
}

static uint64_t session_goodbye_ms(const struct session *session)
{
    if (session->sessions->is_stopping)
        return SESSION_GOODBYE_STOP_MS;
    return session->code == SESSION_CODE_SLOW ? SESSION_GOODBYE_SLOW_MS : SESSION_GOODBYE_MS;
}

/* It is closing already; a process that is to end does not wait as long for it. */
static void session_hurry(struct session *session)
{
    uint64_t last_ns = sessions_now(session->sessions) + SESSION_GOODBYE_STOP_MS * NS_PER_MS;
    if (session->sessions->is_stopping && session->deadline_ns > last_ns)
        session_set_deadline(session, SESSION_GOODBYE_STOP_MS);
}

static void session_tell_slow(struct sessions *sessions)
{
    sessions->slow_count++;
    if (!pace_allows(&sessions->slow_pace, sessions_now(sessions), SESSION_SLOW_TELL_S * NS_PER_S))
        return;
    LOG_WARN("subscribers_too_slow", LOG_U64("count", sessions->slow_count));
    sessions->slow_count = 0;
}

void session_close(struct session *session, unsigned code)
{
    if (session->state == SESSION_PLACING) {
        session_placed(session, code == SESSION_CODE_REVOKED ? E_SCOPE_GONE : E_CLOSED);
        return;
    }
    if (session->state == SESSION_CLOSING) {
        session_hurry(session);
        return;
    }
    session->code = code;
    if (code == SESSION_CODE_SLOW)
        session_tell_slow(session->sessions);
    session_unsubscribe(session);
    session_set_full(session, false);
    session_set_state(session, SESSION_CLOSING);
    session_set_deadline(session, session_goodbye_ms(session));
    outbox_drop(&session->outbox);
    frame_unref(&session->urgent);
    session->wants_ping = false;
    if (session->is_opened)
        session_pump(session);
}

void session_goodbye_sent(struct session *session)
{
    session_set_deadline(session, SESSION_LINGER_MS);
}

void session_lost(struct session *session)
{
    session_unsubscribe(session);
    session_free(session);
}

void session_take_written(struct session *session, struct outbox *out)
{
    CHECK(session->urgent_written == NULL); /* no stream's */
    outbox_drop(&session->outbox);
    *out = session->outbox;
    session->outbox = (struct outbox){0};
}

void session_abort(struct session *session)
{
    session_unsubscribe(session);
    session->transport->abort(session);
    session_free(session);
}

/* ---- signs of life --------------------------------------------------------------------------- */

void session_heard(struct session *session)
{
    session->awaits_sign = false;
}

/* Since the last ping. */
static bool session_is_dead(const struct session *session, uint64_t taken)
{
    bool has_taken = taken != session->taken;
    if (session->is_writing && session->was_writing)
        return !has_taken;
    if (session->transport->answers_pings)
        return session->awaits_sign;
    return session->awaits_sign && !has_taken;
}

/* Where bytes wait to be taken they are the question, and a ping would only stand in line. */
void session_ping(struct session *session, uint64_t now_ns)
{
    uint64_t taken = session->transport->taken(session);
    if (session_is_dead(session, taken)) {
        session_abort(session);
        return;
    }
    session->taken = taken;
    session->pinged_ns = now_ns;
    session->was_writing = session->is_writing;
    session->awaits_sign = !session->is_writing;
    session->wants_ping = !session->is_writing;
    session_pump(session);
}
