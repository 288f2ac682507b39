/* snapshot_intake.c - see snapshot_intake.h. */
#include "procs/raft/snapshots/snapshot_intake.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"

/* ---- what is said -----------------------------------------------------------------------------
 */

static void intake_on_acks(void *arg, uint64_t to, const struct peer_snapshot_ack *ack)
{
    struct snapshot_intake *intake = arg;
    if (peer_say_snapshot_ack(peers_by_id(intake->peers, to), ack) == 0)
        loop_run_again(intake->loop);
}

static void intake_on_aborts(void *arg, uint64_t to, const struct peer_snapshot_abort *abort)
{
    struct snapshot_intake *intake = arg;
    (void)peer_say_snapshot_abort(peers_by_id(intake->peers, to), abort);
    loop_run_again(intake->loop);
}

/* ---- whether it is taken ----------------------------------------------------------------------
 */

static bool intake_has_voter(const struct members *members)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].voter)
            return true;
    return false;
}

static int intake_judge(void *arg, uint64_t from, uint64_t term, const struct snapshot *snapshot)
{
    const struct snapshot_intake *intake = arg;
    bool is_led = group_leads(intake->group) && intake->group->term >= term;
    if (from == RAFT_NONE || from == intake->group->raft_id ||
        !intake_has_voter(&snapshot->members))
        return E_INVALID;
    if (!group_is_of(intake->group, snapshot->cluster))
        return E_FOREIGN;
    if (term < intake->group->term || is_led)
        return E_NO_LEADER;
    if (intake->group->is_stopping || intake->hooks.is_installing(intake->hooks.arg))
        return E_BUSY;
    if (snapshots_find(intake->snapshots, snapshot->index))
        return E_EXISTS;
    if (snapshot->index > intake->apply->commit_index)
        return 0;
    if (!apply_lacks_snapshot(intake->apply))
        return E_EXISTS; /* and more than that */
    return snapshot->index + 1 >= wal_first_index(intake->wal) ? 0 : E_NOT_FOUND;
}

/* The log began behind all snapshots, so the core knows no members and would never stand. This
 * snapshot says who they are, which is taken from it at a start (driver_base.c). */
static void intake_learn_members(struct snapshot_intake *intake)
{
    if (intake->group->members.count > 0 || intake->group->is_stopping)
        return;
    LOG_WARN("raft_restarts", LOG_STR("reason", "the members are known again"));
    intake->hooks.restart(intake->hooks.arg);
}

static void intake_on_received(void *arg, uint64_t from, uint64_t term, struct snapshot *snapshot)
{
    struct snapshot_intake *intake = arg;
    uint64_t index = snapshot->index, snapshot_term = snapshot->term;
    FAILPOINT("received_named");
    if (snapshots_find(intake->snapshots, index)) {
        free(snapshot); /* made here meanwhile */
        return;
    }
    snapshots_add(intake->snapshots, snapshot);
    bool begins_anew = (!group_leads(intake->group) || intake->group->term < term) &&
                       intake->hooks.received(intake->hooks.arg, from, term, snapshot);
    loop_run_again(intake->loop);
    if (begins_anew)
        return;
    if (raft_term_at(intake->group->core, index) == snapshot_term) {
        apply_offer_snapshot(intake->apply);
        intake_learn_members(intake);
        return;
    }
    LOG_INFO("snapshot_of_no_use", LOG_U64("index", index), LOG_U64("term", snapshot_term));
    snapshots_give_up_one(intake->snapshots, index);
}

void snapshot_intake_ask(struct snapshot_intake *intake)
{
    struct peer *leader = peers_by_id(intake->peers, intake->group->leader);
    if (group_leads(intake->group) || snapshot_receive_is_busy(&intake->receive) ||
        peer_say_snapshot_wanted(leader, wal_first_index(intake->wal) - 1) != 0)
        return; /* asked again in a second */
    loop_run_again(intake->loop);
}

void snapshot_intake_on_newest(struct snapshot_intake *intake)
{
    snapshot_receive_clean(&intake->receive);
}

/* ---- what senders say -------------------------------------------------------------------------
 */

void snapshot_intake_on_offer(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_offer *offer)
{
    snapshot_receive_on_offer(&intake->receive, from, offer);
}

void snapshot_intake_on_chunk(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_chunk *chunk)
{
    intake->bytes += chunk->bytes.len;
    (void)snapshot_receive_on_chunk(&intake->receive, from, chunk); /* answered */
}

void snapshot_intake_on_abort(struct snapshot_intake *intake, uint64_t from,
                              const struct peer_snapshot_abort *abort)
{
    snapshot_receive_on_abort(&intake->receive, from, abort);
}

void snapshot_intake_on_peer_gone(struct snapshot_intake *intake, uint64_t id)
{
    snapshot_receive_on_peer_gone(&intake->receive, id);
}

/* ---- life -------------------------------------------------------------------------------------
 */

void snapshot_intake_init(struct snapshot_intake *intake,
                          const struct snapshot_intake_options *options)
{
    const struct snapshot_receive_hooks hooks = {.ack = intake_on_acks,
                                                 .abort = intake_on_aborts,
                                                 .judge = intake_judge,
                                                 .received = intake_on_received,
                                                 .arg = intake};
    *intake = (struct snapshot_intake){.group = options->group,
                                       .peers = options->peers,
                                       .snapshots = options->snapshots,
                                       .apply = options->apply,
                                       .wal = options->wal,
                                       .loop = options->loop,
                                       .hooks = options->hooks};
    snapshot_receive_init(&intake->receive, options->folder, options->loop, &hooks);
}

void snapshot_intake_close(struct snapshot_intake *intake)
{
    snapshot_receive_fini(&intake->receive);
}
