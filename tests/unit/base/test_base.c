/* Buffers, random numbers, clocks, names, paths and the error list. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/rng.h"

Test(buf, grows_to_its_bound_and_no_further)
{
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(buf_append_byte(&buf, (uint8_t)i), 0);
    cr_assert_eq(buf_append_byte(&buf, 1), E_TOO_LARGE);
    cr_assert_eq(buf.len, 1000);
    cr_assert_eq(buf.data[999], (uint8_t)999);
    buf_consume(&buf, 990);
    cr_assert_eq(buf.data[0], (uint8_t)990);
    cr_assert_eq(buf_printf(&buf, "%d-%s", 42, "x"), 0);
    cr_assert_eq(memcmp(buf.data + 10, "42-x", 4), 0);
    cr_assert_eq(buf.len, 14);
    cr_assert_null(buf_reserve(&buf, (size_t)-1));
    buf_clear(&buf);
    buf_shrink(&buf, 16);
    cr_assert_eq(buf.cap, 0);
    buf_fini(&buf);
}

Test(mem, an_array_grows_by_doubling_and_keeps_its_items)
{
    unsigned room = 0;
    unsigned *items = NULL;
    for (unsigned count = 0; count < 100; count++) {
        if (count == room)
            items = mem_grow(items, &room, sizeof(*items), 3);
        items[count] = count;
    }
    cr_assert_eq(room, 192);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(items[i], i);
    free(items);
}

Test(mem, an_array_does_not_grow_beyond_what_its_room_can_say, .signal = SIGABRT)
{
    unsigned room = UINT_MAX / 2 + 1;
    mem_grow(NULL, &room, 1, 1);
}

Test(path, the_space_of_a_file_system_is_told_or_why_not)
{
    uint64_t free_bytes, total_bytes;
    cr_assert_eq(path_space("/tmp", &free_bytes, &total_bytes), 0);
    cr_assert_gt(free_bytes, 0);
    cr_assert_geq(total_bytes, free_bytes);
    cr_assert_eq(path_space("/tmp", NULL, NULL), 0);
    cr_assert_eq(path_space("/tmp/insi-nothing-here", &free_bytes, NULL), E_IO);
    cr_assert_eq(errno, ENOENT);
}

Test(bytes, numbers_are_little_endian_and_keys_sort_as_numbers)
{
    uint8_t bytes[9], other[8];
    bytes_put_u32(bytes + 1, 0x01020304); /* at any address */
    cr_assert_eq(memcmp(bytes + 1, "\4\3\2\1", 4), 0);
    cr_assert_eq(bytes_get_u32(bytes + 1), 0x01020304);
    bytes_put_u64(bytes + 1, 0x0102030405060708);
    cr_assert_eq(memcmp(bytes + 1, "\10\7\6\5\4\3\2\1", 8), 0);
    cr_assert_eq(bytes_get_u64(bytes + 1), 0x0102030405060708);
    bytes_put_key_u64(bytes + 1, 255);
    bytes_put_key_u64(other, 256);
    cr_assert_lt(memcmp(bytes + 1, other, 8), 0);
    cr_assert_eq(bytes_get_key_u64(other), 256);
}

Test(rng, is_repeatable_and_stays_in_bounds)
{
    struct rng a, b;
    rng_init(&a, 7);
    rng_init(&b, 7);
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rng_between(&a, 5, 8);
        cr_assert(value >= 5 && value <= 8);
        cr_assert_eq(value, rng_between(&b, 5, 8));
        seen |= 1u << (value - 5);
    }
    cr_assert_eq(seen, 15);
    rng_init(&a, 0);
    cr_assert_eq(rng_next(&a), 0xe220a8397b1dcdafull); /* splitmix64, seed 0, first output */
}

