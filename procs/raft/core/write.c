/* write.c - what is on the disk, and what only on its way there.
 *
 *   Each step makes at most one write: term and vote first, then entries. Writes are numbered, and
 *   the disk finishes them in order.
 *   A finished write makes durable what it wrote and nothing that overrode it since: truncation
 *   lowers what the waiting writes stand for (P4: else the late completion of an old write marks
 *   entries as durable that merely have the same indexes).
 */
#include <string.h>

#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

#define WRITES_ROOM_MIN 64

/* Of this step's write. */
static uint64_t raft_write_number(const struct raft *raft)
{
    return raft->write_last + 1;
}

void raft_write_hard_state(struct raft *raft, uint64_t term, uint64_t vote)
{
    CHECK(term >= raft->term);
    if (term == raft->term && vote == raft->vote)
        return;
    CHECK(term > raft->term || raft->vote == RAFT_NONE || RAFT_MUTANT(VOTE_TWICE));
    raft->term = term;
    raft->vote = vote;
    raft->term_write = raft_write_number(raft);
    raft->update->hard_state_changed = true;
}

static void raft_write_truncate(struct raft *raft, uint64_t from)
{
    CHECK(from > raft->commit_index || RAFT_MUTANT(TRUNCATE_SHORT) ||
          RAFT_MUTANT(SNAPSHOT_DROPS_SUFFIX));
    raft_log_truncate(&raft->log, from);
    raft_conf_truncate(raft, from);
    if (RAFT_MUTANT(PERSISTED_ABA))
        return;
    if (raft->durable_index >= from)
        raft->durable_index = from - 1;
    for (uint32_t i = raft->writes_head; i < raft->writes_count; i++)
        if (raft->writes[i].last_index >= from)
            raft->writes[i].last_index = from - 1;
}

void raft_write_local(struct raft *raft, enum raft_append_kind kind, uint32_t count,
                      const uint32_t *bytes)
{
    CHECK(raft->role == RAFT_LEADER && count > 0 && raft->update->append_kind == RAFT_APPEND_NONE);
    raft->update->append_kind = kind;
    raft->update->append_first = raft->log.last_index + 1;
    for (uint32_t i = 0; i < count; i++) {
        raft_log_append(&raft->log, raft->term, bytes ? bytes[i] : 0);
        raft->uncommitted_bytes += bytes ? bytes[i] : 0;
    }
    raft->update->append_last = raft->log.last_index;
}

void raft_write_received(struct raft *raft, uint64_t first, const struct raft_entry *entries,
                         uint32_t count, uint32_t skip)
{
    CHECK(count > 0 && raft->update->append_kind == RAFT_APPEND_NONE);
    CHECK(first <= raft->log.last_index + 1);
    if (first <= raft->log.last_index) {
        raft_write_truncate(raft, first);
        raft->update->truncated = true;
    }
    for (uint32_t i = 0; i < count; i++) {
        raft_log_append(&raft->log, entries[i].term, entries[i].bytes);
        if (entries[i].config)
            raft_conf_append(raft, raft->log.last_index, entries[i].config);
    }
    raft->update->append_kind = RAFT_APPEND_RECEIVED;
    raft->update->append_skip = skip;
    raft->update->append_first = first;
    raft->update->append_last = raft->log.last_index;
}

void raft_write_end(struct raft *raft)
{
    struct raft_update *update = raft->update;
    bool appended = update->append_kind != RAFT_APPEND_NONE;
    if (!appended && !update->hard_state_changed)
        return;
    update->write = ++raft->write_last;
    if (raft->writes_count == raft->writes_room && raft->writes_head > raft->writes_count / 2) {
        raft->writes_count -= raft->writes_head;
        memmove(raft->writes, raft->writes + raft->writes_head,
                raft->writes_count * sizeof(raft->writes[0]));
        raft->writes_head = 0;
    }
    if (raft->writes_count == raft->writes_room)
        raft->writes =
            mem_grow(raft->writes, &raft->writes_room, sizeof(raft->writes[0]), WRITES_ROOM_MIN);
    raft->writes[raft->writes_count++] =
        (struct raft_write){.number = raft->write_last,
                            .last_index = appended ? raft->log.last_index : 0,
                            .since_ns = raft->now_ns};
}

bool raft_write_done(struct raft *raft, uint64_t number)
{
    CHECK(number <= raft->write_last);
    if (number <= raft->write_durable)
        return false;
    raft->write_durable = number;
    for (; raft->writes_head < raft->writes_count; raft->writes_head++) {
        const struct raft_write *write = &raft->writes[raft->writes_head];
        if (write->number > number)
            break;
        if (write->last_index > raft->durable_index)
            raft->durable_index = write->last_index;
    }
    if (raft->durable_index > raft->log.last_index) {
        CHECK(RAFT_MUTANT(PERSISTED_ABA));
        raft->durable_index = raft->log.last_index;
    }
    if (raft->writes_head == raft->writes_count)
        raft->writes_head = raft->writes_count = 0;
    return true;
}

uint64_t raft_write_of(const struct raft *raft, uint64_t index)
{
    if (index <= raft->durable_index)
        return RAFT_NONE;
    for (uint32_t i = raft->writes_head; i < raft->writes_count; i++)
        if (raft->writes[i].last_index >= index)
            return raft->writes[i].number;
    return raft_write_number(raft); /* this step's */
}

uint64_t raft_write_oldest_ns(const struct raft *raft)
{
    return raft->writes_head < raft->writes_count ? raft->writes[raft->writes_head].since_ns
                                                  : RAFT_NEVER;
}
