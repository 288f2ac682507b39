/* state_check.c - see state_check.h. */
#include "procs/raft/state_check.h"

#include <stdlib.h>

#include "base/check.h"
#include "ipc/raft_worker.h"

struct state_check_report {
    uint64_t id, hash;
    bool told; /* that it differs */
};

struct state_check_point {
    uint64_t index; /* 0: none yet */
    bool is_open;   /* said to be */
    uint32_t count;
    struct state_check_report reports[RAFT_MEMBERS_MAX];
};

struct state_check {
    struct state_check_hooks hooks;
    struct state_check_point points[PROC_WORKER_COUNT][STATE_CHECK_POINTS];
};

struct state_check *state_check_new(const struct state_check_hooks *hooks)
{
    struct state_check *check = mem_alloc(sizeof(*check));
    check->hooks = *hooks;
    return check;
}

void state_check_free(struct state_check **check)
{
    free(*check);
    *check = NULL;
}

void state_check_forget(struct state_check *check)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        for (unsigned k = 0; k < STATE_CHECK_POINTS; k++)
            check->points[i][k].index = 0;
}

/* NULL: later ones have taken its place. */
static struct state_check_point *state_check_find(struct state_check *check,
                                                  const struct peer_state_hash *state)
{
    struct state_check_point *point =
        &check->points[PROC_WORKER_SLOT(state->worker)]
                      [state->index / RAFT_CHECKPOINT % STATE_CHECK_POINTS];
    if (point->index > state->index)
        return NULL;
    if (point->index < state->index) {
        point->index = state->index;
        point->is_open = false;
        point->count = 0;
    }
    return point;
}

static void state_check_add(struct state_check_point *point, const struct members *members,
                            uint64_t id, uint64_t hash)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < point->count; i++) {
        const struct state_check_report *report = &point->reports[i];
        if (report->id != id && members_find(members, report->id))
            point->reports[kept++] = *report;
    }
    CHECK(kept < RAFT_MEMBERS_MAX); /* one for each member, and this one has none */
    point->reports[kept++] = (struct state_check_report){.id = id, .hash = hash};
    point->count = kept;
}

static uint32_t state_check_votes(const struct state_check_point *point,
                                  const struct members *members, uint64_t hash)
{
    uint32_t votes = 0;
    for (uint32_t i = 0; i < point->count; i++) {
        const struct state_check_report *report = &point->reports[i];
        if (report->hash == hash && members_find(members, report->id)->voter)
            votes++;
    }
    return votes;
}

static bool state_check_majority(const struct state_check_point *point,
                                 const struct members *members, uint64_t *hash)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].voter ? 1 : 0;
    for (uint32_t i = 0; i < point->count; i++) {
        *hash = point->reports[i].hash;
        if (state_check_votes(point, members, *hash) * 2 > voters)
            return true;
    }
    return false;
}

static void state_check_judge(struct state_check *check, struct state_check_point *point,
                              const struct members *members, const struct peer_state_hash *state)
{
    const struct state_check_hooks *hooks = &check->hooks;
    struct peer_state_hash right = *state;
    bool is_known = state_check_majority(point, members, &right.hash);
    for (uint32_t i = 0; i < point->count; i++) {
        struct state_check_report *report = &point->reports[i];
        if (is_known && report->hash != right.hash && !report->told) {
            report->told = true;
            hooks->differs(hooks->arg, report->id, &right);
        } else if (!is_known && report->hash != state->hash && !point->is_open) {
            struct peer_state_hash other = *state;
            other.hash = report->hash;
            point->is_open = true;
            hooks->open(hooks->arg, state, &other);
        }
    }
}

void state_check_note(struct state_check *check, const struct members *members, uint64_t id,
                      const struct peer_state_hash *state)
{
    struct state_check_point *point = state_check_find(check, state);
    if (!point || !members_find(members, id))
        return;
    state_check_add(point, members, id, state->hash);
    state_check_judge(check, point, members, state);
}
