/* wal.c - the owner's side of the log: opening, queueing writes, reading back, giving up entries.
 */
#include "procs/raft/wal/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "procs/raft/wal/wal_meta.h"
#include "procs/raft/wal/wal_private.h"

void wal_fail(const struct wal *wal, const char *what, int error_number)
{
    wal_mark_suspect(wal->folder);
    LOG_ERROR("log_write_failed", LOG_STR("operation", what), LOG_STR("folder", wal->folder),
              LOG_U64("segment", wal->sequence), LOG_ERRNO(error_number));
    _exit(1);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static ssize_t wal_real_write(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite(fd, data, len, offset);
}

static const struct wal_io wal_real_io = {wal_real_write, fdatasync};

static struct wal *wal_new(const struct wal_options *options, const struct wal_identity *identity)
{
    struct wal *wal = mem_alloc(sizeof(*wal));
    pthread_condattr_t clock;
    wal->folder = options->folder;
    wal->io = options->io ? options->io : &wal_real_io;
    wal->segment_bytes = options->segment_bytes ? options->segment_bytes : WAL_SEGMENT_BYTES;
    CHECK(wal->segment_bytes >= 2 * WAL_HEADER_BYTES);
    wal->identity = *identity;
    wal->fd = -1;
    wal->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(wal->wake_fd >= 0);
    entry_cache_init(&wal->cache);
    wal_reader_init(&wal->reader, wal->folder);
    wal_batch_init(&wal->filling);
    wal_batch_init(&wal->writing);
    CHECK(pthread_mutex_init(&wal->mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&wal->floor_mutex, NULL) == 0);
    CHECK(pthread_condattr_init(&clock) == 0);
    CHECK(pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&wal->work, &clock) == 0);
    CHECK(pthread_cond_init(&wal->chores, NULL) == 0);
    CHECK(pthread_cond_init(&wal->reserved, NULL) == 0);
    pthread_condattr_destroy(&clock);
    return wal;
}

static void wal_free(struct wal *wal)
{
    if (wal->fd >= 0)
        close(wal->fd);
    close(wal->wake_fd);
    entry_cache_fini(&wal->cache);
    wal_reader_fini(&wal->reader);
    wal_batch_fini(&wal->filling);
    wal_batch_fini(&wal->writing);
    wal_index_fini(&wal->index);
    pthread_cond_destroy(&wal->work);
    pthread_cond_destroy(&wal->chores);
    pthread_cond_destroy(&wal->reserved);
    pthread_mutex_destroy(&wal->mutex);
    pthread_mutex_destroy(&wal->floor_mutex);
    free(wal);
}

/* The first segment, then the floor: from then on the log has begun. */
static int wal_begin(struct wal *wal)
{
    int error = wal_prepare_segment(wal->folder, wal->segment_bytes);
    if (error) {
        LOG_ERROR("log_not_made", LOG_STR("folder", wal->folder), LOG_ERRNO(errno));
        return error;
    }
    wal->reserve = WAL_RESERVE_READY;
    wal->next_batch = 1;
    wal->is_marked = true;
    wal_begin_segment(wal);
    return wal_store_floor(wal->folder, wal->identity.raft_id, &wal->floor);
}

static int wal_go_on(struct wal *wal, const struct wal_recovered *recovered)
{
    char name[WAL_NAME_BYTES];
    wal->sequence = recovered->sequence;
    wal->salt = recovered->salt;
    wal->next_batch = recovered->next_batch;
    wal->end = recovered->end;
    wal->size = recovered->segment_bytes;
    wal->term = recovered->term;
    wal->vote = recovered->vote;
    wal->is_marked = recovered->is_marked || recovered->end == WAL_HEADER_BYTES;
    wal_segment_name(name, wal->folder, wal->sequence);
    wal->fd = open(name, O_RDWR | O_CLOEXEC);
    if (wal->fd >= 0)
        return 0;
    LOG_ERROR("log_refused", LOG_STR("file", name), LOG_ERRNO(errno));
    return E_IO;
}

