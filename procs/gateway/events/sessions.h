/* sessions.h - the subscribers of this gateway process, from their request to their end.
 *
 * A session is one WebSocket or one stream (Server-Sent Events). What the two have in common is
 * here; how bytes reach the client is its transport's (websocket.h, stream.h). Its life:
 *
 *   PLACING   its request waits until the worker has the subscription (SUBSCRIBED), or its deadline
 *   OPENING   the answer to the request is on its way; events that come meanwhile are kept
 *   OPEN      events leave as they come: what a batch of the link brought is one write per session
 *   CLOSING   subscribed no more; the goodbye is sent when the socket takes it, or time is up
 *
 * Slow clients. The worker sends no more than a window (sessions.sendBuffer) that is not written to
 * the socket yet (outbox.h, ipc/events_gateway.h), so a session's memory is bounded and others do
 * not wait for it. Who has a full window and takes nothing for SESSION_STALL_MS is closed, and so
 * is who was outrun (EVENT_OUTRUN): SESSION_CODE_SLOW. Nothing is ever skipped.
 *
 * Dead clients. Every sessions.pingInterval each is pinged. One that is not silent on purpose (a
 * WebSocket has to answer) and was not heard of since the last ping is dropped; so is one whose
 * machine has taken nothing although bytes wait for it.
 *
 * The worker's restart. When its link is down nothing happens to a session; when it is up again,
 * each is subscribed anew, behind the last index that it knows of.
 *
 * Bounds: sessions.maxConnections on the node (shm/seats.h); E_BUSY beyond. One loop's thread;
 * knows no HTTP and no link: tests hand in their own wire, transport and time.
 */
#ifndef INSI_GATEWAY_SESSIONS_H
#define INSI_GATEWAY_SESSIONS_H

#include <sys/queue.h>

#include "base/config.h"
#include "procs/gateway/events/outbox.h"
#include "procs/gateway/events/session_keys.h"
#include "shm/seats.h"

#define SESSION_STALL_MS 1000
#define SESSION_STALL_LOOK_MS 250
#define SESSION_KEYS_LOOK_MS 200        /* whether API keys were deleted */
#define SESSION_RETRY_MS 25             /* a subscription that the link did not take */
#define SESSION_GOODBYE_MS 5000         /* for the socket to take the goodbye ... */
#define SESSION_GOODBYE_SLOW_MS 30000   /* ... of a slow client, which has to read up to it first */
#define SESSION_GOODBYE_STOP_MS 2000    /* ... when the process is to end */
#define SESSION_LINGER_MS 2000          /* for the client to close, after that */
#define SESSION_WRITE_FRAMES 64         /* of one write ... */
#define SESSION_WRITE_BYTES (64u << 10) /* ... at most, but for a larger event */
/* Of one write at most: each frame in pieces, before them a control frame and a ping. */
#define SESSION_WRITE_PIECES (2 + FRAME_STREAM_PIECES * SESSION_WRITE_FRAMES)

enum session_code { /* RFC 6455, 7.4; what a stream makes of them: its end */
                    SESSION_CODE_NORMAL = 1000,
                    SESSION_CODE_PROTOCOL = 1002,
                    SESSION_CODE_REVOKED = 1008,
                    SESSION_CODE_RESTART = 1012,
                    SESSION_CODE_SLOW = 4008
};

enum session_state { SESSION_PLACING, SESSION_OPENING, SESSION_OPEN, SESSION_CLOSING };

struct session;
struct sessions;

struct session_transport {
    bool is_stream; /* takes frames as a stream does, else as a WebSocket */
    bool answers_pings;
    struct slice ping; /* what asks for a sign of life */
    /* Writes; session_written or session_lost follows, never from within. The bytes stay until
     * then, the pieces do not. */
    void (*write)(struct session *session, const struct slice *pieces, unsigned count);
    /* Nothing is being written: says goodbye. session_goodbye_sent may follow, session_lost will,
     * perhaps from within. */
    void (*close)(struct session *session, unsigned code);
    /* The end, now. session_lost does not follow. What is being written is let go of, unless the
     * transport takes it (session_take_written). */
    void (*abort)(struct session *session);
    /* Grows with every byte that the client's machine has taken. */
    uint64_t (*taken)(struct session *session);
};

/* Called once unless the session is left before; never from within session_begin. 0: OPENING, the
 * request is to be answered, and the transport hands itself over with session_open. E_BUSY: the
 * worker takes no more; E_TIMEOUT: it did not answer in time; E_CLOSED: the process is to end;
 * E_SCOPE_GONE: the API key was deleted. With an error the session is gone. */
typedef void session_placed_fn(void *arg, int error);

