/* worker.h - the life of a state worker: storage, cacheq and events are a few hooks each.
 *
 * The library opens the map by the boot rule (store.h), follows raft's apply stream, keeps
 * sessions (sessions.h), applies in transactions (applier.h), publishes the applied index on the
 * board, sends the results to the gateways of this node, and stops cleanly. What a kind of worker
 * adds is how it applies a command to its own databases.
 *
 * One thread; every hook runs in it. A hook that returns E_IO or E_CORRUPT ends the process; with
 * E_CORRUPT the map is thrown away first, for it can be rebuilt from the log.
 */
#ifndef INSI_PROCS_WORKER_H
#define INSI_PROCS_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/path.h"
#include "base/proc.h"
#include "ipc/command.h"
#include "ipc/link.h"
#include "shm/map.h"

struct worker;
struct applier;

/* One entry being applied. What a hook writes goes into the transaction, and depends on nothing but
 * this, the command and the map (I2). */
struct worker_turn {
    MDB_txn *txn;
    uint64_t index;             /* log index */
    uint64_t stamp_ms;          /* cluster time, by the leader */
    uint64_t session, sequence; /* of the command; session 0: none */
    struct applier *applier;    /* for the two below */
};

/* A command with the result E_QUEUE_WAITING waits until the final result is given, by another
 * command: that goes to its gateway, too (procs/worker/sessions.h, rule 7). E_NOT_FOUND: its
 * session or its number is forgotten, nobody waits; E_EXISTS: it has a final result. */
bool worker_turn_waits(const struct worker_turn *turn, uint64_t session, uint64_t sequence);
int worker_turn_finish(const struct worker_turn *turn, uint64_t session, uint64_t sequence,
                       int error, struct slice detail);

struct worker_result {   /* zeroed before each apply */
    int error;           /* 0, or a stored code of base/error.h */
    struct slice detail; /* borrowed until the next apply */
};

struct worker_kind {
    enum proc proc;
    enum map_kind map_kind;
    size_t folder;          /* offset of the map's folder in struct node_paths */
    uint64_t reserve_bytes; /* of the file system: with less free, applying waits */
    bool is_volatile;       /* the map belongs on tmpfs */
    /* The map is open; txn sees what it holds. Reads into memory what the worker needs there.
     * May be NULL. */
    int (*load)(void *arg, const struct map *map, MDB_txn *txn);
    /* Applies one decoded command that is not the library's own. NULL: there is none that this
     * worker knows (E_BAD_COMMAND). */
    int (*apply)(void *arg, const struct worker_turn *turn, struct command *command,
                 struct worker_result *result);
    /* Before each commit: what load reads and is kept in memory meanwhile. May be NULL. */
    int (*store)(void *arg, const struct map *map, MDB_txn *txn);
    /* After each commit, and when this node begins or ends to lead (also with each resumption of
     * the stream: what was proposed before may be lost). May be NULL. */
    void (*committed)(void *arg, struct worker *worker);
    void (*role_changed)(void *arg, struct worker *worker);
    /* Before the map is opened, and when the configuration was reloaded. May be NULL. */
    void (*configured)(void *arg, const struct config *config);
    /* Before the turn's messages leave; what came in it is committed. May be NULL. */
    void (*turn_ended)(void *arg, struct worker *worker);
    /* A kind with a conversation of its own with gateways, by their index: their links come and go,
     * and what is not the library's message is handed on, to be consumed to its end or refused
     * (ipc/link.h). What came before it is committed. All three or none. */
    void (*gateway_up)(void *arg, struct worker *worker, unsigned gateway);
    void (*gateway_down)(void *arg, struct worker *worker, unsigned gateway);
    void (*gateway_message)(void *arg, struct worker *worker, unsigned gateway, enum msg type,
                            struct unpack *body);
    void *arg;
};

/* The whole process. */
_Noreturn void worker_run(const struct worker_kind *kind, int argc, char **argv);

/* Asks raft to put a command of this worker's own into the log, without a session: it must do no
 * harm when it comes twice, and may get lost. E_PEER_DOWN, E_BUSY, E_TOO_LARGE. */
int worker_propose(struct worker *worker, struct slice command);
/* Likewise, in one entry that every state worker of every node applies. */
int worker_propose_to_all(struct worker *worker, struct slice command);

bool worker_is_leader(const struct worker *worker); /* as far as this node's raft has said */
uint64_t worker_cluster_time_ms(const struct worker *worker); /* now */
struct loop *worker_loop(struct worker *worker);
struct link *worker_gateway_link(struct worker *worker, unsigned gateway);

/* All entries up to it have been applied. */
uint64_t worker_applied_index(const struct worker *worker);

/* Reading what was committed, from a hook in which no transaction is open: committed, turn_ended
 * and those of gateways. What was read is borrowed until the end. Failing ends the process. */
MDB_txn *worker_read_begin(struct worker *worker);
void worker_read_end(struct worker *worker);

/* A transaction without an entry, for which store is called: housekeeping that is no part of the
 * replicated state. From turn_ended. False: there is no room for it now. */
bool worker_keep_house(struct worker *worker);

/* After a failed call on the map; E_CORRUPT throws it away. */
_Noreturn void worker_fail(struct worker *worker, const char *what, int error);

#endif
