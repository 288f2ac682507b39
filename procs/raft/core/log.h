/* log.h - the log as the core sees it: terms and sizes by index, no payloads.
 *
 * Terms are kept as runs, because they change seldom; sizes as one number per entry, because an
 * APPEND is bounded by bytes. base is the last index that was cut off the front (a snapshot's), its
 * term is still known.
 */
#ifndef INSI_RAFT_CORE_LOG_H
#define INSI_RAFT_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct raft_run { /* entries from first_index on have this term, up to the next run */
    uint64_t first_index, term;
};

struct raft_log {
    uint64_t base_index, base_term;
    uint64_t last_index;
    struct raft_run *runs;
    uint32_t run_count, run_room;
    uint32_t *bytes; /* of entry bytes_first + i */
    uint64_t bytes_first, bytes_room;
};

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term);
void raft_log_fini(struct raft_log *log);

uint64_t raft_log_last_term(const struct raft_log *log);
/* 0 for an index that is neither in the log nor its base. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
uint32_t raft_log_bytes(const struct raft_log *log, uint64_t index); /* must be in the log */

/* The largest index <= limit whose term is at most term; the base when there is none. */
uint64_t raft_log_find_term_at_most(const struct raft_log *log, uint64_t limit, uint64_t term);

void raft_log_append(struct raft_log *log, uint64_t term, uint32_t bytes); /* at last_index + 1 */
void raft_log_truncate(struct raft_log *log, uint64_t from);               /* from > base */
void raft_log_compact(struct raft_log *log, uint64_t base);                /* base in the log */
void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term);

#endif
