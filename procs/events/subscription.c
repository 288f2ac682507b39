/* subscription.c - see subscription.h. */
#include "procs/events/subscription.h"

#include <stdlib.h>

#include "base/check.h"

#define SUBSCRIPTION_LIST_FIRST 64
#define SUBSCRIPTIONS_FIRST 64

/* ---- lists and queues ---- */

void subscription_list_push(struct subscription_list *list, struct subscription *subscription)
{
    if (list->count == list->room)
        list->items =
            mem_grow(list->items, &list->room, sizeof(list->items[0]), SUBSCRIPTION_LIST_FIRST);
    list->items[list->count++] = subscription;
}

void subscription_list_free(struct subscription_list *list)
{
    free(list->items);
    *list = (struct subscription_list){0};
}

void subscription_queue_add(struct subscription_queue *queue, struct subscription *subscription)
{
    subscription->previous = NULL;
    subscription->next = queue->first;
    if (queue->first != NULL)
        queue->first->previous = subscription;
    queue->first = subscription;
    queue->count++;
}

void subscription_queue_take(struct subscription_queue *queue, struct subscription *subscription)
{
    CHECK(queue->count > 0);
    if (subscription->previous != NULL)
        subscription->previous->next = subscription->next;
    else
        queue->first = subscription->next;
    if (subscription->next != NULL)
        subscription->next->previous = subscription->previous;
    subscription->previous = subscription->next = NULL;
    queue->count--;
}

/* ---- the table ---- */

/* A gateway's numbers may differ in some of their bits only. */
static unsigned subscriptions_slot(unsigned room, uint64_t connection)
{
    return (unsigned)((connection * 0x9e3779b97f4a7c15ull) >> 32) & (room - 1);
}

struct subscription *subscriptions_find(const struct subscriptions *all, uint64_t connection)
{
    if (all->room == 0)
        return NULL;
    struct subscription *at = all->chains[subscriptions_slot(all->room, connection)];
    while (at != NULL && at->connection != connection)
        at = at->next_of_chain;
    return at;
}

static void subscriptions_link(struct subscriptions *all, struct subscription *subscription)
{
    struct subscription **chain =
        &all->chains[subscriptions_slot(all->room, subscription->connection)];

    subscription->next_of_chain = *chain;
    *chain = subscription;
}

static void subscriptions_grow(struct subscriptions *all)
{
    struct subscription **old = all->chains;
    unsigned old_room = all->room;

    all->room = old_room > 0 ? 2 * old_room : SUBSCRIPTIONS_FIRST;
    all->chains = mem_alloc(all->room * sizeof(struct subscription *));
    for (unsigned i = 0; i < old_room; i++) {
        for (struct subscription *at = old[i], *next; at != NULL; at = next) {
            next = at->next_of_chain;
            subscriptions_link(all, at);
        }
    }
    free(old);
}

struct subscription *subscriptions_add(struct subscriptions *all, uint64_t connection)
{
    struct subscription *subscription = mem_alloc(sizeof(*subscription));

    if (all->count == all->room)
        subscriptions_grow(all);
    subscription->connection = connection;
    subscriptions_link(all, subscription);
    all->count++;
    return subscription;
}

void subscriptions_remove(struct subscriptions *all, struct subscription *subscription)
{
    struct subscription **at =
        &all->chains[subscriptions_slot(all->room, subscription->connection)];

    while (*at != subscription)
        at = &(*at)->next_of_chain;
    *at = subscription->next_of_chain;
    all->count--;
    free(subscription);
}

void subscriptions_visit(const struct subscriptions *all, subscription_visit_fn *visit, void *arg)
{
    for (unsigned i = 0; i < all->room; i++) {
        for (struct subscription *at = all->chains[i], *next; at != NULL; at = next) {
            next = at->next_of_chain;
            visit(at, arg);
        }
    }
}

static void subscriptions_free_one(struct subscription *subscription, void *arg)
{
    (void)arg;
    free(subscription);
}

void subscriptions_free(struct subscriptions *all)
{
    subscriptions_visit(all, subscriptions_free_one, NULL);
    free(all->chains);
    *all = (struct subscriptions){0};
}
