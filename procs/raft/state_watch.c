/* state_watch.c - see state_watch.h. */
#include "procs/raft/state_watch.h"

#include "base/clock.h"
#include "base/log.h"

#define STATE_TELL_NS (60 * NS_PER_S) /* between two lines on states that differ */

static void state_watch_rebuild(struct state_watch *watch, const struct peer_state_hash *right)
{
    if (!apply_rebuild(watch->apply, right->worker, right->index))
        return; /* on its way already */
    LOG_ERROR("state_differs", LOG_STR("worker", proc_name(right->worker)),
              LOG_U64("index", right->index), LOG_U64("hash_of_majority", right->hash),
              LOG_STR("reason", "this worker's state is not that of the other nodes; it is thrown "
                                "away and made anew"));
    snapshots_distrust(watch->snapshots);
}

static void state_watch_on_differs(void *arg, uint64_t id, const struct peer_state_hash *right)
{
    struct state_watch *watch = arg;
    const struct member *member = members_find(&watch->group->members, id);
    LOG_ERROR("state_of_member_differs", LOG_STR("member", member ? member->name : ""),
              LOG_STR("worker", proc_name(right->worker)), LOG_U64("index", right->index));
    if (id == watch->group->raft_id) {
        state_watch_rebuild(watch, right);
        return;
    }
    /* if it is not there: the next checkpoint will differ as well */
    (void)peer_say_state_differs(peers_by_id(watch->peers, id), right);
}

static void state_watch_on_open(void *arg, const struct peer_state_hash *one,
                                const struct peer_state_hash *other)
{
    struct state_watch *watch = arg;
    if (!pace_allows(&watch->pace, loop_now_ns(watch->loop), STATE_TELL_NS))
        return;
    LOG_ERROR("states_differ", LOG_STR("worker", proc_name(one->worker)),
              LOG_U64("index", one->index), LOG_U64("hash", one->hash),
              LOG_U64("other_hash", other->hash),
              LOG_STR("reason", "nodes differ, and no majority says which one is right"));
}

void state_watch_on_checkpoint(struct state_watch *watch, enum proc worker, uint64_t index,
                               uint64_t hash)
{
    const struct peer_state_hash state = {worker, index, hash};
    const struct group *group = watch->group;
    if (group_leads(group))
        state_check_note(watch->check, &group->members, group->raft_id, &state);
    else /* if it is not there the next one will do */
        (void)peer_say_state_hash(peers_by_id(watch->peers, group->leader), &state);
}

void state_watch_on_message(struct state_watch *watch, struct peer *from, enum peer_message number,
                            struct unpack *body)
{
    uint64_t id = peer_info(from)->id;
    struct peer_state_hash state;
    if (peer_state_hash_decode(&state, body) != 0)
        return;
    if (number == PEER_STATE_HASH && group_leads(watch->group))
        state_check_note(watch->check, &watch->group->members, id, &state);
    else if (number == PEER_STATE_DIFFERS && id == watch->group->leader)
        state_watch_rebuild(watch, &state);
}

void state_watch_turn(struct state_watch *watch)
{
    uint64_t term = group_leads(watch->group) ? watch->group->term : 0;
    if (term != watch->term)
        state_check_forget(watch->check);
    watch->term = term;
}

void state_watch_init(struct state_watch *watch, const struct state_watch_options *options)
{
    const struct state_check_hooks hooks = {state_watch_on_differs, state_watch_on_open, watch};
    *watch = (struct state_watch){.group = options->group,
                                  .peers = options->peers,
                                  .apply = options->apply,
                                  .snapshots = options->snapshots,
                                  .loop = options->loop,
                                  .check = state_check_new(&hooks)};
}

void state_watch_fini(struct state_watch *watch)
{
    state_check_free(&watch->check);
}
