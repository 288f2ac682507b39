/* wal_recover.c - reads the segments in order, tells a torn tail from corruption, cuts the former.
 */
#include "procs/raft/wal/wal_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "procs/raft/wal/wal_meta.h"

struct recover {
    const struct wal_recovery *options;
    struct wal_recovered *out;
    struct wal_index *index;
    bool is_suspect;
    uint64_t gap_index; /* an entry that is missing so far; 0: none */
    /* the segment being read */
    char path[WAL_NAME_BYTES];
    struct wal_file file;
    struct wal_segment_header header;
    bool is_sealed;
    struct wal_span span;
};

static int recover_refuse(const struct recover *recover, int error, size_t offset,
                          const char *reason)
{
    LOG_ERROR("log_refused", LOG_STR("error", error_text(error)), LOG_STR("reason", reason),
              LOG_STR("file", recover->path), LOG_U64("offset", offset));
    return error;
}

static int recover_refuse_io(const struct recover *recover)
{
    return recover_refuse(recover, E_IO, 0, log_errno_text(errno));
}

/* ---- a segment's header -----------------------------------------------------------------------
 */

static bool recover_is_ours(const struct recover *recover)
{
    const struct wal_identity *mine = recover->options->identity;
    const struct wal_identity *its = &recover->header.identity;
    static const uint8_t none[WAL_CLUSTER_BYTES];
    return its->raft_id == mine->raft_id &&
           memcmp(its->node, mine->node, sizeof(mine->node)) == 0 &&
           (memcmp(its->cluster, none, sizeof(none)) == 0 ||
            memcmp(its->cluster, mine->cluster, sizeof(none)) == 0);
}

static int recover_header(struct recover *recover, uint64_t sequence)
{
    struct wal_recovered *out = recover->out;
    const struct wal_segment_header *header = &recover->header;
    int error = recover->file.len < WAL_HEADER_BYTES
                    ? E_CORRUPT
                    : wal_decode_segment_header(&recover->header, recover->file.data);
    if (error)
        return recover_refuse(recover, error, 0, "the segment's header is not readable");
    if (!recover_is_ours(recover))
        return recover_refuse(recover, E_FOREIGN, 0, "a segment of another node or cluster");
    if (header->sequence != sequence)
        return recover_refuse(recover, E_CORRUPT, 0, "the segment has another's name");
    if (recover->file.len < header->segment_bytes)
        return recover_refuse(recover, E_CORRUPT, recover->file.len,
                              "the segment's file has been cut short");
    if (out->next_batch == 0) { /* the first segment of the log */
        out->next_batch = header->first_batch;
        out->term = header->term;
        out->vote = header->vote;
    }
    if (header->first_batch != out->next_batch || header->first_batch == 0)
        return recover_refuse(recover, E_CORRUPT, 0, "batches before this segment are missing");
    if (header->term != out->term || header->vote != out->vote)
        return recover_refuse(recover, E_CORRUPT, 0, "term and vote are not those of the log");
    return 0;
}

/* ---- its batches ------------------------------------------------------------------------------
 */

static int recover_take_hard_state(struct recover *recover, size_t offset)
{
    struct wal_recovered *out = recover->out;
    const struct wal_span *span = &recover->span;
    if (span->term < out->term)
        return recover_refuse(recover, E_CORRUPT, offset, "the term goes back");
    out->term = span->term;
    out->vote = span->vote;
    return 0;
}

/* Entries follow each other without gaps. Only in the first segment left by a cut may the first
 * ones hang in the air, when later ones override them. */
static int recover_take_entries(struct recover *recover, size_t offset)
{
    struct wal_recovered *out = recover->out;
    const struct wal_span *span = &recover->span;
    const struct wal_entry *last = &span->entries[span->count - 1];
    if (span->entries[0].index > out->last_index + 1) {
        if (recover->header.sequence != out->floor.first_sequence || recover->index->count > 0)
            return recover_refuse(recover, E_CORRUPT, offset, "entries are missing");
        recover->gap_index = out->last_index + 1;
    }
    if (span->entries[0].index <= recover->gap_index)
        recover->gap_index = 0;
    const struct wal_place place = {span->entries[0].index, (uint32_t)recover->header.sequence,
                                    (uint32_t)offset};
    wal_index_note(recover->index, &place, last->index);
    out->last_index = last->index;
    out->last_term = last->term;
    return 0;
}

static int recover_take_batch(struct recover *recover, size_t offset, struct slice payload)
{
    int error = wal_span_decode(&recover->span, payload);
    if (error)
        return recover_refuse(recover, error, offset, "a batch holds what is no record");
    if (recover->span.has_hard_state)
        error = recover_take_hard_state(recover, offset);
    if (!error && recover->span.count > 0)
        error = recover_take_entries(recover, offset);
    recover->out->is_marked = payload.len == 0;
    return error;
}

