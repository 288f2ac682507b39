/* wire.h - what a subscriber and a publisher say to INSI, Redis and NATS, for the bench of events.
 *
 * Each protocol is four small functions over bytes; sockets and counting belong to the programs.
 * Slices that `next` and `answer` give out lie in the bytes they were given.
 */
#ifndef INSI_TESTS_BENCH_WIRE_H
#define INSI_TESTS_BENCH_WIRE_H

#include "base/buf.h"

struct wire_words {
    const char *topic;
    const char *token; /* INSI alone */
};

enum wire_unit {
    WIRE_PART,    /* the bytes end within a unit */
    WIRE_OTHER,   /* nothing to count */
    WIRE_READY,   /* the subscription is in place, or the publisher was greeted */
    WIRE_EVENT,   /* an event was delivered */
    WIRE_ALIVE,   /* the server wants to hear `pong` */
    WIRE_DONE,    /* a publish was answered */
    WIRE_REFUSED, /* all else: an error, or the end of the connection */
};

struct wire {
    const char *name;
    struct slice pong;
    /* What is sent first. greet may be NULL: a publisher has nothing to wait for. */
    void (*subscribe)(struct buf *out, const struct wire_words *words);
    void (*greet)(struct buf *out);
    void (*publish)(struct buf *out, const struct wire_words *words, struct slice data);
    /* The first unit of what a subscriber (next) or a publisher (answer) received: its bytes in
     * *used, of an event all of it in *event. greeted: false at first, the protocol's own. */
    enum wire_unit (*next)(struct slice bytes, bool *greeted, size_t *used, struct slice *event);
    enum wire_unit (*answer)(struct slice bytes, bool *greeted, size_t *used);
};

/* "insi", "redis" or "nats"; NULL: none of them. */
const struct wire *wire_find(const char *name);

#endif
