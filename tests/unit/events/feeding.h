/* feeding.h - what the tests of events share: entries applied to a map of their own, two gateways
 * whose links have no socket, and clients that note what they are sent. */
#ifndef INSI_TESTS_UNIT_EVENTS_FEEDING_H
#define INSI_TESTS_UNIT_EVENTS_FEEDING_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "procs/events/events.h"
#include "procs/worker/applier.h"

#define GATEWAYS 2
#define CLIENTS 200000 /* connections 1 to CLIENTS - 1 of a gateway */
#define WINDOW (256u << 10)

struct client {
    uint64_t events, last_index; /* of the last event */
    char *text;                  /* what it was sent since `heard`, see there; NULL: nothing */
};

struct gateway {
    struct client *clients;
    uint64_t messages; /* EVENTs */
    uint64_t deliveries;
    uint64_t owed;    /* their event_message_cost */
    uint64_t reached; /* index of the last EVENT_REACHED */
    bool pays;        /* the link's window, each time it reads; at first: yes */
    size_t entries_of_largest_list;
};

extern struct events events;
extern struct applier applier;
extern struct gateway gateways[GATEWAYS];
extern const struct scope scope, other_scope;
extern uint64_t last_index; /* of the log */

void feeding_init(void); /* also swallows the log; both links are up */
void feeding_fini(void);
void feeding_restart(void); /* of the worker: what is not committed is lost, links are new */
void feeding_move(void);    /* goes on with a copy of the map as of a snapshot; the links stay */
void feeding_reconnect(unsigned gateway);

/* ---- the log ---- */

uint64_t publish(const char *topic, const char *data); /* in scope: its index */
uint64_t publish_in(const struct scope *where, const char *topic, struct slice data);
uint64_t other_entry(void); /* another worker's */
int purge(const struct scope *where, uint64_t step);
extern int last_error; /* of the last one that was applied */
void commit(void);     /* and what follows a commit: live connections are sent what is new */

/* ---- gateway 0 says, and takes what comes of it ---- */

void subscribe(uint64_t connection, const char *topic); /* from now, in scope, with WINDOW */
void subscribe_after(uint64_t connection, const char *topic, uint64_t after);
int subscribe_as(unsigned gateway, const struct msg_subscribe *msg); /* unpack_end's */
void unsubscribe(uint64_t connection);
void credit(uint64_t connection, uint64_t bytes);
void credit_as(unsigned gateway, uint64_t connection, uint64_t bytes);

/* The end of a turn: live, a step of the sweeps, and what was sent is read. True: there is more. */
bool turn(void);
void turns(void);        /* until there is no more */
void tell_reached(void); /* the timer */

/* What a connection of gateway 0 was sent since the last time: "+5 e6 e7 g1-4 l4 b7 o7", for
 * SUBSCRIBED, EVENT, EVENT_GAP, EVENT_CAUGHT_UP, EVENT_BEHIND, EVENT_OUTRUN; "!" and the error of
 * a SUBSCRIBED. */
const char *heard(uint64_t connection);
const char *heard_by(unsigned gateway, uint64_t connection);
extern char last_data[4096]; /* "topic=data@emitted" of the last EVENT */

#endif
