/* The log of terms, majorities and configs, each against a slower and simpler way to say the same.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/rng.h"
#include "procs/raft/core/log.h"
#include "procs/raft/core/quorum.h"
#include "tests/unit/core/node.h"

#define PARTS_ROOM 4096

static struct rng rng;
static struct raft_log log_;
static uint64_t terms[PARTS_ROOM]; /* of index i; 0: not there */
static uint32_t sizes[PARTS_ROOM];
static uint64_t base, last;

static void parts_new(void)
{
    rng_init(&rng, 7);
    raft_log_init(&log_, 0, 0);
    memset(terms, 0, sizeof(terms));
    base = last = 0;
}

static void parts_free(void)
{
    raft_log_fini(&log_);
}

TestSuite(parts, .init = parts_new, .fini = parts_free);

static void parts_append(uint64_t term)
{
    uint32_t bytes = (uint32_t)rng_below(&rng, 1000);
    raft_log_append(&log_, term, bytes);
    terms[++last] = term;
    sizes[last] = bytes;
}

static uint64_t parts_term_at_most(uint64_t limit, uint64_t term)
{
    uint64_t index = limit < last ? limit : last;
    while (index > base && terms[index] > term)
        index--;
    return index < base ? base : index;
}

static void parts_compare(void)
{
    cr_assert_eq(log_.last_index, last);
    cr_assert_eq(raft_log_last_term(&log_), terms[last]);
    for (uint64_t i = base; i <= last + 1; i++)
        cr_assert_eq(raft_log_term(&log_, i), i <= last ? terms[i] : 0, "term of %lu", i);
    for (uint64_t i = base + 1; i <= last; i++)
        cr_assert_eq(raft_log_bytes(&log_, i), sizes[i], "bytes of %lu", i);
    if (base > 0)
        cr_assert_eq(raft_log_term(&log_, base - 1), 0);
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t limit = base + rng_below(&rng, last - base + 3);
        uint64_t term = rng_below(&rng, terms[last] + 2);
        cr_assert_eq(raft_log_find_term_at_most(&log_, limit, term),
                     parts_term_at_most(limit, term), "at most %lu up to %lu", term, limit);
    }
}

Test(parts, log_is_what_an_array_of_terms_would_be)
{
    uint64_t term = 1;
    for (uint32_t step = 0; step < 600; step++) {
        uint64_t what = rng_below(&rng, 10);
        if (what < 6 && last + 20 < PARTS_ROOM) {
            term += rng_below(&rng, 3);
            for (uint64_t i = rng_below(&rng, 20); i > 0; i--)
                parts_append(term);
        } else if (what < 8 && last > base) {
            uint64_t from = base + 1 + rng_below(&rng, last - base + 2);
            raft_log_truncate(&log_, from);
            last = from <= last ? from - 1 : last;
        } else if (what < 9) {
            base += rng_below(&rng, last - base + 1);
            raft_log_compact(&log_, base);
        }
        parts_compare();
    }
}

Test(parts, log_begins_anew_behind_a_snapshot)
{
    parts_append(1);
    parts_append(2);
    raft_log_reset(&log_, 50, 7);
    cr_assert_eq(raft_log_term(&log_, 50), 7);
    cr_assert_eq(raft_log_term(&log_, 2), 0);
    cr_assert_eq(raft_log_last_term(&log_), 7);
    raft_log_append(&log_, 7, 33);
    cr_assert_eq(raft_log_bytes(&log_, 51), 33);
}

/* A long-lived log must not grow with what was cut off long ago. */
Test(parts, log_forgets_the_sizes_of_what_was_cut_off)
{
    for (uint64_t i = 1; i <= 100000; i++) {
        raft_log_append(&log_, 1, 1);
        if (i % 100 == 0)
            raft_log_compact(&log_, i - 50);
    }
    cr_assert_leq(log_.bytes_room, 1024);
    cr_assert_eq(raft_log_bytes(&log_, 100000), 1);
}

Test(parts, majority_reaches_the_value_and_no_higher_one)
{
    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t values[9], copy[9];
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 9);
        for (uint32_t i = 0; i < count; i++)
            copy[i] = values[i] = rng_below(&rng, 5);
        uint64_t reached = raft_quorum_value(values, count);
        uint32_t at_least = 0, above = 0;
        for (uint32_t i = 0; i < count; i++) {
            at_least += copy[i] >= reached;
            above += copy[i] > reached;
        }
        cr_assert_geq(at_least, raft_majority(count));
        cr_assert_lt(above, raft_majority(count));
    }
    cr_assert_eq(raft_quorum_value(NULL, 0), 0);
}

Test(parts, two_majorities_of_one_group_always_meet)
{
    for (uint32_t count = 1; count <= 64; count++)
        cr_assert_gt(2 * raft_majority(count), count);
}
