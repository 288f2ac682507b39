/* link_inbox.c - see link_inbox.h. */
#include "ipc/link_inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

#define LINK_EVENTS_FIRST 16
#define LINK_EVENT_OVERHEAD 64 /* about what the memory of a few bytes costs */

int link_inbox_init(struct link_inbox *inbox)
{
    *inbox = (struct link_inbox){.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    CHECK(pthread_mutex_init(&inbox->mutex, NULL) == 0);
    return inbox->wake_fd < 0 ? E_IO : 0;
}

void link_events_fini(struct link_events *events)
{
    for (size_t i = 0; i < events->count; i++) {
        nng_stream_free(events->items[i].stream); /* NULL is fine */
        free(events->items[i].bytes);
    }
    free(events->items);
    *events = (struct link_events){0};
}

void link_inbox_fini(struct link_inbox *inbox)
{
    link_events_fini(&inbox->filling);
    if (inbox->wake_fd >= 0)
        close(inbox->wake_fd);
    pthread_mutex_destroy(&inbox->mutex);
}

size_t link_event_cost(const struct link_event *event)
{
    return event->bytes != NULL ? event->len + LINK_EVENT_OVERHEAD : 0;
}

bool link_inbox_put(struct link_inbox *inbox, struct link_event event)
{
    pthread_mutex_lock(&inbox->mutex);
    struct link_events *filling = &inbox->filling;
    if (filling->count == filling->capacity)
        filling->items = mem_grow(filling->items, &filling->capacity, sizeof(struct link_event),
                                  LINK_EVENTS_FIRST);
    filling->items[filling->count++] = event;
    inbox->bytes += link_event_cost(&event);
    bool has_room = inbox->bytes < LINK_INBOX_BYTES;
    if (!has_room && event.kind == LINK_EVENT_BYTES)
        inbox->paused = true;
    pthread_mutex_unlock(&inbox->mutex);
    return has_room;
}

void link_inbox_wake(struct link_inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    bool wake = !inbox->signalled && inbox->filling.count > 0;
    inbox->signalled = inbox->signalled || wake;
    pthread_mutex_unlock(&inbox->mutex);
    uint64_t one = 1;
    if (wake) {
        ssize_t put = write(inbox->wake_fd, &one, sizeof(one));
        CHECK(put == (ssize_t)sizeof(one));
    }
}

void link_inbox_take(struct link_inbox *inbox, struct link_events *taken)
{
    uint64_t count;
    ssize_t got = read(inbox->wake_fd, &count, sizeof(count));
    CHECK(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    pthread_mutex_lock(&inbox->mutex);
    *taken = inbox->filling;
    inbox->filling = (struct link_events){0};
    inbox->signalled = false;
    pthread_mutex_unlock(&inbox->mutex);
}

bool link_inbox_done(struct link_inbox *inbox, size_t bytes)
{
    pthread_mutex_lock(&inbox->mutex);
    CHECK(inbox->bytes >= bytes);
    inbox->bytes -= bytes;
    bool restart = inbox->paused && inbox->bytes < LINK_INBOX_BYTES;
    if (restart)
        inbox->paused = false;
    pthread_mutex_unlock(&inbox->mutex);
    return restart;
}
