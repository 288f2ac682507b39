/* inflight.c - see inflight.h.
 *
 * A ring of slots by sequence: [floor, next). A slot counts the copies of its entry whose fate is
 * open: `alive` were sent over the present connection to raft and not refused; `is_lost` says that
 * others went down with an earlier connection, and nobody will ever tell of them. With neither,
 * the entry can never be applied, and saying so to the client is the truth.
 */
#include "procs/gateway/writes/inflight.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "procs/gateway/writes/inflight_private.h"

#define INFLIGHT_SCRATCH_KEEP (64u << 10)
#define INFLIGHT_RETRY_BYTES (1u << 20) /* one retry: raft said that it has enough already */

/* ---- the end of a proposal -------------------------------------------------------------------
 */

void slot_finish(struct inflight *inflight, struct slot *slot, int error, struct slice detail)
{
    inflight_done_fn *done = slot->done;
    void *arg = slot->arg;
    const struct inflight_outcome outcome = {error, slot->index, detail};

    CHECK(slot->is_open);
    slot_park(inflight, slot, false);
    slot_set_alive(inflight, slot, 0);
    inflight->open_count--;
    inflight->bytes -= slot->len;
    inflight->origins[slot->origin]--;
    free(slot->entry);
    memset(slot, 0, sizeof(*slot));
    while (inflight->floor < inflight->next && !inflight_slot(inflight, inflight->floor)->is_open)
        inflight->floor++;
    if (done != NULL)
        done(arg, &outcome);
}

static int slot_deadline_error(const struct slot *slot)
{
    if (!slot_is_clean(slot))
        return E_OUTCOME_UNKNOWN;
    return slot->refusal == E_BUSY || slot->refusal == E_STORAGE_FULL ? slot->refusal : E_NO_LEADER;
}

static void inflight_expire_deadlines(struct inflight *inflight, uint64_t now_ns)
{
    for (uint64_t at = inflight->floor, end = inflight->next; at < end; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot != NULL && slot->deadline_ns <= now_ns)
            slot_finish(inflight, slot, slot_deadline_error(slot), slice_of(NULL, 0));
    }
}

/* ---- sending ---------------------------------------------------------------------------------
 */

static bool inflight_may_send(const struct inflight *inflight, const struct slot *slot)
{
    if (!inflight->leader_is_known || inflight->is_expired)
        return false;
    if (slot->refusal != 0 && slot_is_clean(slot) &&
        slot->deadline_ns < inflight_now(inflight) + INFLIGHT_LAST_MS * NS_PER_MS)
        return false;
    return (slot->workers & ~inflight->confirmed) == 0;
}

static void inflight_retry_later(struct inflight *inflight)
{
    if (inflight->retry_ns == 0)
        inflight->retry_ns = inflight_now(inflight) + INFLIGHT_RETRY_MS * NS_PER_MS;
}

static int slot_send(struct inflight *inflight, struct slot *slot)
{
    int error = inflight->wire.propose(inflight->wire.arg, slice_of(slot->entry, slot->len));
    if (error == 0) {
        slot->sent_ns = inflight_now(inflight);
        if (inflight->recall_ns == 0)
            inflight->recall_ns = slot->sent_ns + inflight->recall_interval_ms * NS_PER_MS;
        slot_set_alive(inflight, slot, slot->alive + 1);
        slot_park(inflight, slot, false);
    } else {
        slot_park(inflight, slot, true);
        if (error == E_BUSY) {
            slot->refusal = E_BUSY;
            inflight_retry_later(inflight);
        }
    }
    return error;
}

/* Proposes what is parked and may go, oldest first, until the link takes no more or so many bytes
 * have gone. */
void inflight_send_parked(struct inflight *inflight, size_t budget)
{
    size_t sent = 0;
    inflight->retry_ns = 0;
    for (uint64_t at = inflight->floor; at < inflight->next && inflight->parked_count > 0; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot == NULL || !slot->is_parked || !inflight_may_send(inflight, slot))
            continue;
        if (sent >= budget) {
            inflight_retry_later(inflight);
            return;
        }
        sent += slot->len;
        if (slot_send(inflight, slot) != 0)
            return;
    }
}

