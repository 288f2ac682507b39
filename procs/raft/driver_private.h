/* driver_private.h - the driver's state, and what its files want of each other.
 *
 *   the core        driver.c           one step, and the duties that its update asks for
 *                   driver_turn.c      what gathers during a turn, the turn's end, the stop
 *   a start         driver_start.c     from the log on disk to a core that runs
 *                   driver_base.c      where log and snapshots meet
 *                   driver_discard.c   beginning anew, without a log
 *   other nodes     driver_peers.c     their messages, handed to the core or to one of these:
 *                   driver_forward.c   proposals on their way to the leader, and full disks
 *                   driver_clock.c     cluster time
 *                   driver_transfer.c  snapshots
 *   the cluster     driver_admit.c     who may belong to it
 *                   driver_handover.c  leadership, before a planned stop
 *   snapshots here  driver_snapshot.c  making one, cutting the log, loading, installing
 */
#ifndef INSI_RAFT_DRIVER_PRIVATE_H
#define INSI_RAFT_DRIVER_PRIVATE_H

#include "procs/raft/admin_changes.h"
#include "procs/raft/admin_status.h"
#include "procs/raft/apply.h"
#include "procs/raft/clock_sync.h"
#include "procs/raft/cluster_clock.h"
#include "procs/raft/core/raft.h"
#include "procs/raft/disk_guard.h"
#include "procs/raft/driver.h"
#include "procs/raft/gateways.h"
#include "procs/raft/group.h"
#include "procs/raft/joining.h"
#include "procs/raft/peer_append.h"
#include "procs/raft/peers.h"
#include "procs/raft/snapshot_intake.h"
#include "procs/raft/snapshot_sends.h"
#include "procs/raft/snapshots.h"
#include "procs/raft/state_watch.h"
#include "procs/raft/wal.h"

#define DRIVER_LOAD_NS 1000000000ull  /* between two tries of a worker to load a snapshot */
#define DRIVER_LACK_NS 60000000000ull /* between two lines that say that there is none */

struct driver_life { /* of another node's raft process: since when it is known */
    uint64_t id, start_id, since_ns;
};

struct driver {
    struct skel *skel;
    struct loop *loop;
    struct board *board;
    uint64_t epoch; /* of the board */
    struct wal *wal;
    struct raft *raft;
    struct loop_timer timer;

    struct group group;     /* what is known of it; the core is raft */
    struct member changing; /* names and addresses of who is being added or renewed; id 0: nobody */
    bool members_are_new;   /* the peers are to be told at the end of the turn */
    struct cluster_clock clock;
    struct clock_sync clock_sync;
    struct loop_timer tick_timer;
    struct disk_guard guard;
    uint64_t full[RAFT_MEMBERS_MAX]; /* raft ids of those whose disk is full */
    uint32_t full_count;
    bool said_full;     /* the leader believes that this node's disk is full */
    struct buf scratch; /* the payload of a config entry, a worker's entry */

    struct peers *peers;
    struct peer_append received; /* the APPEND that is being stepped */
    struct joining joining;
    struct admin_status status;
    struct admin_changes changes;
    struct { /* driver_handover.c */
        bool is_wanted, then_stop;
        uint64_t due_ns;
        struct loop_timer timer;
        struct driver_life lives[RAFT_MEMBERS_MAX];
    } handover;
    bool is_yielding; /* the supervisor waits for this node not to lead */
    bool begins_anew; /* at the end of this turn */
    struct apply apply;
    struct snapshots snapshots;
    struct snapshot_sends sends;
    struct snapshot_intake intake;
    struct state_watch watch;
    uint64_t installing; /* index of the snapshot behind which the log is begun anew; 0: none */
    struct loop_timer load_timer;
    uint64_t lack_told_ns;               /* no line on the lack of a snapshot before that */
    char load_path[SNAPSHOT_PATH_BYTES]; /* of the file that a worker is told to load */
    struct gateways gateways;
    struct proposals proposals;
    struct reads reads;

    /* as the last update said */
    struct board_lease lease; /* as the board has it */
    uint64_t config_index;
    uint64_t write;       /* the last one that was queued */
    uint64_t entry_bytes; /* queued since the start */
    bool may_stop;

    struct { /* memory goes back to the system in a quiet moment */
        uint64_t bytes, trimmed_bytes,
            seen_bytes; /* of entries and snapshots, written or sent, since the start */
        struct loop_timer timer;
    } trim;

    uint64_t persisted; /* the last write that the core was told of */
    struct loop_timer stop_timer;
    uint64_t stop_deadline_ns;
};

/* driver.c: one step of the core and all that follows from it. The refusal of the event. A PROPOSE
 * event is about driver->proposals. */
enum raft_refusal driver_step(struct driver *driver, struct raft_event *event);
/* A message of a peer. False: the core refused it. */
bool driver_receive(struct driver *driver, const struct raft_message *message);
void driver_on_durable(void *arg);
void driver_on_timer(void *arg);