static int wal_recover_into(struct wal *wal, const struct wal_options *options,
                            struct wal_state *state)
{
    struct wal_recovered recovered;
    const struct wal_recovery recovery = {.folder = wal->folder,
                                          .identity = &wal->identity,
                                          .progress = options->progress,
                                          .arg = options->arg};
    int error = wal_recover(&recovery, &recovered, &wal->index);
    if (error)
        return error;
    wal->floor = recovered.floor;
    wal->stored_sequence = recovered.floor.first_sequence;
    wal->base_index = recovered.floor.base_index;
    wal->last_index = recovered.last_index;
    *state = (struct wal_state){.identity = wal->identity,
                                .is_new = recovered.sequence == 0,
                                .term = recovered.term,
                                .vote = recovered.vote,
                                .base_index = recovered.floor.base_index,
                                .base_term = recovered.floor.base_term,
                                .last_index = recovered.last_index,
                                .last_term = recovered.last_term,
                                .torn_bytes = recovered.torn_bytes};
    return state->is_new ? wal_begin(wal) : wal_go_on(wal, &recovered);
}

int wal_open(struct wal **out, const struct wal_options *options, struct wal_state *state)
{
    struct wal_identity identity;
    *out = NULL;
    int error = wal_load_identity(options->folder, options->node, &identity);
    if (error)
        return error;
    struct wal *wal = wal_new(options, &identity);
    error = wal_recover_into(wal, options, state);
    if (error) {
        wal_free(wal);
        return error;
    }
    CHECK(pthread_create(&wal->helper, NULL, wal_helper_run, wal) == 0);
    CHECK(pthread_create(&wal->writer, NULL, wal_writer_run, wal) == 0);
    *out = wal;
    return 0;
}

static void wal_stop_thread(struct wal *wal, bool *flag, pthread_cond_t *cond, pthread_t thread)
{
    pthread_mutex_lock(&wal->mutex);
    *flag = true;
    pthread_cond_signal(cond);
    pthread_mutex_unlock(&wal->mutex);
    CHECK(pthread_join(thread, NULL) == 0);
}

void wal_close(struct wal **wal_pointer)
{
    struct wal *wal = *wal_pointer;
    *wal_pointer = NULL;
    if (!wal)
        return;
    /* the writer first: it may need the helper */
    wal_stop_thread(wal, &wal->stopping, &wal->work, wal->writer);
    wal_stop_thread(wal, &wal->helper_stops, &wal->chores, wal->helper);
    wal_free(wal);
}