/* ---- taking a proposal -----------------------------------------------------------------------
 */

int inflight_encode(struct inflight *inflight, const struct entry *entry, struct slot *slot)
{
    struct buf *scratch = &inflight->scratch;
    buf_clear(scratch);
    int error = entry_encode(scratch, entry);
    if (error == 0) {
        slot->entry = mem_copy(scratch->data, scratch->len);
        slot->len = scratch->len;
    }
    buf_clear(scratch);
    buf_shrink(scratch, INFLIGHT_SCRATCH_KEEP);
    return error;
}

static uint16_t inflight_origin(uint64_t origin)
{
    return origin == INFLIGHT_NO_ORIGIN ? INFLIGHT_ORIGINS : (uint16_t)(origin % INFLIGHT_ORIGINS);
}

static int inflight_take(struct inflight *inflight, const struct inflight_write *write,
                         struct slot **out)
{
    struct entry entry = {.session = inflight->session,
                          .sequence = inflight->next,
                          .floor = inflight->floor,
                          .part_count = write->part_count};
    struct slot fresh = {.deadline_ns = write->deadline_ns,
                         .done = write->done,
                         .arg = write->arg,
                         .origin = inflight_origin(write->origin),
                         .may_wait = write->may_wait,
                         .is_open = true};

    CHECK(write->part_count > 0 && write->part_count <= LIMIT_ENTRY_PARTS);
    if (inflight->next - inflight->floor >= LIMIT_SESSION_WINDOW)
        return E_BUSY;
    for (uint32_t i = 0; i < write->part_count; i++) {
        entry.parts[i] = write->parts[i];
        fresh.workers |= (uint8_t)inflight_worker_bit(write->parts[i].worker);
    }
    fresh.waiting = fresh.workers;
    int error = inflight_encode(inflight, &entry, &fresh);
    if (error != 0)
        return error;
    if (inflight->bytes > 0 && inflight->bytes + fresh.len > INFLIGHT_BYTES) {
        free(fresh.entry);
        return E_BUSY;
    }
    *out = inflight_slot(inflight, inflight->next++);
    **out = fresh;
    inflight->bytes += fresh.len;
    inflight->origins[fresh.origin]++;
    inflight->open_count++;
    return 0;
}

/* ---- what the gateway calls ------------------------------------------------------------------
 */

struct inflight *inflight_new(uint64_t session, const struct inflight_wire *wire)
{
    struct inflight *inflight = mem_alloc(sizeof(*inflight));
    inflight->wire = *wire;
    inflight->session = session;
    inflight->next = inflight->floor = INFLIGHT_FIRST_SEQUENCE;
    inflight->recall_interval_ms = INFLIGHT_RECALL_MS;
    inflight_ask_at_once(inflight);
    inflight->slots = mem_alloc(LIMIT_SESSION_WINDOW * sizeof(struct slot));
    buf_init(&inflight->scratch, LIMIT_ENTRY_BYTES);
    return inflight;
}

void inflight_free(struct inflight **inflight_pointer)
{
    struct inflight *inflight = *inflight_pointer;
    if (inflight == NULL)
        return;
    *inflight_pointer = NULL;
    for (uint64_t at = inflight->floor; at < inflight->next; at++)
        free(inflight_slot(inflight, at)->entry);
    free(inflight->slots);
    buf_fini(&inflight->scratch);
    free(inflight);
}

int inflight_add(struct inflight *inflight, const struct inflight_write *write, uint64_t *ticket)
{
    struct slot *slot = NULL;
    if (write->origin != INFLIGHT_NO_ORIGIN &&
        inflight->origins[inflight_origin(write->origin)] >= INFLIGHT_PER_ORIGIN)
        return E_BUSY;
    int error = inflight_take(inflight, write, &slot);
    if (error != 0)
        return error;
    *ticket = inflight->next - 1;
    if (inflight_may_send(inflight, slot))
        slot_send(inflight, slot);
    else
        slot_park(inflight, slot, true);
    return 0;
}

void inflight_detach(struct inflight *inflight, uint64_t ticket)
{
    struct slot *slot = inflight_find(inflight, ticket);
    if (slot != NULL)
        slot->done = NULL;
}