/* driver_turn.c: what others want, and the end of a turn */
void driver_on_turn_end(void *arg);
void driver_on_stop_timer(void *arg);
void driver_on_trim_timer(void *arg);
void driver_finish_work(struct driver *driver); /* what was taken, then the process ends */
/* Of a gateway of this node, or of another's: only while this node leads, or is about to stop. */
void driver_take_proposal(struct driver *driver, const struct proposal_origin *origin,
                          struct slice entry);
bool driver_is_full(struct driver *driver, size_t bytes); /* this node's disk */
void driver_hook_gateways(struct driver *driver, struct gateways_hooks *hooks);
void driver_hook_workers(struct driver *driver, struct apply_hooks *hooks);
void driver_answer_reads(struct driver *driver, uint64_t read_id, int error, uint64_t index);

/* driver_peers.c */
int driver_open_peers(struct driver *driver); /* E_INVALID, logged */
void driver_send(struct driver *driver, const struct raft_message *message);
void driver_tell_peers(struct driver *driver); /* at the end of a turn: who is to be spoken to */

/* driver_admit.c: who may belong to this cluster */
void driver_on_join(struct driver *driver, struct peer *from, struct unpack *body);
void driver_renew_addresses(struct driver *driver); /* of a member that has moved, in the log */
/* A change of the members; names and addresses go with it. */
enum raft_refusal driver_change(struct driver *driver, enum raft_change_kind kind,
                                const struct member *member);

/* driver_forward.c */
void driver_pass_on(struct driver *driver, const struct proposal_origin *origin,
                    struct slice entry);
void driver_refuse(struct driver *driver, const struct proposal_origin *origin, int error);
void driver_forward_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                               struct unpack *body);
/* Whether their proposals reach a leader; again: and that all that is open may have been lost. */
void driver_tell_gateways(struct driver *driver);
void driver_tell_gateways_again(struct driver *driver);
void driver_lead_on(struct driver *driver); /* leadership was not handed over */
void driver_say_disk(struct driver *driver, struct peer *leader);
void driver_note_full(struct driver *driver, uint64_t id, bool is_full);
bool driver_others_are_full(const struct driver *driver);

/* driver_clock.c */
void driver_on_tick_timer(void *arg);
void driver_clock_on_leader(struct driver *driver);
void driver_clock_on_members(struct driver *driver);
void driver_clock_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                             struct unpack *body);

/* driver_handover.c: leadership goes to another node if one can take it, then nobody is to make
 * this one lead any more; then_stop: and driver_finish_work. */
/* Leadership to this one, which has to be a voter that answers. */
enum raft_refusal driver_transfer(struct driver *driver, uint64_t to);
void driver_hand_over(struct driver *driver, bool then_stop);
void driver_on_handover_timer(void *arg);
void driver_handover_on_role(struct driver *driver);
void driver_note_life(struct driver *driver, const struct peer *peer);
bool driver_can_take_over(void *arg, uint64_t id); /* at the leader */

/* driver_discard.c: ends the process, whose next life has no log. At a start: does so. */
_Noreturn void driver_discard(struct driver *driver);
void driver_finish_discard(struct driver *driver);

/* driver_base.c: finds where the log goes on from a snapshot, and takes the members of then. Begins
 * the log anew if it does not lead to the newest one. */
struct driver_base {
    uint64_t index, term; /* of the log as the core is to know it */
    uint64_t config_index;
    uint64_t snapshot_index;
};
void driver_find_base(struct driver *driver, struct wal_state *state, struct driver_base *base);

/* driver_snapshot.c */
/* The members that the config entry of this index lists. E_NOT_FOUND: it is not there any more. */
int driver_members_at(struct driver *driver, uint64_t config_index, struct members *out);
void driver_hook_snapshots(struct driver *driver, struct snapshots_hooks *hooks);
bool driver_on_worker_lacks(void *arg, enum proc worker, uint64_t applied_index,
                            struct msg_snapshot_load *load);
void driver_on_worker_loaded(void *arg, enum proc worker, uint64_t index, int error);
void driver_on_part_made(void *arg, enum proc worker, const struct msg_snapshot_made *made);
void driver_install(struct driver *driver, const struct raft_update *update);
void driver_on_reset(struct driver *driver, uint64_t index);
void driver_on_load_timer(void *arg);

/* driver_transfer.c: between nodes */
void driver_transfer_init(struct driver *driver);
void driver_transfer_close(struct driver *driver);
/* A PEER_SNAPSHOT_* message, whose body is consumed to its end or refused. */
void driver_on_snapshot_message(struct driver *driver, struct peer *from, enum peer_message number,
                                struct unpack *body);

/* driver_start.c */
/* Ends the process; the log line says why. */
_Noreturn void driver_give_up(struct driver *driver, int error);

#endif
