/* seats.c - see seats.h. */
#include "shm/seats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

#define SEATS_LINE_BYTES 64

struct seats_cell {
    _Alignas(SEATS_LINE_BYTES) _Atomic uint64_t count;
};

#define SEATS_FILE_BYTES (LIMIT_GATEWAYS * sizeof(struct seats_cell))

struct seats {
    struct seats_cell *cells;
    int fd; /* holds the lock */
    unsigned index;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

/* Of this open file, so that it ends with the process and nothing else ends it. */
static struct flock seats_lock_of(unsigned index)
{
    return (struct flock){.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(index * sizeof(struct seats_cell)),
                          .l_len = 1};
}

static int seats_lock(const struct seats *seats)
{
    struct flock lock = seats_lock_of(seats->index);
    if (fcntl(seats->fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? E_BUSY : E_IO;
}

static bool seats_is_alive(const struct seats *seats, unsigned index)
{
    struct flock lock = seats_lock_of(index);
    return index == seats->index || fcntl(seats->fd, F_OFD_GETLK, &lock) != 0 ||
           lock.l_type != F_UNLCK;
}

static int seats_map(struct seats *seats)
{
    struct stat status;
    if (fstat(seats->fd, &status) != 0)
        return E_IO;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > SEATS_FILE_BYTES)
        return E_INVALID;
    /* Memory is taken now, so that a full tmpfs is an error here and no SIGBUS later. */
    int error = posix_fallocate(seats->fd, 0, SEATS_FILE_BYTES);
    if (error != 0) {
        errno = error;
        return E_IO;
    }
    void *page = mmap(NULL, SEATS_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, seats->fd, 0);
    if (page == MAP_FAILED)
        return E_IO;
    seats->cells = page;
    return 0;
}

int seats_open(struct seats **out, const char *path, unsigned index)
{
    CHECK(index < LIMIT_GATEWAYS);
    *out = NULL;
    struct seats *seats = mem_alloc(sizeof(*seats));
    seats->index = index;
    seats->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = seats->fd < 0 ? E_IO : seats_map(seats);
    error = error != 0 ? error : seats_lock(seats);
    if (error != 0) {
        int saved = errno;
        seats_close(&seats);
        errno = saved;
        return error;
    }
    atomic_store(&seats->cells[index].count, 0);
    *out = seats;
    return 0;
}

void seats_close(struct seats **seats)
{
    if (*seats == NULL)
        return;
    if ((*seats)->cells != NULL)
        munmap((*seats)->cells, SEATS_FILE_BYTES);
    if ((*seats)->fd >= 0)
        close((*seats)->fd); /* and with it the lock: nobody counts this cell any more */
    free(*seats);
    *seats = NULL;
}

/* With those that dead processes left behind, and without. */
static uint64_t seats_sum(const struct seats *seats, bool of_living)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++) {
        uint64_t count = atomic_load(&seats->cells[i].count);
        if (count > 0 && (!of_living || seats_is_alive(seats, i)))
            sum += count;
    }
    return sum;
}

bool seats_take(struct seats *seats, uint64_t max)
{
    atomic_fetch_add(&seats->cells[seats->index].count, 1);
    if (seats_sum(seats, false) <= max || seats_sum(seats, true) <= max)
        return true;
    seats_give_back(seats);
    return false;
}

void seats_give_back(struct seats *seats)
{
    CHECK(atomic_fetch_sub(&seats->cells[seats->index].count, 1) > 0);
}

uint64_t seats_taken(const struct seats *seats)
{
    return seats_sum(seats, true);
}
