/* route.h - the one table of what this gateway answers: method, path, who may ask, which limiter
 * counts it, and who answers. A new group of calls is a file h_<group>.c and its rows here.
 */
#ifndef INSI_GATEWAY_ROUTE_H
#define INSI_GATEWAY_ROUTE_H

#include <stdbool.h>

#include "ipc/entry.h"
#include "procs/gateway/asks.h"
#include "procs/gateway/read.h"
#include "procs/gateway/writes/inflight.h"
#include "shm/rate.h"

struct request;
struct session;

enum route_kind {
    ROUTE_LOCAL,    /* answer(), needs nothing from the map but the token's scope */
    ROUTE_READ,     /* look() within a linearizable (or stale) read of one worker's map */
    ROUTE_WRITE,    /* write() proposes */
    ROUTE_SUBSCRIBE /* subscribe(), when the token and this node's events are up to date */
};

enum route_who { ROUTE_ANYBODY, ROUTE_ANY_TOKEN, ROUTE_ROOT_ONLY };

struct route {
    const char *method; /* GET answers HEAD too, unless it is for a subscription */
    const char *path;   /* below ROUTE_BASE */
    enum route_kind kind;
    enum route_who who;
    int rate_class;       /* enum rate_class, or ROUTE_UNLIMITED */
    unsigned patience_ms; /* how long it waits for a leader; 0: limits.requestTimeout */
    bool of_cacheq;       /* a read's map; else the storage worker's */
    bool of_both;         /* look() in both maps, which says that both can be read now */

    /* Builds the answer, or ends with request_ask. */
    void (*answer)(struct request *request);
    /* Likewise, from the map. E_IO, E_CORRUPT, which nobody has to answer. */
    int (*look)(struct request *request, struct map *map, MDB_txn *txn);
    /* Ends with request_propose or request_ask, or builds an answer. */
    void (*write)(struct request *request);
    /* Builds the answer to a write that was applied; NULL: {"index":N}. */
    void (*applied)(struct request *request, const struct inflight_outcome *outcome);
    /* Ends with request_subscribe, or builds an answer. */
    void (*subscribe)(struct request *request);
    /* The session that was asked for is there: answers, and hands it to its transport. */
    void (*subscribed)(struct request *request, struct session *session);
    /* Builds the answer when raft has answered what request_ask asked, or has not. */
    void (*asked)(struct request *request, const struct ask_answer *answer);
    /* Words for a conflict or what is not found; NULL: the general ones. */
    const char *conflict, *not_found;
};

#define ROUTE_BASE "/db/api/v1"
#define ROUTE_UNLIMITED (-1)

enum route_listener { ROUTE_LISTENER_HTTP, ROUTE_LISTENER_ADMIN };

/* The row, or NULL. Then *allow names the methods of that path, or is NULL when there is no such
 * path. */
const struct route *route_find(enum route_listener listener, struct slice method, struct slice path,
                               const char **allow);

#endif
