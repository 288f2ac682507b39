/* test_pace.c - what is said at most so often. */
#include <criterion/criterion.h>

#include "base/pace.h"

Test(pace, first_is_said_at_once_and_the_next_when_the_wait_is_over)
{
    struct pace pace = {0};
    cr_assert(pace_allows(&pace, 1000, 100));
    cr_assert_not(pace_allows(&pace, 1000, 100));
    cr_assert_not(pace_allows(&pace, 1099, 100));
    cr_assert(pace_allows(&pace, 1100, 100));
}

Test(pace, wait_counts_from_what_was_said_not_from_what_was_kept_back)
{
    struct pace pace = {0};
    cr_assert(pace_allows(&pace, 1000, 100));
    cr_assert_not(pace_allows(&pace, 1090, 100));
    cr_assert(pace_allows(&pace, 1150, 100));
    cr_assert_not(pace_allows(&pace, 1249, 100));
}

Test(pace, zeroed_it_lets_the_next_one_through)
{
    struct pace pace = {0};
    cr_assert(pace_allows(&pace, 1000, 100));
    pace = (struct pace){0};
    cr_assert(pace_allows(&pace, 1001, 100));
}
