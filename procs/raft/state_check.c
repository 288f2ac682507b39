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
    bool is_closed; /* a majority was known, or it was said that there is none */
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

static uint32_t state_check_voters(const struct members *members)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].voter ? 1 : 0;
    return voters;
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
    uint32_t voters = state_check_voters(members);
    for (uint32_t i = 0; i < point->count; i++) {
        *hash = point->reports[i].hash;
        if (state_check_votes(point, members, *hash) * 2 > voters)
            return true;
    }
    return false;
}

/* Whether some hash may still get a majority from those who have not reported. */
static bool state_check_is_possible(const struct state_check_point *point,
                                    const struct members *members)
{
    uint32_t voters = state_check_voters(members), most = 0, reported = 0;
    for (uint32_t i = 0; i < point->count; i++) {
        uint32_t votes = state_check_votes(point, members, point->reports[i].hash);
        most = votes > most ? votes : most;
        reported += members_find(members, point->reports[i].id)->voter ? 1 : 0;
    }
    return (most + voters - reported) * 2 > voters;
}

/* Two of them differ, and it has not been said yet. */
static void state_check_open(struct state_check *check, struct state_check_point *point,
                             enum proc worker)
{
    const struct state_check_hooks *hooks = &check->hooks;
    const struct peer_state_hash one = {worker, point->index, point->reports[0].hash};
    for (uint32_t i = 1; i < point->count && !point->is_closed; i++) {
        const struct peer_state_hash other = {worker, point->index, point->reports[i].hash};
        if (other.hash == one.hash)
            continue;
        point->is_closed = true;
        hooks->open(hooks->arg, &one, &other);
    }
}

static void state_check_judge(struct state_check *check, struct state_check_point *point,
                              const struct members *members, enum proc worker)
{
    const struct state_check_hooks *hooks = &check->hooks;
    struct peer_state_hash right = {.worker = worker, .index = point->index};
    if (!state_check_majority(point, members, &right.hash)) {
        if (!state_check_is_possible(point, members))
            state_check_open(check, point, worker);
        return;
    }
    point->is_closed = true;
    for (uint32_t i = 0; i < point->count; i++) {
        struct state_check_report *report = &point->reports[i];
        if (report->hash == right.hash || report->told)
            continue;
        report->told = true;
        hooks->differs(hooks->arg, report->id, &right);
    }
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
        state_check_open(check, point, state->worker);
        point->index = state->index;
        point->is_closed = false;
        point->count = 0;
    }
    return point;
}

void state_check_note(struct state_check *check, const struct members *members, uint64_t id,
                      const struct peer_state_hash *state)
{
    struct state_check_point *point = state_check_find(check, state);
    if (!point || !members_find(members, id))
        return;
    state_check_add(point, members, id, state->hash);
    state_check_judge(check, point, members, state->worker);
}
