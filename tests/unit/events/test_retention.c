/* How much the ring may hold where the tmpfs is small. */
#include <criterion/criterion.h>

#include "procs/events/retention.h"

#define MIB (UINT64_C(1) << 20)

Test(retention, is_what_is_configured_where_there_is_room)
{
    cr_assert_eq(retention_in(64 * MIB, 0, 1000 * MIB), 64 * MIB);
    cr_assert_eq(retention_in(64 * MIB, 124 * MIB, 12 * MIB), 64 * MIB);
    cr_assert_eq(retention_in(1024, 20 * MIB, 20 * MIB), 1024);
}

Test(retention, is_half_of_the_room_beyond_the_reserve)
{
    cr_assert_eq(retention_in(64 * MIB, 0, 64 * MIB), 28 * MIB);
    cr_assert_eq(retention_in(64 * MIB, 40 * MIB, 24 * MIB), 28 * MIB);
    cr_assert_eq(retention_in(64 * MIB, 52 * MIB, 12 * MIB), 28 * MIB);
}

Test(retention, is_less_when_little_is_free)
{
    cr_assert_eq(retention_in(64 * MIB, 54 * MIB, 10 * MIB), 24 * MIB);
    cr_assert_eq(retention_in(64 * MIB, 56 * MIB, 8 * MIB), 20 * MIB);
    cr_assert_eq(retention_in(64 * MIB, 8 * MIB, 8 * MIB), 0);
}

Test(retention, without_room_is_nothing)
{
    cr_assert_eq(retention_in(64 * MIB, 0, 8 * MIB), 0);
    cr_assert_eq(retention_in(64 * MIB, 3 * MIB, 1 * MIB), 0);
    cr_assert_eq(retention_in(64 * MIB, 0, 0), 0);
}
