/* wal_writer.c - the thread that writes and syncs.
 *
 * One batch, one write, one sync. What comes during a sync waits in the filling batch and is the
 * next one. There is no delay to gather more: the sync itself is the time in which it gathers.
 */
#include "procs/raft/wal/wal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/token.h"
#include "procs/raft/wal/wal_meta.h"

/* ---- the disk ---------------------------------------------------------------------------------
 */

static void wal_writer_write(const struct wal *wal, int fd, const uint8_t *data, size_t len,
                             size_t offset)
{
    while (len > 0) {
        ssize_t written = wal->io->write(fd, data, len, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            wal_fail(wal, "write", written < 0 ? errno : EIO);
        data += written;
        len -= (size_t)written;
        offset += (size_t)written;
    }
}

static void wal_writer_sync(const struct wal *wal, int fd)
{
    if (wal->io->sync(fd) != 0)
        wal_fail(wal, "sync", errno);
}

/* Header and payload are one piece of memory: bytes has room for the header in front. */
static void wal_writer_put(struct wal *wal, enum wal_batch_kind kind, uint8_t *bytes, size_t len)
{
    size_t payload = len - WAL_BATCH_HEADER_BYTES;
    const struct wal_batch_header header = {
        .kind = kind,
        .payload_bytes = (uint32_t)payload,
        .number = wal->next_batch,
        .payload_crc = hash_crc32c(0, bytes + WAL_BATCH_HEADER_BYTES, payload)};
    wal_encode_batch_header(bytes, wal->salt, &header);
    wal_writer_write(wal, wal->fd, bytes, len, wal->end);
    wal_writer_sync(wal, wal->fd);
    wal->next_batch++;
    wal->end += len;
}

static void wal_writer_put_empty(struct wal *wal, enum wal_batch_kind kind)
{
    uint8_t bytes[WAL_BATCH_HEADER_BYTES + 1] = {0};
    wal_writer_put(wal, kind, bytes, WAL_BATCH_HEADER_BYTES);
}

/* ---- segments ---------------------------------------------------------------------------------
 */

static int wal_writer_open_prepared(const struct wal *wal)
{
    char name[WAL_NAME_BYTES];
    wal_prepared_name(name, wal->folder);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        wal_fail(wal, "open", errno);
    return fd;
}

/* Three steps, each durable before the next: the new segment's header, the seal of the old one, the
 * new one's name. Whatever a crash leaves, recovery knows how far it came. */
void wal_begin_segment(struct wal *wal)
{
    uint8_t bytes[WAL_HEADER_BYTES];
    bool has_old = wal->sequence > 0;
    struct wal_segment_header header = {.sequence = wal->sequence + 1,
                                        .term = wal->term,
                                        .vote = wal->vote,
                                        .first_batch = wal->next_batch + (has_old ? 1 : 0),
                                        .segment_bytes = wal->segment_bytes};
    wal_take_reserve(wal);
    pthread_mutex_lock(&wal->mutex);
    header.identity = wal->identity;
    pthread_mutex_unlock(&wal->mutex);
    token_random(&header.salt, sizeof(header.salt));
    int fd = wal_writer_open_prepared(wal);
    wal_encode_segment_header(bytes, &header);
    wal_writer_write(wal, fd, bytes, sizeof(bytes), 0);
    wal_writer_sync(wal, fd);
    if (has_old) {
        wal_writer_put_empty(wal, WAL_BATCH_SEAL);
        close(wal->fd);
    }
    if (wal_use_prepared(wal->folder, header.sequence) != 0)
        wal_fail(wal, "rename", errno);
    wal->fd = fd;
    wal->sequence = header.sequence;
    wal->salt = header.salt;
    wal->end = WAL_HEADER_BYTES;
    wal->size = wal->segment_bytes;
    pthread_mutex_lock(&wal->mutex);
    wal->reserve = WAL_RESERVE_WANTED;
    pthread_cond_signal(&wal->chores);
    pthread_mutex_unlock(&wal->mutex);
}

/* A batch lies in one segment, with room for the seal behind it. One that is larger than a whole
 * segment makes its segment larger. */
static void wal_writer_make_room(struct wal *wal, size_t len)
{
    bool is_fresh = wal->end == WAL_HEADER_BYTES;
    if (!is_fresh && wal->end + len + WAL_BATCH_HEADER_BYTES > wal->size)
        wal_begin_segment(wal);
}

/* ---- what is to be done -----------------------------------------------------------------------
 */

/* Tells the owner, once for all that it has not yet taken. The mutex is held. */
static bool wal_writer_signal(struct wal *wal)
{
    bool is_due = !wal->is_signalled;
    wal->is_signalled = true;
    return is_due;
}

static void wal_writer_wake_owner(const struct wal *wal)
{
    const uint64_t one = 1;
    ssize_t put = write(wal->wake_fd, &one, sizeof(one));
    CHECK(put == (ssize_t)sizeof(one));
}

static void wal_writer_batch(struct wal *wal)
{
    struct wal_batch *batch = &wal->writing;
    size_t len = batch->bytes.len;
    wal_writer_make_room(wal, len);
    const struct wal_place place = {batch->first_index, (uint32_t)wal->sequence,
                                    (uint32_t)wal->end};
    if (batch->has_hard_state) {
        wal->term = batch->term;
        wal->vote = batch->vote;
    }
    wal_writer_put(wal, WAL_BATCH_RECORDS, batch->bytes.data, len);
    wal->is_marked = false;
    pthread_mutex_lock(&wal->mutex);
    if (batch->first_index != 0 && !wal->reset.due)
        wal_index_note(&wal->index, &place, batch->last_index);
    wal->durable.write = batch->write;
    bool wake = wal_writer_signal(wal);
    pthread_mutex_unlock(&wal->mutex);
    if (wake)
        wal_writer_wake_owner(wal);
    wal_batch_clear(batch, WAL_SPARE_BYTES);
}

static void wal_writer_mark(struct wal *wal)
{
    wal_writer_make_room(wal, WAL_BATCH_HEADER_BYTES);
    wal_writer_put_empty(wal, WAL_BATCH_RECORDS);
    wal->is_marked = true;
    wal_batch_clear(&wal->writing, WAL_KEEP_BYTES);
    pthread_mutex_lock(&wal->mutex);
    if (wal_batch_is_empty(&wal->filling))
        wal_batch_clear(&wal->filling, WAL_KEEP_BYTES);
    pthread_mutex_unlock(&wal->mutex);
}

/* A new segment, and a floor that begins with it. The floor's rename decides: before it the old log
 * is still there, behind it nothing of it is. */
static void wal_writer_reset(struct wal *wal)
{
    FAILPOINT("log_reset");
    wal_begin_segment(wal);
    pthread_mutex_lock(&wal->mutex);
    uint64_t index = wal->reset.index;
    wal->floor = (struct wal_floor){wal->sequence, index, wal->reset.term};
    pthread_mutex_unlock(&wal->mutex);
    wal_store_wanted_floor(wal);
    pthread_mutex_lock(&wal->mutex);
    if (wal->reset.index == index)
        wal->reset.due = false;
    wal->durable.reset_index = index;
    if (wal->reset.write > wal->durable.write)
        wal->durable.write = wal->reset.write;
    bool wake = wal_writer_signal(wal);
    pthread_mutex_unlock(&wal->mutex);
    if (wake)
        wal_writer_wake_owner(wal);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static bool wal_writer_has_work(const struct wal *wal)
{
    return wal->reset.due || !wal_batch_is_empty(&wal->filling) || wal->stopping;
}

/* Returns when there is work, or when it is time for a mark. The mutex is held. */
static void wal_writer_wait(struct wal *wal)
{
    struct timespec until;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += (long)(WAL_MARK_MS * NS_PER_MS);
    if (until.tv_nsec >= (long)NS_PER_S) {
        until.tv_nsec -= (long)NS_PER_S;
        until.tv_sec++;
    }
    wal->writer_waits = true;
    int result = 0;
    while (!wal_writer_has_work(wal) && result != ETIMEDOUT) {
        if (wal->is_marked)
            pthread_cond_wait(&wal->work, &wal->mutex);
        else
            result = pthread_cond_timedwait(&wal->work, &wal->mutex, &until);
    }
    wal->writer_waits = false;
}

void *wal_writer_run(void *arg)
{
    struct wal *wal = arg;
    for (;;) {
        pthread_mutex_lock(&wal->mutex);
        wal_writer_wait(wal);
        bool resets = wal->reset.due, stops = wal->stopping;
        if (!resets) {
            struct wal_batch empty = wal->writing;
            wal->writing = wal->filling;
            wal->filling = empty;
        }
        pthread_mutex_unlock(&wal->mutex);
        if (resets)
            wal_writer_reset(wal);
        else if (!wal_batch_is_empty(&wal->writing))
            wal_writer_batch(wal);
        else if (!wal->is_marked)
            wal_writer_mark(wal);
        else if (stops)
            return NULL;
    }
}
