/* events_main.c - insi-events: follows the apply stream with events.mdb on tmpfs. It knows no
 * commands of its own yet. */
#include <stddef.h>

#include "procs/worker/worker.h"

#define EVENTS_RESERVE_BYTES (4u << 20)

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {
        .proc = PROC_EVENTS,
        .map_kind = MAP_EVENTS,
        .folder = offsetof(struct node_paths, events_map),
        .reserve_bytes = EVENTS_RESERVE_BYTES,
        .is_volatile = true,
    };

    worker_run(&kind, argc, argv);
}
