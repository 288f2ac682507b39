/* cluster_time.c - see cluster_time.h. */
#include "procs/raft/cluster_time.h"

#include "base/clock.h"

void cluster_time_init(struct cluster_time *time, const struct group *group, struct board *board)
{
    *time = (struct cluster_time){.group = group, .board = board};
}

/* ---- at the leader ----------------------------------------------------------------------------
 */

void cluster_time_note(struct cluster_time *time, uint64_t stamp_ms)
{
    cluster_clock_note(&time->clock, stamp_ms);
}

uint64_t cluster_time_last_ms(const struct cluster_time *time)
{
    return time->clock.last_ms;
}

void cluster_time_lead(struct cluster_time *time)
{
    uint64_t shown_ms =
        board_has_cluster_time(time->board) ? board_cluster_time_ms(time->board) : 0;
    int64_t offset_ms =
        cluster_clock_lead(&time->clock, clock_boot_ms(), clock_wall_ms(), shown_ms);
    board_write_clock_offset(time->board, offset_ms);
}

uint64_t cluster_time_stamp(struct cluster_time *time)
{
    return cluster_clock_stamp(&time->clock, clock_boot_ms());
}

/* ---- from the leader --------------------------------------------------------------------------
 */

void cluster_time_on_leader(struct cluster_time *time)
{
    clock_sync_forget(&time->sync);
}

void cluster_time_ask(struct peer *leader)
{
    (void)peer_say_clock_ask(leader, clock_boot_ns());
}

static void cluster_time_on_ask(struct cluster_time *time, struct peer *from, struct unpack *body)
{
    struct peer_clock clock;
    if (peer_id_decode(&clock.asked_ns, body) != 0 || !group_leads(time->group))
        return;
    int64_t now_ns = (int64_t)clock_boot_ns() + time->clock.offset_ms * (int64_t)NS_PER_MS;
    clock.cluster_ns = now_ns > 0 ? (uint64_t)now_ns : 0;
    (void)peer_say_clock_answer(from, &clock);
}

static void cluster_time_on_answer(struct cluster_time *time, const struct peer *from,
                                   struct unpack *body)
{
    struct peer_clock clock;
    uint64_t now_ns = clock_boot_ns();
    if (peer_clock_answer_decode(&clock, body) != 0 || peer_info(from)->id != time->group->leader)
        return;
    if (!clock_sync_note(&time->sync, clock.asked_ns, now_ns, clock.cluster_ns)) {
        unpack_refuse(body);
        return;
    }
    bool is_shown = board_has_cluster_time(time->board);
    int64_t shown_ms = is_shown ? board_clock_offset_ms(time->board) : 0;
    int64_t offset_ms = clock_sync_offset_ms(&time->sync, now_ns, is_shown, shown_ms);
    if (!is_shown || offset_ms != shown_ms)
        board_write_clock_offset(time->board, offset_ms);
}

void cluster_time_on_message(struct cluster_time *time, struct peer *from, enum peer_message number,
                             struct unpack *body)
{
    if (number == PEER_CLOCK_ASK)
        cluster_time_on_ask(time, from, body);
    else
        cluster_time_on_answer(time, from, body);
}
