/* topics.h - which subscriptions of a gateway an event is for.
 *
 * Exact topics and prefixes are found by hash, a prefix once for each length that is in use in the
 * event's scope; so an event costs the same however many subscriptions there are that it is not
 * for. The hash is keyed with chance: clients choose topics, but not where they meet.
 */
#ifndef INSI_PROCS_EVENTS_TOPICS_H
#define INSI_PROCS_EVENTS_TOPICS_H

#include "base/token.h"
#include "procs/events/subscription.h"

struct topic;
struct topic_scope;

struct topics {
    uint64_t seed[2];
    struct topic **topics; /* chains; a power of two of them, 0 before the first one */
    struct topic_scope **scopes;
    unsigned topic_room, topic_count;
    unsigned scope_room, scope_count;
};

void topics_init(struct topics *topics);
void topics_free(struct topics *topics); /* the subscriptions stay with their owner */

/* pattern: a topic, or a prefix and a '*' (ipc/events_gateway.h). */
void topics_add(struct topics *topics, struct subscription *subscription, const struct scope *scope,
                struct slice pattern);
void topics_remove(struct topics *topics, struct subscription *subscription);

/* Appends those that the event is for to found, in no order. */
void topics_match(const struct topics *topics, const struct scope *scope, struct slice topic,
                  struct subscription_list *found);

#endif
