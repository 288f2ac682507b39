/* inflight_session.c - the session of the proposals: opened, confirmed, forgotten, renewed. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/command.h"
#include "procs/gateway/writes/inflight_private.h"

/* ---- the session -----------------------------------------------------------------------------
 *
 * A worker that does not know the session yet takes the opening's sequence for its floor, and
 * applies nothing below. So an opening uses the sequence before all that are open. Whether it is
 * news to a worker, or that sequence was used before, does not matter: any result at all, but
 * E_SESSION_EXPIRED, says that the worker knows us.
 */

void inflight_ask_at_once(struct inflight *inflight)
{
    inflight->ask_again_ns = 0;
    inflight->ask_interval_ms = INFLIGHT_OPEN_MIN_MS;
}

unsigned inflight_strangers(const struct inflight *inflight)
{
    return INFLIGHT_EVERY_WORKER & ~inflight->confirmed;
}

static int inflight_send_opening(struct inflight *inflight, unsigned workers)
{
    struct command command = {.operation = COMMAND_SESSION_OPEN};
    struct entry entry = {.session = inflight->session,
                          .sequence = inflight->ask_sequence,
                          .floor = inflight->ask_sequence};
    struct buf bytes, encoded;
    buf_init(&bytes, LIMIT_KEY_BYTES);
    buf_init(&encoded, LIMIT_KEY_BYTES);
    CHECK(command_encode(&bytes, &command) == 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        if ((workers & 1u << i) != 0)
            entry.parts[entry.part_count++] =
                (struct entry_part){(enum proc)(PROC_FIRST_WORKER + i), buf_slice(&bytes)};
    }
    CHECK(entry_encode(&encoded, &entry) == 0);
    int error = inflight->wire.propose(inflight->wire.arg, buf_slice(&encoded));
    buf_fini(&encoded);
    buf_fini(&bytes);
    return error;
}

/* Asks the workers that have not confirmed our session to open it. */
void inflight_open_session(struct inflight *inflight)
{
    uint64_t now_ns = inflight_now(inflight);
    if (inflight_strangers(inflight) == 0 || !inflight->leader_is_known || inflight->is_expired ||
        now_ns < inflight->ask_again_ns)
        return;
    inflight->ask_sequence = inflight->floor - 1;
    inflight_send_opening(inflight, inflight_strangers(inflight));
    inflight->ask_again_ns = now_ns + inflight->ask_interval_ms * NS_PER_MS;
    inflight->ask_interval_ms = 2 * inflight->ask_interval_ms < INFLIGHT_OPEN_MAX_MS
                                    ? 2 * inflight->ask_interval_ms
                                    : INFLIGHT_OPEN_MAX_MS;
}

/* The opening was refused for good: what waits for it is refused likewise, and surely not done. */
void inflight_fail_waiting(struct inflight *inflight, int error)
{
    for (uint64_t at = inflight->floor, end = inflight->next; at < end; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot != NULL && (slot->workers & inflight_strangers(inflight)) != 0 &&
            slot_is_clean(slot))
            slot_finish(inflight, slot, error, slice_of(NULL, 0));
    }
}

void inflight_on_worker_up(struct inflight *inflight, enum proc worker)
{
    unsigned bit = inflight_worker_bit(worker);
    if ((inflight->confirmed & bit) != 0)
        return;
    /* It may have opened our session, had nobody to tell, and remember it no more. */
    inflight_ask_at_once(inflight);
    inflight_open_session(inflight);
}

/* A worker does not know our session any more. */
void inflight_on_forgotten(struct inflight *inflight, struct slot *slot, unsigned bit)
{
    if (!inflight->is_expired)
        LOG_WARN("session_forgotten", LOG_U64("session", inflight->session));
    inflight->is_expired = true;
    inflight->confirmed &= ~bit;
    for (uint64_t at = inflight->floor, end = inflight->next; at < end; at++) {
        struct slot *waiting = inflight_find(inflight, at);
        if (waiting != NULL && waiting->is_waiting && (waiting->workers & bit) != 0)
            slot_finish(inflight, waiting, E_OUTCOME_UNKNOWN, slice_of(NULL, 0));
    }
    if (!slot->is_open)
        return;
    bool was_only_copy = slot->alive <= 1 && !slot->is_lost && !slot->is_recalled;
    if (was_only_copy && slot->waiting == slot->workers) {
        slot_set_alive(inflight, slot, 0);
        slot_park(inflight, slot, true);
    } else {
        slot_finish(inflight, slot, E_OUTCOME_UNKNOWN, slice_of(NULL, 0));
    }
}

void inflight_on_known(struct inflight *inflight, unsigned bit)
{
    if ((inflight->confirmed & bit) != 0 || inflight->is_expired)
        return;
    inflight->confirmed |= bit;
    inflight_send_parked(inflight, SIZE_MAX);
}

bool inflight_wants_renewal(const struct inflight *inflight)
{
    return inflight->is_expired && inflight->alive_count == 0;
}

/* Sequences stay what they are; only the session changes, and with it the bytes of what may safely
 * be proposed again. */
void inflight_renew(struct inflight *inflight, uint64_t session)
{
    CHECK(inflight->alive_count == 0);
    inflight->session = session;
    inflight->is_expired = false;
    inflight->confirmed = 0;
    for (uint64_t at = inflight->floor, end = inflight->next; at < end; at++) {
        struct slot *slot = inflight_find(inflight, at);
        if (slot == NULL)
            continue;
        if (!slot_is_clean(slot)) {
            slot_finish(inflight, slot, E_OUTCOME_UNKNOWN, slice_of(NULL, 0));
            continue;
        }
        struct entry entry;
        uint8_t *old = slot->entry;
        size_t old_len = slot->len;
        CHECK(entry_decode(&entry, slice_of(old, old_len)) == 0);
        entry.session = session;
        CHECK(inflight_encode(inflight, &entry, slot) == 0);
        inflight->bytes += slot->len - old_len;
        slot_park(inflight, slot, true);
        free(old);
    }
    inflight_ask_at_once(inflight);
    inflight_open_session(inflight);
}

uint64_t inflight_session(const struct inflight *inflight)
{
    return inflight->session;
}
