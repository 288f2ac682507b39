/* apply_cursor.c - what one worker was sent and has applied. */
#include "procs/raft/apply_cursor.h"

#include <string.h>

#include "base/check.h"

void apply_cursor_init(struct apply_cursor *cursor, uint64_t last_index)
{
    *cursor = (struct apply_cursor){.ceiling = last_index};
}

static void apply_cursor_forget(struct apply_cursor *cursor)
{
    cursor->head = cursor->count = 0;
    cursor->flying_bytes = 0;
}

/* A state with nothing in it belongs to any log. */
static enum apply_verdict apply_cursor_judge(const struct apply_cursor *cursor,
                                             const struct msg_resume *resume,
                                             const uint8_t lineage[RAFT_LINEAGE_BYTES],
                                             uint64_t first_index)
{
    static const uint8_t none[RAFT_LINEAGE_BYTES];
    bool is_empty = resume->applied_index == 0 && memcmp(resume->lineage, none, sizeof(none)) == 0;
    if (!is_empty && memcmp(resume->lineage, lineage, RAFT_LINEAGE_BYTES) != 0)
        return APPLY_FOREIGN;
    if (resume->applied_index > cursor->ceiling)
        return APPLY_FOREIGN;
    return resume->applied_index + 1 >= first_index ? APPLY_FITS : APPLY_BEHIND;
}

enum apply_verdict apply_cursor_resume(struct apply_cursor *cursor, const struct msg_resume *resume,
                                       const uint8_t lineage[RAFT_LINEAGE_BYTES],
                                       uint64_t first_index, uint64_t now_ns)
{
    apply_cursor_down(cursor);
    enum apply_verdict verdict = apply_cursor_judge(cursor, resume, lineage, first_index);
    if (verdict == APPLY_FOREIGN)
        return verdict;
    cursor->applied_index = resume->applied_index;
    cursor->next_index = resume->applied_index + 1;
    cursor->is_flowing = verdict == APPLY_FITS;
    cursor->progress_ns = now_ns;
    return verdict;
}

void apply_cursor_install(struct apply_cursor *cursor, uint64_t index)
{
    apply_cursor_down(cursor);
    cursor->ceiling = index;
}

void apply_cursor_load(struct apply_cursor *cursor, uint64_t index)
{
    if (index > cursor->ceiling)
        cursor->ceiling = index;
}

void apply_cursor_down(struct apply_cursor *cursor)
{
    cursor->is_flowing = false;
    apply_cursor_forget(cursor);
}

bool apply_cursor_has_room(const struct apply_cursor *cursor)
{
    return cursor->is_flowing && cursor->flying_bytes < RAFT_WORKER_WINDOW_BYTES &&
           cursor->count < APPLY_BATCHES_MAX;
}

void apply_cursor_sent(struct apply_cursor *cursor, uint64_t last_index, size_t bytes,
                       uint64_t now_ns)
{
    CHECK(cursor->is_flowing && cursor->count < APPLY_BATCHES_MAX);
    CHECK(last_index >= cursor->next_index);
    if (cursor->count == 0)
        cursor->progress_ns = now_ns;
    cursor->batches[(cursor->head + cursor->count++) % APPLY_BATCHES_MAX] =
        (struct apply_batch){last_index, bytes};
    cursor->flying_bytes += bytes;
    cursor->next_index = last_index + 1;
    if (last_index > cursor->ceiling)
        cursor->ceiling = last_index;
}

bool apply_cursor_applied(struct apply_cursor *cursor, uint64_t index, uint64_t now_ns)
{
    if (!cursor->is_flowing || index < cursor->applied_index || index >= cursor->next_index)
        return false;
    while (cursor->count > 0 && cursor->batches[cursor->head].last_index <= index) {
        cursor->flying_bytes -= cursor->batches[cursor->head].bytes;
        cursor->head = (cursor->head + 1) % APPLY_BATCHES_MAX;
        cursor->count--;
    }
    cursor->applied_index = index;
    cursor->progress_ns = now_ns;
    return true;
}

uint64_t apply_cursor_stalls_ns(const struct apply_cursor *cursor, uint64_t limit_ns)
{
    return cursor->count > 0 ? cursor->progress_ns + limit_ns : 0;
}
