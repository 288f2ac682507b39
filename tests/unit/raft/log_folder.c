/* log_folder.c - a log of its own for each test. */
#include "tests/unit/raft/log_folder.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

static void log_on_line(enum log_level level, const char *line, void *arg)
{
    struct log_folder *folder = arg;
    if (folder->logged_text[0] && strstr(line, folder->logged_text))
        folder->logged++;
    if (level == LOG_LEVEL_ERROR)
        snprintf(folder->last_error, sizeof(folder->last_error), "%s", line);
}

void log_folder_init(struct log_folder *folder, bool on_disk)
{
    *folder = (struct log_folder){0};
    bool in_memory = !on_disk && access("/dev/shm", W_OK) == 0;
    snprintf(folder->path, sizeof(folder->path), "%s/insi-log-XXXXXX",
             in_memory ? "/dev/shm" : "/tmp");
    cr_assert_not_null(mkdtemp(folder->path));
    folder->options.folder = folder->path;
    folder->options.node = LOG_NODE;
    log_set_hook(log_on_line, folder);
}

void log_folder_fini(struct log_folder *folder)
{
    wal_close(&folder->wal);
    cr_assert_eq(path_remove_tree(folder->path), 0);
    log_set_hook(NULL, NULL);
}

void log_count_lines(struct log_folder *folder, const char *text)
{
    snprintf(folder->logged_text, sizeof(folder->logged_text), "%s", text);
    folder->logged = 0;
}

int log_open(struct log_folder *folder)
{
    folder->write = 0;
    return wal_open(&folder->wal, &folder->options, &folder->state);
}

void log_close(struct log_folder *folder)
{
    wal_close(&folder->wal);
}

void log_reopen(struct log_folder *folder)
{
    log_close(folder);
    cr_assert_eq(log_open(folder), 0);
}

/* ---- writing ---- */

static struct slice log_payload(char *out, size_t bytes, uint64_t index, uint64_t term)
{
    int len = snprintf(out, bytes + 48, "%lu.%lu.", index, term);
    cr_assert_gt(len, 0);
    if ((size_t)len < bytes)
        memset(out + len, '.', bytes - (size_t)len);
    return slice_of(out, (size_t)len < bytes ? bytes : (size_t)len);
}

void log_add(struct log_folder *folder, uint64_t index, uint32_t count, uint64_t term, size_t bytes)
{
    char *payload = mem_alloc(bytes + 64);
    wal_begin_write(folder->wal, ++folder->write);
    for (uint32_t i = 0; i < count; i++) {
        struct wal_entry entry = {.index = index + i,
                                  .term = term,
                                  .kind = WAL_COMMAND,
                                  .payload = log_payload(payload, bytes, index + i, term)};
        wal_add_entry(folder->wal, &entry);
    }
    wal_end_write(folder->wal);
    wal_flush(folder->wal);
    free(payload);
}

void log_add_kind(struct log_folder *folder, uint64_t index, uint64_t term,
                  enum wal_entry_kind kind, struct slice payload)
{
    wal_begin_write(folder->wal, ++folder->write);
    wal_add_entry(folder->wal, &(struct wal_entry){
                                   .index = index, .term = term, .kind = kind, .payload = payload});
    wal_end_write(folder->wal);
    wal_flush(folder->wal);
}

void log_add_hard_state(struct log_folder *folder, uint64_t term, uint64_t vote)
{
    wal_begin_write(folder->wal, ++folder->write);
    wal_add_hard_state(folder->wal, term, vote);
    wal_end_write(folder->wal);
    wal_flush(folder->wal);
}

static void log_wait(struct log_folder *folder)
{
    struct pollfd wake = {.fd = wal_fd(folder->wal), .events = POLLIN};
    cr_assert_eq(poll(&wake, 1, 30000), 1, "nothing became durable");
}

void log_sync(struct log_folder *folder)
{
    while (wal_take_durable(folder->wal).write < folder->write)
        log_wait(folder);
}

void log_sync_reset(struct log_folder *folder, uint64_t index)
{
    wal_flush(folder->wal);
    while (wal_take_durable(folder->wal).reset_index != index)
        log_wait(folder);
}

/* ---- reading ---- */

