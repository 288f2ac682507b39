/* purge.c - taking the events of deleted scopes out of the ring: a walk through all that it holds,
 * in steps. Nobody of such a scope can subscribe, and it publishes no more. */
#include <string.h>

#include "base/error.h"
#include "procs/events/events.h"

struct purge_walk {
    const struct scope *scope;
    struct doomed_step *step;
    uint64_t last_index; /* looked at */
    uint64_t indexes[DOOMED_STEP_KEYS];
    unsigned count, looked_at;
    bool is_cut; /* more may follow */
};

static int purge_visit(const struct ring_event *event, void *arg)
{
    struct purge_walk *walk = arg;

    walk->is_cut = walk->looked_at == EVENTS_PURGE_STEP || doomed_step_is_over(walk->step);
    if (walk->is_cut)
        return E_CLOSED;
    walk->looked_at++;
    walk->last_index = event->index;
    if (memcmp(&event->scope, walk->scope, sizeof(event->scope)) != 0)
        return 0;
    walk->indexes[walk->count++] = event->index;
    walk->step->removed++;
    walk->step->bytes += event->topic.len + event->data.len;
    return 0;
}

int purge_remove(void *arg, MDB_txn *txn, const struct scope *scope, struct doomed_step *step,
                 bool *is_empty)
{
    struct events *events = arg;
    struct purge_walk walk = {.scope = scope, .step = step, .last_index = events->purge_after};

    int error = ring_scan(&events->ring, txn, events->purge_after, purge_visit, &walk);
    for (unsigned i = 0; error == 0 && i < walk.count; i++)
        error = ring_remove(&events->ring, txn, walk.indexes[i]);
    events->purge_after = walk.last_index;
    *is_empty = !walk.is_cut;
    return error;
}
