/* driver.c - one step of the core, and the duties that its update asks for (core/raft.h). */
#include "procs/raft/driver_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/entry.h"

static const char *driver_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    return names[role];
}

/* ---- duty 2: the write ------------------------------------------------------------------------
 */

static struct slice driver_config_payload(struct driver *driver, const struct raft_update *update)
{
    struct members *members = mem_alloc(sizeof(*members));
    members_select(members, &driver->group.members, update->config);
    members_put(members, &driver->changing);
    driver->group.members = *members;
    buf_clear(&driver->scratch);
    CHECK(members_encode(&driver->scratch, members) == 0);
    free(members);
    return buf_slice(&driver->scratch);
}

static void driver_stamp_proposals(struct driver *driver)
{
    struct proposals *proposals = &driver->proposals;
    uint64_t stamp_ms = cluster_time_stamp(&driver->time);
    for (uint32_t i = 0; i < proposals->count; i++)
        CHECK(entry_patch_stamp(proposals_entry(proposals, i), proposals->sizes[i], stamp_ms) == 0);
}

static struct wal_entry driver_entry(struct driver *driver, const struct raft_update *update,
                                     uint64_t index)
{
    struct wal_entry entry = {.index = index, .term = update->term, .kind = WAL_EMPTY};
    uint32_t number = (uint32_t)(index - update->append_first);
    switch (update->append_kind) {
    case RAFT_APPEND_PROPOSED:
        entry.kind = WAL_COMMAND;
        entry.payload =
            slice_of(proposals_entry(&driver->proposals, number), driver->proposals.sizes[number]);
        break;
    case RAFT_APPEND_CONFIG:
        entry.kind = WAL_CONFIG;
        entry.payload = driver_config_payload(driver, update);
        break;
    case RAFT_APPEND_RECEIVED:
        entry = driver->received.payloads[number + update->append_skip];
        entry.index = index;
        break;
    default:
        CHECK(update->append_kind == RAFT_APPEND_EMPTY);
    }
    return entry;
}

static void driver_write(struct driver *driver, const struct raft_update *update)
{
    if (update->write == 0)
        return;
    if (update->append_kind == RAFT_APPEND_PROPOSED)
        driver_stamp_proposals(driver);
    else if (update->append_kind == RAFT_APPEND_RECEIVED)
        cluster_time_note(&driver->time, driver->received.last_stamp_ms);
    wal_begin_write(driver->wal, update->write);
    if (update->hard_state_changed)
        wal_add_hard_state(driver->wal, update->term, update->vote);
    for (uint64_t i = update->append_first; i <= update->append_last; i++) {
        struct wal_entry entry = driver_entry(driver, update, i);
        wal_add_entry(driver->wal, &entry);
        driver->entry_bytes += entry.payload.len;
        snapshots_note_log(&driver->snapshots, entry.payload.len + WAL_ENTRY_HEAD_BYTES);
    }
    wal_end_write(driver->wal);
    driver->write = update->write;
    if (update->truncated)
        apply_truncated(&driver->apply, update->append_first - 1);
}

/* Another config is in effect: names and addresses of its members are in its entry. If that is gone
 * from the log what is known of them has to do. */
static void driver_note_config(struct driver *driver, const struct raft_update *update)
{
    if (!update->config_changed && driver->config_index == update->config_index)
        return;
    struct members *members = mem_alloc(sizeof(*members));
    bool is_there = update->config_index != 0 && update->append_kind != RAFT_APPEND_CONFIG &&
                    driver_members_at(driver, update->config_index, members) == 0;
    if (is_there)
        driver->group.members = *members;
    members_select(members, &driver->group.members, update->config);
    driver->group.members = *members;
    free(members);
    driver->config_index = update->config_index;
    driver->group.config_committed = update->config_committed;
    driver->members_are_new = true;
    if (driver->group.members.count > 1 && driver->tick_timer.due_ns == 0) /* alone no more */
        loop_timer_set(driver->loop, &driver->tick_timer, loop_now_ns(driver->loop));
    loop_run_again(driver->loop);
    if (update->config_committed && group_is_member(&driver->group))
        joining_note_member(&driver->joining);
}

/* ---- duty 3: the board ------------------------------------------------------------------------
 */

static void driver_publish(struct driver *driver, const struct raft_update *update)
{
    static const enum board_role roles[] = {BOARD_ROLE_FOLLOWER, BOARD_ROLE_CANDIDATE,
                                            BOARD_ROLE_CANDIDATE, BOARD_ROLE_LEADER};
    struct board_lease lease = {.epoch = driver->epoch,
                                .term = update->term,
                                .lease_end_ns = update->lease_end_ns,
                                .commit_index = update->announced_index,
                                .role = roles[update->role],
                                .standing = driver->lease.standing};
    snprintf(lease.leader, sizeof(lease.leader), "%s",
             group_name_of(&driver->group, driver->peers, update->leader));
    driver->lease = lease;
    board_write_lease(driver->board, &lease);
}

