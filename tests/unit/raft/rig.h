/* rig.h - a real insi-raft, and everything around it played by the test over real sockets: its
 * supervisor, a gateway and the three state workers. One rig per test process. */
#ifndef INSI_TESTS_UNIT_RAFT_RIG_H
#define INSI_TESTS_UNIT_RAFT_RIG_H

#include <criterion/criterion.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/hash.h"
#include "base/path.h"
#include "ipc/gateway_raft.h"
#include "ipc/raft_worker.h"
#include "shm/board.h"

#define RIG_SESSION 4711

struct rig_applied { /* what a worker's state is made of */
    uint64_t index, session, sequence, stamp_ms;
    uint32_t crc; /* of the command */
    uint32_t bytes;
};

struct rig_worker {
    enum proc proc;
    struct link *link;
    bool is_silent;  /* does not ask to resume by itself */
    bool holds;      /* takes what comes, and does not say that it applied */
    bool wants_zero; /* resumes with a lineage of zeros whatever it has */
    uint8_t lineage[RAFT_LINEAGE_BYTES];
    struct rig_applied *applied; /* by index, ascending */
    size_t count, pending, room; /* pending: behind count, before the next APPLY_END */
    uint64_t applied_index;
    unsigned resumed, rebuilt, roles, ends;
    bool is_leader;
    size_t held_bytes; /* of commands that came while it holds */

    /* snapshots: a file is what was applied, and how far */
    bool keeps_parts; /* is asked for a part, and does not answer */
    int part_error;   /* answers with this instead */
    int load_error;   /* likewise */
    bool keeps_loads; /* is told to load one, and does so only by rig_load */
    unsigned asked, loaded, dropped;
    uint64_t asked_index; /* of the last SNAPSHOT_MAKE */
    uint64_t load_index;  /* of the last SNAPSHOT_LOAD, whatever came of it */
    char asked_path[RAFT_PATH_BYTES];
    struct { /* what load_index names */
        char path[RAFT_PATH_BYTES];
        uint8_t sum[SHA256_BYTES];
        uint64_t bytes, state_hash;
    } load;
};

struct rig_gateway {
    struct link *link;
    unsigned ups, leaders;
    bool leader_is_known;
    uint64_t term;
    unsigned refused;
    uint64_t refused_session, refused_sequence, refused_error; /* the last one */
    unsigned answered, unanswered;                             /* read indexes, errors */
    uint64_t answer_index;                                     /* the last one */
    unsigned shown, changed;           /* answers to CLUSTER_ASK and CHANGE */
    struct msg_cluster_answer cluster; /* of its slices only the leader's name may be looked at */
    char cluster_leader[LIMIT_NODE_ID_BYTES];
    uint64_t change_error;
    char change_detail[MSG_CHANGE_DETAIL_BYTES + 1];
};

struct rig {
    char dir[64];
    char *config_text;
    struct config config;
    struct node_paths paths;
    struct board *board;
    int control_fd; /* -1: not running */
    pid_t pid;
    bool is_ready, has_yielded;
    unsigned port, other_port; /* raftBinding of node0, and of node1 if there is one */
    struct rig_gateway gateway;
    struct rig_worker workers[PROC_WORKER_COUNT];
    uint8_t lineage[RAFT_LINEAGE_BYTES]; /* as any of them was told */
    uint64_t sequence;                   /* of the last proposal */
};

extern struct rig rig;

/* A folder, a configuration (extra: more lines for cluster.yaml, may be NULL), a board, and the
 * ends of the links. The node is alone unless extra names "node1". */
void rig_init(const char *extra);
void rig_fini(void); /* kills what runs */

void rig_start(void);            /* insi-raft; returns when it is ready */
void rig_launch(void);           /* likewise, without waiting */
void rig_kill(void);             /* SIGKILL */
void rig_yield(void);            /* the supervisor's YIELD */
int rig_stop(int signal_number); /* SIGTERM, or 0: the supervisor's STOP; the exit status */
int rig_wait_exit(void);

/* One turn of all ends. */
void rig_turn(int timeout_ms);

/* Takes turns until the condition holds; fails the test after 30 seconds. */
#define RIG_WAIT(condition)                                                                        \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 30000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            rig_turn(2);                                                                           \
        }                                                                                          \
    } while (0)

struct rig_worker *rig_worker_of(enum proc proc);
void rig_open_worker(enum proc proc); /* with the state it has */
void rig_open_workers(void);
void rig_close_worker(enum proc proc);
void rig_forget_worker(enum proc proc, uint64_t above); /* its state ends at this index */
void rig_open_gateway(void);
/* insi-raft, all workers and the gateway; returns when this node leads and all have applied. */
void rig_start_all(void);

/* Proposes one command for a worker under the next sequence. The command is text of so many bytes
 * that names the sequence. */
uint64_t rig_propose(enum proc worker, size_t bytes);
void rig_propose_bytes(struct slice entry);
/* So many small commands, a third of them for events, the others for storage; returns when they are
 * applied. The log is to hold one entry before, the term's first. */
void rig_fill(unsigned count);
void rig_ask(uint64_t id);
void rig_ask_cluster(uint64_t id);
void rig_change(enum msg_change_kind kind, const char *name, const char *address);
/* The worker has applied the sequence. */
bool rig_has(enum proc proc, uint64_t sequence);
const struct rig_applied *rig_find(enum proc proc, uint64_t sequence);
uint64_t rig_applied_index(enum proc proc);

/* rig_snapshot.c: what a worker does about SNAPSHOT_MAKE, _DROP and _LOAD */
void rig_on_make(struct rig_worker *worker, struct unpack *body);
void rig_on_drop(struct rig_worker *worker, struct unpack *body);
void rig_on_load(struct rig_worker *worker, struct unpack *body);
void rig_resume(struct rig_worker *worker);
/* The answer that keeps_parts held back. */
void rig_make_part(struct rig_worker *worker);
/* The loading that keeps_loads held back. */
void rig_load(struct rig_worker *worker);
uint64_t rig_state_hash(const struct rig_worker *worker);

unsigned rig_logged(const char *text); /* lines of insi-raft that hold it */

#endif
