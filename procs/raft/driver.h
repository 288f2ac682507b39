/* driver.h - what stands around the Raft core: feeds it events, carries out its updates in the
 * order that core/raft.h asks for (docs/raft.md).
 *
 * One thread, the process's loop. Events come from the log (something became durable), the gateways
 * (proposals, questions), the state workers (how far they have applied), the timer and the
 * supervisor. Proposals and questions are gathered during a turn and given to the core at its end,
 * all at once.
 */
#ifndef INSI_RAFT_DRIVER_H
#define INSI_RAFT_DRIVER_H

#include "ipc/loop.h"
#include "procs/skel/skel.h"
#include "shm/board.h"

struct driver;

/* Recovers the log, founds a cluster if it is this node's to found, starts the core, opens the
 * links. Ends the process when it cannot: PROC_EXIT_STOP_NODE where a restart would not help. */
struct driver *driver_start(struct skel *skel, struct loop *loop, struct board *board,
                            uint64_t epoch);

/* Before a planned stop of the node: leadership is handed over, then skel_yielded. */
void driver_yield(struct driver *driver);

/* The configuration was replaced: connections to peers that are made from now on show its
 * certificates. */
void driver_reload(struct driver *driver);

/* A planned stop: what was taken is made durable and applied, then the process ends. */
void driver_stop(struct driver *driver);

#endif
