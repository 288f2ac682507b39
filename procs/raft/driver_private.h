/* driver_private.h - the driver's state; shared by driver.c (steps and duties), driver_start.c and
 * driver_turn.c (what happens at the end of a turn, and the stop). */
#ifndef INSI_RAFT_DRIVER_PRIVATE_H
#define INSI_RAFT_DRIVER_PRIVATE_H

#include "procs/raft/apply.h"
#include "procs/raft/cluster_clock.h"
#include "procs/raft/core/raft.h"
#include "procs/raft/disk_guard.h"
#include "procs/raft/driver.h"
#include "procs/raft/gateways.h"
#include "procs/raft/members.h"
#include "procs/raft/wal.h"

struct driver {
    struct skel *skel;
    struct loop *loop;
    struct board *board;
    uint64_t epoch; /* of the board */
    struct wal *wal;
    struct raft *raft;
    struct loop_timer timer;

    struct members members; /* of the newest config in the log, with names and addresses */
    struct cluster_clock clock;
    struct disk_guard guard;
    struct buf scratch; /* the payload of a config entry, a worker's entry */

    struct apply apply;
    struct gateways gateways;
    struct proposals proposals;
    struct reads reads;

    /* as the last update said */
    enum raft_role role;
    uint64_t term, leader;
    uint64_t write;       /* the last one that was queued */
    uint64_t entry_bytes; /* queued since the start */
    bool may_stop;

    struct { /* memory goes back to the system in a quiet moment */
        uint64_t bytes, trimmed_bytes,
            seen_bytes; /* of entries, written or sent, since the start */
        struct loop_timer timer;
    } trim;

    uint64_t persisted; /* the last write that the core was told of */
    bool stopping;
    struct loop_timer stop_timer;
    uint64_t stop_deadline_ns;
};

/* driver.c: one step of the core and all that follows from it. The refusal of the event. A PROPOSE
 * event is about driver->proposals. */
enum raft_refusal driver_step(struct driver *driver, struct raft_event *event);
uint64_t driver_now_ns(const struct driver *driver);
void driver_on_durable(void *arg);
void driver_on_timer(void *arg);

/* driver_turn.c: what others want, and the end of a turn */
void driver_on_turn_end(void *arg);
void driver_on_stop_timer(void *arg);
void driver_on_trim_timer(void *arg);
void driver_hook_gateways(struct driver *driver, struct gateways_hooks *hooks);
void driver_hook_workers(struct driver *driver, struct apply_hooks *hooks);
void driver_answer_reads(struct driver *driver, uint64_t read_id, int error, uint64_t index);

/* driver_start.c: ends the process; the log line says why. */
_Noreturn void driver_give_up(struct driver *driver, int error);

#endif
