/* subscription.h - the events of a topic, printed as they come, for as long as it takes.
 *
 * They come over GET /events/stream of one server at a time. When it is lost, or refuses for now
 * (429 and 5xx), the next one is asked: each at once, then with growing pauses. It is told up to
 * which index the events are here already, by what was printed or what the server itself named when
 * the subscription began, so nothing is missed, and what comes twice is printed once.
 *
 * Until a server has taken the subscription for the first time each is asked only once.
 */
#ifndef INSI_INSIC_SUBSCRIPTION_H
#define INSI_INSIC_SUBSCRIPTION_H

#include "insic/client.h"

/* Follows a topic, or the topics that begin with what stands in front of a '*'; from now on, or
 * with the events behind an index that are still kept. Ends only with a code: E_CLOSED when nobody
 * reads stdout any more, otherwise after the error was reported. */
int subscription_follow(struct client *client, const char *topic, const uint64_t *after);

#endif
