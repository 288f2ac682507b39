/* sessions.c - the rules of sessions.h on what is in memory, numbered as there. */
#include "procs/worker/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/worker/sessions_private.h"

#define SESSION_FIRST_SLOTS 16

/* ---- the table: ids are random, so their low bits are hash enough ---- */

static unsigned sessions_home(uint64_t id)
{
    return (unsigned)id & (SESSIONS_TABLE_SLOTS - 1);
}

static unsigned sessions_next(unsigned slot)
{
    return (slot + 1) & (SESSIONS_TABLE_SLOTS - 1);
}

static struct session *sessions_find(const struct sessions *sessions, uint64_t id)
{
    unsigned slot = sessions_home(id);

    while (sessions->table[slot] != NULL && sessions->table[slot]->id != id)
        slot = sessions_next(slot);
    return sessions->table[slot];
}

static void sessions_insert(struct sessions *sessions, struct session *session)
{
    unsigned slot = sessions_home(session->id);

    while (sessions->table[slot] != NULL)
        slot = sessions_next(slot);
    sessions->table[slot] = session;
}

/* Empties the slot, and inserts again what follows it, which may have been pushed on by it. */
static void sessions_take_out(struct sessions *sessions, const struct session *session)
{
    unsigned slot = sessions_home(session->id);

    while (sessions->table[slot] != session)
        slot = sessions_next(slot);
    sessions->table[slot] = NULL;
    for (slot = sessions_next(slot); sessions->table[slot] != NULL; slot = sessions_next(slot)) {
        struct session *follower = sessions->table[slot];
        sessions->table[slot] = NULL;
        sessions_insert(sessions, follower);
    }
}

/* ---- the order of use ---- */

static void sessions_unlink(struct sessions *sessions, struct session *session)
{
    if (session->older != NULL)
        session->older->newer = session->newer;
    else if (sessions->oldest == session)
        sessions->oldest = session->newer;
    if (session->newer != NULL)
        session->newer->older = session->older;
    else if (sessions->newest == session)
        sessions->newest = session->older;
    session->older = session->newer = NULL;
}

void sessions_make_newest(struct sessions *sessions, struct session *session)
{
    if (sessions->newest == session)
        return;
    sessions_unlink(sessions, session);
    session->older = sessions->newest;
    if (sessions->newest != NULL)
        sessions->newest->newer = session;
    else
        sessions->oldest = session;
    sessions->newest = session;
}

/* ---- life ---- */

struct session *sessions_add(struct sessions *sessions, uint64_t id)
{
    struct session *session = mem_alloc(sizeof(*session));

    CHECK(sessions->count < LIMIT_SESSIONS);
    session->id = id;
    buf_init(&session->pending, LIMIT_MESSAGE_BYTES);
    sessions_insert(sessions, session);
    sessions_make_newest(sessions, session);
    sessions->count++;
    return session;
}

static void session_free(struct session *session)
{
    buf_fini(&session->pending);
    free(session->slots);
    free(session->groups);
    free(session);
}

static void sessions_unmark_dirty(struct sessions *sessions, struct session *session)
{
    struct session **at = &sessions->dirty;

    if (!session->is_dirty)
        return;
    while (*at != session)
        at = &(*at)->next_dirty;
    *at = session->next_dirty;
}

static int sessions_forget_oldest(struct sessions *sessions, MDB_txn *txn)
{
    struct session *session = sessions->oldest;

    int error = session_erase(sessions, session, txn);
    if (error != 0)
        return error;
    sessions_unmark_dirty(sessions, session);
    sessions_take_out(sessions, session);
    sessions_unlink(sessions, session);
    sessions->count--;
    session_free(session);
    return 0;
}

void sessions_free(struct sessions **sessions_pointer)
{
    struct sessions *sessions = *sessions_pointer;

    if (sessions == NULL)
        return;
    *sessions_pointer = NULL;
    for (struct session *session = sessions->oldest, *newer; session != NULL; session = newer) {
        newer = session->newer;
        session_free(session);
    }
    buf_fini(&sessions->detail);
    free(sessions);
}

unsigned sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

/* ---- the window ---- */

static void session_grow(struct session *session, uint64_t needed)
{
    uint64_t capacity = session->capacity > 0 ? session->capacity : SESSION_FIRST_SLOTS;

    while (capacity < needed)
        capacity *= 2;
    CHECK(capacity <= LIMIT_SESSION_WINDOW);
    uint64_t *slots = mem_alloc(capacity * sizeof(*slots));
    for (uint64_t i = 0; i < session->capacity; i++) {
        uint64_t sequence = session->floor + i;
        slots[sequence & (capacity - 1)] = session->slots[sequence & (session->capacity - 1)];
    }
    free(session->slots);
    session->slots = slots;
    session->capacity = capacity;
}

static bool session_in_window(const struct session *session, uint64_t sequence)
{
    return sequence >= session->floor && sequence - session->floor < LIMIT_SESSION_WINDOW;
}

uint64_t *session_slot_for(struct session *session, uint64_t sequence)
{
    CHECK(session_in_window(session, sequence));
    uint64_t needed = sequence - session->floor + 1;
    if (needed > session->capacity)
        session_grow(session, needed);
    return &session->slots[sequence & (session->capacity - 1)];
}

/* 0 when the sequence, which is in the window, was not applied. */
static uint64_t session_peek(const struct session *session, uint64_t sequence)
{
    return sequence - session->floor < session->capacity
               ? session->slots[sequence & (session->capacity - 1)]
               : 0;
}

