/* asks.h - what clients ask of raft about the cluster itself, until it answers: who belongs to it
 * (CLUSTER_ASK), and changes of that (CHANGE).
 *
 * Raft answers each question once, unless the connection to it is lost. Then a CLUSTER_ASK is asked
 * again when raft is back; of a CHANGE nobody knows what became (E_OUTCOME_UNKNOWN). What could not
 * be sent yet waits for raft. At its deadline a question ends with E_NO_LEADER, or with
 * E_OUTCOME_UNKNOWN when a change was sent. One loop's thread; knows no HTTP and no link.
 */
#ifndef INSI_GATEWAY_ASKS_H
#define INSI_GATEWAY_ASKS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/gateway_raft.h"

#define ASKS_MAX 64       /* open at a time; beyond: E_BUSY */
#define ASKS_RETRY_MS 100 /* a link that takes no more */

struct ask_answer { /* borrowed during the call */
    /* 0, or as msg_change_answer says, or E_NO_LEADER, E_OUTCOME_UNKNOWN */
    int error;
    const struct msg_cluster_answer *cluster; /* of a CLUSTER_ASK that was answered, else NULL */
    struct slice detail;                      /* of a change: words for people; may be empty */
};

/* Called once, unless the question is ended before; never from within ask_begin. */
typedef void ask_done_fn(void *arg, const struct ask_answer *answer);

struct ask { /* embedded by its owner, zeroed before first use */
    /* set by the owner; the strings of the change must last as long as the question */
    bool is_change;
    struct msg_change change; /* its id is ours */
    uint64_t deadline_ns;
    ask_done_fn *done;
    void *arg;
    /* of asks.c */
    struct ask *next;
    uint64_t id;
    bool is_open, is_sent;
};

struct asks_wire { /* to raft: 0, E_PEER_DOWN, E_BUSY */
    int (*ask_cluster)(void *arg, const struct msg_cluster_ask *msg);
    int (*change)(void *arg, const struct msg_change *msg);
    uint64_t (*now_ns)(void *arg);
    void *arg;
};

struct asks {
    struct asks_wire wire;
    struct ask *first; /* in order of arrival */
    unsigned count;
    uint64_t ids;
    uint64_t retry_ns; /* 0: nothing to repeat */
};

void asks_init(struct asks *asks, const struct asks_wire *wire);

int ask_begin(struct asks *asks, struct ask *ask);
void ask_end(struct asks *asks, struct ask *ask); /* also when it is not open */

void asks_on_raft_up(struct asks *asks);
void asks_on_raft_down(struct asks *asks);
void asks_on_cluster(struct asks *asks, const struct msg_cluster_answer *msg);
void asks_on_change(struct asks *asks, const struct msg_change_answer *msg);

void asks_tick(struct asks *asks);
uint64_t asks_due_ns(const struct asks *asks); /* when to tick next; UINT64_MAX: never */

#endif
