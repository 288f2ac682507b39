/* sim.h - whole clusters of Raft cores in one process, deterministic.
 *
 * A world holds machines, the network between them, virtual time and an oracle that knows
 * everything. Everything happens by events in one queue, ordered by time; everything random comes
 * from the seed. A node is a machine with four kinds of processes on it, which die and stop apart:
 * the raft process (what procs/raft is around the core: it carries out updates on a simulated
 * disk), three state workers, gateways, and the board that outlives them. After every step the
 * oracle checks the rules (oracle.h).
 *
 * The same nodes serve scripted scenarios (script.h): there nothing happens by itself; messages,
 * writes and applying wait until the script lets them go.
 */
#ifndef INSI_TESTS_SIM_H
#define INSI_TESTS_SIM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/rng.h"
#include "procs/raft/core/raft.h"
#include "tests/sim/marks.h"

#define SIM_NODES_MAX 12 /* members at the start and those that join later */
#define SIM_WORKERS 3    /* state workers of a node; command c belongs to worker c % 3 */
#define SIM_KEYS 4       /* registers of a worker; command c writes key c / 3 % 4 */
#define SIM_PROMISES 4
#define SIM_OPS_MAX 1024  /* what clients ask in one seed */
#define SIM_OPEN_MAX 48   /* ... at one node, unanswered */
#define SIM_BATCH_MAX 8   /* commands in one proposal */
#define SIM_APPEND_MAX 64 /* entries of one APPEND */
#define SIM_ENTRY_BYTES 100
#define SIM_MS 1000000ul
#define SIM_NEVER UINT64_MAX

/* ---- logs, disks, machines --------------------------------------------------------------------
 */

struct sim_entry {
    uint64_t term, command; /* command 0: none */
    uint32_t bytes;
    const struct raft_config *config; /* owned by the world */
};

struct sim_log { /* entries base + 1 ... */
    struct sim_entry *entries;
    uint64_t base, count, room;
};

struct sim_machine { /* a worker's state; a function of the entries alone */
    uint64_t applied, hash;
    struct {
        uint32_t command, index; /* the write that set it */
    } keys[SIM_KEYS];
    uint32_t done[SIM_OPS_MAX]; /* by command: the index at which it took effect; 0: it did not.
                                   A command proposed twice takes effect once (I5) */
};

struct sim_snapshot {
    uint64_t index, term, config_index;
    const struct raft_config *config;
    struct sim_machine machines[SIM_WORKERS];
};

struct sim_write {   /* queued, perhaps not on the disk yet */
    uint64_t number; /* 0: an install */
    bool hard_state;
    uint64_t term, vote;
    uint64_t first, count; /* entries first ... override what is there */
    struct sim_entry *entries;
    struct sim_snapshot *snapshot; /* install: put in place, then the log begins anew behind it */
};

struct sim_disk {
    uint64_t term, vote;
    struct sim_log log;
    struct sim_snapshot newest, floor; /* two are kept; the log begins behind the older one */
    struct sim_write *queue;
    uint32_t queued, room;
    uint32_t syncing; /* the first so many are in the sync that runs */
    uint64_t stalled_until;
};

/* ---- nodes ------------------------------------------------------------------------------------
 */

struct sim_worker {
    struct sim_machine machine; /* the map: it outlives the worker, as LMDB's pages do */
    bool running, busy;
    uint64_t stalled_until;
};

struct sim_board { /* shm/board.h: it outlives every process but not the machine */
    uint64_t epoch, term, lease_end_ns, announced;
    bool leads;
    uint64_t shown[SIM_WORKERS]; /* the highest that each worker ever showed: never lowered */
};

struct sim_promise { /* what a node has promised by hearing a leader; it outlives the process */
    uint64_t to, term, floor;
    uint64_t sent_ns;     /* of the newest APPEND, by the leader's clock */
    uint64_t until_world; /* no vote for others before */
    uint64_t until_local; /* ... by its own clock */
};

struct sim_making {                /* a snapshot whose parts are being collected */
    struct sim_snapshot *snapshot; /* NULL: none */
    bool have[SIM_WORKERS];
    bool writing;
};

