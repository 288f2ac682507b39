/* The log on disks that misbehave: one whose page cache shows what the device does not hold, and
 * one that is full. They need root, for mounts in a namespace of their own, and are skipped
 * elsewhere. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/raft/log_folder.h"

static struct log_folder folder;
static char image[128];

static void disk_setup(void)
{
    log_folder_init(&folder, true);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("needs root and mount namespaces");
}

static void disk_teardown(void)
{
    wal_close(&folder.wal);
    umount2(folder.path, MNT_DETACH);
    if (image[0])
        unlink(image);
    log_folder_fini(&folder);
}

TestSuite(disk, .init = disk_setup, .fini = disk_teardown, .timeout = 60);

static void disk_mount_ext4(void)
{
    char command[512];
    snprintf(image, sizeof(image), "%s.img", folder.path);
    snprintf(command, sizeof(command),
             "truncate -s 32M %s && mkfs.ext4 -q -F %s && mount -o loop %s %s", image, image, image,
             folder.path);
    if (system(command) != 0) // NOLINT(cert-env33-c): a test, with names of its own making
        cr_skip_test("needs loop devices and mkfs.ext4");
}

/* Where the byte of a file is in the image. */
static off_t disk_place(const char *path, size_t offset)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &info), 0);
    int block_bytes = 0;
    cr_assert_eq(ioctl(fd, FIGETBSZ, &block_bytes), 0);
    int block = (int)(offset / (size_t)block_bytes);
    cr_assert_eq(ioctl(fd, FIBMAP, &block), 0);
    cr_assert_gt(block, 0);
    close(fd);
    return (off_t)block * block_bytes + (off_t)(offset % (size_t)block_bytes);
}

static void disk_flip(off_t place)
{
    uint8_t byte;
    int fd = open(image, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pread(fd, &byte, 1, place), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, place), 1);
    close(fd);
}

/* Offset of the last batch that holds records, and behind the last. */
static size_t disk_last_batch(const char *path, size_t *end)
{
    struct wal_segment_header header;
    struct wal_batch_header batch;
    uint8_t *bytes;
    size_t last = 0;
    log_file_load(path, &bytes);
    cr_assert_eq(wal_decode_segment_header(&header, bytes), 0);
    *end = WAL_HEADER_BYTES;
    while (wal_decode_batch_header(&batch, header.salt, bytes + *end)) {
        if (batch.payload_bytes > 0)
            last = *end;
        *end += WAL_BATCH_HEADER_BYTES + batch.payload_bytes;
    }
    free(bytes);
    return last;
}

static void disk_fill(void)
{
    folder.options.segment_bytes = 1u << 20;
    cr_assert_eq(log_open(&folder), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        log_add(&folder, i, 1, 1, 50);
        log_sync(&folder);
    }
    log_close(&folder);
}

/* What a failed sync leaves behind: the page cache has it all, the device has not. */
Test(disk, the_device_counts_not_the_page_cache)
{
    char name[WAL_NAME_BYTES];
    size_t end;
    disk_mount_ext4();
    disk_fill();
    log_file_name(&folder, name, 1);
    size_t last = disk_last_batch(name, &end);
    /* on the device both the last batch and its mark are damaged */
    disk_flip(disk_place(name, last + WAL_BATCH_HEADER_BYTES + 30));
    disk_flip(disk_place(name, end - 1));
    cr_assert_eq(disk_last_batch(name, &end), last, "the page cache shows them whole");
    log_count_lines(&folder, "event=log_cache_differs");
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.logged, 1);
    cr_assert_eq(folder.state.last_index, 2);
    cr_assert_gt(folder.state.torn_bytes, 0);
    log_add(&folder, 3, 1, 2, 50);
    log_reopen(&folder);
    cr_assert_eq(folder.state.torn_bytes, 0);
    cr_assert_str_eq(log_entries(&folder, 1), "1.1 2.1 3.2");
}

Test(disk, damage_that_only_the_device_shows_is_corruption)
{
    char name[WAL_NAME_BYTES];
    disk_mount_ext4();
    disk_fill();
    log_file_name(&folder, name, 1);
    disk_flip(disk_place(name, WAL_HEADER_BYTES + WAL_BATCH_HEADER_BYTES + 30));
    cr_assert_eq(log_open(&folder), E_CORRUPT);
}

/* After a failed sync every segment is read from the device, not only the last one. */
Test(disk, a_suspect_log_is_read_from_the_device_as_a_whole)
{
    char name[WAL_NAME_BYTES], mark[WAL_NAME_BYTES];
    disk_mount_ext4();
    folder.options.segment_bytes = 1u << 16;
    cr_assert_eq(log_open(&folder), 0);
    while (log_segment_count(&folder, NULL) < 3) {
        log_add(&folder, wal_last_index(folder.wal) + 1, 1, 1, 5000);
        log_sync(&folder);
    }
    log_close(&folder);
    log_file_name(&folder, name, 1);
    disk_flip(disk_place(name, 20000));
    cr_assert_eq(log_open(&folder), 0, "the cache of an older segment is believed");
    log_close(&folder);
    snprintf(mark, sizeof(mark), "%s/suspect", folder.path);
    log_file_store(mark, (const uint8_t *)"", 0);
    cr_assert_eq(log_open(&folder), E_CORRUPT);
    cr_assert(log_file_exists(&folder, "suspect"));
}

static void disk_wait_reserve(bool wanted)
{
    const struct timespec pause = {0, 1000000};
    for (unsigned i = 0; i < 10000 && wal_has_reserve(folder.wal) != wanted; i++)
        nanosleep(&pause, NULL);
    cr_assert_eq(wal_has_reserve(folder.wal), wanted);
}

Test(disk, a_full_disk_leaves_room_for_votes_and_a_cut_makes_some)
{
    if (mount("none", folder.path, "tmpfs", 0, "size=3300k") != 0)
        cr_skip_test("needs tmpfs");
    folder.options.segment_bytes = 1u << 20;
    cr_assert_eq(log_open(&folder), 0);
    cr_assert(wal_has_reserve(folder.wal));
    while (log_segment_count(&folder, NULL) < 3) {
        log_add(&folder, wal_last_index(folder.wal) + 1, 1, 1, 30000);
        log_sync(&folder);
    }
    disk_wait_reserve(false);
    uint64_t last = wal_last_index(folder.wal);
    log_add_hard_state(&folder, 7, 3);
    log_sync(&folder);
    log_reopen(&folder); /* a full disk does not keep the node from starting */
    cr_assert_eq(folder.state.term, 7);
    cr_assert_eq(folder.state.last_index, last);
    disk_wait_reserve(false);
    log_add_hard_state(&folder, 8, 3);
    log_sync(&folder);
    wal_cut(folder.wal, last, 1);
    for (unsigned i = 0; i < 1000 && log_segment_count(&folder, NULL) > 1; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    wal_retry_reserve(folder.wal);
    disk_wait_reserve(true);
    log_add(&folder, last + 1, 1, 8, 30000);
    log_reopen(&folder);
    cr_assert_eq(folder.state.last_index, last + 1);
    cr_assert_eq(folder.state.term, 8);
}
