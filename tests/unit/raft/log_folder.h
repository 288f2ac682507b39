/* log_folder.h - what the tests of the log share: a folder of their own, a log in it that is filled
 * and read back, and its files as bytes. */
#ifndef INSI_TESTS_UNIT_RAFT_LOG_FOLDER_H
#define INSI_TESTS_UNIT_RAFT_LOG_FOLDER_H

#include <criterion/criterion.h>

#include "base/buf.h"
#include "procs/raft/wal/wal.h"
#include "procs/raft/wal/wal_recover.h"

#define LOG_NODE "node0"

struct log_folder {
    char path[64];
    struct wal_options options; /* for the next log_open */
    struct wal *wal;
    struct wal_state state; /* as it was opened */
    uint64_t write;         /* number of the last write */
    unsigned logged;        /* lines since log_folder_init that hold the text */
    char logged_text[64];
    char last_error[2048]; /* the last line of level error */
};

/* In memory (tmpfs) where there is such a file system, or on the disk under /tmp. */
void log_folder_init(struct log_folder *folder, bool on_disk);
void log_folder_fini(struct log_folder *folder); /* closes the log, removes the folder */
void log_count_lines(struct log_folder *folder, const char *text);

int log_open(struct log_folder *folder);
void log_close(struct log_folder *folder);
void log_reopen(struct log_folder *folder); /* must succeed */

/* One write with count entries from index on; the payload of entry i of term t is "<i>.<t>." and
 * as many dots as make it bytes long. */
void log_add(struct log_folder *folder, uint64_t index, uint32_t count, uint64_t term,
             size_t bytes);
void log_add_kind(struct log_folder *folder, uint64_t index, uint64_t term,
                  enum wal_entry_kind kind, struct slice payload);
void log_add_hard_state(struct log_folder *folder, uint64_t term, uint64_t vote);
/* Until everything written so far is durable. */
void log_sync(struct log_folder *folder);
/* Likewise, for a reset. */
void log_sync_reset(struct log_folder *folder, uint64_t index);

/* Reads all entries from first on and checks their payloads; out gets "3.1 4.1 5.2" (index and
 * term) and is good until the next call. */
const char *log_entries(struct log_folder *folder, uint64_t first);
/* Likewise through the index of a recovery, without a log. */
const char *log_recovered_entries(const char *path, const struct wal_index *index,
                                  const struct wal_recovered *recovered);
bool log_payload_is_right(const struct wal_entry *entry);

/* ---- files ---- */
void log_file_name(const struct log_folder *folder, char out[WAL_NAME_BYTES], uint64_t sequence);
bool log_file_exists(const struct log_folder *folder, const char *name);
size_t log_file_load(const char *path, uint8_t **bytes); /* the caller frees */
void log_file_store(const char *path, const uint8_t *bytes, size_t len);
uint64_t log_segment_count(const struct log_folder *folder, uint64_t *first);

/* ---- logs of several small segments ---- */
#define LOG_SMALL_BYTES (2 * WAL_HEADER_BYTES)

/* Sixty entries in six segments or more, closed. */
void log_make_segments(struct log_folder *folder);
void log_remove_segment(const struct log_folder *folder, uint64_t sequence);
/* The log cannot be opened, and its line names the segment and the reason. */
void log_expect_refusal(struct log_folder *folder, int error, uint64_t sequence,
                        const char *reason);

#endif
