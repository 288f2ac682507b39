/* Cluster time never goes back, whatever the wall clock does. */
#include <criterion/criterion.h>

#include "base/rng.h"
#include "procs/raft/cluster_clock.h"

Test(cluster_clock, begins_with_wall_time)
{
    struct cluster_clock clock = {0};
    cr_assert_eq(cluster_clock_lead(&clock, 5000, 1700000000000, 0), 1700000000000 - 5000);
    cr_assert_eq(cluster_clock_stamp(&clock, 5000), 1700000000000);
    cr_assert_eq(cluster_clock_stamp(&clock, 5250), 1700000000250);
}

Test(cluster_clock, begins_behind_the_logs_last_stamp)
{
    struct cluster_clock clock = {0};
    cluster_clock_note(&clock, 9000);
    cluster_clock_note(&clock, 8000);
    cluster_clock_lead(&clock, 100, 7000, 0); /* the wall clock was set back */
    cr_assert_eq(cluster_clock_stamp(&clock, 100), 9001);
    cr_assert_eq(cluster_clock_stamp(&clock, 101), 9002);
}

Test(cluster_clock, begins_no_earlier_than_what_readers_were_shown)
{
    struct cluster_clock clock = {0};
    cluster_clock_note(&clock, 9000);
    cluster_clock_lead(&clock, 100, 7000, 20000);
    cr_assert_eq(cluster_clock_stamp(&clock, 100), 20000);
}

Test(cluster_clock, goes_on_from_what_was_shown_whatever_the_wall_clock_says)
{
    struct cluster_clock clock = {0};
    cluster_clock_note(&clock, 9000);
    cluster_clock_lead(&clock, 100, 3600000 + 10000, 10000); /* an hour ahead of the others */
    cr_assert_eq(cluster_clock_stamp(&clock, 100), 10000);
    cluster_clock_lead(&clock, 200, 50, 10100);
    cr_assert_eq(cluster_clock_stamp(&clock, 200), 10100);
}

Test(cluster_clock, goes_with_boot_time_while_it_leads)
{
    struct cluster_clock clock = {0};
    cluster_clock_lead(&clock, 1000, 50000, 0);
    cr_assert_eq(cluster_clock_stamp(&clock, 1000), 50000);
    cr_assert_eq(cluster_clock_stamp(&clock, 4000), 53000, "no wall clock is asked");
    cr_assert_eq(cluster_clock_stamp(&clock, 4000), 53000);
}

/* Terms with wall clocks that jump by hours, seen entries of other leaders in between. */
Test(cluster_clock, stamps_are_monotonic_over_any_terms)
{
    struct cluster_clock clock = {0};
    struct rng rng;
    uint64_t boot_ms = 0, last = 0;
    rng_init(&rng, 4242);
    for (unsigned term = 0; term < 2000; term++) {
        uint64_t shown = (uint64_t)((int64_t)boot_ms + clock.offset_ms);
        cluster_clock_lead(&clock, boot_ms, 1700000000000 + rng_below(&rng, 7200000), shown);
        uint64_t now_shown = (uint64_t)((int64_t)boot_ms + clock.offset_ms);
        cr_assert_geq(now_shown, shown);
        for (unsigned i = rng_below(&rng, 20) & 0xff; i > 0; i--) {
            boot_ms += rng_below(&rng, 1000);
            uint64_t stamp = cluster_clock_stamp(&clock, boot_ms);
            cr_assert_geq(stamp, last);
            last = stamp;
        }
        if (rng_below(&rng, 3) == 0) {
            last += rng_below(&rng, 100000);
            cluster_clock_note(&clock, last);
        }
        boot_ms += rng_below(&rng, 5000);
    }
}
