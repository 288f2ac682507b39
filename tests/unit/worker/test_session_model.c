/* Sessions against the plainest possible model of their rules, over random entries, transactions
 * and restarts. */
#include <stdlib.h>
#include <string.h>

#include "applying.h"
#include "base/limits.h"
#include "base/rng.h"

TestSuite(session_model, .init = applying_init, .fini = applying_fini, .timeout = 120);

#define MODEL_SESSIONS (LIMIT_SESSIONS + 200)
#define MODEL_WIDTH 64ull /* sequences in use at a time, but for outliers */
#define MODEL_STEPS 60000

struct model_result {
    uint64_t sequence, index;
    int error;
    size_t detail_len;
};

struct model_session {
    uint64_t floor, last_used;
    struct model_result results[4 * MODEL_WIDTH];
    unsigned result_count;
    bool is_known;
};

static struct model_session model[MODEL_SESSIONS];

static void model_forget_oldest(void)
{
    unsigned known = 0, oldest = 0;
    for (unsigned i = 0; i < MODEL_SESSIONS; i++) {
        if (!model[i].is_known)
            continue;
        if (known++ == 0 || model[i].last_used < model[oldest].last_used)
            oldest = i;
    }
    if (known == LIMIT_SESSIONS)
        model[oldest] = (struct model_session){0};
}

static void model_raise_floor(struct model_session *session, uint64_t floor)
{
    unsigned kept = 0;
    if (floor > session->floor)
        session->floor = floor;
    for (unsigned i = 0; i < session->result_count; i++) {
        if (session->results[i].sequence >= session->floor)
            session->results[kept++] = session->results[i];
    }
    session->result_count = kept;
}

/* What the entry must come to; delta as in applying.h, opens: a SESSION_OPEN. */
static struct model_result model_apply(unsigned id, uint64_t sequence, uint64_t floor, bool opens,
                                       int64_t delta)
{
    struct model_session *session = &model[id];
    struct model_result result = {.sequence = sequence, .index = next_index};
    if (!session->is_known && !opens) {
        result.error = E_SESSION_EXPIRED;
        return result;
    }
    if (!session->is_known) {
        model_forget_oldest();
        *session = (struct model_session){.is_known = true, .floor = sequence};
    }
    session->last_used = next_index;
    model_raise_floor(session, floor);
    if (sequence < session->floor) {
        result.error = E_OUTCOME_UNKNOWN;
        return result;
    }
    if (sequence - session->floor >= LIMIT_SESSION_WINDOW) {
        result.error = E_BAD_COMMAND;
        return result;
    }
    for (unsigned i = 0; i < session->result_count; i++) {
        if (session->results[i].sequence == sequence)
            return session->results[i];
    }
    result.error = opens || delta >= 0 ? 0 : E_CONFLICT;
    result.detail_len = opens ? 0 : (size_t)llabs(delta);
    cr_assert_lt(session->result_count, 4 * MODEL_WIDTH);
    session->results[session->result_count++] = result;
    return result;
}

static void step(struct rng *rng)
{
    /* few sessions are busy, many come and go */
    unsigned id =
        (unsigned)(rng_below(rng, 3) > 0 ? rng_below(rng, 4) : rng_below(rng, MODEL_SESSIONS));
    uint64_t base = model[id].is_known ? model[id].floor : 1;
    uint64_t sequence = base + rng_below(rng, MODEL_WIDTH);
    uint64_t floor = rng_below(rng, 4) == 0 ? base + rng_below(rng, 5) : 0;
    bool opens = rng_below(rng, 4) == 0;
    int64_t delta = (int64_t)rng_below(rng, 12) - 4;
    if (rng_below(rng, 50) == 0)
        sequence = base > 5 ? base - rng_below(rng, 5) : base;
    if (rng_below(rng, 500) == 0)
        sequence = base + LIMIT_SESSION_WINDOW - 1 + rng_below(rng, 2);
    if (rng_below(rng, 500) == 0)
        floor = base + rng_below(rng, 3 * MODEL_WIDTH);
    if (model[id].result_count > 3 * MODEL_WIDTH)
        floor = base + MODEL_WIDTH;
    struct model_result expected = model_apply(id, sequence, floor, opens, delta);
    struct session_result result =
        opens ? apply_open(id + 1, sequence, floor) : bump(id + 1, sequence, floor, delta);
    expect_result(result, expected.index, expected.error);
    cr_assert_eq(result.detail.len, expected.detail_len);
    if (result.detail.len > 0)
        cr_assert_eq(*(const char *)result.detail.data, (char)('a' + expected.index % 26));
}

static void run_model(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (unsigned i = 0; i < MODEL_STEPS; i++) {
        step(&rng);
        if (rng_below(&rng, 20) == 0)
            commit();
        if (rng_below(&rng, 4000) == 0) {
            commit();
            restart();
        }
    }
    commit();
    unsigned known = 0;
    for (unsigned i = 0; i < MODEL_SESSIONS; i++)
        known += model[i].is_known ? 1 : 0;
    cr_assert_eq(sessions_count(applier.sessions), known);
    cr_assert_eq(known, LIMIT_SESSIONS, "the limit was never met");
}

Test(session_model, random_entries_come_to_what_the_rules_say_seed_1)
{
    run_model(1);
}

Test(session_model, random_entries_come_to_what_the_rules_say_seed_2)
{
    run_model(2);
}
