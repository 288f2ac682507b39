/* cacheq and events: they follow the stream on tmpfs, and say clearly when they cannot. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

TestSuite(followers, .fini = rig_fini, .timeout = 120);

static void follow(enum proc proc, const char *map_folder)
{
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 1 && link_is_up(rig.gateway));
    rig_open_session();
    rig_bump("key"); /* not a command of theirs */
    for (unsigned i = 0; i < 100; i++)
        rig_append_other();
    rig_stream();
    RIG_WAIT_FOR(rig.results[2].count == 1 && rig.applied_index == 102);
    cr_assert_eq(rig.results[1].error, 0);
    cr_assert_eq(rig.results[2].error, E_BAD_COMMAND);
    cr_assert_eq(board_read_applied(rig.board, proc), 102);
    cr_assert(map_exists(map_folder, proc == PROC_CACHEQ ? MAP_VOLATILE : MAP_EVENTS));
    rig_kill(SIGKILL);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 2);
    cr_assert_geq(rig.resume.applied_index, 2);
    rig_append_other();
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == 103);
    kill(rig.pid, SIGTERM);
    int status = rig_wait_exit();
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(followers, cacheq_follows_the_stream)
{
    rig_init(PROC_CACHEQ);
    follow(PROC_CACHEQ, rig.paths.volatile_map);
}

Test(followers, events_follows_the_stream)
{
    rig_init(PROC_EVENTS);
    follow(PROC_EVENTS, rig.paths.events_map);
}

Test(followers, a_folder_that_cannot_be_made_ends_the_start)
{
    rig_init(PROC_CACHEQ);
    int fd = open(rig.paths.volatile_map, O_CREAT | O_WRONLY, 0600); /* in its place */
    cr_assert_geq(fd, 0);
    close(fd);
    rig_spawn();
    int status = rig_wait_exit();
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert(!rig.is_ready);
}

/* A small tmpfs of this test's own, in a mount namespace that goes with it. */
static bool mount_small_tmpfs(const char *where)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    cr_assert(mkdir(where, 0700) == 0 || errno == EEXIST);
    return mount("tmpfs", where, "tmpfs", 0, "size=16m") == 0;
}

static int fill_tmpfs(const char *where, off_t leave)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/filler", where);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(posix_fallocate(fd, 0, (16 << 20) - leave), 0);
    return fd;
}

#define NEEDS_ROOT(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            rig_init(PROC_CACHEQ);                                                                 \
            cr_skip_test("mounting a tmpfs needs root: %s", strerror(errno));                      \
        }                                                                                          \
    } while (0)

Test(followers, a_full_tmpfs_ends_the_start)
{
    char where[64];
    snprintf(where, sizeof(where), "/tmp/insi-tmpfs-%d", (int)getpid());
    NEEDS_ROOT(mount_small_tmpfs(where));
    rig_init_on(PROC_CACHEQ, where);
    int filler = fill_tmpfs(where, 1 << 20);
    rig_spawn();
    int status = rig_wait_exit();
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_assert_eq(ftruncate(filler, 0), 0);
    rig_start();
    close(filler);
    umount2(where, MNT_DETACH);
    rmdir(where);
}

Test(followers, with_a_tmpfs_that_fills_up_applying_waits_until_there_is_room)
{
    char where[64];
    snprintf(where, sizeof(where), "/tmp/insi-tmpfs-%d", (int)getpid());
    NEEDS_ROOT(mount_small_tmpfs(where));
    rig_init_on(PROC_CACHEQ, where);
    rig_start();
    RIG_WAIT_FOR(rig.resumes == 1 && link_is_up(rig.gateway));
    rig_open_session();
    rig_stream();
    RIG_WAIT_FOR(rig.applied_index == 1);
    int filler = fill_tmpfs(where, 2 << 20);
    rig_bump("key");
    rig_bump("key");
    rig_append_other();
    rig_stream();
    for (unsigned i = 0; i < 50; i++)
        rig_turn(50);
    cr_assert_eq(rig.applied_index, 1);
    cr_assert_eq(rig.result_count, 1);
    cr_assert_eq(board_read_applied(rig.board, PROC_CACHEQ), 1);
    rig_say(PROC_CONTROL_HEARTBEAT);
    RIG_WAIT_FOR(rig.heartbeats == 1);
    cr_assert_eq(ftruncate(filler, 0), 0);
    RIG_WAIT_FOR(rig.applied_index == 4); /* it asked for the stream again */
    RIG_WAIT_FOR(rig.results[3].count == 1);
    cr_assert_eq(rig.resumes, 2);
    close(filler);
    umount2(where, MNT_DETACH);
    rmdir(where);
}