bool log_payload_is_right(const struct wal_entry *entry)
{
    char head[48];
    int len = snprintf(head, sizeof(head), "%lu.%lu.", entry->index, entry->term);
    const char *bytes = entry->payload.data;
    if (entry->payload.len < (size_t)len || memcmp(bytes, head, (size_t)len) != 0)
        return false;
    for (size_t i = (size_t)len; i < entry->payload.len; i++)
        if (bytes[i] != '.')
            return false;
    return true;
}

struct log_list {
    char text[1 << 16];
    size_t len;
    uint64_t next;
};

static bool log_list_entry(const struct wal_entry *entry, void *arg)
{
    struct log_list *list = arg;
    cr_assert_eq(entry->index, list->next);
    list->next++;
    if (entry->kind == WAL_COMMAND)
        cr_assert(log_payload_is_right(entry), "payload of entry %lu", entry->index);
    list->len += (size_t)snprintf(list->text + list->len, sizeof(list->text) - list->len,
                                  "%s%lu.%lu", list->len ? " " : "", entry->index, entry->term);
    cr_assert_lt(list->len, sizeof(list->text));
    return true;
}

const char *log_entries(struct log_folder *folder, uint64_t first)
{
    static struct log_list list;
    list = (struct log_list){.next = first};
    while (list.next <= wal_last_index(folder->wal))
        cr_assert_eq(wal_read(folder->wal, list.next, 1000, log_list_entry, &list), 0);
    return list.text;
}

const char *log_recovered_entries(const char *path, const struct wal_index *index,
                                  const struct wal_recovered *recovered)
{
    static struct log_list list;
    struct wal_reader reader;
    uint64_t first = recovered->floor.base_index + 1;
    list.len = 0;
    list.text[0] = '\0';
    list.next = first;
    wal_reader_init(&reader, path);
    while (list.next <= recovered->last_index) {
        struct wal_read_range range = {.first = list.next, .max_bytes = SIZE_MAX};
        cr_assert(wal_index_find(index, range.first, &range.place, &range.end));
        if (range.end > recovered->last_index + 1)
            range.end = recovered->last_index + 1;
        cr_assert_eq(wal_reader_read(&reader, &range, log_list_entry, &list), 0);
    }
    wal_reader_fini(&reader);
    return list.text;
}

/* ---- files ---- */

void log_file_name(const struct log_folder *folder, char out[WAL_NAME_BYTES], uint64_t sequence)
{
    wal_segment_name(out, folder->path, sequence);
}

bool log_file_exists(const struct log_folder *folder, const char *name)
{
    char path[WAL_NAME_BYTES];
    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    return access(path, F_OK) == 0;
}

size_t log_file_load(const char *path, uint8_t **bytes)
{
    struct wal_file file;
    cr_assert_eq(wal_file_read(&file, path, false), 0, "%s", path);
    size_t len = file.len;
    *bytes = mem_copy(file.data, len);
    wal_file_free(&file);
    return len;
}

void log_file_store(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

uint64_t log_segment_count(const struct log_folder *folder, uint64_t *first)
{
    uint64_t *sequences;
    size_t count;
    cr_assert_eq(wal_list_segments(folder->path, &sequences, &count), 0);
    if (first)
        *first = count > 0 ? sequences[0] : 0;
    free(sequences);
    return count;
}

void log_make_segments(struct log_folder *folder)
{
    folder->options.segment_bytes = LOG_SMALL_BYTES;
    cr_assert_eq(log_open(folder), 0);
    for (uint64_t i = 1; i <= 60; i++) {
        log_add(folder, i, 1, 1, 500);
        log_sync(folder);
    }
    log_close(folder);
    cr_assert_geq(log_segment_count(folder, NULL), 6);
}

void log_remove_segment(const struct log_folder *folder, uint64_t sequence)
{
    char name[WAL_NAME_BYTES];
    log_file_name(folder, name, sequence);
    cr_assert_eq(unlink(name), 0);
}

void log_expect_refusal(struct log_folder *folder, int error, uint64_t sequence, const char *reason)
{
    char name[WAL_NAME_BYTES];
    log_file_name(folder, name, sequence);
    cr_assert_eq(log_open(folder), error);
    cr_assert_not_null(strstr(folder->last_error, name), "%s", folder->last_error);
    cr_assert_not_null(strstr(folder->last_error, reason), "%s", folder->last_error);
}
