/* log.c - terms and sizes by index. */
#include "procs/raft/core/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define LOG_ROOM_MIN 64

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
    *log = (struct raft_log){0};
    raft_log_reset(log, base_index, base_term);
}

void raft_log_fini(struct raft_log *log)
{
    free(log->runs);
    free(log->bytes);
    *log = (struct raft_log){0};
}

void raft_log_reset(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
    log->base_index = log->last_index = base_index;
    log->base_term = base_term;
    log->run_count = 0;
    log->bytes_first = base_index + 1;
}

/* The run that holds index, by binary search; the log is not empty and index lies in it. */
static uint32_t raft_log_run(const struct raft_log *log, uint64_t index)
{
    uint32_t low = 0, high = log->run_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs[middle].first_index <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index == log->base_index)
        return log->base_term;
    if (index < log->base_index || index > log->last_index)
        return 0;
    return log->runs[raft_log_run(log, index)].term;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->run_count > 0 ? log->runs[log->run_count - 1].term : log->base_term;
}

uint32_t raft_log_bytes(const struct raft_log *log, uint64_t index)
{
    CHECK(index > log->base_index && index <= log->last_index);
    return log->bytes[index - log->bytes_first];
}

uint64_t raft_log_find_term_at_most(const struct raft_log *log, uint64_t limit, uint64_t term)
{
    if (limit > log->last_index)
        limit = log->last_index;
    if (limit <= log->base_index)
        return log->base_index;
    uint32_t run = raft_log_run(log, limit);
    if (log->runs[run].term <= term)
        return limit;
    while (run > 0 && log->runs[run - 1].term > term)
        run--;
    return log->runs[run].first_index - 1;
}

/* Makes room for one more size: by moving the live ones to the front when half of the array is
 * behind the base, else by growing. */
static void raft_log_make_room(struct raft_log *log)
{
    uint64_t used = log->last_index + 1 - log->bytes_first;
    if (used < log->bytes_room)
        return;
    uint64_t dead = log->base_index + 1 - log->bytes_first;
    if (dead > used / 2) {
        memmove(log->bytes, log->bytes + dead, (used - dead) * sizeof(log->bytes[0]));
        log->bytes_first += dead;
        return;
    }
    log->bytes_room = log->bytes_room ? log->bytes_room * 2 : LOG_ROOM_MIN;
    log->bytes = mem_resize(log->bytes, log->bytes_room * sizeof(log->bytes[0]));
}

void raft_log_append(struct raft_log *log, uint64_t term, uint32_t bytes)
{
    CHECK(term > 0 && term >= raft_log_last_term(log));
    raft_log_make_room(log);
    log->last_index++;
    log->bytes[log->last_index - log->bytes_first] = bytes;
    if (log->run_count > 0 && log->runs[log->run_count - 1].term == term)
        return;
    if (log->run_count == log->run_room)
        log->runs = mem_grow(log->runs, &log->run_room, sizeof(log->runs[0]), LOG_ROOM_MIN);
    log->runs[log->run_count++] = (struct raft_run){log->last_index, term};
}

void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    CHECK(from > log->base_index);
    if (from > log->last_index)
        return;
    log->last_index = from - 1;
    while (log->run_count > 0 && log->runs[log->run_count - 1].first_index >= from)
        log->run_count--;
}

void raft_log_compact(struct raft_log *log, uint64_t base)
{
    CHECK(base >= log->base_index && base <= log->last_index);
    if (base == log->base_index)
        return;
    uint64_t term = raft_log_term(log, base);
    if (base == log->last_index) {
        raft_log_reset(log, base, term);
        return;
    }
    uint32_t run = raft_log_run(log, base + 1);
    log->run_count -= run;
    memmove(log->runs, log->runs + run, log->run_count * sizeof(log->runs[0]));
    if (log->runs[0].first_index <= base)
        log->runs[0].first_index = base + 1;
    log->base_index = base;
    log->base_term = term;
}
