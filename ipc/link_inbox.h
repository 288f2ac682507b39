/* link_inbox.h - the hand-over from NNG's threads to the thread that owns a link.
 *
 * A queue under a mutex and an eventfd, written only when the owner has taken everything before:
 * under load many batches cost one wake-up. What was received is bounded: at LINK_INBOX_BYTES the
 * receiver is told not to receive again, and the owner restarts it once it has worked the backlog
 * off.
 */
#ifndef INSI_IPC_LINK_INBOX_H
#define INSI_IPC_LINK_INBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nng/nng.h>

#define LINK_INBOX_BYTES (64u << 20)

enum link_event_kind {
    LINK_EVENT_MET,   /* link_meet.h: a stream, or none */
    LINK_EVENT_BYTES, /* link_wire.h: whole batches */
    LINK_EVENT_ENDED, /* the connection broke */
    LINK_EVENT_SENT,  /* there is room for the next batch */
    LINK_EVENT_TIMER, /* link_timer.h */
};

struct link_event {
    enum link_event_kind kind;
    uint32_t generation; /* of the connection, or of the listener */
    nng_stream *stream;  /* LINK_EVENT_MET: owned by the event; NULL when it failed */
    uint8_t *bytes;      /* LINK_EVENT_BYTES: owned by the event */
    size_t len;
};

struct link_events {
    struct link_event *items;
    unsigned count, capacity;
};

struct link_inbox {
    pthread_mutex_t mutex;
    int wake_fd;
    bool signalled; /* the owner was woken and has not taken yet */
    bool paused;    /* the receiver waits for link_inbox_done */
    size_t bytes;   /* put and not yet done */
    struct link_events filling;
};

int link_inbox_init(struct link_inbox *inbox);  /* E_IO */
void link_inbox_fini(struct link_inbox *inbox); /* frees what was not taken */

/* From any thread. put returns whether the receiver may go on; wake comes after it, so that
 * receiving is started again before the system call. */
bool link_inbox_put(struct link_inbox *inbox, struct link_event event);
void link_inbox_wake(struct link_inbox *inbox);

/* The owner: takes all events (link_events_fini frees them), and reports the bytes it has worked
 * off; done returns true when the receiver has to be started again. */
void link_inbox_take(struct link_inbox *inbox, struct link_events *taken);
bool link_inbox_done(struct link_inbox *inbox, size_t bytes);

/* What an event counts against LINK_INBOX_BYTES. */
size_t link_event_cost(const struct link_event *event);
void link_events_fini(struct link_events *events);

#endif
