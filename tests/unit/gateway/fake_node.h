/* fake_node.h - a node around a real gateway process, played by the test.
 *
 * The gateway runs in a forked child, started as its supervisor would start it. The test plays the
 * supervisor, raft and the state workers over the real sockets, with a real board and a real map,
 * and talks HTTP to it. Everything happens in fake_turn, so a test decides what each of them says
 * and when.
 */
#ifndef INSI_TESTS_UNIT_GATEWAY_FAKE_NODE_H
#define INSI_TESTS_UNIT_GATEWAY_FAKE_NODE_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/token.h"
#include "ipc/link.h"
#include "shm/board.h"
#include "shm/map.h"

#define FAKE_SECRET "a secret of at least sixteen bytes"
#define FAKE_HELD_MAX 64
#define FAKE_RESULTS_MAX 4096

enum fake_raft_mode {
    FAKE_APPLY,  /* every proposal at once */
    FAKE_HOLD,   /* keep them: fake_apply_held */
    FAKE_REFUSE, /* with .refusal */
    FAKE_LOSE    /* take them and forget */
};

struct fake_result {
    uint64_t session, sequence, index;
    int error;
    char detail[24];
};

struct fake {
    char dir[64];
    pid_t pid; /* the gateway */
    int control, listener, admin_listener;
    uint16_t port, admin_port;
    struct board *board;
    struct map *map;          /* the storage worker's */
    struct map *volatile_map; /* cacheq's: it holds nothing but what a test puts there */
    struct map *events_map;   /* that of events: it holds nothing */
    struct link *raft, *workers[PROC_WORKER_COUNT];
    uint64_t epoch, term, index;

    enum fake_raft_mode mode;
    int refusal;
    bool leader_is_known;
    bool answers_reads; /* READ_INDEX; else they are held: fake_answer_reads */
    bool has_lease;
    bool results_are_lost;    /* storage applies, and says nothing */
    bool recalls_are_ignored; /* RECALL gets no answer */
    bool worker_is_silent;    /* storage tells nobody how far it is */
    uint64_t session;         /* as the gateway has told storage; 0: not on this connection */
    uint64_t awaited_index;   /* by the gateway, of storage; 0: nothing */
    uint64_t awaited_there;   /* of cacheq */
    bool cacheq_is_behind;    /* it applies nothing more */
    bool events_is_behind;    /* likewise */
    uint32_t standing;        /* on the board: enum board_standing */
    uint64_t cluster_asks[FAKE_HELD_MAX]; /* ids, to be answered by the test */
    unsigned cluster_ask_count;
    struct fake_change {
        uint64_t id;
        int kind;
        char name[64], raft_address[64];
    } change; /* the last one */
    unsigned changes;
    uint64_t held_reads[FAKE_HELD_MAX];
    unsigned held_read_count;

    struct buf held[FAKE_HELD_MAX];
    unsigned held_count;
    uint64_t sessions[FAKE_HELD_MAX]; /* that the workers know */
    unsigned session_count;
    struct fake_result results[FAKE_RESULTS_MAX];
    unsigned result_count;

    unsigned proposals, recalls, questions, applied, awaits, announced; /* seen so far */
    uint64_t last_floor;
    bool is_ready;         /* the gateway has said so */
    bool heartbeat_echoed; /* it has answered one */
};

struct fake_options {
    const char *settings; /* lines of YAML added to the configuration, or NULL */
    bool has_admin;       /* an adminBinding too */
    unsigned descriptors; /* RLIMIT_NOFILE of the gateway; 0: as it is */
};

/* Starts the gateway and waits until it is ready; with a leader, a lease, and everything applied at
 * once. */
void fake_start(struct fake *fake, const char *settings);
/* The same in two steps, and with neither leader nor lease. */
void fake_prepare(struct fake *fake, const struct fake_options *options);
void fake_launch(struct fake *fake); /* waits until it is ready */
void fake_stop(struct fake *fake);   /* ends everything and removes its folder */

void fake_turn(struct fake *fake, int timeout_ms);
#define FAKE_WAIT(fake, condition)                                                                 \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 15000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            fake_turn(fake, 5);                                                                    \
        }                                                                                          \
    } while (0)
void fake_pass_ms(struct fake *fake, uint64_t ms); /* turns for so long */

/* ---- the played processes ---- */

void fake_set_lease(struct fake *fake, bool has_lease); /* one without end */
void fake_say_leader(struct fake *fake, bool is_known); /* with a new term */
void fake_apply_held(struct fake *fake);
void fake_tell_applied(struct fake *fake); /* a gateway that waits for it */
void fake_reach_cacheq(struct fake *fake); /* cacheq has applied all there is, and tells */
void fake_answer_reads(struct fake *fake);
void fake_restart_raft(struct fake *fake);
void fake_restart_storage(struct fake *fake);
void fake_restart_worker(struct fake *fake, enum proc worker, uint64_t start_id);
void fake_supervisor_says(struct fake *fake, char byte);
void fake_reload(struct fake *fake, const char *settings);
bool fake_gateway_has_ended(struct fake *fake, int *status);

bool fake_log_contains(const struct fake *fake, const char *text);
unsigned fake_log_count(const struct fake *fake, const char *text); /* lines */

/* An API key straight into the map. */
void fake_add_key(struct fake *fake, const char *name, char out[TOKEN_APIKEY_BYTES]);

/* ---- a client ---- */

struct answer {
    int status;
    char head[4096];
    char *body; /* NUL terminated; free with answer_fini */
    size_t len;
    json_t *json; /* NULL when it is none */
};

int client_connect(struct fake *fake);
int client_connect_to(uint16_t port);
void client_send(int fd, const char *bytes, size_t len);
/* Reads one answer, taking turns meanwhile. False when the connection ended first. */
bool client_read(struct fake *fake, int fd, struct answer *answer, bool has_body);
bool client_is_closed(struct fake *fake, int fd, uint64_t within_ms);
void answer_fini(struct answer *answer);

/* One request on a connection of its own. token: the header's value, NULL for none; body: NULL for
 * none. */
struct answer client_call(struct fake *fake, const char *method, const char *target,
                          const char *token, const char *body);
/* A request's bytes, for pipelines. */
size_t client_format(char *out, size_t size, const char *method, const char *target,
                     const char *token, const char *body);

const char *fake_root(void); /* the root token */

/* status and, when not NULL, the body's error_type */
void answer_expect(const struct answer *answer, int status, const char *error_type);
const char *answer_text(const struct answer *answer, const char *name); /* a string of the body */
int64_t answer_number(const struct answer *answer, const char *name);

#endif