static void session_raise_floor(struct session *session, uint64_t floor)
{
    if (floor <= session->floor)
        return;
    uint64_t passed = floor - session->floor;
    if (passed >= session->capacity) {
        if (session->capacity > 0)
            memset(session->slots, 0, session->capacity * sizeof(session->slots[0]));
    } else {
        for (uint64_t sequence = session->floor; sequence < floor; sequence++)
            session->slots[sequence & (session->capacity - 1)] = 0;
    }
    session->floor = floor;
}

/* ---- judging ---- */

static void sessions_mark_dirty(struct sessions *sessions, struct session *session)
{
    if (session->is_dirty)
        return;
    session->is_dirty = true;
    session->next_dirty = sessions->dirty;
    sessions->dirty = session;
}

static void sessions_use(struct sessions *sessions, struct session *session, uint64_t index,
                         uint64_t floor)
{
    session->last_used = index;
    sessions_make_newest(sessions, session);
    session_raise_floor(session, floor);
    sessions_mark_dirty(sessions, session);
}

static int sessions_open(struct sessions *sessions, MDB_txn *txn,
                         const struct session_origin *origin, struct session **out)
{
    if (sessions->count == LIMIT_SESSIONS) { /* rule 5 */
        int error = sessions_forget_oldest(sessions, txn);
        if (error != 0)
            return error;
    }
    *out = sessions_add(sessions, origin->session);
    (*out)->floor = origin->sequence; /* rule 3 */
    return 0;
}

static int sessions_answer(struct sessions *sessions, const struct session *session, MDB_txn *txn,
                           uint64_t sequence, uint64_t slot, struct session_result *result)
{
    result->index = session_slot_index(slot);
    result->error = session_slot_error(slot);
    result->detail = slice_of(NULL, 0);
    if (!session_slot_has_detail(slot))
        return 0;
    int error = session_read_detail(sessions, session, txn, sequence, result->index);
    result->detail = buf_slice(&sessions->detail);
    return error;
}

int sessions_judge(struct sessions *sessions, MDB_txn *txn, const struct session_origin *origin,
                   uint64_t index, bool opens, bool *is_new, struct session_result *result)
{
    struct session *session = sessions_find(sessions, origin->session);

    *is_new = false;
    *result = (struct session_result){.index = index};
    if (session == NULL && !opens) {
        result->error = E_SESSION_EXPIRED; /* rule 2 */
        return 0;
    }
    if (session == NULL) {
        int error = sessions_open(sessions, txn, origin, &session);
        if (error != 0)
            return error;
    }
    sessions_use(sessions, session, index, origin->floor);
    if (origin->sequence < session->floor) {
        result->error = E_OUTCOME_UNKNOWN; /* rule 3 */
        return 0;
    }
    if (!session_in_window(session, origin->sequence)) {
        result->error = E_BAD_COMMAND; /* rule 4 */
        return 0;
    }
    uint64_t slot = session_peek(session, origin->sequence);
    if (slot != 0) /* rule 1 */
        return sessions_answer(sessions, session, txn, origin->sequence, slot, result);
    *is_new = true;
    return 0;
}

void sessions_remember(struct sessions *sessions, const struct session_origin *origin,
                       const struct session_result *result)
{
    struct session *session = sessions_find(sessions, origin->session);

    CHECK(session != NULL && session->is_dirty && session->last_used == result->index);
    uint64_t *slot = session_slot_for(session, origin->sequence);
    CHECK(*slot == 0);
    *slot = session_slot(result->index, result->error, result->detail.len > 0);
    session_encode(session, origin->sequence, result);
}

/* ---- final results (rule 7) ---- */

bool sessions_wait(const struct sessions *sessions, uint64_t session_id, uint64_t sequence)
{
    const struct session *session = sessions_find(sessions, session_id);

    return session != NULL && session_in_window(session, sequence) &&
           session_slot_error(session_peek(session, sequence)) == E_QUEUE_WAITING;
}

int sessions_finish(struct sessions *sessions, uint64_t session_id, uint64_t sequence,
                    const struct session_result *result)
{
    struct session *session = sessions_find(sessions, session_id);

    if (session == NULL || !session_in_window(session, sequence))
        return E_NOT_FOUND;
    uint64_t *slot = session_slot_for(session, sequence);
    if (*slot != 0 && session_slot_error(*slot) != E_QUEUE_WAITING)
        return E_EXISTS;
    sessions_mark_dirty(sessions, session);
    *slot = session_slot(result->index, result->error, result->detail.len > 0);
    session_encode(session, sequence, result);
    return 0;
}

/* ---- recalling ---- */

int sessions_recall(struct sessions *sessions, MDB_txn *txn, uint64_t session_id, uint64_t sequence,
                    struct session_result *result)
{
    const struct session *session = sessions_find(sessions, session_id);

    if (session == NULL || !session_in_window(session, sequence))
        return E_NOT_FOUND;
    uint64_t slot = session_peek(session, sequence);
    if (slot == 0)
        return E_NOT_FOUND;
    return sessions_answer(sessions, session, txn, sequence, slot, result);
}

int sessions_recall_all(struct sessions *sessions, MDB_txn *txn, uint64_t session_id,
                        session_result_fn *visit, void *arg)
{
    const struct session *session = sessions_find(sessions, session_id);

    for (uint64_t i = 0; session != NULL && i < session->capacity; i++) {
        struct session_result result;
        uint64_t sequence = session->floor + i, slot = session_peek(session, sequence);
        if (slot == 0)
            continue;
        int error = sessions_answer(sessions, session, txn, sequence, slot, &result);
        if (error != 0)
            return error;
        visit(arg, sequence, &result);
    }
    return 0;
}
