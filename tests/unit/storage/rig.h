/* rig.h - a real state worker, with the test as its supervisor, its raft and its gateway 0.
 *
 * The test keeps the log. Whenever the worker resumes, it is answered and gets what follows, in
 * batches of rig.batch entries; what is appended later is sent by rig_stream.
 */
#ifndef INSI_TESTS_UNIT_STORAGE_RIG_H
#define INSI_TESTS_UNIT_STORAGE_RIG_H

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "ipc/command.h"
#include "ipc/link.h"
#include "ipc/raft_worker.h"
#include "ipc/worker_gateway.h"
#include "shm/board.h"
#include "shm/map.h"

#define RIG_ENTRIES 60000
#define RIG_SESSION 4711       /* the gateway's */
#define RIG_OTHER_SESSION 4712 /* one more of the same gateway */

struct rig_entry {
    uint64_t session, sequence, floor;
    struct slice command; /* owned; empty: an entry of another worker */
};

struct rig_result {
    unsigned count; /* how often it came */
    uint64_t index, error;
    char detail[24];
};

struct rig {
    enum proc proc;
    char folder[64];
    struct node_paths paths;
    struct config config;
    struct loop *loop;
    struct board *board;

    /* the process */
    pid_t pid; /* 0: none */
    int control;
    bool is_ready;
    unsigned heartbeats;

    /* raft */
    struct link *raft;
    struct rig_entry entries[RIG_ENTRIES]; /* index 1 is entries[1] */
    uint64_t last_index, sent_index;
    uint64_t stream_end; /* rig_stream sends up to here, as the worker applies */
    unsigned batch;
    bool is_leader, orders_rebuild, drops_proposals;
    uint8_t lineage[RAFT_LINEAGE_BYTES];
    unsigned resumes;
    struct msg_resume resume; /* the last one */
    uint64_t applied_index;   /* of the last APPLIED, or RESUME */
    unsigned proposals;       /* those not dropped are appended and sent */

    /* gateway */
    struct link *gateway;
    struct rig_result results[RIG_ENTRIES]; /* by sequence */
    unsigned result_count;
    unsigned other_results; /* of RIG_OTHER_SESSION, however often */
    uint64_t next_sequence;
    bool is_anonymous;   /* it says no SESSION when it comes up */
    unsigned told_count; /* APPLIED_ATs */
    uint64_t told_index; /* of the last one */
    /* what else it is sent; NULL: nothing else may come */
    void (*on_other)(enum msg type, struct unpack *body);
};

extern struct rig rig;

void rig_init(enum proc proc);
void rig_init_on(enum proc proc, const char *shm_dir); /* NULL: in the rig's own folder */
void rig_fini(void);

void rig_start(void); /* the process; returns when it is ready */
void rig_spawn(void); /* does not wait */
void rig_kill(int signal_number);
int rig_wait_exit(void);         /* waitpid's status */
void rig_say(char control_byte); /* as the supervisor */

void rig_open_raft(void);
void rig_close_raft(void);
void rig_open_gateway(void);
void rig_close_gateway(void);

/* Append to the log: its index. The first with the gateway's session takes the next sequence. */
uint64_t rig_append(const struct command *command);
uint64_t rig_append_as(uint64_t session, uint64_t sequence, uint64_t floor,
                       const struct command *command);
uint64_t rig_append_other(void); /* an entry that is not this worker's */
void rig_open_session(void);
uint64_t rig_bump(const char *key);
void rig_stream(void);
void rig_stream_part(uint64_t last_index); /* without the batch's end */
void rig_say_session(uint64_t session);
void rig_recall(uint64_t sequence);
void rig_wait_applied(uint64_t index);

/* One turn of everything, of at most so long. */
void rig_turn(unsigned timeout_ms);

#define RIG_WAIT_FOR(condition)                                                                    \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 20000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            rig_turn(20);                                                                          \
        }                                                                                          \
    } while (0)

/* A value of the scope that rig_bump writes to, read from the map as a gateway does; "" when there
 * is none. */
const char *rig_read(const char *key);
unsigned rig_count_keys(const struct scope *scope);
extern const struct scope rig_scope;

#endif
