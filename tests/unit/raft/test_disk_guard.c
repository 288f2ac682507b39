/* Writes are refused before the disk is full, and taken again when there is space. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/disk_guard.h"

#define MIB (1ull << 20)

static struct disk_space space;
static unsigned looks;
static int look_error;
static struct disk_guard guard;

static int guard_look(const char *folder, struct disk_space *out)
{
    (void)folder;
    looks++;
    *out = space;
    return look_error;
}

static void guard_ignore_line(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void guard_setup(void)
{
    log_set_hook(guard_ignore_line, NULL);
    disk_guard_init(&guard, "/tmp");
    guard.look = guard_look;
    space = (struct disk_space){1024 * MIB, 500 * MIB};
}

TestSuite(disk_guard, .init = guard_setup);

Test(disk_guard, looks_at_a_real_file_system)
{
    disk_guard_init(&guard, "/tmp");
    disk_guard_is_full(&guard, 1, 1);
    cr_assert(guard.looked);
}

Test(disk_guard, refuses_below_the_floor_and_takes_again_above_it)
{
    uint64_t now = NS_PER_S;
    cr_assert_not(disk_guard_is_full(&guard, now, 100));
    space.free_bytes = 64 * MIB - 1;
    now += NS_PER_S;
    cr_assert(disk_guard_is_full(&guard, now, 100));
    space.free_bytes = 64 * MIB; /* not yet: no fluttering */
    now += NS_PER_S;
    cr_assert(disk_guard_is_full(&guard, now, 100));
    space.free_bytes = 72 * MIB;
    now += NS_PER_S;
    cr_assert_not(disk_guard_is_full(&guard, now, 100));
    space.free_bytes = 64 * MIB;
    now += NS_PER_S;
    cr_assert_not(disk_guard_is_full(&guard, now, 100));
}

Test(disk_guard, the_floor_grows_with_the_file_system_up_to_a_limit)
{
    space = (struct disk_space){2048 * MIB, 127 * MIB};
    cr_assert(disk_guard_is_full(&guard, 1, 1));
    guard_setup();
    space = (struct disk_space){2048 * MIB, 128 * MIB};
    cr_assert_not(disk_guard_is_full(&guard, 1, 1));
    guard_setup();
    space = (struct disk_space){1048576 * MIB, 255 * MIB};
    cr_assert(disk_guard_is_full(&guard, 1, 1));
    guard_setup();
    space = (struct disk_space){1048576 * MIB, 256 * MIB};
    cr_assert_not(disk_guard_is_full(&guard, 1, 1));
}

Test(disk_guard, looks_seldom)
{
    looks = 0;
    for (uint64_t i = 0; i < 1000; i++)
        disk_guard_is_full(&guard, NS_PER_S + i * 1000000, 100); /* a second in all */
    cr_assert_leq(looks, 11);
    looks = 0;
    for (uint64_t i = 0; i < 100; i++)
        disk_guard_is_full(&guard, 3 * NS_PER_S + i, 1 << 20); /* 100 MiB at once */
    cr_assert_geq(looks, 25);
    cr_assert_leq(looks, 27);
}

Test(disk_guard, stays_as_it_is_when_it_cannot_look)
{
    look_error = E_IO;
    space.free_bytes = 0;
    cr_assert_not(disk_guard_is_full(&guard, 1, 1));
    look_error = 0;
    cr_assert(disk_guard_is_full(&guard, NS_PER_S, 1));
    look_error = E_IO;
    space.free_bytes = 900 * MIB;
    cr_assert(disk_guard_is_full(&guard, 3 * NS_PER_S, 1));
}
