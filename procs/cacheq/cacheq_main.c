/* cacheq_main.c - insi-cacheq: cache entries and queues, in volatile.mdb on tmpfs. */
#include <stddef.h>

#include "procs/cacheq/cacheq.h"
#include "procs/cacheq/sweeper.h"

#define CACHEQ_RESERVE_BYTES (4u << 20)

static struct cacheq cacheq;
static struct sweeper sweeper;

static void cacheq_on_committed(void *arg, struct worker *worker)
{
    (void)arg;
    sweeper_on_committed(&sweeper, worker);
}

static void cacheq_on_role_changed(void *arg, struct worker *worker)
{
    (void)arg;
    sweeper_on_role_changed(&sweeper, worker);
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {
        .proc = PROC_CACHEQ,
        .map_kind = MAP_VOLATILE,
        .folder = offsetof(struct node_paths, volatile_map),
        .reserve_bytes = CACHEQ_RESERVE_BYTES,
        .is_volatile = true,
        .load = cacheq_load,
        .store = cacheq_store,
        .apply = cacheq_apply,
        .committed = cacheq_on_committed,
        .role_changed = cacheq_on_role_changed,
        .arg = &cacheq,
    };

    sweeper_init(&sweeper, &cacheq);
    worker_run(&kind, argc, argv);
}