/* Is the batch that is due at the offset there, and undamaged? */
static bool recover_is_intact(const struct recover *recover, size_t offset,
                              struct wal_batch_header *header)
{
    const struct wal_file *file = &recover->file;
    if (offset + WAL_BATCH_HEADER_BYTES > file->len ||
        !wal_decode_batch_header(header, recover->header.salt, file->data + offset) ||
        header->number != recover->out->next_batch)
        return false;
    size_t begin = offset + WAL_BATCH_HEADER_BYTES;
    return header->payload_bytes <= file->len - begin &&
           hash_crc32c(0, file->data + begin, header->payload_bytes) == header->payload_crc;
}

/* A valid header of any other batch behind the place where the next one is due. */
static bool recover_finds_later(const struct recover *recover, size_t offset)
{
    struct wal_batch_header header;
    const struct wal_file *file = &recover->file;
    for (;; offset++) {
        offset =
            wal_find_batch_header(&header, recover->header.salt, file->data, file->len, offset);
        if (offset == file->len)
            return false;
        if (header.number != recover->out->next_batch) /* else it is the torn one itself */
            return true;
    }
}

static int recover_batches(struct recover *recover, bool is_last)
{
    struct wal_batch_header header;
    size_t offset = WAL_HEADER_BYTES;
    recover->is_sealed = false;
    while (!recover->is_sealed && recover_is_intact(recover, offset, &header)) {
        size_t begin = offset + WAL_BATCH_HEADER_BYTES;
        int error = recover_take_batch(recover, offset,
                                       slice_of(recover->file.data + begin, header.payload_bytes));
        if (error)
            return error;
        recover->is_sealed = header.kind == WAL_BATCH_SEAL;
        recover->out->next_batch++;
        offset = begin + header.payload_bytes;
    }
    recover->out->end = offset;
    if (recover->is_sealed)
        return 0;
    if (recover_finds_later(recover, offset))
        return recover_refuse(recover, E_CORRUPT, offset,
                              "a damaged batch with a valid later one behind it");
    if (!is_last)
        return recover_refuse(recover, E_CORRUPT, offset,
                              "a damaged batch with a later segment behind it");
    return 0;
}

/* ---- what is left on disk ---------------------------------------------------------------------
 */

/* The page cache and the device disagree: the file is replaced by what the device holds, so that
 * later reads see it and later writes go on from it. */
static int recover_mend_cache(struct recover *recover, bool *mended)
{
    struct wal_file cached;
    *mended = false;
    if (!recover->file.by_device)
        return 0;
    if (wal_file_read(&cached, recover->path, false) != 0)
        return recover_refuse_io(recover);
    bool same =
        cached.len == recover->file.len && memcmp(cached.data, recover->file.data, cached.len) == 0;
    wal_file_free(&cached);
    if (same)
        return 0;
    LOG_WARN("log_cache_differs", LOG_STR("file", recover->path));
    *mended = true;
    return 0;
}

/* Zeros behind the last intact batch, so that nothing of a torn tail ever parses. How many bytes
 * were something else. */
static size_t recover_zero_tail(struct recover *recover)
{
    size_t end = recover->out->end, torn = recover->file.len;
    while (torn > end && recover->file.data[torn - 1] == 0)
        torn--;
    if (torn == end)
        return 0;
    LOG_WARN("log_tail_cut", LOG_STR("file", recover->path), LOG_U64("offset", end),
             LOG_U64("bytes", torn - end));
    memset(recover->file.data + end, 0, torn - end);
    return torn - end;
}

