/* capture.c - stderr of a test in an anonymous file. */
#include "tests/unit/insic/capture.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

#define CAPTURE_BYTES 65536

static int capture_fd = -1, capture_stderr = -1; /* each test is a process of its own */

void capture_begin(void)
{
    fflush(stderr);
    capture_fd = memfd_create("stderr", MFD_CLOEXEC);
    capture_stderr = dup(STDERR_FILENO);
    cr_assert(capture_fd >= 0 && capture_stderr >= 0);
    cr_assert_eq(dup2(capture_fd, STDERR_FILENO), STDERR_FILENO);
}

char *capture_end(void)
{
    char *text = mem_alloc(CAPTURE_BYTES);
    fflush(stderr);
    cr_assert_eq(dup2(capture_stderr, STDERR_FILENO), STDERR_FILENO);
    ssize_t len = pread(capture_fd, text, CAPTURE_BYTES - 1, 0);
    cr_assert_geq(len, 0);
    close(capture_fd);
    close(capture_stderr);
    return text;
}