struct session_wish {
    struct scope scope;
    const uint8_t *token_hash; /* of an API key; NULL: the root token, which nobody deletes */
    struct slice topic;
    bool from_now;
    uint64_t after;
    uint64_t deadline_ns;
    session_placed_fn *placed;
    void *arg;
};

TAILQ_HEAD(session_list, session);

struct session {
    /* set by the transport */
    const struct session_transport *transport;
    void *carrier; /* the transport's own */

    /* of sessions.c */
    struct sessions *sessions;
    TAILQ_ENTRY(session) all;     /* in order of the last ping */
    TAILQ_ENTRY(session) touched; /* in this batch */
    TAILQ_ENTRY(session) full;    /* its window is */
    enum session_state state;
    bool is_touched, is_full;
    bool is_subscribed; /* the worker was told, on this connection of the link */
    bool is_known;      /* SUBSCRIBED has come once: `position` says behind what to go on */
    bool is_live;       /* as of ipc/events_gateway.h */
    bool is_opened;     /* the transport takes bytes */
    bool is_writing, was_writing; /* now; at the last ping */
    bool wants_ping, awaits_sign; /* awaits_sign: since the last ping */
    bool has_said_goodbye;
    unsigned code;
    unsigned place;      /* in the table */
    uint64_t connection; /* its number on the link; 0: none */
    struct scope scope;
    struct session_key *key; /* NULL: root's */
    uint8_t *topic;
    uint32_t topic_len;
    bool from_now;
    uint64_t position;
    uint64_t window;
    struct outbox outbox;
    struct frame *urgent;         /* goes first; NULL: none */
    struct frame *urgent_written; /* is with the socket */
    uint64_t deadline_ns;         /* of all but OPEN */
    uint64_t pinged_ns;           /* or opened */
    uint64_t taken, taken_full;   /* at the last ping; when its window was last seen to move */
    uint64_t full_since_ns;
    session_placed_fn *placed;
    void *arg;
};

struct sessions_wire { /* to the worker: 0, E_PEER_DOWN, E_BUSY */
    int (*subscribe)(void *arg, const struct msg_subscribe *msg);
    int (*unsubscribe)(void *arg, uint64_t connection);
    int (*credit)(void *arg, uint64_t connection, uint64_t bytes);
    /* Marks the keys that were deleted. False: not now. */
    bool (*look_at_keys)(void *arg, struct session_keys *keys);
    uint64_t (*now_ns)(void *arg);
    void *arg;
};

/* config: of the process, looked at whenever something of it is needed. Both are borrowed. */
struct sessions *sessions_new(const struct config *config, struct seats *seats,
                              const struct sessions_wire *wire);
void sessions_free(struct sessions **sessions); /* aborts all, tells nobody */

/* ---- one session ---- */

/* E_BUSY: sessions.maxConnections. E_CLOSED: the process is to end. */
int session_begin(struct sessions *sessions, const struct session_wish *wish, struct session **out);
void session_leave(struct session *session); /* PLACING: the client is gone */

/* For transports. */
void session_open(struct session *session); /* transport and carrier are set; bytes may go */
void session_written(struct session *session);
void session_heard(struct session *session); /* of the client */
void session_lost(struct session *session);  /* the client is gone; the carrier ends itself */
/* Before the session ends: what is being written, for a transport that cannot stop it. Let go of
 * with outbox_fini. */
void session_take_written(struct session *session, struct outbox *out);
void session_goodbye_sent(struct session *session);
/* A control frame, in place of one that has not left yet. Takes the reference. */
void session_send_first(struct session *session, struct frame *frame);
void session_close(struct session *session, unsigned code); /* may free it */

/* ---- all ---- */

void sessions_stop(struct sessions *sessions); /* all: SESSION_CODE_RESTART; and no new ones */
unsigned sessions_count(const struct sessions *sessions);
void sessions_tick(struct sessions *sessions);
uint64_t sessions_due_ns(const struct sessions *sessions); /* UINT64_MAX: never */

/* ---- what the worker says (ipc/events_gateway.h) ---- */

void sessions_on_up(struct sessions *sessions);
void sessions_on_down(struct sessions *sessions);
void sessions_on_subscribed(struct sessions *sessions, const struct msg_subscribed *msg);
void sessions_on_event(struct sessions *sessions, const struct msg_event *msg);
void sessions_on_gap(struct sessions *sessions, const struct msg_event_gap *msg);
void sessions_on_reached(struct sessions *sessions, const struct msg_event_reached *msg);
void sessions_on_outrun(struct sessions *sessions, const struct msg_event_place *msg);
void sessions_on_caught_up(struct sessions *sessions, const struct msg_event_place *msg);
void sessions_on_behind(struct sessions *sessions, const struct msg_event_place *msg);
/* What the batch brought is written, and the link's window paid back. */
void sessions_on_batch_end(struct sessions *sessions);

#endif