struct sim_node {
    uint64_t id;
    bool exists;         /* it was started once */
    bool up;             /* the machine runs */
    bool never_whole;    /* its first worker does not come back */
    bool gone;           /* and never will again: its disk is lost, its id not used any more */
    uint64_t started_ns; /* the raft process, this time */
    uint64_t boot, incarnation;        /* how often machine and raft process were started */
    uint64_t paused_until;             /* the whole machine's processes */
    uint64_t raft_paused_until;        /* the raft process alone */
    uint64_t clock_offset, clock_rate; /* its boot clock: world time times rate / 2^20 + offset */
    const struct raft_config *genesis;

    struct raft *raft; /* NULL: the process does not run */
    bool stopping;
    uint64_t deadline_ns, timer_ns; /* wanted by the core; of the timer under way (0: none) */
    uint64_t timer;                 /* number of that timer */
    struct sim_disk disk;
    struct sim_log log; /* what the core has, durable or not */
    bool installing;
    bool tell_pending;
    bool workers_told; /* what the core was told about the workers last */
    struct sim_making making;
    /* during a step: what the event brought */
    const struct sim_message *receiving;
    const uint32_t *proposing;
    const struct sim_snapshot *arriving;
    /* what the last update said */
    enum raft_role role;
    uint64_t term, leader, commit;
    const struct raft_config *config; /* also when down: that of its disk */
    uint64_t config_index;
    bool config_committed;
    bool may_stop;
    bool asked_transfer;   /* by an operator or a planned stop */
    bool removed;          /* once; ids are not used again */
    uint64_t term_high;    /* that others have heard, from all its incarnations */
    uint64_t applied_high; /* that raft was told in this incarnation */

    struct sim_promise promises[SIM_PROMISES]; /* to the last few leaders, the newest first */
    struct {
        uint64_t term, round;
    } timeout_now; /* the newest that it sent */

    struct sim_worker workers[SIM_WORKERS];
    struct sim_board board;
    uint32_t open[SIM_OPEN_MAX]; /* ops of this node's gateways */
    uint32_t open_count;
    uint64_t retry_ns, retry_gap_ns; /* when open writes are proposed again at the latest */
};

/* ---- the network ------------------------------------------------------------------------------
 */

struct sim_message {
    struct raft_message raft;
    struct sim_entry *entries; /* of an APPEND */
    struct sim_message *next;  /* on the wire */
};

struct sim_batch { /* commands on their way to a leader */
    uint32_t count, commands[SIM_BATCH_MAX];
    uint64_t term; /* they were forwarded for; 0: not forwarded */
};

/* ---- events -----------------------------------------------------------------------------------
 */

enum sim_event_kind {
    /* for a raft process: they wait while it is stopped; those with an incarnation die with it */
    SIM_MESSAGE,          /* pointer: sim_message */
    SIM_SYNCED,           /* the sync that runs has ended */
    SIM_TIMER,            /* a: its number */
    SIM_TELL,             /* what the workers have applied */
    SIM_PROPOSE,          /* pointer: sim_batch */
    SIM_QUESTION,         /* a: read id */
    SIM_PEER,             /* a: peer's id, b: up */
    SIM_STOP,             /* a planned stop */
    SIM_SNAPSHOT_WRITTEN, /* pointer: sim_snapshot */
    SIM_SNAPSHOT_SENT,    /* a: peer, b: index, c: ok */
    SIM_SNAPSHOT_ARRIVED, /* pointer: sim_snapshot, a: leader, b: its term */
    /* for a machine's other processes; die with it */
    SIM_WORKER,       /* a: number; it has time to apply */
    SIM_WORKER_START, /* a: number, b: its map is lost */
    SIM_RAFT_START,
    SIM_READ,  /* a: op, b: its try */
    SIM_RETRY, /* open writes once more */
    /* for the world */
    SIM_MACHINE_START,
    SIM_CLIENT,
    SIM_NEMESIS, /* a: a certain fault, more 1 */
    SIM_HEAL,    /* a, b: the link; node: unused */
    SIM_CALM
};

struct sim_event {
    uint64_t time, order;
    enum sim_event_kind kind;
    uint32_t node;    /* number in world->nodes */
    uint64_t only_in; /* incarnation or boot, by kind; 0: any */
    uint64_t a, b, c; /* by kind */
    void *pointer;    /* owned */
};

/* ---- what a seed decides ----------------------------------------------------------------------
 */

