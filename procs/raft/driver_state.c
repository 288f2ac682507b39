/* driver_state.c - whether the nodes' states agree (docs/snapshots.md).
 *
 * Every node tells the leader its workers' hashes at checkpoints. Who differs from the majority
 * throws that worker's state and its own snapshots away, and makes the state anew from its log; if
 * that does not reach back far enough it asks for a snapshot.
 */
#include "base/clock.h"
#include "base/log.h"
#include "procs/raft/driver_private.h"

#define DRIVER_OPEN_NS (60 * NS_PER_S) /* between two lines on states that differ */

static void driver_rebuild(struct driver *driver, const struct peer_state_hash *right)
{
    if (!apply_rebuild(&driver->apply, right->worker, right->index))
        return; /* on its way already */
    LOG_ERROR("state_differs", LOG_STR("worker", proc_name(right->worker)),
              LOG_U64("index", right->index), LOG_U64("hash_of_majority", right->hash),
              LOG_STR("reason", "this worker's state is not that of the other nodes; it is thrown "
                                "away and made anew"));
    snapshots_distrust(&driver->snapshots);
}

static void driver_on_state_differs(void *arg, uint64_t id, const struct peer_state_hash *right)
{
    struct driver *driver = arg;
    const struct member *member = members_find(&driver->group.members, id);
    struct pack *pack;
    struct peer *peer;
    LOG_ERROR("state_of_member_differs", LOG_STR("member", member ? member->name : ""),
              LOG_STR("worker", proc_name(right->worker)), LOG_U64("index", right->index));
    if (id == driver->group.raft_id) {
        driver_rebuild(driver, right);
        return;
    }
    if (driver_say(driver, id, PEER_STATE_DIFFERS, &pack, &peer) != 0)
        return; /* the next checkpoint will differ as well */
    peer_state_hash_pack(pack, right);
    peer_end(peer);
}

static void driver_on_state_open(void *arg, const struct peer_state_hash *one,
                                 const struct peer_state_hash *other)
{
    struct driver *driver = arg;
    uint64_t now_ns = loop_now_ns(driver->loop);
    if (now_ns < driver->transfers.open_told_ns)
        return;
    driver->transfers.open_told_ns = now_ns + DRIVER_OPEN_NS;
    LOG_ERROR("states_differ", LOG_STR("worker", proc_name(one->worker)),
              LOG_U64("index", one->index), LOG_U64("hash", one->hash),
              LOG_U64("other_hash", other->hash),
              LOG_STR("reason", "nodes differ, and no majority says which one is right"));
}

void driver_on_checkpoint(void *arg, enum proc worker, uint64_t index, uint64_t hash)
{
    struct driver *driver = arg;
    const struct peer_state_hash state = {worker, index, hash};
    struct pack *pack;
    struct peer *leader;
    if (group_leads(&driver->group)) {
        state_check_note(driver->transfers.check, &driver->group.members, driver->group.raft_id,
                         &state);
        return;
    }
    if (driver_say(driver, driver->group.leader, PEER_STATE_HASH, &pack, &leader) != 0)
        return; /* the next one will do */
    peer_state_hash_pack(pack, &state);
    peer_end(leader);
}

void driver_on_state_message(struct driver *driver, uint64_t from, enum peer_message number,
                             struct unpack *body)
{
    struct peer_state_hash state;
    if (peer_state_hash_decode(&state, body) != 0)
        return;
    if (number == PEER_STATE_HASH && group_leads(&driver->group))
        state_check_note(driver->transfers.check, &driver->group.members, from, &state);
    else if (number == PEER_STATE_DIFFERS && from == driver->group.leader)
        driver_rebuild(driver, &state);
}

struct state_check *driver_state_check_new(struct driver *driver)
{
    const struct state_check_hooks hooks = {driver_on_state_differs, driver_on_state_open, driver};
    return state_check_new(&hooks);
}
