/* driver_handover.c - before a planned stop, leadership goes to another node.
 *
 * A node that has just started cannot lead before an election timeout and the margin are over
 * (core/vote.c, rule 5), and a leader that hands over takes no proposals. So it goes on leading
 * until there is a voter that has run for so long, within HANDOVER_WAIT_NS, and only then hands
 * over, to that one.
 */
#include "base/clock.h"
#include "procs/raft/driver_private.h"

#define HANDOVER_WAIT_NS (NS_PER_S * 13 / 10) /* the supervisor waits for 1.9 s */
#define HANDOVER_LOOK_NS (20 * NS_PER_MS)
#define HANDOVER_DRIFT_PERCENT 15 /* the core's grace has 10; its start was before we heard */

/* ---- who can lead -----------------------------------------------------------------------------
 */

static struct driver_life *driver_find_life(struct driver *driver, uint64_t id)
{
    struct driver_life *oldest = &driver->handover.lives[0];
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct driver_life *life = &driver->handover.lives[i];
        if (life->id == id)
            return life;
        if (life->since_ns < oldest->since_ns)
            oldest = life;
    }
    return oldest;
}

void driver_note_life(struct driver *driver, const struct peer *peer)
{
    const struct peer_info *info = peer_info(peer);
    struct driver_life *life = driver_find_life(driver, info->id);
    if (life->id == info->id && life->start_id == info->start_id)
        return;
    *life = (struct driver_life){info->id, info->start_id, clock_boot_ns()};
}

static bool driver_has_lived(struct driver *driver, uint64_t id)
{
    const struct driver_life *life = driver_find_life(driver, id);
    uint64_t timeout_ms = driver->skel->config.raft.election_timeout_ms;
    uint64_t grace_ns = timeout_ms * NS_PER_MS / 100 * (100 + HANDOVER_DRIFT_PERCENT);
    return life->id == id && clock_boot_ns() >= life->since_ns + grace_ns;
}

bool driver_can_take_over(void *arg, uint64_t id)
{
    struct driver *driver = arg;
    return group_is_active(&driver->group, id) && driver_has_lived(driver, id);
}

/* The one with the longest log; RAFT_NONE: nobody can. any: somebody will, if we wait. */
static uint64_t driver_find_heir(struct driver *driver, bool *any)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint64_t heir = RAFT_NONE, match = 0;
    uint32_t count = raft_peers(driver->raft, clock_boot_ns(), peers);
    *any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!peers[i].voter || !peers[i].active)
            continue;
        *any = true;
        if (peers[i].match_index >= match && driver_has_lived(driver, peers[i].id)) {
            heir = peers[i].id;
            match = peers[i].match_index;
        }
    }
    return heir;
}

/* ---- handing over -----------------------------------------------------------------------------
 */

enum raft_refusal driver_transfer(struct driver *driver, uint64_t to)
{
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .transfer_to = to};
    driver->group.is_transferring = true;
    enum raft_refusal refusal = driver_step(driver, &event);
    if (refusal != RAFT_TAKEN)
        driver->group.is_transferring = false;
    return refusal;
}

static void driver_end_handover(struct driver *driver)
{
    struct raft_event event = {.kind = RAFT_EVENT_STOP};
    driver->handover.is_wanted = false;
    if (driver->handover.then_stop)
        driver_finish_work(driver);
    else
        driver_step(driver, &event); /* and skel_yielded, when it may stop */
}

void driver_on_handover_timer(void *arg)
{
    struct driver *driver = arg;
    bool any = false;
    uint64_t heir = group_leads(&driver->group) ? driver_find_heir(driver, &any) : RAFT_NONE;
    if (!any || clock_boot_ns() >= driver->handover.due_ns) {
        driver_end_handover(driver);
        return;
    }
    if (heir != RAFT_NONE && !driver->group.is_transferring)
        (void)driver_transfer(driver, heir);
    loop_timer_set(driver->loop, &driver->handover.timer, clock_boot_ns() + HANDOVER_LOOK_NS);
}

void driver_handover_on_role(struct driver *driver)
{
    if (driver->handover.is_wanted && !group_leads(&driver->group))
        loop_timer_set(driver->loop, &driver->handover.timer, loop_now_ns(driver->loop));
}

void driver_hand_over(struct driver *driver, bool then_stop)
{
    driver->handover.then_stop |= then_stop;
    if (driver->handover.is_wanted)
        return;
    driver->handover.is_wanted = true;
    driver->handover.due_ns = clock_boot_ns() + HANDOVER_WAIT_NS;
    driver_on_handover_timer(driver);
}