#define SIM_FAULT_LIST(X)                                                                          \
    X(kill_raft)                                                                                   \
    X(kill_machine)                                                                                \
    X(kill_all)                                                                                    \
    X(pause_raft)                                                                                  \
    X(pause_machine)                                                                               \
    X(isolate)                                                                                     \
    X(split)                                                                                       \
    X(cut_link)                                                                                    \
    X(cut_one_way)                                                                                 \
    X(deafen)                                                                                      \
    X(clog)                                                                                        \
    X(reset_link)                                                                                  \
    X(stall_disk)                                                                                  \
    X(stall_worker)                                                                                \
    X(kill_worker)                                                                                 \
    X(rebuild_worker)                                                                              \
    X(kill_gateway)                                                                                \
    X(stray_snapshot)                                                                              \
    X(flood)                                                                                       \
    X(transfer)                                                                                    \
    X(stop)                                                                                        \
    X(add)                                                                                         \
    X(remove)                                                                                      \
    X(promote)                                                                                     \
    X(renew)                                                                                       \
    X(wipe)

enum sim_fault {
#define X(name) SIM_FAULT_##name,
    SIM_FAULT_LIST(X)
#undef X
        SIM_FAULTS
};

struct sim_profile {
    uint32_t voters, spares;
    uint64_t election_ns, heartbeat_ns;
    enum raft_reads reads;
    uint32_t loss_permille, duplicate_permille;
    uint64_t delay_ns, delay_tail_ns;
    uint32_t tail_permille;
    bool reorder;
    uint64_t fsync_ns;
    uint32_t fsync_slow_permille; /* takes up to two election timeouts */
    uint64_t apply_ns;
    uint32_t gateway_pause_permille; /* between the steps of a read, up to two election timeouts */
    uint32_t clock_spread;           /* of 2^20; 5 % is the most that the margin allows */
    uint64_t client_gap_ns, nemesis_gap_ns;
    uint64_t snapshot_gap; /* entries; 0: none */
    uint32_t append_entries, append_bytes, window_messages, window_bytes, promote_lag;
    uint64_t uncommitted_bytes;
    bool manual_promotion;
    uint32_t weights[SIM_FAULTS], weight_sum;
    uint32_t chase_permille; /* another fault right behind a change, a transfer, a snapshot */
    uint64_t chaos_ns;
    bool leave_some_broken; /* in the end, when faults are over for the others */
};

/* ---- what clients ask --------------------------------------------------------------------------
 */

enum sim_op_state {
    SIM_OP_WRITE,
    SIM_OP_LOOK,  /* a read: looks at the lease */
    SIM_OP_LOAD,  /* ... has seen one: reads the map */
    SIM_OP_AGAIN, /* ... has read: looks at the lease again */
    SIM_OP_ASK,   /* ... without a lease: waits for a read index */
    SIM_OP_WAIT,  /* ... has one: waits until the worker has applied it */
    SIM_OP_DONE,
    SIM_OP_UNKNOWN /* its gateway died */
};

struct sim_op {
    enum sim_op_state state;
    uint32_t node, worker, key;
    uint64_t floor;       /* what this key had for sure when the client asked */
    uint64_t try;         /* of a read */
    uint64_t asked_high;  /* the highest acknowledged index when this try asked for a read index */
    uint64_t asked_ns;    /* ... by this node's clock, when its raft process heard of it */
    uint64_t epoch, term; /* LOOK saw */
    uint64_t index;       /* LOAD, WAIT: what the map must show */
    uint32_t found_command, found_at; /* LOAD saw */
};

/* ---- the world --------------------------------------------------------------------------------
 */

struct sim_oracle;

