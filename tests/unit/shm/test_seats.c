/* test_seats.c - the count of a node's subscribers, over several processes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "shm/seats.h"

static char folder[] = "/tmp/insi-seats-XXXXXX";
static char path[64];

static void start(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/seats", folder);
}

static void stop(void)
{
    unlink(path);
    rmdir(folder);
}

TestSuite(seats, .init = start, .fini = stop);

Test(seats, the_limit_is_the_nodes)
{
    struct seats *one, *other;
    cr_assert_eq(seats_open(&one, path, 0), 0);
    cr_assert_eq(seats_open(&other, path, 5), 0);
    cr_assert(seats_take(one, 3) && seats_take(other, 3) && seats_take(one, 3));
    cr_assert(!seats_take(other, 3) && !seats_take(one, 3));
    cr_assert_eq(seats_taken(other), 3);
    cr_assert(seats_take(other, 4)); /* every process brings its own limit */
    seats_give_back(other);
    seats_give_back(one);
    cr_assert(seats_take(other, 3));
    cr_assert(!seats_take(one, 3));
    seats_close(&one);
    seats_close(&other);
}

/* A process of its own, which takes this many and stays. */
static pid_t take_elsewhere(unsigned index, unsigned count)
{
    int ready[2];
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct seats *seats;
        if (seats_open(&seats, path, index) != 0)
            _exit(1);
        for (unsigned i = 0; i < count; i++)
            seats_take(seats, 1000);
        if (write(ready[1], "r", 1) == 1)
            pause();
        _exit(0);
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

Test(seats, a_process_that_was_killed_gives_back_what_it_had)
{
    struct seats *seats, *again;
    cr_assert_eq(seats_open(&seats, path, 0), 0);
    pid_t pid = take_elsewhere(1, 7);
    cr_assert_eq(seats_taken(seats), 7);
    cr_assert(!seats_take(seats, 7));
    cr_assert_eq(seats_open(&again, path, 1), E_BUSY); /* it is alive */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(seats_taken(seats), 0);
    cr_assert(seats_take(seats, 1)); /* also before it was started anew */
    cr_assert_eq(seats_open(&again, path, 1), 0);
    cr_assert_eq(seats_taken(again), 1);
    seats_close(&seats);
    cr_assert_eq(seats_taken(again), 0);
    seats_close(&again);
}

Test(seats, something_else_of_that_name_is_refused)
{
    struct seats *seats;
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    for (unsigned i = 0; i < 10000; i++)
        fputc('x', file);
    fclose(file);
    cr_assert_eq(seats_open(&seats, path, 0), E_INVALID);
    cr_assert_null(seats);
    unlink(path);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(seats_open(&seats, path, 0), E_IO);
    cr_assert_eq(errno, EISDIR);
    rmdir(path);
}
