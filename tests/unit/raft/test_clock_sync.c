/* A follower's idea of cluster time. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/rng.h"
#include "procs/raft/clock_sync.h"

#define S NS_PER_S
#define MS NS_PER_MS

static struct clock_sync sync_;

/* The leader's clock is boot time here and offset_ns; the question travels for out_ns, the answer
 * for back_ns. Returns when the answer is here. */
static uint64_t ask(uint64_t asked_ns, uint64_t out_ns, uint64_t back_ns, int64_t offset_ns)
{
    uint64_t cluster_ns = (uint64_t)((int64_t)(asked_ns + out_ns) + offset_ns);
    cr_assert(clock_sync_note(&sync_, asked_ns, asked_ns + out_ns + back_ns, cluster_ns));
    return asked_ns + out_ns + back_ns;
}

Test(clock_sync, half_of_the_round_trip_is_added)
{
    uint64_t now_ns = ask(10 * S, 20 * MS, 20 * MS, (int64_t)(1000 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1000000);
    now_ns = ask(11 * S, 0, 0, -(int64_t)(5 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), -5000);
}

Test(clock_sync, the_fastest_answer_counts)
{
    ask(10 * S, MS, MS, (int64_t)(1000 * S));
    uint64_t now_ns = ask(11 * S, 300 * MS, 0, (int64_t)(1000 * S)); /* looks 150 ms later */
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1000000);
}

Test(clock_sync, an_answer_of_long_ago_counts_no_more)
{
    ask(10 * S, MS, MS, (int64_t)(1000 * S));
    uint64_t now_ns = ask(39 * S, 100 * MS, 100 * MS, (int64_t)(1001 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1000000);
    now_ns = ask(41 * S, 100 * MS, 100 * MS, (int64_t)(1001 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1001000);
}

Test(clock_sync, another_leader_is_another_clock)
{
    ask(10 * S, MS, MS, (int64_t)(1000 * S));
    clock_sync_forget(&sync_);
    uint64_t now_ns = ask(11 * S, 40 * MS, 40 * MS, (int64_t)(1003 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1003000);
}

Test(clock_sync, it_is_shown_forward_at_once_and_back_in_steps)
{
    uint64_t now_ns = ask(10 * S, 0, 0, (int64_t)(1000 * S));
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 5), 1000000);
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 1000010), 1000000);
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 1000200), 1000200 - CLOCK_SYNC_BACK_MS);
}

Test(clock_sync, a_slow_answer_moves_what_is_shown_only_as_far_as_it_proves_it_wrong)
{
    uint64_t now_ns = ask(10 * S, 3 * S, 0, (int64_t)(1000 * S)); /* looks 1.5 s later */
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 1000000), 1000000);
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 990000), 1000000);
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, true, 1004000), 1004000 - CLOCK_SYNC_BACK_MS);
    cr_assert_eq(clock_sync_offset_ms(&sync_, now_ns, false, 0), 1001500);
}

Test(clock_sync, what_cannot_be_is_no_answer)
{
    cr_assert_not(clock_sync_note(&sync_, 11 * S, 10 * S, 5 * S));
    cr_assert_not(clock_sync_note(&sync_, 1 * S, 10 * S, UINT64_MAX));
    cr_assert_eq(sync_.count, 0);
}

/* Clocks that drift by 100 ppm, answers that travel for up to 40 ms and now and then fast. */
Test(clock_sync, it_stays_within_half_of_the_fastest_round_trip)
{
    struct rng rng;
    rng_init(&rng, 7);
    int64_t shown_ms = 0;
    bool is_shown = false;
    for (uint64_t second = 1; second < 2000; second++) {
        int64_t offset_ns = (int64_t)(5000 * S) - (int64_t)(second * 100000);
        uint64_t out_ns = rng_below(&rng, 20 * MS), back_ns = rng_below(&rng, 20 * MS);
        if (second % 10 == 1)
            out_ns = back_ns = MS / 4;
        uint64_t now_ns = ask(second * S, out_ns, back_ns, offset_ns);
        shown_ms = clock_sync_offset_ms(&sync_, now_ns, is_shown, shown_ms);
        is_shown = true;
        int64_t error_ms = shown_ms - offset_ns / (int64_t)MS;
        cr_assert(error_ms >= -6 && error_ms <= 6, "%ld ms off", error_ms);
    }
}
