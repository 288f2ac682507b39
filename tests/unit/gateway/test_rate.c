/* test_rate.c - the limiters that all gateways of a node share. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "shm/rate.h"

static char path[64];
static struct rate *rate;

static void start(void)
{
    char *end = stpcpy(path, "/tmp/insi-rate-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    stpcpy(end, "/rate");
    cr_assert_eq(rate_open(&rate, path), 0);
}

static void stop(void)
{
    rate_close(&rate);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

TestSuite(rate, .init = start, .fini = stop, .timeout = 60);

static unsigned pass(enum rate_class class, const struct rate_limit *limit, uint64_t now_ns,
                     unsigned tries)
{
    uint64_t wait_ns;
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++)
        passed += rate_allow(rate, class, limit, now_ns, &wait_ns);
    return passed;
}

Test(rate, no_limit_lets_everything_pass)
{
    const struct rate_limit none = {0, 0};
    cr_expect_eq(pass(RATE_VALUES, &none, NS_PER_S, 1000), 1000);
}

Test(rate, a_burst_passes_at_once_and_then_one_at_a_time)
{
    const struct rate_limit limit = {10, 5};
    uint64_t now_ns = 100 * NS_PER_S, wait_ns;
    cr_expect_eq(pass(RATE_VALUES, &limit, now_ns, 100), 5);
    cr_expect_not(rate_allow(rate, RATE_VALUES, &limit, now_ns, &wait_ns));
    cr_expect_eq(wait_ns, NS_PER_S / 10);
    cr_expect_eq(pass(RATE_VALUES, &limit, now_ns + wait_ns - 1, 10), 0);
    cr_expect_eq(pass(RATE_VALUES, &limit, now_ns + wait_ns, 10), 1);
    cr_expect_eq(pass(RATE_VALUES, &limit, now_ns + 10 * NS_PER_S, 100), 5);
}

Test(rate, over_a_long_time_as_many_pass_as_the_rate_says)
{
    const struct rate_limit limit = {100, 10};
    unsigned passed = 0;
    for (uint64_t now_ns = NS_PER_S; now_ns < 11 * NS_PER_S; now_ns += NS_PER_MS)
        passed += pass(RATE_SYSTEM, &limit, now_ns, 3);
    cr_expect(passed >= 1000 && passed <= 1010, "%u", passed);
}

Test(rate, classes_do_not_count_for_each_other)
{
    const struct rate_limit limit = {1, 1};
    cr_expect_eq(pass(RATE_VALUES, &limit, NS_PER_S, 5), 1);
    cr_expect_eq(pass(RATE_SYSTEM, &limit, NS_PER_S, 5), 1);
}

Test(rate, what_another_boot_left_behind_is_not_believed)
{
    const struct rate_limit limit = {10, 5};
    cr_expect_eq(pass(RATE_VALUES, &limit, 1000000 * NS_PER_S, 5), 5);
    cr_expect_eq(pass(RATE_VALUES, &limit, 1 * NS_PER_S, 100), 5);
}

Test(rate, a_smaller_burst_after_a_reload_holds)
{
    const struct rate_limit large = {10, 1000}, small = {10, 2};
    uint64_t now_ns = NS_PER_S;
    cr_expect_eq(pass(RATE_VALUES, &large, now_ns, 500), 500);
    cr_expect_leq(pass(RATE_VALUES, &small, now_ns, 100), 2);
}

Test(rate, several_processes_share_one_limit)
{
    const struct rate_limit limit = {1, 1000};
    uint64_t now_ns = clock_boot_ns();
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    for (unsigned i = 0; i < 4; i++) {
        if (fork() == 0) {
            struct rate *own;
            uint64_t wait_ns;
            unsigned passed = 0;
            if (rate_open(&own, path) == 0) {
                for (unsigned j = 0; j < 1000; j++)
                    passed += rate_allow(own, RATE_VALUES, &limit, now_ns, &wait_ns);
            }
            ssize_t written = write(pipes[1], &passed, sizeof(passed));
            _exit(written == (ssize_t)sizeof(passed) ? 0 : 1);
        }
    }
    unsigned total = 0, passed;
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(read(pipes[0], &passed, sizeof(passed)), (ssize_t)sizeof(passed));
        total += passed;
    }
    while (wait(NULL) > 0)
        ;
    cr_expect_eq(total, 1000);
}

Test(rate, the_file_is_private_and_no_link_is_followed)
{
    struct stat status;
    struct rate *other;
    char link[80];
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
    snprintf(link, sizeof(link), "%s.link", path);
    cr_assert_eq(symlink(path, link), 0);
    cr_expect_eq(rate_open(&other, link), E_IO);
    unlink(link);
}

Test(rate, a_file_that_is_something_else_is_refused)
{
    struct rate *other;
    char large[80];
    snprintf(large, sizeof(large), "%s.large", path);
    int fd = open(large, O_RDWR | O_CREAT, 0600);
    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    close(fd);
    cr_expect_eq(rate_open(&other, large), E_INVALID);
    unlink(large);
}
