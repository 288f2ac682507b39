/* wal_read.c - follows batches through segments. */
#include "procs/raft/wal/wal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

#define WAL_WINDOW_BYTES (128u << 10) /* read at once */
#define WAL_WINDOW_KEEP (1u << 20)    /* kept between reads */

void wal_reader_init(struct wal_reader *reader, const char *folder)
{
    *reader = (struct wal_reader){.folder = folder, .fd = -1};
}

void wal_reader_forget(struct wal_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = -1;
    reader->next.index = 0;
}

void wal_reader_fini(struct wal_reader *reader)
{
    wal_reader_forget(reader);
    free(reader->window);
    wal_span_fini(&reader->span);
}

static int wal_reader_refuse(const struct wal_reader *reader, int error, size_t offset,
                             const char *reason)
{
    LOG_ERROR("log_not_readable", LOG_STR("error", error_text(error)), LOG_STR("reason", reason),
              LOG_STR("file", reader->path), LOG_U64("offset", offset));
    return error;
}

/* The window holds len bytes from offset on, or the file has no more. */
static int wal_reader_need(struct wal_reader *reader, size_t offset, size_t len)
{
    size_t want = len > WAL_WINDOW_BYTES ? len : WAL_WINDOW_BYTES;
    if (offset >= reader->window_offset &&
        offset + len <= reader->window_offset + reader->window_len)
        return 0;
    if (reader->window_room < want) {
        free(reader->window);
        reader->window = mem_resize(NULL, want);
        reader->window_room = want;
    }
    reader->window_offset = offset;
    reader->window_len = 0;
    while (reader->window_len < want) {
        ssize_t got = pread(reader->fd, reader->window + reader->window_len,
                            want - reader->window_len, (off_t)(offset + reader->window_len));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return wal_reader_refuse(reader, E_IO, offset, log_errno_text(errno));
        if (got == 0)
            break;
        reader->window_len += (size_t)got;
    }
    return 0;
}

/* The bytes at offset; NULL when the file has not so many. */
static const uint8_t *wal_reader_at(const struct wal_reader *reader, size_t offset, size_t len)
{
    CHECK(offset >= reader->window_offset);
    size_t at = offset - reader->window_offset;
    return at + len <= reader->window_len ? reader->window + at : NULL;
}

static int wal_reader_open(struct wal_reader *reader, uint32_t sequence)
{
    struct wal_segment_header header;
    if (reader->fd >= 0 && reader->sequence == sequence)
        return 0;
    if (reader->fd >= 0)
        close(reader->fd);
    wal_segment_name(reader->path, reader->folder, sequence);
    reader->sequence = sequence;
    reader->window_len = 0;
    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0)
        return wal_reader_refuse(reader, E_IO, 0, log_errno_text(errno));
    int error = wal_reader_need(reader, 0, WAL_HEADER_BYTES);
    if (error)
        return error;
    const uint8_t *bytes = wal_reader_at(reader, 0, WAL_HEADER_BYTES);
    error = bytes ? wal_decode_segment_header(&header, bytes) : E_CORRUPT;
    if (!error && header.sequence != sequence)
        error = E_CORRUPT;
    if (error)
        return wal_reader_refuse(reader, error, 0, "the segment's header is not readable");
    reader->salt = header.salt;
    return 0;
}

/* The batch at offset: its header, and its payload in the window. */
static int wal_reader_batch(struct wal_reader *reader, size_t offset,
                            struct wal_batch_header *header, struct slice *payload)
{
    int error = wal_reader_need(reader, offset, WAL_BATCH_HEADER_BYTES);
    if (error)
        return error;
    const uint8_t *bytes = wal_reader_at(reader, offset, WAL_BATCH_HEADER_BYTES);
    if (!bytes || !wal_decode_batch_header(header, reader->salt, bytes))
        return wal_reader_refuse(reader, E_CORRUPT, offset, "a damaged batch header");
    size_t begin = offset + WAL_BATCH_HEADER_BYTES;
    error = wal_reader_need(reader, begin, header->payload_bytes);
    if (error)
        return error;
    bytes = wal_reader_at(reader, begin, header->payload_bytes);
    if (!bytes || hash_crc32c(0, bytes, header->payload_bytes) != header->payload_crc)
        return wal_reader_refuse(reader, E_CORRUPT, offset, "a damaged batch");
    *payload = slice_of(bytes, header->payload_bytes);
    return 0;
}

/* Visits what is wanted of the span. E_CORRUPT: it does not go on where it should. */
static int wal_reader_visit(struct wal_reader *reader, struct wal_read_range *range,
                            wal_visit_fn *visit, void *arg)
{
    const struct wal_span *span = &reader->span;
    for (size_t i = 0; i < span->count && range->reached < range->end && !range->enough; i++) {
        const struct wal_entry *entry = &span->entries[i];
        if (entry->index < range->reached)
            continue;
        if (entry->index > range->reached)
            return E_CORRUPT;
        range->reached++;
        range->bytes += entry->payload.len;
        range->enough = !visit(entry, arg) || range->bytes >= range->max_bytes;
    }
    return 0;
}

static int wal_reader_follow(struct wal_reader *reader, struct wal_read_range *range,
                             wal_visit_fn *visit, void *arg)
{
    uint32_t sequence = range->place.sequence, offset = range->place.offset;
    if (reader->next.index == range->first && reader->next.place.sequence == sequence &&
        reader->next.place.offset == offset) {
        sequence = reader->next.sequence;
        offset = reader->next.offset;
    }
    int error = 0;
    while (range->reached < range->end && !range->enough && !error) {
        struct wal_batch_header header;
        struct slice payload;
        error = wal_reader_open(reader, sequence);
        error = error ? error : wal_reader_batch(reader, offset, &header, &payload);
        if (error)
            break;
        error = wal_span_decode(&reader->span, payload);
        error = error ? error : wal_reader_visit(reader, range, visit, arg);
        if (error)
            return wal_reader_refuse(reader, error, offset, "the batch is not the one expected");
        /* a batch that was not used up is where the next read begins */
        reader->next.sequence = sequence;
        reader->next.offset = offset;
        if (header.kind == WAL_BATCH_SEAL) {
            sequence++;
            offset = WAL_HEADER_BYTES;
        } else {
            offset += WAL_BATCH_HEADER_BYTES + header.payload_bytes;
        }
    }
    reader->next.index = range->reached;
    reader->next.place = range->place;
    return error;
}

int wal_reader_read(struct wal_reader *reader, struct wal_read_range *range, wal_visit_fn *visit,
                    void *arg)
{
    CHECK(range->first < range->end);
    range->reached = range->first;
    range->enough = false;
    reader->window_len = 0; /* the segment may have grown since */
    int error = wal_reader_follow(reader, range, visit, arg);
    if (error)
        wal_reader_forget(reader);
    if (reader->window_room > WAL_WINDOW_KEEP) {
        free(reader->window);
        reader->window = NULL;
        reader->window_len = reader->window_room = 0;
    }
    return error;
}