void inflight_drop(struct inflight *inflight, uint64_t ticket)
{
    struct slot *slot = inflight_find(inflight, ticket);
    if (slot == NULL)
        return;
    slot->done = NULL;
    slot_finish(inflight, slot, 0, slice_of(NULL, 0));
}

void inflight_await_final(struct inflight *inflight, uint64_t ticket, uint64_t deadline_ns)
{
    struct slot *slot = inflight_find(inflight, ticket);
    if (slot == NULL)
        return;
    slot->deadline_ns = deadline_ns;
    if (ticket < inflight->timed)
        inflight->timed = ticket;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        if ((slot->waiting & 1u << i) != 0)
            inflight->wire.recall(inflight->wire.arg, (enum proc)(PROC_FIRST_WORKER + i),
                                  inflight->session, ticket);
    }
}

uint64_t inflight_span(const struct inflight *inflight)
{
    return inflight->next - inflight->floor;
}

uint64_t inflight_floor(const struct inflight *inflight)
{
    return inflight->floor;
}

/* ---- what happens ----------------------------------------------------------------------------
 */

void inflight_on_leader(struct inflight *inflight, bool is_known)
{
    inflight->leader_is_known = is_known;
    if (!is_known)
        return;
    /* What was given to the old leader, or was on the way to this one, may be lost. */
    for (uint64_t at = inflight->floor; at < inflight->next; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot != NULL && !slot->is_waiting)
            slot_park(inflight, slot, true);
    }
    inflight_ask_at_once(inflight);
    inflight_open_session(inflight);
    inflight_send_parked(inflight, SIZE_MAX);
}

void inflight_on_raft_down(struct inflight *inflight)
{
    inflight->leader_is_known = false;
    inflight->retry_ns = 0;
    for (uint64_t at = inflight->floor; at < inflight->next; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot == NULL || slot->is_waiting)
            continue;
        slot->is_lost = slot->is_lost || slot->alive > 0;
        slot_set_alive(inflight, slot, 0);
        slot_park(inflight, slot, true);
    }
}

static bool inflight_is_for_now(int error)
{
    return error == E_NO_LEADER || error == E_NOT_LEADER || error == E_BUSY;
}

void inflight_on_refuse(struct inflight *inflight, uint64_t session, uint64_t sequence, int error)
{
    struct slot *slot = session == inflight->session ? inflight_find(inflight, sequence) : NULL;
    if (session == inflight->session && sequence == inflight->ask_sequence) {
        if (!inflight_is_for_now(error))
            inflight_fail_waiting(inflight, error);
        return;
    }
    if (slot == NULL || slot->alive == 0)
        return;
    slot_set_alive(inflight, slot, slot->alive - 1);
    slot->refusal = error;
    if (slot_is_clean(slot) && !inflight_is_for_now(error)) {
        slot_finish(inflight, slot, error, slice_of(NULL, 0));
    } else if (slot->alive == 0) {
        slot_park(inflight, slot, true);
        inflight_retry_later(inflight);
    }
}

/* Asks the workers for the results of what was sent up to then and may have been applied. */
static bool inflight_recall(struct inflight *inflight, uint64_t sent_ns)
{
    bool has_recalled = false;
    for (uint64_t at = inflight->floor; at < inflight->next; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot == NULL || slot_is_clean(slot) || slot->sent_ns > sent_ns)
            continue;
        if (slot->is_waiting)
            slot->sent_ns = sent_ns + INFLIGHT_RECALL_WAITING_MS * NS_PER_MS;
        for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
            if ((slot->waiting & 1u << i) == 0)
                continue;
            slot->is_recalled = has_recalled = true;
            inflight->wire.recall(inflight->wire.arg, (enum proc)(PROC_FIRST_WORKER + i),
                                  inflight->session, at);
        }
    }
    return has_recalled;
}

