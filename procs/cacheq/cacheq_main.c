/* cacheq_main.c - insi-cacheq: follows the apply stream with volatile.mdb on tmpfs. It knows no
 * commands of its own yet. */
#include <stddef.h>

#include "procs/worker/worker.h"

#define CACHEQ_RESERVE_BYTES (4u << 20)

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {
        .proc = PROC_CACHEQ,
        .map_kind = MAP_VOLATILE,
        .folder = offsetof(struct node_paths, volatile_map),
        .reserve_bytes = CACHEQ_RESERVE_BYTES,
        .is_volatile = true,
    };

    worker_run(&kind, argc, argv);
}
