/* fanout.h - what feeds send. An event is encoded once for a gateway, with the list of its
 * connections that get it now. */
#ifndef INSI_PROCS_EVENTS_FANOUT_H
#define INSI_PROCS_EVENTS_FANOUT_H

#include "procs/events/feed.h"

/* Sends the event to those in the state that it is for and that have not got it; parks those that
 * have no window left. False: the link owes window_bytes, or takes no more; the rest gets it when
 * the same is asked for again. */
bool fanout_send(struct feed *feed, const struct ring_event *event, enum subscription_state state,
                 uint64_t window_bytes);

/* EVENT_OUTRUN, EVENT_CAUGHT_UP, EVENT_BEHIND. */
void fanout_tell_place(struct feed *feed, enum msg type, uint64_t connection, uint64_t index);

/* The result of sending: the feed is broken when the link has no room. */
void fanout_note(struct feed *feed, int error);

#endif