/* It was applied, and holds: nothing can lose it, and nothing but its final result ends it. */
static void slot_begin_to_wait(struct inflight *inflight, struct slot *slot,
                               const struct inflight_outcome *outcome)
{
    if (!slot->is_waiting) {
        slot->is_waiting = true;
        slot->is_lost = true; /* never clean again */
        slot->deadline_ns = INFLIGHT_NEVER;
        slot->sent_ns = inflight_now(inflight) + INFLIGHT_RECALL_WAITING_MS * NS_PER_MS;
        slot_set_alive(inflight, slot, 0);
        slot_park(inflight, slot, false);
        inflight->bytes -= slot->len;
        slot->len = 0;
        free(slot->entry);
        slot->entry = NULL;
    }
    if (slot->done != NULL)
        slot->done(slot->arg, outcome);
}

void inflight_on_result(struct inflight *inflight, enum proc worker, uint64_t session,
                        uint64_t sequence, const struct inflight_outcome *outcome)
{
    unsigned bit = inflight_worker_bit(worker);
    struct slot *slot = inflight_find(inflight, sequence);
    if (session != inflight->session)
        return;
    if (outcome->error != E_SESSION_EXPIRED)
        inflight_on_known(inflight, bit);
    if (slot == NULL || (slot->waiting & bit) == 0)
        return;
    inflight->recall_interval_ms = INFLIGHT_RECALL_MS;
    if (outcome->error == E_SESSION_EXPIRED) {
        inflight_on_forgotten(inflight, slot, bit);
        return;
    }
    if (outcome->error == E_QUEUE_WAITING && slot->may_wait) {
        slot_begin_to_wait(inflight, slot, outcome);
        return;
    }
    slot->waiting &= (uint8_t)~bit;
    slot->index = outcome->index > slot->index ? outcome->index : slot->index;
    slot->error = slot->error != 0 ? slot->error : outcome->error;
    if (slot->waiting == 0)
        slot_finish(inflight, slot, slot->error, outcome->detail);
}

/* Workers that owe a result for long are asked for it, less and less often while none comes. */
static void inflight_recall_late(struct inflight *inflight, uint64_t now_ns)
{
    uint64_t before_ns = now_ns - INFLIGHT_RECALL_MS * NS_PER_MS;
    if (inflight_recall(inflight, before_ns) &&
        inflight->recall_interval_ms < INFLIGHT_RECALL_MAX_MS)
        inflight->recall_interval_ms *= 2;
    inflight->recall_ns =
        inflight->floor < inflight->next ? now_ns + inflight->recall_interval_ms * NS_PER_MS : 0;
}

void inflight_tick(struct inflight *inflight)
{
    uint64_t now_ns = inflight_now(inflight);
    inflight_expire_deadlines(inflight, now_ns);
    inflight_open_session(inflight);
    if (inflight->retry_ns != 0 && inflight->retry_ns <= now_ns)
        inflight_send_parked(inflight, INFLIGHT_RETRY_BYTES);
    if (inflight->recall_ns != 0 && inflight->recall_ns <= now_ns)
        inflight_recall_late(inflight, now_ns);
}

/* What waits has no deadline, and may lie at the floor for long. */
static void inflight_pass_untimed(struct inflight *inflight)
{
    if (inflight->timed < inflight->floor)
        inflight->timed = inflight->floor;
    while (inflight->timed < inflight->next) {
        const struct slot *slot = inflight_slot(inflight, inflight->timed);
        if (slot->is_open && slot->deadline_ns != INFLIGHT_NEVER)
            return;
        inflight->timed++;
    }
}

uint64_t inflight_due_ns(struct inflight *inflight)
{
    uint64_t due_ns = UINT64_MAX;
    inflight_pass_untimed(inflight);
    if (inflight->timed < inflight->next)
        due_ns = inflight_slot(inflight, inflight->timed)->deadline_ns;
    if (inflight->floor < inflight->next && inflight->recall_ns != 0 &&
        inflight->recall_ns < due_ns)
        due_ns = inflight->recall_ns;
    if (inflight->leader_is_known && !inflight->is_expired) {
        if (inflight_strangers(inflight) != 0 && inflight->ask_again_ns < due_ns)
            due_ns = inflight->ask_again_ns;
        if (inflight->retry_ns != 0 && inflight->retry_ns < due_ns)
            due_ns = inflight->retry_ns;
    }
    return due_ns;
}

unsigned inflight_open_count(const struct inflight *inflight)
{
    return inflight->open_count;
}
