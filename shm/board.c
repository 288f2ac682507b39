/* board.c - the shared page: its layout, its sequence lock, its file.
 *
 * Every writer has cache lines of its own, so that workers which store their applied index
 * thousands of times a second do not slow down a gateway that checks the lease. The lease record is
 * guarded by a sequence word: odd while it is being written. A writer that was killed half way
 * leaves it odd; the next start of raft repairs that (board_raise_epoch), readers meanwhile give up
 * after a few tries.
 */
#include "shm/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

#define BOARD_MAGIC 0x44524f4249534e49ull /* "INSIBORD" as bytes */
#define BOARD_LINE_BYTES 64
#define BOARD_READ_TRIES 200
#define BOARD_PATH_BYTES 1100
#define BOARD_LEADER_WORDS (LIMIT_NODE_ID_BYTES / 8)

typedef _Atomic uint64_t board_word;

struct board_slot {
    _Alignas(BOARD_LINE_BYTES) board_word applied_index;
    board_word generation;
    board_word shown_index;
};

struct board_page {
    uint64_t magic;
    uint32_t version;
    uint32_t page_bytes;
    /* raft: the lease */
    _Alignas(BOARD_LINE_BYTES) board_word sequence;
    board_word epoch, term, lease_end_ns, commit_index, role, standing;
    board_word leader[BOARD_LEADER_WORDS];
    /* raft: cluster time */
    _Alignas(BOARD_LINE_BYTES) _Atomic int64_t clock_offset_ms;
    struct board_slot workers[PROC_WORKER_COUNT];
};

_Static_assert(LIMIT_NODE_ID_BYTES % 8 == 0, "the leader's name is kept in words");
_Static_assert(sizeof(struct board_page) <= 4096, "the board is one page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared between processes");

struct board {
    struct board_page *page;
    bool writable;
    board_word shown_ms; /* the latest cluster time that this process has seen */
};

static inline void board_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* --- the file ----------------------------------------------------------------------------------
 */

static int board_fill(int fd)
{
    struct board_page page;

    memset(&page, 0, sizeof(page));
    page.magic = BOARD_MAGIC;
    page.version = BOARD_VERSION;
    page.page_bytes = sizeof(page);
    /* Memory for the page is taken now: a full tmpfs must not become a SIGBUS later. */
    int error = posix_fallocate(fd, 0, sizeof(page));
    if (error != 0) {
        errno = error;
        return E_IO;
    }
    ssize_t written = pwrite(fd, &page, sizeof(page), 0);
    if (written != (ssize_t)sizeof(page)) {
        errno = written < 0 ? errno : ENOSPC;
        return E_IO;
    }
    return 0;
}

int board_create(const char *path)
{
    char fresh[BOARD_PATH_BYTES];
    int len = snprintf(fresh, sizeof(fresh), "%s.new", path);

    if (len < 0 || (size_t)len >= sizeof(fresh)) {
        errno = ENAMETOOLONG;
        return E_IO;
    }
    /* A node that was killed may have left both files behind. */
    if (unlink(fresh) != 0 && errno != ENOENT)
        return E_IO;
    int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return E_IO;
    int error = board_fill(fd);
    if (error == 0 && rename(fresh, path) != 0)
        error = E_IO;
    int saved = errno;
    close(fd);
    if (error != 0)
        unlink(fresh);
    errno = saved;
    return error;
}

static int board_map(struct board_page **out, int fd, bool writable)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return E_IO;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != sizeof(struct board_page))
        return E_VERSION;
    void *page = mmap(NULL, sizeof(struct board_page),
                      writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return E_IO;
    *out = page;
    if ((*out)->magic == BOARD_MAGIC && (*out)->version == BOARD_VERSION &&
        (*out)->page_bytes == sizeof(struct board_page))
        return 0;
    munmap(page, sizeof(struct board_page));
    return E_VERSION;
}

int board_open(struct board **out, const char *path, bool writable)
{
    struct board_page *page = NULL;

    *out = NULL;
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return E_IO;
    int error = board_map(&page, fd, writable);
    int saved = errno;
    close(fd);
    errno = saved;
    if (error != 0)
        return error;
    struct board *board = mem_alloc(sizeof(*board));
    board->page = page;
    board->writable = writable;
    *out = board;
    return 0;
}

void board_close(struct board **board)
{
    if (*board == NULL)
        return;
    munmap((*board)->page, sizeof(struct board_page));
    free(*board);
    *board = NULL;
}

/* --- raft's side -------------------------------------------------------------------------------
 */

/* Makes the sequence odd and returns it. A word that is odd already belongs to a writer that died:
 * the next odd number tells readers that what they saw is no more. */