Test(clock, rfc3339)
{
    char text[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(0, text);
    cr_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
    clock_format_rfc3339(1795508130123ull, text);
    cr_assert_str_eq(text, "2026-11-24T08:15:30.123Z");
    clock_format_rfc3339(UINT64_MAX, text);
    cr_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
}

Test(clock, wall_time_can_be_shifted_and_boot_time_cannot)
{
    uint64_t wall = (uint64_t)time(NULL) * 1000, boot = clock_boot_ns();
    setenv("INSI_TEST_WALL_OFFSET_MS", "-7200000", 1);
    cr_assert_lt(clock_wall_ms(), wall - 7100000);
    cr_assert_gt(clock_wall_ms(), wall - 7300000);
    cr_assert_geq(clock_boot_ns(), boot);
    cr_assert_lt(clock_boot_ns() - boot, 10 * NS_PER_S);
}

Test(clock, the_boot_id_is_stable)
{
    char a[CLOCK_BOOT_ID_BYTES], b[CLOCK_BOOT_ID_BYTES];
    cr_assert_eq(clock_boot_id(a), 0);
    cr_assert_eq(clock_boot_id(b), 0);
    cr_assert_str_eq(a, b);
    setenv("INSI_TEST_BOOT_ID", "another", 1);
    cr_assert_eq(clock_boot_id(b), 0);
    cr_assert_str_eq(b, "another");
}

Test(error, every_code_has_a_text_and_a_name)
{
    cr_assert_str_eq(error_name(E_QUEUE_EMPTY), "QUEUE_EMPTY");
    cr_assert_str_eq(error_text(E_NOT_FOUND), "not found");
    cr_assert_str_eq(error_text(12345), "unknown error");
}

Test(check, a_failed_check_aborts, .signal = SIGABRT)
{
    volatile int zero = 0;
    CHECK(zero);
}

Test(proc, link_urls_name_listener_dialer_and_index)
{
    char url[PROC_LINK_BYTES], folder[200];
    cr_assert_eq(proc_link_url(url, "/run/insi", PROC_RAFT, PROC_GATEWAY, 3), 0);
    cr_assert_str_eq(url, "ipc:///run/insi/raft-gateway3.sock");
    memset(folder, 'a', sizeof(folder) - 1);
    folder[sizeof(folder) - 1] = '\0';
    cr_assert_eq(proc_link_url(url, folder, PROC_RAFT, PROC_GATEWAY, 0), E_TOO_LARGE);
}

static char *make_folder(void)
{
    char *folder = strdup("/tmp/insi-base-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    return folder;
}

Test(path, a_tree_is_removed_and_links_out_of_it_are_not_followed)
{
    char path[256], outside_file[256];
    char *folder = make_folder(), *outside = make_folder();
    snprintf(outside_file, sizeof(outside_file), "%s/keep", outside);
    close(open(outside_file, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof(path), "%s/a/b/c", folder);
    cr_assert_eq(path_make_folder(path), 0);
    snprintf(path, sizeof(path), "%s/a/link", folder);
    cr_assert_eq(symlink(outside, path), 0);
    cr_assert_eq(path_sync_folder(folder), 0);
    cr_assert_eq(path_remove_tree(folder), 0);
    cr_assert_neq(access(folder, F_OK), 0);
    cr_assert_eq(access(outside_file, F_OK), 0);
    cr_assert_eq(path_remove_tree(folder), 0);
    cr_assert_eq(path_remove_tree(outside), 0);
    free(folder);
    free(outside);
}

Test(path, folders_are_private)
{
    struct stat info;
    char path[256];
    char *folder = make_folder();
    snprintf(path, sizeof(path), "%s/x", folder);
    cr_assert_eq(path_make_folder(path), 0);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0700);
    cr_assert_eq(path_remove_tree(folder), 0);
    free(folder);
}

Test(path, nodes_of_one_file_share_no_folder)
{
    char data_dir[] = "/var/lib/insi", run_dir[] = "/run/insi", shm_dir[] = "/dev/shm", none[] = "";
    struct config config = {.data_dir = data_dir, .run_dir = none, .shm_dir = shm_dir};
    struct node_paths a, b;
    cr_assert_eq(path_of_node(&a, &config, "n0"), 0);
    cr_assert_eq(path_of_node(&b, &config, "n1"), 0);
    cr_assert_str_eq(a.values, "/var/lib/insi/n0/values");
    cr_assert_str_eq(a.run, "/var/lib/insi/n0/run");
    cr_assert_str_neq(a.shm, b.shm);
    config.run_dir = run_dir;
    cr_assert_eq(path_of_node(&a, &config, "n0"), 0);
    cr_assert_str_eq(a.run, "/run/insi/n0");
    char long_dir[2000];
    memset(long_dir, 'x', sizeof(long_dir) - 1);
    long_dir[sizeof(long_dir) - 1] = '\0';
    config.data_dir = long_dir;
    cr_assert_eq(path_of_node(&a, &config, "n0"), E_TOO_LARGE);
}
