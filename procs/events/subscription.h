/* subscription.h - one subscription of one client, and a gateway's table of them by number. */
#ifndef INSI_PROCS_EVENTS_SUBSCRIPTION_H
#define INSI_PROCS_EVENTS_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

struct topic;

enum subscription_state {
    SUBSCRIPTION_LIVE,    /* moves with its gateway's live position */
    SUBSCRIPTION_READING, /* behind, in the sweep that is going on (feed.h) */
    SUBSCRIPTION_WAITING, /* behind, for the next sweep */
    SUBSCRIPTION_PARKED,  /* behind, and without window */
};

struct subscription {
    uint64_t connection; /* its number */
    uint64_t position;   /* it has been sent everything up to it, or more: feed_place */
    uint64_t window, unpaid;
    enum subscription_state state;
    unsigned topic_slot; /* in topic */
    struct topic *topic; /* of topics.h */
    struct subscription *next_of_chain;
    struct subscription *previous, *next; /* of its state, but for those that are live */
};

/* ---- rows of them, for a moment ---- */

struct subscription_list {
    struct subscription **items;
    unsigned count, room;
};
void subscription_list_push(struct subscription_list *list, struct subscription *subscription);
void subscription_list_free(struct subscription_list *list);

/* ---- all that are in one state ---- */

struct subscription_queue {
    struct subscription *first;
    unsigned count;
};
void subscription_queue_add(struct subscription_queue *queue, struct subscription *subscription);
void subscription_queue_take(struct subscription_queue *queue, struct subscription *subscription);

/* ---- a gateway's, by number ---- */

struct subscriptions {
    struct subscription **chains;
    unsigned room, count;
};
struct subscription *subscriptions_find(const struct subscriptions *all, uint64_t connection);
/* The number is not in use. Zeroed but for it. */
struct subscription *subscriptions_add(struct subscriptions *all, uint64_t connection);
void subscriptions_remove(struct subscriptions *all, struct subscription *subscription); /* frees */
void subscriptions_free(struct subscriptions *all); /* all of them, too */

/* Every one, in no order; visit removes none. */
typedef void subscription_visit_fn(struct subscription *subscription, void *arg);
void subscriptions_visit(const struct subscriptions *all, subscription_visit_fn *visit, void *arg);

#endif
