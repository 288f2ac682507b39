/* storage_main.c - insi-storage: durable values and API keys, in values.mdb. */
#include <stddef.h>

#include "procs/storage/purger.h"
#include "procs/storage/storage.h"

#define STORAGE_RESERVE_BYTES (32u << 20)

static struct storage storage;
static struct purger purger;

static void storage_on_committed(void *arg, struct worker *worker)
{
    (void)arg;
    purger_on_committed(&purger, worker);
}

static void storage_on_role_changed(void *arg, struct worker *worker)
{
    (void)arg;
    purger_on_role_changed(&purger, worker);
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {
        .proc = PROC_STORAGE,
        .map_kind = MAP_VALUES,
        .folder = offsetof(struct node_paths, values),
        .reserve_bytes = STORAGE_RESERVE_BYTES,
        .load = storage_load,
        .apply = storage_apply,
        .committed = storage_on_committed,
        .role_changed = storage_on_role_changed,
        .arg = &storage,
    };

    purger_init(&purger, &storage.doomed);
    worker_run(&kind, argc, argv);
}