struct sim_world {
    uint64_t seed;
    struct sim_profile profile;
    struct rng rng;
    uint64_t now_ns, order;
    struct sim_event *heap;
    uint32_t heap_count, heap_room;
    struct sim_node nodes[SIM_NODES_MAX];
    uint32_t node_count;
    uint64_t cut_until[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
    uint64_t clog_until[SIM_NODES_MAX][SIM_NODES_MAX];
    uint64_t link_free_ns[SIM_NODES_MAX][SIM_NODES_MAX];
    bool calm;                /* faults are over: liveness is asked for ... */
    bool core[SIM_NODES_MAX]; /* ... of these */
    uint64_t calm_ns, leader_ns, busy_ns;
    uint64_t changed_ns;            /* when a leader last put a config into its log */
    struct sim_op ops[SIM_OPS_MAX]; /* [0] is not used; a write's number is its command */
    uint32_t op_count;
    struct sim_oracle *oracle;
    struct sim_marks *marks;
    uint64_t steps, hash;
    struct raft_config **configs; /* owned; entries point to them */
    uint32_t config_count, config_room;
    FILE *trace;   /* NULL: none */
    bool scripted; /* nothing happens by itself: sends, syncs, timers wait for the script */
    struct sim_message *wire; /* scripted: what is under way, in order */
    struct sim_message *held; /* ... but kept back for now */
    jmp_buf *failed;
    char failure[1024];
};

#define SIM_MARK(world, name) ((world)->marks->count[MARK_##name]++)

/* world.c */
void sim_world_init(struct sim_world *world, uint64_t seed, struct sim_marks *marks);
void sim_world_fini(struct sim_world *world);
void sim_push(struct sim_world *world, struct sim_event event);
void sim_run(struct sim_world *world);
_Noreturn void sim_fail(struct sim_world *world, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const struct raft_config *sim_keep_config(struct sim_world *world,
                                          const struct raft_config *config);
bool sim_chance(struct sim_world *world, uint32_t permille);
uint64_t sim_below(struct sim_world *world, uint64_t bound);           /* 0 for a bound of 0 */
void sim_mix(struct sim_world *world, uint64_t value);                 /* into the world's hash */
struct sim_node *sim_node_by_id(struct sim_world *world, uint64_t id); /* NULL */
uint32_t sim_node_number(const struct sim_world *world, const struct sim_node *node);

/* profile.c: what a seed decides */
void sim_profile_draw(struct sim_world *world);
void sim_profile_print(const struct sim_world *world, FILE *out);

/* clock.c: a node's boot clock */
uint64_t sim_node_clock(const struct sim_world *world, const struct sim_node *node);
uint64_t sim_node_world_time(const struct sim_world *world, const struct sim_node *node,
                             uint64_t local); /* the first moment at which the clock shows it */

void sim_node_set_clock(const struct sim_world *world, struct sim_node *node, uint64_t local);

/* node.c: the raft process around its core */
void sim_node_init(struct sim_world *world, uint64_t id, const struct raft_config *genesis);
void sim_node_fini(struct sim_node *node);
void sim_node_start_machine(struct sim_world *world, struct sim_node *node);
void sim_node_start_raft(struct sim_world *world, struct sim_node *node);
void sim_node_kill_raft(struct sim_world *world, struct sim_node *node);
void sim_node_kill_machine(struct sim_world *world, struct sim_node *node);
bool sim_node_leads(const struct sim_node *node);
void sim_node_step(struct sim_world *world, struct sim_node *node, struct raft_event *event,
                   struct raft_update *update);
void sim_node_happen(struct sim_world *world, struct sim_node *node, enum raft_event_kind kind);
void sim_node_receive(struct sim_world *world, struct sim_node *node, struct sim_message *message);
void sim_node_time(struct sim_world *world, struct sim_node *node);
void sim_node_synced(struct sim_world *world, struct sim_node *node, uint32_t writes);

/* carry.c: an update's duties */
void sim_carry_out(struct sim_world *world, struct sim_node *node,
                   const struct raft_update *update);
void sim_carry_sync(struct sim_world *world, struct sim_node *node);

/* disk.c */
void sim_log_append(struct sim_log *log, uint64_t index, const struct sim_entry *entry);
void sim_log_cut_front(struct sim_log *log, uint64_t base);
void sim_log_reset(struct sim_log *log, uint64_t base);
const struct sim_entry *sim_log_at(const struct sim_log *log, uint64_t index); /* NULL */
uint64_t sim_log_last(const struct sim_log *log);
struct sim_write *sim_disk_queue(struct sim_disk *disk, uint64_t number);
uint64_t sim_disk_finish(struct sim_disk *disk, uint32_t count, bool *installed);
void sim_disk_keep(struct sim_disk *disk, uint32_t count, uint64_t parts);
void sim_disk_lose(struct sim_world *world, struct sim_disk *disk);
void sim_disk_recover(struct sim_world *world, struct sim_disk *disk);
const struct raft_config *sim_disk_config(const struct sim_disk *disk, uint64_t *config_index);
void sim_disk_fini(struct sim_disk *disk);

/* worker.c: state workers */
void sim_worker_wake(struct sim_world *world, struct sim_node *node);
void sim_worker_apply(struct sim_world *world, struct sim_node *node, uint32_t number,
                      uint64_t up_to);
void sim_worker_tell_soon(struct sim_world *world, struct sim_node *node);
void sim_worker_tell(struct sim_world *world, struct sim_node *node);
void sim_worker_load(struct sim_world *world, struct sim_node *node, uint32_t number);
void sim_worker_kill(struct sim_world *world, struct sim_node *node, uint32_t number);
void sim_worker_start(struct sim_world *world, struct sim_node *node, uint32_t number, bool lost);
uint64_t sim_worker_applied(const struct sim_node *node); /* by all of them */

/* snapshot.c */
void sim_snapshot_begin(struct sim_world *world, struct sim_node *node);
uint64_t sim_snapshot_stop_at(const struct sim_node *node, uint32_t worker);
void sim_snapshot_collect(struct sim_world *world, struct sim_node *node, uint32_t worker);
void sim_snapshot_abandon(struct sim_node *node);
void sim_snapshot_written(struct sim_world *world, struct sim_node *node,
                          const struct sim_snapshot *snapshot);
void sim_snapshot_send(struct sim_world *world, struct sim_node *node, uint64_t peer);
void sim_snapshot_stray(struct sim_world *world, const struct sim_node *from);
void sim_snapshot_arrive(struct sim_world *world, struct sim_node *node, uint64_t from,
                         uint64_t leader_term, const struct sim_snapshot *snapshot);

/* net.c */
void sim_net_send(struct sim_world *world, struct sim_node *from,
                  const struct raft_message *message);
void sim_net_forward(struct sim_world *world, const struct sim_node *from, struct sim_node *to,
                     const struct sim_batch *batch);
struct sim_message *sim_message_copy(const struct sim_message *message);
void sim_message_free(struct sim_message *message);
uint64_t sim_net_delay(struct sim_world *world);
bool sim_net_is_cut(const struct sim_world *world, uint32_t from, uint32_t to);

/* gateway.c: reads and writes, as the gateways and raft drivers treat them */
void sim_gateway_write(struct sim_world *world, struct sim_node *node);
void sim_gateway_read(struct sim_world *world, struct sim_node *node);
void sim_gateway_propose_open(struct sim_world *world, struct sim_node *node);
void sim_gateway_take(struct sim_world *world, struct sim_node *node,
                      const struct sim_batch *batch);
void sim_gateway_read_on(struct sim_world *world, struct sim_node *node, uint32_t number,
                         uint64_t try);
void sim_gateway_question(struct sim_world *world, struct sim_node *node, uint64_t read_id);
void sim_gateway_answer(struct sim_world *world, struct sim_node *node,
                        const struct raft_read *read);
void sim_gateway_write_done(struct sim_world *world, struct sim_node *node, uint32_t command,
                            uint64_t index);
void sim_gateway_results(struct sim_world *world, struct sim_node *node, uint32_t worker);
void sim_gateway_applied(struct sim_world *world, struct sim_node *node, uint32_t worker);
void sim_gateway_kill(struct sim_world *world, struct sim_node *node);

/* nemesis.c, links.c, members.c, calm.c: faults, and what happens when they are over */
void sim_nemesis_act(struct sim_world *world, uint64_t chosen);
void sim_nemesis_chase(struct sim_world *world);
struct sim_node *sim_nemesis_pick(struct sim_world *world); /* a machine that is up, or NULL */
void sim_links_break(struct sim_world *world, enum sim_fault fault, uint64_t until);
void sim_links_isolate(struct sim_world *world, uint32_t victim, bool deaf, bool mute,
                       uint64_t until);
void sim_members_act(struct sim_world *world, enum sim_fault fault);
bool sim_calm_can_spare(struct sim_world *world, uint32_t number); /* and takes it from the core */
bool sim_calm_is_learner(const struct sim_world *world, uint64_t id); /* by any disk */
void sim_calm_begin(struct sim_world *world);
bool sim_calm_done(struct sim_world *world); /* all is well; fails the seed when it is too late */

/* trace.c: events and updates as text, one line each */
void sim_trace(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_trace_message(struct sim_world *world, const char *verb,
                       const struct raft_message *message);
void sim_trace_update(struct sim_world *world, const struct sim_node *node,
                      const struct raft_update *update);
const char *sim_role_name(enum raft_role role);
void sim_dump(struct sim_world *world, FILE *out); /* the state of everything */

#endif
