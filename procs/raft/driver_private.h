/* driver_private.h - the driver's state, and what its files want of each other.
 *
 *   driver.c           one step of the core, and the duties that its update asks for
 *   driver_turn.c      what gathers during a turn, the turn's end, the stop
 *   driver_start.c     from the log on disk to a core that runs
 *   driver_base.c      where log and snapshots meet at a start
 *   driver_peers.c     other nodes' messages, each handed to the core or to one of the parts
 *   driver_parts.c     the parts, and what they need of the driver
 *   driver_transfer.c  the same for those that send and take snapshots
 *   driver_snapshot.c  making one, cutting the log, loading, installing
 *
 * The parts are modules with headers of their own. They know nothing of the driver: they read the
 * group, talk to peers and gateways, and have hooks for what only the core can do.
 */
#ifndef INSI_RAFT_DRIVER_PRIVATE_H
#define INSI_RAFT_DRIVER_PRIVATE_H

#include "base/pace.h"
#include "procs/raft/admin_changes.h"
#include "procs/raft/admin_status.h"
#include "procs/raft/admission.h"
#include "procs/raft/apply.h"
#include "procs/raft/cluster_time.h"
#include "procs/raft/core/raft.h"
#include "procs/raft/disk_room.h"
#include "procs/raft/driver.h"
#include "procs/raft/forwarding.h"
#include "procs/raft/gateways.h"
#include "procs/raft/group.h"
#include "procs/raft/handover.h"
#include "procs/raft/joining.h"
#include "procs/raft/peers/peer_append.h"
#include "procs/raft/peers/peers.h"
#include "procs/raft/snapshots/snapshot_intake.h"
#include "procs/raft/snapshots/snapshot_sends.h"
#include "procs/raft/snapshots/snapshots.h"
#include "procs/raft/state_watch.h"
#include "procs/raft/wal/wal.h"

#define DRIVER_LOAD_NS 1000000000ull  /* between two tries of a worker to load a snapshot */
#define DRIVER_LACK_NS 60000000000ull /* between two lines that say that there is none */

struct driver {
    struct skel *skel;
    struct loop *loop;
    struct board *board;
    uint64_t epoch; /* of the board */
    struct wal *wal;
    struct raft *raft;
    struct group group; /* what is known of it; the core is raft */
    struct peers *peers;
    struct gateways gateways;
    struct apply apply;
    struct snapshots snapshots;

    /* the parts */
    struct joining joining;
    struct admission admission;
    struct forwarding forwarding;
    struct disk_room room;
    struct cluster_time time;
    struct admin_status status;
    struct admin_changes changes;
    struct handover handover;
    struct snapshot_sends sends;
    struct snapshot_intake intake;
    struct state_watch watch;

    /* driver.c: of the step that is under way, and as the last update said */
    struct loop_timer timer;
    struct peer_append received; /* the APPEND that is being stepped */
    struct member changing; /* names and addresses of who is being added or renewed; id 0: nobody */
    struct buf scratch;     /* the payload of a config entry, a worker's entry */
    struct board_lease lease; /* as the board has it */
    uint64_t config_index;
    uint64_t write;       /* the last one that was queued */
    uint64_t persisted;   /* the last one that the core was told of */
    uint64_t entry_bytes; /* queued since the start */
    bool may_stop;

    /* driver_turn.c */
    struct proposals proposals;
    struct reads reads;
    bool begins_anew; /* at the end of this turn */
    bool is_yielding; /* the supervisor waits for this node not to lead */
    struct loop_timer stop_timer;
    uint64_t stop_deadline_ns;
    struct { /* memory goes back to the system in a quiet moment */
        uint64_t bytes, trimmed_bytes,
            seen_bytes; /* of entries and snapshots, written or sent, since the start */
        struct loop_timer timer;
    } trim;

    /* driver_peers.c */
    bool members_are_new; /* the peers are to be told at the end of the turn */
    struct loop_timer tick_timer;

    /* driver_snapshot.c */
    uint64_t installing; /* index of the snapshot behind which the log is begun anew; 0: none */
    struct loop_timer load_timer;
    struct pace lack_pace;               /* of lines on the lack of a snapshot */
    char load_path[SNAPSHOT_PATH_BYTES]; /* of the file that a worker is told to load */
};

/* driver.c: one step of the core and all that follows from it. The refusal of the event. A PROPOSE
 * event is about driver->proposals. */
enum raft_refusal driver_step(struct driver *driver, struct raft_event *event);
/* A change of the members; names and addresses go with it. */
enum raft_refusal driver_change(void *arg, enum raft_change_kind kind, const struct member *member);
enum raft_refusal driver_transfer(void *arg, uint64_t to); /* leadership, to this voter */
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
void driver_hook_gateways(struct driver *driver, struct gateways_hooks *hooks);
void driver_hook_workers(struct driver *driver, struct apply_hooks *hooks);
void driver_answer_reads(struct driver *driver, uint64_t read_id, int error, uint64_t index);

/* driver_peers.c */
int driver_open_peers(struct driver *driver); /* E_INVALID, logged */
void driver_send(struct driver *driver, const struct raft_message *message);
void driver_tell_peers(struct driver *driver); /* at the end of a turn: who is to be spoken to */
void driver_on_tick_timer(void *arg);          /* once a second, while there are others */

/* driver_parts.c: the modules beside the driver, and what they need of it */
void driver_make_parts(struct driver *driver, bool has_log); /* when the links are there */
void driver_transfer_init(struct driver *driver);            /* driver_transfer.c: likewise */
void driver_transfer_close(struct driver *driver);
/* A PEER_SNAPSHOT_* message, whose body is consumed to its end or refused. */
void driver_on_snapshot_message(struct driver *driver, struct peer *from, enum peer_message number,
                                struct unpack *body);

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

/* driver_start.c */
/* The core that runs has no log and no config, and has promised nothing: this node alone is to be a
 * cluster. */
void driver_found(void *arg);
/* Ends the process; the log line says why. */
_Noreturn void driver_give_up(struct driver *driver, int error);

#endif
