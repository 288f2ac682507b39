/* Small files: read as a whole, replaced as a whole. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/path.h"

static char folder[64], path[96], fresh[112];
static struct buf out;

static void begin(void)
{
    strcpy(folder, "/tmp/insi-file-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    buf_init(&out, 100000);
}

static void end(void)
{
    buf_fini(&out);
    cr_expect_eq(path_remove_tree(folder), 0);
}

TestSuite(file, .init = begin, .fini = end, .timeout = 60);

static void make(size_t len)
{
    char *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7);
    cr_assert_eq(file_replace(path, slice_of(bytes, len)), 0);
    free(bytes);
}

static void expect(size_t from, size_t len)
{
    cr_assert_eq(out.len, from + len);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(out.data[from + i], (uint8_t)(i * 7));
}

Test(file, what_was_written_is_read_whatever_its_length)
{
    static const size_t lengths[] = {0, 1, 4095, 4096, 4097, 8192, 50000, 100000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        make(lengths[i]);
        buf_clear(&out);
        cr_assert_eq(file_read(&out, path), 0);
        expect(0, lengths[i]);
        cr_assert_neq(access(fresh, F_OK), 0);
    }
}

Test(file, it_is_appended)
{
    make(5000);
    cr_assert_eq(buf_append_text(&out, "abc"), 0);
    cr_assert_eq(file_read(&out, path), 0);
    expect(3, 5000);
}

Test(file, more_than_the_buffer_may_hold_is_refused)
{
    make(100001);
    cr_assert_eq(file_read(&out, path), E_TOO_LARGE);
    make(100000);
    buf_clear(&out);
    cr_assert_eq(buf_append_byte(&out, 1), 0);
    cr_assert_eq(file_read(&out, path), E_TOO_LARGE);
}

Test(file, a_file_takes_its_room_once)
{
    make(50000);
    cr_assert_eq(file_read(&out, path), 0);
    cr_assert_lt(out.cap, 100000, "the buffer grew a second time: %zu", out.cap);
}

static void *write_pieces(void *arg)
{
    const char piece[3000] = "";
    int fd = *(const int *)arg;
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(write(fd, piece, sizeof(piece)), (ssize_t)sizeof(piece));
    close(fd);
    return NULL;
}

Test(file, a_pipe_is_read_to_its_end)
{
    int ends[2];
    pthread_t thread;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(pthread_create(&thread, NULL, write_pieces, &ends[1]), 0);
    cr_assert_eq(file_read_from(&out, ends[0]), 0);
    cr_assert_eq(out.len, 60000);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    close(ends[0]);
}

Test(file, what_cannot_be_read_says_why)
{
    cr_assert_eq(file_read(&out, path), E_IO);
    cr_assert_eq(errno, ENOENT);
    cr_assert_eq(file_read(&out, folder), E_IO);
    cr_assert_eq(errno, EISDIR);
}

Test(file, it_is_replaced_as_a_whole_and_private)
{
    struct stat info;
    make(5000);
    int old = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(file_replace(path, slice_text("new")), 0);
    cr_assert_eq(fstat(old, &info), 0);
    cr_assert_eq(info.st_size, 5000, "who has it open goes on with the old one");
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(info.st_size, 3);
    close(old);
}

Test(file, what_a_crash_left_is_in_nobodys_way)
{
    make(10);
    cr_assert_eq(rename(path, fresh), 0);
    cr_assert_eq(file_replace(path, slice_text("new")), 0);
    cr_assert_eq(file_read(&out, path), 0);
    cr_assert_eq(out.len, 3);
}

Test(file, a_link_in_the_way_of_the_new_file_is_not_followed)
{
    char target[96];
    snprintf(target, sizeof(target), "%s/target", folder);
    cr_assert_eq(symlink(target, fresh), 0);
    cr_assert_eq(file_replace(path, slice_text("new")), E_IO);
    cr_assert_eq(errno, ELOOP);
    cr_assert_neq(access(target, F_OK), 0);
}

Test(file, a_relative_name_is_of_the_working_directory)
{
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(file_replace("file", slice_text("here")), 0);
    cr_assert_eq(file_read(&out, path), 0);
    cr_assert_eq(out.len, 4);
    cr_assert_eq(file_replace("no/such/folder", slice_text("x")), E_IO);
}