/* Rule 4, and the cut. */
static int recover_settle(struct recover *recover, bool is_last)
{
    const struct wal_file *file = &recover->file;
    size_t end = recover->out->end, torn = 0;
    bool mended;
    int error = recover_mend_cache(recover, &mended);
    if (error)
        return error;
    if (is_last && !recover->is_sealed)
        recover->out->torn_bytes = torn = recover_zero_tail(recover);
    if (mended) {
        error = file_replace(recover->path, slice_of(file->data, file->len));
        return error ? recover_refuse_io(recover) : 0;
    }
    if (!is_last)
        return 0;
    int fd = open(recover->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return recover_refuse_io(recover);
    if ((torn > 0 && pwrite(fd, file->data + end, torn, (off_t)end) != (ssize_t)torn) ||
        fsync(fd) != 0)
        error = recover_refuse_io(recover);
    close(fd);
    return error;
}

/* ---- the log ----------------------------------------------------------------------------------
 */

static int recover_segment(struct recover *recover, uint64_t sequence, bool is_last)
{
    wal_segment_name(recover->path, recover->options->folder, sequence);
    if (wal_file_read(&recover->file, recover->path, is_last || recover->is_suspect) != 0)
        return recover_refuse_io(recover);
    if (is_last && !recover->file.by_device)
        LOG_INFO("log_device_not_readable", LOG_STR("file", recover->path),
                 LOG_STR("reason", "the file system has no O_DIRECT"));
    int error = recover_header(recover, sequence);
    error = error ? error : recover_batches(recover, is_last);
    error = error ? error : recover_settle(recover, is_last);
    recover->out->sequence = sequence;
    recover->out->salt = recover->header.salt;
    recover->out->segment_bytes = recover->file.len;
    wal_file_free(&recover->file);
    if (recover->options->progress)
        recover->options->progress(recover->options->arg);
    return error;
}

/* The last segment is sealed: the crash came before the next one, whose header was durable by then,
 * got its name; or somebody removed it. */
static int recover_next_segment(struct recover *recover)
{
    uint64_t sequence = recover->out->sequence + 1;
    char prepared[WAL_NAME_BYTES];
    struct wal_file file;
    wal_prepared_name(prepared, recover->options->folder);
    bool is_next = false;
    if (wal_file_read(&file, prepared, true) == 0) {
        is_next = file.len >= WAL_HEADER_BYTES &&
                  wal_decode_segment_header(&recover->header, file.data) == 0 &&
                  recover_is_ours(recover) && recover->header.sequence == sequence &&
                  recover->header.first_batch == recover->out->next_batch;
        wal_file_free(&file);
    }
    wal_segment_name(recover->path, recover->options->folder, sequence);
    if (!is_next)
        return recover_refuse(recover, E_CORRUPT, 0, "a segment is missing at the end");
    if (wal_use_prepared(recover->options->folder, sequence) != 0)
        return recover_refuse_io(recover);
    return recover_segment(recover, sequence, true);
}

static int recover_segments(struct recover *recover, const uint64_t *sequences, size_t count)
{
    uint64_t first = recover->out->floor.first_sequence;
    while (count > 0 && *sequences < first) { /* given up; a crash kept them from being removed */
        sequences++;
        count--;
    }
    size_t at = 0;
    int error = 0;
    for (; at < count && !error; at++) {
        if (sequences[at] != first + at)
            break;
        error = recover_segment(recover, sequences[at], at + 1 == count);
    }
    if (!error && (at < count || count == 0)) {
        wal_segment_name(recover->path, recover->options->folder, first + at);
        return recover_refuse(recover, E_CORRUPT, 0, "a segment is missing");
    }
    if (!error && recover->is_sealed)
        error = recover_next_segment(recover);
    if (!error &&
        (recover->gap_index != 0 || recover->out->last_index < recover->out->floor.base_index))
        error = recover_refuse(recover, E_CORRUPT, recover->out->end, "entries are missing");
    if (!error && wal_remove_segments(recover->options->folder, first) != 0)
        error = recover_refuse_io(recover);
    return error;
}

/* No floor: the first start was interrupted, at most with an empty first segment. Anything more has
 * lost its floor. */
static int recover_unbegun(struct recover *recover, const uint64_t *sequences, size_t count)
{
    struct wal_batch_header batch;
    recover->out->floor.first_sequence = 1;
    if (count == 0)
        return 0;
    wal_segment_name(recover->path, recover->options->folder, sequences[0]);
    bool is_empty = count == 1 && sequences[0] == 1;
    if (is_empty) {
        if (wal_file_read(&recover->file, recover->path, false) != 0)
            return recover_refuse_io(recover);
        int error = recover_header(recover, 1);
        is_empty = !error &&
                   wal_find_batch_header(&batch, recover->header.salt, recover->file.data,
                                         recover->file.len, WAL_HEADER_BYTES) == recover->file.len;
        wal_file_free(&recover->file);
        if (error)
            return error;
    }
    if (!is_empty)
        return recover_refuse(recover, E_CORRUPT, 0, "the log's floor file is missing");
    recover->out->next_batch = 0;
    return unlink(recover->path) == 0 ? 0 : recover_refuse_io(recover);
}

int wal_recover(const struct wal_recovery *recovery, struct wal_recovered *recovered,
                struct wal_index *index)
{
    uint64_t *sequences = NULL;
    size_t count = 0;
    struct recover recover = {.options = recovery,
                              .out = recovered,
                              .index = index,
                              .is_suspect = wal_is_suspect(recovery->folder)};
    *recovered = (struct wal_recovered){0};
    snprintf(recover.path, sizeof(recover.path), "%s", recovery->folder);
    int floor = wal_load_floor(recovery->folder, recovery->identity->raft_id, &recovered->floor);
    if (floor != 0 && floor != E_NOT_FOUND)
        return floor;
    if (recover.is_suspect)
        LOG_WARN("log_suspect", LOG_STR("folder", recovery->folder),
                 LOG_STR("reason", "a write failed before; all of it is read from the device"));
    recovered->last_index = recovered->floor.base_index;
    recovered->last_term = recovered->floor.base_term;
    wal_index_clear(index, recovered->last_index);
    int error = wal_list_segments(recovery->folder, &sequences, &count) == 0
                    ? 0
                    : recover_refuse_io(&recover);
    if (!error)
        error = floor == 0 ? recover_segments(&recover, sequences, count)
                           : recover_unbegun(&recover, sequences, count);
    free(sequences);
    wal_file_free(&recover.file);
    wal_span_fini(&recover.span);
    if (!error && recover.is_suspect)
        wal_clear_suspect(recovery->folder);
    return error;
}
