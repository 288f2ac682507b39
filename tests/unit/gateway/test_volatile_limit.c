/* The limit of cache and queues that a write takes along. */
#include <criterion/criterion.h>

#include "procs/gateway/writes/volatile_limit.h"

#define MIB (1ull << 20)

Test(volatile_limit, is_the_configured_one_where_there_is_room)
{
    cr_assert_eq(volatile_limit_in(256 * MIB, 0, 1024 * MIB), 256 * MIB);
    cr_assert_eq(volatile_limit_in(256 * MIB, 300 * MIB, 100 * MIB), 256 * MIB);
}

Test(volatile_limit, is_what_the_file_system_holds_where_that_is_less)
{
    uint64_t small = volatile_limit_in(256 * MIB, 0, 64 * MIB);
    cr_assert_lt(small, 64 * MIB - VOLATILE_LIMIT_RESERVE_BYTES);
    cr_assert_gt(small, 30 * MIB);
    cr_assert_eq(volatile_limit_in(256 * MIB, 60 * MIB, 4 * MIB), small,
                 "what the file has taken is there for entries");
    cr_assert_eq(volatile_limit_in(256 * MIB, 0, VOLATILE_LIMIT_RESERVE_BYTES), 0);
    cr_assert_eq(volatile_limit_in(256 * MIB, 0, 0), 0);
}

Test(volatile_limit, is_the_configured_one_where_nothing_can_be_seen)
{
    struct volatile_limit limit = {0};
    cr_assert_eq(volatile_limit_at(&limit, "/nonexistent", 5 * MIB, 1000), 5 * MIB);
}

Test(volatile_limit, is_looked_for_once_in_a_millisecond)
{
    struct volatile_limit limit = {0};
    cr_assert_eq(volatile_limit_at(&limit, "/nonexistent", 5 * MIB, 1000), 5 * MIB);
    cr_assert_eq(volatile_limit_at(&limit, "/nonexistent", 6 * MIB, 1000), 5 * MIB);
    cr_assert_eq(volatile_limit_at(&limit, "/nonexistent", 6 * MIB, 1001), 6 * MIB);
}
