/* step.c - raft_step: the term rule once for all messages, dispatch, then what every step ends
 * with.
 *
 *   Handlers change state and note what is due. The end of the step, the same for all events:
 *   timers; what follows from a change of role; what a leader owes (commit, announcement, transfer,
 *   members); reads; APPENDs; the write; the update; the invariants.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

#ifdef RAFT_MUTATIONS
enum raft_mutation raft_mutation;
#endif

/* ---- life -------------------------------------------------------------------------------------
 */

static void raft_step_default(uint32_t *option, uint32_t value)
{
    if (*option == 0)
        *option = value;
}

struct raft *raft_new(const struct raft_options *options)
{
    CHECK(options->self != RAFT_NONE && options->election_timeout_ns > 0);
    CHECK(options->heartbeat_ns > 0 && options->heartbeat_ns < options->election_timeout_ns);
    CHECK(options->drift_percent < 100 && options->base_term <= options->term);
    CHECK(options->snapshot_index >= options->base_index);
    CHECK(options->config_index <= options->base_index);
    CHECK(options->config.count == 0 || raft_conf_is_valid(&options->config));
    struct raft *raft = mem_alloc(sizeof(*raft));
    raft->options = *options;
    raft_step_default(&raft->options.drift_percent, 10);
    raft_step_default(&raft->options.append_entries, 1024);
    raft_step_default(&raft->options.append_bytes, 1 << 20);
    raft_step_default(&raft->options.window_messages, 64);
    raft_step_default(&raft->options.window_bytes, 16 << 20);
    raft_step_default(&raft->options.promote_lag, 256);
    if (raft->options.uncommitted_bytes == 0)
        raft->options.uncommitted_bytes = 64 << 20;
    raft->self = options->self;
    raft->term = options->term;
    raft->vote = options->vote;
    raft->shown.term = UINT64_MAX; /* the first update shows everything */
    raft->workers_ok = true;
    raft->snapshot_index = options->snapshot_index;
    raft->commit_index = raft->apply_index = options->base_index;
    raft->announced_index = raft->durable_index = options->base_index;
    rng_init(&raft->rng, options->seed);
    if (!RAFT_MUTANT(READ_NONCE_REUSED)) /* an answer may be one to a life before this one */
        raft->read_nonce = rng_next(&raft->rng) >> 1;
    raft_log_init(&raft->log, options->base_index, options->base_term);
    raft_conf_append(raft, options->config_index, &options->config);
    raft->peers = mem_alloc(RAFT_PEERS_MAX * sizeof(raft->peers[0]));
    raft->questions = mem_alloc(RAFT_READS_MAX * sizeof(raft->questions[0]));
    raft->reads = mem_alloc(RAFT_READS_MAX * sizeof(raft->reads[0]));
    return raft;
}

void raft_free(struct raft **raft)
{
    struct raft *old = *raft;
    *raft = NULL;
    if (!old)
        return;
    raft_peer_forget_all(old);
    raft_log_fini(&old->log);
    free(old->peers);
    free(old->questions);
    free(old->reads);
    free(old->writes);
    free(old->messages);
    free(old->parked);
    free(old->confs);
    free(old);
}