static uint64_t board_lock(struct board_page *page)
{
    uint64_t sequence = atomic_load_explicit(&page->sequence, memory_order_relaxed);

    sequence = (sequence + 1) | 1;
    atomic_store_explicit(&page->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return sequence;
}

static void board_unlock(struct board_page *page, uint64_t sequence)
{
    atomic_store_explicit(&page->sequence, sequence + 1, memory_order_release);
}

static void board_put(board_word *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t board_get(const board_word *word)
{
    return atomic_load_explicit((board_word *)word, memory_order_relaxed);
}

static void board_put_leader(struct board_page *page, const char leader[LIMIT_NODE_ID_BYTES])
{
    uint64_t words[BOARD_LEADER_WORDS] = {0};

    memcpy(words, leader, strnlen(leader, LIMIT_NODE_ID_BYTES - 1));
    for (unsigned i = 0; i < BOARD_LEADER_WORDS; i++)
        board_put(&page->leader[i], words[i]);
}

uint64_t board_raise_epoch(struct board *board)
{
    static const char nobody[LIMIT_NODE_ID_BYTES];
    struct board_page *page = board->page;

    CHECK(board->writable);
    uint64_t sequence = board_lock(page);
    uint64_t epoch = board_get(&page->epoch) + 1;
    board_put(&page->lease_end_ns, 0);
    board_put(&page->epoch, epoch);
    board_put(&page->role, BOARD_ROLE_STARTING);
    board_put_leader(page, nobody);
    board_unlock(page, sequence);
    atomic_thread_fence(memory_order_seq_cst);
    return epoch;
}

void board_write_lease(struct board *board, const struct board_lease *lease)
{
    struct board_page *page = board->page;

    CHECK(board->writable);
    uint64_t sequence = board_lock(page);
    board_put(&page->epoch, lease->epoch);
    board_put(&page->term, lease->term);
    board_put(&page->lease_end_ns, lease->lease_end_ns);
    board_put(&page->commit_index, lease->commit_index);
    board_put(&page->role, lease->role);
    board_put(&page->standing, lease->standing);
    board_put_leader(page, lease->leader);
    board_unlock(page, sequence);
}

void board_drop_lease(struct board *board)
{
    struct board_page *page = board->page;

    CHECK(board->writable);
    uint64_t sequence = board_lock(page);
    board_put(&page->lease_end_ns, 0);
    board_unlock(page, sequence);
    /* What follows (a vote, a transfer) must not become visible before the lease is gone. */
    atomic_thread_fence(memory_order_seq_cst);
}

void board_write_clock_offset(struct board *board, int64_t offset_ms)
{
    CHECK(board->writable);
    atomic_store_explicit(&board->page->clock_offset_ms, offset_ms, memory_order_release);
}

/* --- the state workers' side -------------------------------------------------------------------
 */

static struct board_slot *board_slot(const struct board *board, enum proc worker)
{
    CHECK(worker >= PROC_FIRST_WORKER && worker <= PROC_LAST_WORKER);
    return &board->page->workers[PROC_WORKER_SLOT(worker)];
}

void board_write_applied(struct board *board, enum proc worker, uint64_t index)
{
    struct board_slot *slot = board_slot(board, worker);

    CHECK(board->writable);
    if (board_get(&slot->shown_index) < index)
        board_put(&slot->shown_index, index);
    atomic_store_explicit(&slot->applied_index, index, memory_order_release);
}

void board_raise_generation(struct board *board, enum proc worker)
{
    CHECK(board->writable);
    atomic_fetch_add_explicit(&board_slot(board, worker)->generation, 1, memory_order_release);
}

/* --- anybody -----------------------------------------------------------------------------------
 */

static void board_copy_lease(const struct board_page *page, struct board_lease *out)
{
    uint64_t words[BOARD_LEADER_WORDS];

    out->epoch = board_get(&page->epoch);
    out->term = board_get(&page->term);
    out->lease_end_ns = board_get(&page->lease_end_ns);
    out->commit_index = board_get(&page->commit_index);
    out->role = (uint32_t)board_get(&page->role);
    out->standing = (uint32_t)board_get(&page->standing);
    for (unsigned i = 0; i < BOARD_LEADER_WORDS; i++)
        words[i] = board_get(&page->leader[i]);
    memcpy(out->leader, words, sizeof(words));
    out->leader[LIMIT_NODE_ID_BYTES - 1] = '\0';
}

int board_read_lease(const struct board *board, struct board_lease *out)
{
    struct board_page *page = board->page;

    /* The second look of a read under a lease must not be hoisted above the read itself. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < BOARD_READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
        if ((before & 1) == 0) {
            board_copy_lease(page, out);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&page->sequence, memory_order_relaxed) == before)
                return 0;
        }
        board_pause();
    }
    memset(out, 0, sizeof(*out));
    return E_BUSY;
}

uint64_t board_read_applied(const struct board *board, enum proc worker)
{
    return atomic_load_explicit(&board_slot(board, worker)->applied_index, memory_order_acquire);
}

uint64_t board_read_shown(const struct board *board, enum proc worker)
{
    return atomic_load_explicit(&board_slot(board, worker)->shown_index, memory_order_acquire);
}

uint64_t board_read_generation(const struct board *board, enum proc worker)
{
    return atomic_load_explicit(&board_slot(board, worker)->generation, memory_order_acquire);
}

int64_t board_clock_offset_ms(const struct board *board)
{
    return atomic_load_explicit(&board->page->clock_offset_ms, memory_order_acquire);
}

bool board_has_cluster_time(const struct board *board)
{
    return board_clock_offset_ms(board) != 0;
}

uint64_t board_cluster_time_ms(const struct board *board)
{
    board_word *shown = (board_word *)(uintptr_t)&board->shown_ms;
    uint64_t now_ms = clock_boot_ms() + (uint64_t)board_clock_offset_ms(board);
    uint64_t before_ms = board_get(shown);

    while (now_ms > before_ms)
        if (atomic_compare_exchange_weak_explicit(shown, &before_ms, now_ms, memory_order_relaxed,
                                                  memory_order_relaxed))
            return now_ms;
    return before_ms;
}