int wal_set_cluster(struct wal *wal, const uint8_t cluster[WAL_CLUSTER_BYTES], bool founder)
{
    struct wal_identity identity = wal->identity;
    memcpy(identity.cluster, cluster, WAL_CLUSTER_BYTES);
    identity.founder = founder;
    int error = wal_store_identity(wal->folder, &identity);
    if (error)
        return error;
    pthread_mutex_lock(&wal->mutex);
    wal->identity = identity;
    pthread_mutex_unlock(&wal->mutex);
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

void wal_begin_write(struct wal *wal, uint64_t number)
{
    CHECK(number > wal->write);
    wal->write = number;
    pthread_mutex_lock(&wal->mutex); /* until wal_end_write: a batch holds whole writes */
}

void wal_add_hard_state(struct wal *wal, uint64_t term, uint64_t vote)
{
    wal_batch_add_hard_state(&wal->filling, term, vote);
}

void wal_add_entry(struct wal *wal, const struct wal_entry *entry)
{
    CHECK(entry->index > wal->base_index && entry->index <= wal->last_index + 1);
    wal_batch_add_entry(&wal->filling, entry);
    entry_cache_add(&wal->cache, entry, wal->write);
    wal->last_index = entry->index;
}

void wal_end_write(struct wal *wal)
{
    CHECK(!wal_batch_is_empty(&wal->filling));
    wal->filling.write = wal->write;
    pthread_mutex_unlock(&wal->mutex);
}

void wal_flush(struct wal *wal)
{
    pthread_mutex_lock(&wal->mutex);
    bool wake = wal->writer_waits && (wal->reset.due || !wal_batch_is_empty(&wal->filling));
    if (wake)
        wal->writer_waits = false; /* one signal is enough */
    pthread_mutex_unlock(&wal->mutex);
    if (wake)
        pthread_cond_signal(&wal->work);
}

int wal_fd(const struct wal *wal)
{
    return wal->wake_fd;
}

struct wal_durable wal_take_durable(struct wal *wal)
{
    uint64_t count;
    ssize_t got = read(wal->wake_fd, &count, sizeof(count));
    CHECK(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    pthread_mutex_lock(&wal->mutex);
    struct wal_durable durable = wal->durable;
    wal->is_signalled = false;
    pthread_mutex_unlock(&wal->mutex);
    entry_cache_trim(&wal->cache, durable.write);
    return durable;
}

/* ---- reading back -----------------------------------------------------------------------------
 */

uint64_t wal_first_index(const struct wal *wal)
{
    return wal->base_index + 1;
}

uint64_t wal_last_index(const struct wal *wal)
{
    return wal->last_index;
}

uint64_t wal_kept_bytes(struct wal *wal)
{
    pthread_mutex_lock(&wal->mutex);
    uint64_t first = wal->floor.first_sequence, last = wal->index.noted.sequence;
    pthread_mutex_unlock(&wal->mutex);
    return last < first ? 0 : (last - first + 1) * wal->segment_bytes;
}

/* From the segments, up to the cache or the place where the index says to look elsewhere. */
static int wal_read_segments(struct wal *wal, struct wal_read_range *range, wal_visit_fn *visit,
                             void *arg)
{
    uint64_t limit = wal->cache.count > 0 ? wal->cache.first_index : wal->last_index + 1;
    pthread_mutex_lock(&wal->mutex);
    bool found = wal_index_find(&wal->index, range->first, &range->place, &range->end);
    pthread_mutex_unlock(&wal->mutex);
    CHECK(found && range->first < limit);
    if (range->end > limit)
        range->end = limit;
    return wal_reader_read(&wal->reader, range, visit, arg);
}

int wal_read(struct wal *wal, uint64_t first, size_t max_bytes, wal_visit_fn *visit, void *arg)
{
    struct wal_read_range range = {.first = first, .max_bytes = max_bytes};
    struct wal_entry entry;
    if (first <= wal->base_index || first > wal->last_index)
        return E_NOT_FOUND;
    while (range.first <= wal->last_index && !range.enough) {
        if (entry_cache_get(&wal->cache, range.first, &entry)) {
            range.first++;
            range.bytes += entry.payload.len;
            range.enough = !visit(&entry, arg) || range.bytes >= range.max_bytes;
            continue;
        }
        int error = wal_read_segments(wal, &range, visit, arg);
        if (error)
            return error;
        range.first = range.reached;
    }
    return 0;
}

/* ---- giving up entries ------------------------------------------------------------------------
 */

void wal_cut(struct wal *wal, uint64_t index, uint64_t term)
{
    struct wal_place place;
    uint64_t end;
    CHECK(index >= wal->base_index && index <= wal->last_index);
    pthread_mutex_lock(&wal->mutex);
    /* The segment of entry index + 1, or of the newest entries: it and all behind it stay. */
    uint64_t first = wal->index.noted.sequence;
    if (index < wal->index.last_index && wal_index_find(&wal->index, index + 1, &place, &end))
        first = place.sequence;
    bool is_due = first > wal->floor.first_sequence && !wal->reset.due;
    if (is_due) {
        wal->floor = (struct wal_floor){first, index, term};
        wal_index_drop(&wal->index, first);
        pthread_cond_signal(&wal->chores);
    }
    pthread_mutex_unlock(&wal->mutex);
    if (!is_due)
        return;
    wal->base_index = index;
    if (wal->reader.sequence < first)
        wal_reader_forget(&wal->reader);
}

void wal_reset(struct wal *wal, uint64_t index, uint64_t term)
{
    CHECK(index > wal->base_index);
    pthread_mutex_lock(&wal->mutex);
    wal_batch_forget_entries(&wal->filling);
    wal->reset.due = true;
    wal->reset.index = index;
    wal->reset.term = term;
    wal->reset.write = wal_batch_is_empty(&wal->filling) ? wal->write : 0;
    wal_index_clear(&wal->index, index);
    pthread_mutex_unlock(&wal->mutex);
    entry_cache_clear(&wal->cache);
    wal_reader_forget(&wal->reader);
    wal->base_index = wal->last_index = index;
}

/* ---- disk full --------------------------------------------------------------------------------
 */

bool wal_has_reserve(struct wal *wal)
{
    pthread_mutex_lock(&wal->mutex);
    bool has = wal->reserve != WAL_RESERVE_FAILED;
    pthread_mutex_unlock(&wal->mutex);
    return has;
}

void wal_retry_reserve(struct wal *wal)
{
    pthread_mutex_lock(&wal->mutex);
    if (wal->reserve == WAL_RESERVE_FAILED) {
        wal->reserve = WAL_RESERVE_WANTED;
        pthread_cond_signal(&wal->chores);
    }
    pthread_mutex_unlock(&wal->mutex);
}