void raft_load(struct raft *raft, uint64_t index, const struct raft_entry *entry)
{
    CHECK(!raft->started && entry->term <= raft->term);
    if (index <= raft->log.base_index)
        return; /* covered by the snapshot */
    CHECK(index <= raft->log.last_index + 1);
    raft_log_truncate(&raft->log, index);
    raft_conf_truncate(raft, index);
    raft_log_append(&raft->log, entry->term, entry->bytes);
    if (entry->config)
        raft_conf_append(raft, index, entry->config);
    raft->durable_index = index;
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void raft_step_start(struct raft *raft)
{
    CHECK(!raft->started);
    raft->started = true;
    if (raft_conf_is_sole_voter(raft)) {
        raft_vote_stand(raft); /* nobody else can lead, nobody else has its promise */
        return;
    }
    uint64_t timeout = raft->options.election_timeout_ns;
    if (!raft->options.first_start && !RAFT_MUTANT(VOTE_AFTER_RESTART))
        raft->grace_until_ns = raft->now_ns + timeout + timeout / 100 * raft->options.drift_percent;
    raft_role_restart_timer(raft);
}

static int raft_step_receive(struct raft *raft, const struct raft_message *message)
{
    if (!raft_check_message(raft, message))
        return E_INVALID;
    /* Figure 3.1's rule for servers. A VOTE has rules of its own: it may have to be ignored. */
    if (message->term > raft->term && message->kind != RAFT_MESSAGE_VOTE)
        raft_role_follow(raft, message->term, RAFT_NONE);
    switch (message->kind) {
    case RAFT_MESSAGE_VOTE:
        raft_vote_on_request(raft, message);
        return 0;
    case RAFT_MESSAGE_VOTE_REPLY:
        raft_vote_on_reply(raft, message);
        return 0;
    case RAFT_MESSAGE_APPEND:
        return raft_follow_on_append(raft, message);
    case RAFT_MESSAGE_APPEND_REPLY:
        return raft_append_on_reply(raft, message);
    case RAFT_MESSAGE_TIMEOUT_NOW:
        raft_vote_on_timeout_now(raft, message);
        return 0;
    case RAFT_MESSAGE_READ:
        raft_read_on_message(raft, message);
        return 0;
    case RAFT_MESSAGE_READ_REPLY:
        raft_read_on_reply(raft, message);
        return 0;
    }
    return E_INVALID;
}

static void raft_step_persisted(struct raft *raft, uint64_t write)
{
    if (!raft_write_done(raft, write))
        return;
    raft_send_released(raft);
    raft_vote_on_persisted(raft);
}

static void raft_step_peer(struct raft *raft, uint64_t id, bool up)
{
    struct raft_peer *peer = raft_peer_find(raft, id);
    if (!peer || peer->state == RAFT_PEER_SNAPSHOT)
        return;
    raft_peer_probe(raft, peer, peer->match + 1); /* what was under way may be lost */
    peer->probe_sent = !up;
    peer->must_send = up;
}

static void raft_step_workers(struct raft *raft, bool ok)
{
    if (raft->workers_ok && !ok)
        raft->workers_since_ns = raft->now_ns;
    raft->workers_ok = ok;
}

static void raft_step_stop(struct raft *raft)
{
    raft->stopping = true;
    if (raft->role == RAFT_LEADER && !raft_conf_is_sole_voter(raft))
        raft_transfer_begin(raft, RAFT_NONE);
}

static int raft_step_dispatch(struct raft *raft, const struct raft_event *event)
{
    CHECK(raft->started || event->kind == RAFT_EVENT_START);
    switch (event->kind) {
    case RAFT_EVENT_START:
        raft_step_start(raft);
        break;
    case RAFT_EVENT_TIME:
        break;
    case RAFT_EVENT_RECEIVE:
        return raft_step_receive(raft, event->message);
    case RAFT_EVENT_PROPOSE:
        raft_append_on_propose(raft, event);
        break;
    case RAFT_EVENT_PERSISTED:
        raft_step_persisted(raft, event->write);
        break;
    case RAFT_EVENT_APPLIED:
        CHECK(event->applied_index <= raft->log.last_index);
        if (event->applied_index < raft->applied_index) /* who knows how far that worker was */
            raft->applied_floor = raft->apply_index;
        raft->applied_index = event->applied_index;
        break;
    case RAFT_EVENT_READ:
        raft_read_on_question(raft, event->read_id);
        break;
    case RAFT_EVENT_TRANSFER:
        raft->update->refusal = raft_transfer_begin(raft, event->transfer_to);
        break;
    case RAFT_EVENT_CHANGE:
        raft_change_on_event(raft, event->change.kind, event->change.id);
        break;
    case RAFT_EVENT_SNAPSHOT_MADE:
        raft_snap_on_made(raft, event->snapshot_made.index, event->snapshot_made.floor_index);
        break;
    case RAFT_EVENT_SNAPSHOT_SENT:
        raft_snap_on_sent(raft, event);
        break;
    case RAFT_EVENT_SNAPSHOT_RECEIVED:
        return raft_snap_on_received(raft, event);
    case RAFT_EVENT_SNAPSHOT_INSTALLED:
        raft_snap_on_installed(raft, event->installed_index);
        break;
    case RAFT_EVENT_PEER:
        raft_step_peer(raft, event->peer.id, event->peer.up);
        break;
    case RAFT_EVENT_WORKERS:
        raft_step_workers(raft, event->workers_ok);
        break;
    case RAFT_EVENT_STOP:
        raft_step_stop(raft);
        break;
    }
    return 0;
}

/* ---- the end of every step ---------------------------------------------------------------------
 */

/* A leader that a majority has not answered for T steps down (E7): liveness only, the lease has its
 * own, stricter rule. */
static void raft_step_check_quorum(struct raft *raft)
{
    if (!raft_conf_is_sole_voter(raft) && !RAFT_MUTANT(NO_CHECK_QUORUM) &&
        raft->now_ns >= raft_lease_quorum_heard_ns(raft) + raft->options.election_timeout_ns)
        raft_role_follow(raft, raft->term, RAFT_NONE);
}

/* It would win nothing, or could not lead (N4, E8). */
static bool raft_step_is_unfit(const struct raft *raft)
{
    uint64_t oldest = raft_write_oldest_ns(raft);
    bool disk_stands =
        oldest != RAFT_NEVER && raft->now_ns >= oldest + raft->options.election_timeout_ns;
    return raft->installing || raft->stopping || disk_stands || raft->damage != RAFT_DAMAGE_NONE;
}

static void raft_step_election(struct raft *raft)
{
    if (raft->now_ns < raft->election_deadline_ns)
        return;
    if (!raft_conf_may_stand(raft)) {
        raft->role = RAFT_FOLLOWER;
        raft->leader = RAFT_NONE;
        raft->election_deadline_ns = RAFT_NEVER; /* until a leader is heard again */
    } else if (raft->now_ns < raft->grace_until_ns) {
        raft->election_deadline_ns = raft->grace_until_ns;
    } else if (raft->write_durable < raft->term_write) {
        raft_role_retry_soon(raft); /* term and vote are not on the disk: nothing leaves here */
    } else if (raft_step_is_unfit(raft)) {
        raft->role = RAFT_FOLLOWER;
        raft->leader = RAFT_NONE;
        raft_role_restart_timer(raft);
    } else {
        raft_vote_stand(raft);
    }
}

static void raft_step_timers(struct raft *raft)
{
    if (!raft->started)
        return;
    if (raft->role == RAFT_LEADER)
        raft_step_check_quorum(raft);
    else
        raft_step_election(raft);
}

/* What follows from a change of role, term or leader. */
static void raft_step_settle(struct raft *raft)
{
    if (raft->role != RAFT_LEADER) {
        raft_transfer_end(raft, raft->term > raft->settled.term ? RAFT_TRANSFER_DONE
                                                                : RAFT_TRANSFER_FAILED);
        raft_peer_forget_all(raft);
    }
    if (raft->term != raft->settled.term || raft->leader != raft->settled.leader)
        raft_read_refuse_all(raft);
    raft->settled.term = raft->term;
    raft->settled.leader = raft->leader;
}

static void raft_step_lead(struct raft *raft)
{
    raft_append_advance_commit(raft);
    uint64_t announced =
        raft->applied_index < raft->commit_index ? raft->applied_index : raft->commit_index;
    if (RAFT_MUTANT(ANNOUNCE_UNAPPLIED))
        announced = raft->commit_index;
    if (announced > raft->announced_index) {
        raft->announced_index = announced;
        raft_append_wake_all(raft);
    }
    raft_peer_sync(raft);
    raft_transfer_hand_over(raft);
    if (raft->role == RAFT_LEADER)
        raft_change_serve(raft);
    if (raft->role == RAFT_LEADER)
        raft_transfer_serve(raft);
    if (raft->role == RAFT_LEADER)
        raft_append_advance_commit(raft); /* other voters may need less */
}

static uint64_t raft_step_deadline(const struct raft *raft)
{
    uint64_t deadline = raft->election_deadline_ns;
    if (raft->role == RAFT_LEADER)
        deadline = raft->peer_count > 0 ? raft->heartbeat_deadline_ns : RAFT_NEVER;
    if (raft->question_count == 0)
        return deadline;
    uint64_t until = raft->questions[0].until_ns; /* the oldest */
    if (raft->role != RAFT_LEADER && raft->read_retry_ns < until)
        until = raft->read_retry_ns;
    return until < deadline ? until : deadline;
}

static void raft_step_show(struct raft *raft, struct raft_update *update)
{
    const struct raft_conf *conf = raft_conf(raft);
    uint64_t lease = raft_lease_end(raft);
    bool committed = raft_conf_is_committed(raft);
    update->term = raft->term;
    update->vote = raft->vote;
    update->role = raft->role;
    update->leader = raft->leader;
    update->lease_end_ns = lease;
    update->announced_index = raft->announced_index;
    update->board_changed = raft->role != raft->shown.role || raft->term != raft->shown.term ||
                            raft->leader != raft->shown.leader || lease != raft->shown.lease ||
                            raft->announced_index != raft->shown.announced;
    update->config = &conf->config;
    update->config_index = conf->index;
    update->config_committed = committed;
    update->config_changed =
        raft->conf_changes != raft->shown.conf_changes || committed != raft->shown.config_committed;
    raft->shown.role = raft->role;
    raft->shown.term = raft->term;
    raft->shown.leader = raft->leader;
    raft->shown.lease = lease;
    raft->shown.announced = raft->announced_index;
    raft->shown.conf_changes = raft->conf_changes;
    raft->shown.config_committed = committed;
}

static void raft_step_fill(struct raft *raft, struct raft_update *update)
{
    uint64_t apply = raft->commit_index < raft->durable_index || RAFT_MUTANT(APPLY_UNDURABLE)
                         ? raft->commit_index
                         : raft->durable_index;
    if (!raft->installing && apply > raft->apply_index)
        raft->apply_index = apply;
    raft_step_show(raft, update);
    update->commit_index = raft->apply_index;
    update->messages = raft->messages;
    update->message_count = raft->message_count;
    update->reads = raft->reads;
    update->read_count = raft->read_count;
    update->snapshot_peers = raft->snapshot_peers;
    update->damage = raft->damage;
    update->may_stop =
        raft->stopping && (raft->role != RAFT_LEADER || raft->transfer.to == RAFT_NONE);
    update->next_deadline_ns = raft_step_deadline(raft);
}

int raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update)
{
    CHECK(event->now_ns >= raft->now_ns);
    *update = (struct raft_update){.append_first = 1, .append_last = 0};
    raft->now_ns = event->now_ns;
    raft->update = update;
    raft->message_count = raft->read_count = 0;
    raft->round_begun = false;
    int error = raft_step_dispatch(raft, event);
    raft_step_timers(raft);
    raft_step_settle(raft);
    if (raft->role == RAFT_LEADER) {
        raft_step_lead(raft);
        raft_step_settle(raft);
    }
    raft_read_serve(raft);
    if (raft->role == RAFT_LEADER)
        raft_append_flush(raft);
    raft_write_end(raft);
    raft_step_fill(raft, update);
    raft->update = NULL;
    raft_check_state(raft);
    return error;
}

/* ---- questions between steps -------------------------------------------------------------------
 */

uint64_t raft_term_at(const struct raft *raft, uint64_t index)
{
    return raft_log_term(&raft->log, index);
}

uint64_t raft_last_index(const struct raft *raft)
{
    return raft->log.last_index;
}

uint64_t raft_durable_index(const struct raft *raft)
{
    return raft->durable_index;
}

const struct raft_config *raft_config_at(const struct raft *raft, uint64_t index,
                                         uint64_t *config_index)
{
    CHECK(index >= raft->log.base_index);
    const struct raft_conf *conf = raft_conf_as_of(raft, index);
    *config_index = conf->index;
    return &conf->config;
}