/* ---- duties 4 and 6 ---------------------------------------------------------------------------
 */

static void driver_tell_role(struct driver *driver, const struct raft_update *update)
{
    if (driver->group.role == update->role && driver->group.term == update->term &&
        driver->group.leader == update->leader)
        return;
    LOG_INFO("role_changed", LOG_STR("role", driver_role_name(update->role)),
             LOG_U64("term", update->term),
             LOG_STR("leader", group_name_of(&driver->group, driver->peers, update->leader)));
    driver->group.role = update->role;
    driver->group.term = update->term;
    driver->group.leader = update->leader;
    apply_set_role(&driver->apply, update->role == RAFT_LEADER, update->term);
    forwarding_tell(&driver->forwarding);
    joining_on_leader(&driver->joining);
    cluster_time_on_leader(&driver->time);
    disk_room_on_leader(&driver->room);
    loop_timer_set(driver->loop, &driver->tick_timer, loop_now_ns(driver->loop));
    handover_on_role(&driver->handover);
}

static void driver_set_timer(struct driver *driver, uint64_t deadline_ns)
{
    if (deadline_ns == RAFT_NEVER)
        loop_timer_clear(driver->loop, &driver->timer);
    else
        loop_timer_set(driver->loop, &driver->timer, deadline_ns ? deadline_ns : 1);
}

static void driver_carry_out(struct driver *driver, const struct raft_update *update)
{
    if (update->drop_lease) {
        board_drop_lease(driver->board);
        driver->lease.lease_end_ns = 0;
    }
    if (update->role == RAFT_LEADER &&
        (!group_leads(&driver->group) || driver->group.term != update->term))
        cluster_time_lead(&driver->time);
    driver_write(driver, update);
    driver_note_config(driver, update);
    if (update->board_changed)
        driver_publish(driver, update);
    for (uint32_t i = 0; i < update->message_count; i++)
        driver_send(driver, &update->messages[i]);
    apply_commit(&driver->apply, update->commit_index);
    for (uint32_t i = 0; i < update->read_count; i++)
        driver_answer_reads(driver, update->reads[i].id, update->reads[i].refused ? E_NO_LEADER : 0,
                            update->reads[i].index);
    driver_tell_role(driver, update);
    driver->may_stop = update->may_stop;
    driver->group.is_transferring &= update->transfer == RAFT_TRANSFER_NONE;
    if (driver->is_yielding && update->may_stop) {
        driver->is_yielding = false;
        skel_yielded(driver->skel);
    }
    if (update->transfer == RAFT_TRANSFER_FAILED && update->role == RAFT_LEADER)
        forwarding_lead_on(&driver->forwarding);
    if (update->install)
        driver_install(driver, update);
    for (uint32_t i = 0; i < update->snapshot_peer_count; i++)
        snapshot_sends_want(&driver->sends, update->snapshot_peers[i], true);
    driver_set_timer(driver, update->next_deadline_ns);
    if (update->damage != RAFT_DAMAGE_NONE)
        driver_give_up(driver, E_CORRUPT);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

enum raft_refusal driver_step(struct driver *driver, struct raft_event *event)
{
    struct raft_update update;
    event->now_ns = clock_boot_ns();
    CHECK(raft_step(driver->raft, event, &update) == 0);
    driver_carry_out(driver, &update);
    return update.refusal;
}

enum raft_refusal driver_change(void *arg, enum raft_change_kind kind, const struct member *member)
{
    struct driver *driver = arg;
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE};
    event.change.kind = kind;
    event.change.id = member->id;
    driver->changing = *member;
    enum raft_refusal refusal = driver_step(driver, &event);
    driver->changing.id = RAFT_NONE;
    return refusal;
}

enum raft_refusal driver_transfer(void *arg, uint64_t to)
{
    struct driver *driver = arg;
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .transfer_to = to};
    driver->group.is_transferring = true;
    enum raft_refusal refusal = driver_step(driver, &event);
    if (refusal != RAFT_TAKEN)
        driver->group.is_transferring = false;
    return refusal;
}

bool driver_receive(struct driver *driver, const struct raft_message *message)
{
    struct raft_event event = {
        .kind = RAFT_EVENT_RECEIVE, .message = message, .now_ns = clock_boot_ns()};
    struct raft_update update;
    int error = raft_step(driver->raft, &event, &update);
    driver_carry_out(driver, &update);
    return error == 0;
}

void driver_on_durable(void *arg)
{
    struct driver *driver = arg;
    struct wal_durable durable = wal_take_durable(driver->wal);
    if (durable.write > driver->persisted) {
        struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .write = durable.write};
        driver->persisted = durable.write;
        driver_step(driver, &event);
    }
    driver_on_reset(driver, durable.reset_index);
}

void driver_on_timer(void *arg)
{
    struct raft_event event = {.kind = RAFT_EVENT_TIME};
    driver_step(arg, &event);
}
