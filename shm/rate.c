/* rate.c - see rate.h. */
#include "shm/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define RATE_FILE_BYTES 4096
#define RATE_LINE_BYTES 64

/* A cache line each: busy classes do not slow down one another. */
struct rate_cell {
    _Alignas(RATE_LINE_BYTES) _Atomic uint64_t arrival_ns;
};

struct rate {
    struct rate_cell *cells;
};

_Static_assert(sizeof(struct rate_cell) * RATE_CLASS_COUNT <= RATE_FILE_BYTES, "one page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

static int rate_map(struct rate *rate, int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return E_IO;
    if (!S_ISREG(status.st_mode) || status.st_size > RATE_FILE_BYTES)
        return E_INVALID;
    /* Memory is taken now, so that a full tmpfs is an error here and no SIGBUS later. */
    int error = posix_fallocate(fd, 0, RATE_FILE_BYTES);
    if (error != 0) {
        errno = error;
        return E_IO;
    }
    void *page = mmap(NULL, RATE_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return E_IO;
    rate->cells = page;
    return 0;
}

int rate_open(struct rate **out, const char *path)
{
    *out = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return E_IO;
    struct rate *rate = mem_alloc(sizeof(*rate));
    int error = rate_map(rate, fd);
    int saved = errno;
    close(fd);
    errno = saved;
    if (error != 0) {
        free(rate);
        return error;
    }
    *out = rate;
    return 0;
}

void rate_close(struct rate **rate)
{
    if (*rate == NULL)
        return;
    munmap((*rate)->cells, RATE_FILE_BYTES);
    free(*rate);
    *rate = NULL;
}

bool rate_allow(struct rate *rate, enum rate_class class, const struct rate_limit *limit,
                uint64_t now_ns, uint64_t *wait_ns)
{
    CHECK((unsigned)class < RATE_CLASS_COUNT);
    *wait_ns = 0;
    if (limit->per_second == 0)
        return true;
    uint64_t step_ns = NS_PER_S / limit->per_second;
    step_ns = step_ns > 0 ? step_ns : 1;
    uint64_t burst = limit->burst > 0 ? limit->burst : 1;
    uint64_t ahead_ns = burst > UINT64_MAX / 4 / step_ns ? UINT64_MAX / 4 : burst * step_ns;

    _Atomic uint64_t *cell = &rate->cells[class].arrival_ns;
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    for (;;) {
        uint64_t arrival = seen > now_ns ? seen : now_ns;
        /* More than a burst ahead: left by another boot of the machine, or by larger limits. */
        if (arrival - now_ns > ahead_ns)
            arrival = now_ns;
        uint64_t next = arrival + step_ns;
        if (next - now_ns > ahead_ns) {
            *wait_ns = next - now_ns - ahead_ns;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(cell, &seen, next, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
}
