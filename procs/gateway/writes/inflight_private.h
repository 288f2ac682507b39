/* inflight_private.h - what inflight.c (proposals) and inflight_session.c (the session) share. */
#ifndef INSI_GATEWAY_INFLIGHT_PRIVATE_H
#define INSI_GATEWAY_INFLIGHT_PRIVATE_H

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "procs/gateway/writes/inflight.h"

#define INFLIGHT_ORIGINS 4096
#define INFLIGHT_FIRST_SEQUENCE 2 /* 1 opens the session */
#define INFLIGHT_EVERY_WORKER ((1u << PROC_WORKER_COUNT) - 1)
#define INFLIGHT_NEVER UINT64_MAX

struct slot {
    uint8_t *entry;
    size_t len;
    uint64_t deadline_ns;   /* INFLIGHT_NEVER: its owner ends it */
    uint64_t sent_ns;       /* the last time; or recalled, when it waits */
    inflight_done_fn *done; /* NULL: nobody waits */
    void *arg;
    uint64_t index;
    uint32_t alive;
    uint16_t origin;
    uint8_t waiting; /* workers whose result is missing */
    uint8_t workers; /* all it concerns */
    bool is_open, is_parked, is_lost, is_recalled;
    bool may_wait, is_waiting; /* a pop; it was applied, and its final result comes later */
    int error;                 /* of the first worker that had one */
    int refusal;               /* the last one */
};

struct inflight {
    struct inflight_wire wire;
    uint64_t session;
    uint64_t next, floor; /* sequences; equal: nothing open */
    uint64_t timed;       /* nothing open below has a deadline */
    struct slot *slots;
    uint16_t origins[INFLIGHT_ORIGINS + 1]; /* the last one: of no connection */
    struct buf scratch;
    size_t bytes;
    unsigned open_count, parked_count, alive_count;
    uint64_t retry_ns;  /* 0: nothing to retry */
    uint64_t recall_ns; /* 0: nothing under way */
    uint64_t recall_interval_ms;

    bool leader_is_known;

    unsigned confirmed;       /* workers that know our session */
    uint64_t ask_sequence;    /* of the present opening; always below the floor */
    uint64_t ask_again_ns;    /* the others are asked again then */
    uint64_t ask_interval_ms; /* next time after so long */
    bool is_expired;
};

static inline unsigned inflight_worker_bit(enum proc worker)
{
    CHECK(worker >= PROC_FIRST_WORKER && worker <= PROC_LAST_WORKER);
    return 1u << PROC_WORKER_SLOT(worker);
}

static inline struct slot *inflight_slot(const struct inflight *inflight, uint64_t sequence)
{
    return &inflight->slots[sequence % LIMIT_SESSION_WINDOW];
}

/* NULL when it is not open (any more). */
static inline struct slot *inflight_find(const struct inflight *inflight, uint64_t sequence)
{
    if (sequence < inflight->floor || sequence >= inflight->next)
        return NULL;
    struct slot *slot = inflight_slot(inflight, sequence);
    return slot->is_open ? slot : NULL;
}

static inline uint64_t inflight_now(const struct inflight *inflight)
{
    return inflight->wire.now_ns(inflight->wire.arg);
}

/* No copy can ever be applied. */
static inline bool slot_is_clean(const struct slot *slot)
{
    return slot->alive == 0 && !slot->is_lost;
}

static inline void slot_park(struct inflight *inflight, struct slot *slot, bool is_parked)
{
    inflight->parked_count += (unsigned)is_parked - (unsigned)slot->is_parked;
    slot->is_parked = is_parked;
}

static inline void slot_set_alive(struct inflight *inflight, struct slot *slot, uint32_t alive)
{
    inflight->alive_count += alive - slot->alive;
    slot->alive = alive;
}

/* Ends the proposal and tells its owner. */
void slot_finish(struct inflight *inflight, struct slot *slot, int error, struct slice detail);

/* Proposes what is parked and may go, oldest first, until the link takes no more or so many bytes
 * have gone. */
void inflight_send_parked(struct inflight *inflight, size_t budget);

/* The bytes of an entry into the slot. E_TOO_LARGE. */
int inflight_encode(struct inflight *inflight, const struct entry *entry, struct slot *slot);

/* ---- inflight_session.c ---- */

void inflight_ask_at_once(struct inflight *inflight);
unsigned inflight_strangers(const struct inflight *inflight); /* workers; bits */

/* Asks the workers that have not confirmed our session to open it. */
void inflight_open_session(struct inflight *inflight);

/* The opening was refused for good: what waits for it is refused likewise, and surely not done. */
void inflight_fail_waiting(struct inflight *inflight, int error);

/* A worker (bit) has answered: it does not know our session any more; it knows us. */
void inflight_on_forgotten(struct inflight *inflight, struct slot *slot, unsigned bit);
void inflight_on_known(struct inflight *inflight, unsigned bit);

#endif
