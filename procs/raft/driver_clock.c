/* driver_clock.c - once a second: a follower asks its leader for cluster time (clock_sync.h), and
 * says whether its disk is full; a leader looks whether members have moved. */
#include "base/clock.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

#define DRIVER_TICK_NS NS_PER_S

static void driver_ask_clock(struct peer *leader)
{
    struct pack *pack;
    if (peer_begin(leader, PEER_CLOCK_ASK, &pack) != 0)
        return;
    peer_id_pack(pack, clock_boot_ns());
    peer_end(leader);
}

void driver_on_tick_timer(void *arg)
{
    struct driver *driver = arg;
    struct peer *leader = peers_by_id(driver->peers, driver->group.leader);
    if (leader) {
        driver_ask_clock(leader);
        driver_say_disk(driver, leader);
    }
    if (group_leads(&driver->group))
        driver_renew_addresses(driver);
    if (driver->group.leader != RAFT_NONE && driver->group.members.count > 1)
        loop_timer_set(driver->loop, &driver->tick_timer,
                       loop_now_ns(driver->loop) + DRIVER_TICK_NS);
}

/* Another leader: what the last one said does not count any more. */
void driver_clock_on_leader(struct driver *driver)
{
    clock_sync_forget(&driver->clock_sync);
    driver->said_full = false;
    loop_timer_set(driver->loop, &driver->tick_timer, loop_now_ns(driver->loop));
}

/* A node that was alone is not any more. */
void driver_clock_on_members(struct driver *driver)
{
    if (driver->group.members.count > 1 && driver->tick_timer.due_ns == 0)
        loop_timer_set(driver->loop, &driver->tick_timer, loop_now_ns(driver->loop));
}

static void driver_on_clock_ask(struct driver *driver, struct peer *from, struct unpack *body)
{
    struct peer_clock clock;
    struct pack *pack;
    if (peer_id_decode(&clock.asked_ns, body) != 0 || !group_leads(&driver->group))
        return;
    int64_t now_ns = (int64_t)clock_boot_ns() + driver->clock.offset_ms * (int64_t)NS_PER_MS;
    clock.cluster_ns = now_ns > 0 ? (uint64_t)now_ns : 0;
    if (peer_begin(from, PEER_CLOCK_ANSWER, &pack) != 0)
        return;
    peer_clock_answer_pack(pack, &clock);
    peer_end(from);
}

static void driver_on_clock_answer(struct driver *driver, const struct peer *from,
                                   struct unpack *body)
{
    struct peer_clock clock;
    uint64_t now_ns = clock_boot_ns();
    if (peer_clock_answer_decode(&clock, body) != 0 || peer_info(from)->id != driver->group.leader)
        return;
    if (!clock_sync_note(&driver->clock_sync, clock.asked_ns, now_ns, clock.cluster_ns)) {
        unpack_refuse(body);
        return;
    }
    bool is_shown = board_has_cluster_time(driver->board);
    int64_t shown_ms = is_shown ? board_clock_offset_ms(driver->board) : 0;
    int64_t offset_ms = clock_sync_offset_ms(&driver->clock_sync, now_ns, is_shown, shown_ms);
    if (!is_shown || offset_ms != shown_ms)
        board_write_clock_offset(driver->board, offset_ms);
}

void driver_clock_on_message(struct driver *driver, struct peer *from, enum peer_message number,
                             struct unpack *body)
{
    if (number == PEER_CLOCK_ASK)
        driver_on_clock_ask(driver, from, body);
    else
        driver_on_clock_answer(driver, from, body);
}
