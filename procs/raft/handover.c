/* handover.c - see handover.h. */
#include "procs/raft/handover.h"

#include "base/clock.h"

#define HANDOVER_WAIT_NS (NS_PER_S * 13 / 10) /* the supervisor waits for 1.9 s */
#define HANDOVER_LOOK_NS (20 * NS_PER_MS)
#define HANDOVER_DRIFT_PERCENT 15 /* the core's grace has 10; its start was before we heard */

/* ---- who can lead -----------------------------------------------------------------------------
 */

static struct handover_life *handover_find_life(struct handover *handover, uint64_t id)
{
    struct handover_life *oldest = &handover->lives[0];
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct handover_life *life = &handover->lives[i];
        if (life->id == id)
            return life;
        if (life->since_ns < oldest->since_ns)
            oldest = life;
    }
    return oldest;
}

void handover_note_life(struct handover *handover, const struct peer *peer)
{
    const struct peer_info *info = peer_info(peer);
    struct handover_life *life = handover_find_life(handover, info->id);
    if (life->id == info->id && life->start_id == info->start_id)
        return;
    *life = (struct handover_life){info->id, info->start_id, clock_boot_ns()};
}

static bool handover_has_lived(struct handover *handover, uint64_t id)
{
    const struct handover_life *life = handover_find_life(handover, id);
    uint64_t timeout_ms = handover->config->raft.election_timeout_ms;
    uint64_t grace_ns = timeout_ms * NS_PER_MS / 100 * (100 + HANDOVER_DRIFT_PERCENT);
    return life->id == id && clock_boot_ns() >= life->since_ns + grace_ns;
}

bool handover_can_take_over(struct handover *handover, uint64_t id)
{
    return group_is_active(handover->group, id) && handover_has_lived(handover, id);
}

/* The one with the longest log; RAFT_NONE: nobody can. any: somebody will, if we wait. */
static uint64_t handover_find_heir(struct handover *handover, bool *any)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    uint64_t heir = RAFT_NONE, match = 0;
    uint32_t count = raft_peers(handover->group->core, clock_boot_ns(), peers);
    *any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (!peers[i].voter || !peers[i].active)
            continue;
        *any = true;
        if (peers[i].match_index >= match && handover_has_lived(handover, peers[i].id)) {
            heir = peers[i].id;
            match = peers[i].match_index;
        }
    }
    return heir;
}

/* ---- handing over -----------------------------------------------------------------------------
 */

static void handover_end(struct handover *handover)
{
    handover->is_wanted = false;
    handover->hooks.ended(handover->hooks.arg, handover->then_stop);
}

static void handover_on_timer(void *arg)
{
    struct handover *handover = arg;
    bool any = false;
    uint64_t heir = group_leads(handover->group) ? handover_find_heir(handover, &any) : RAFT_NONE;
    if (!any || clock_boot_ns() >= handover->due_ns) {
        handover_end(handover);
        return;
    }
    if (heir != RAFT_NONE && !handover->group->is_transferring)
        (void)handover->hooks.transfer(handover->hooks.arg, heir);
    loop_timer_set(handover->loop, &handover->timer, clock_boot_ns() + HANDOVER_LOOK_NS);
}

void handover_on_role(struct handover *handover)
{
    if (handover->is_wanted && !group_leads(handover->group))
        loop_timer_set(handover->loop, &handover->timer, loop_now_ns(handover->loop));
}

void handover_begin(struct handover *handover, bool then_stop)
{
    handover->then_stop |= then_stop;
    if (handover->is_wanted)
        return;
    handover->is_wanted = true;
    handover->due_ns = clock_boot_ns() + HANDOVER_WAIT_NS;
    handover_on_timer(handover);
}

void handover_init(struct handover *handover, const struct handover_options *options)
{
    *handover = (struct handover){.config = options->config,
                                  .group = options->group,
                                  .loop = options->loop,
                                  .hooks = options->hooks,
                                  .timer = {.fire = handover_on_timer, .arg = handover}};
}
