/* fake_node.c - see fake_node.h: what raft and the workers say. The gateway's process and its
 * supervisor are fake_process.c, the client is fake_client.c. */
#include "fake_node.h"

#include <poll.h>
#include <stdlib.h>

#include "base/error.h"
#include "fake_events.h"
#include "fake_private.h"
#include "fake_storage.h"
#include "ipc/entry.h"
#include "ipc/gateway_raft.h"
#include "ipc/worker_gateway.h"

static const uint64_t fake_start_id = 4711;

const char *fake_root(void)
{
    static char token[TOKEN_ROOT_BYTES];
    token_root(slice_text(FAKE_SECRET), token);
    return token;
}

/* ---- raft, played ----------------------------------------------------------------------------
 */

static struct link *fake_worker(struct fake *fake, enum proc worker)
{
    return fake->workers[PROC_WORKER_SLOT(worker)];
}

static void fake_send_result(struct fake *fake, enum proc worker, const struct fake_result *result)
{
    const struct msg_result msg = {.session = result->session,
                                   .sequence = result->sequence,
                                   .index = result->index,
                                   .error = (uint64_t)result->error,
                                   .detail = slice_text(result->detail)};
    struct link *link = fake_worker(fake, worker);
    if (link != NULL && link_is_up(link))
        msg_result_send(link, &msg);
}

static void fake_apply_bytes(struct fake *fake, struct slice bytes)
{
    struct entry entry;
    cr_assert_eq(entry_decode(&entry, bytes), 0);
    fake->index++;
    for (uint32_t i = 0; i < entry.part_count; i++) {
        struct fake_result result;
        fake_storage_apply(fake, &entry, &entry.parts[i], &result);
        if (!fake->results_are_lost)
            fake_send_result(fake, entry.parts[i].worker, &result);
    }
    fake_storage_reach(fake);
    fake_set_lease(fake, fake->has_lease); /* the announced commit */
}

static void fake_on_propose(struct fake *fake, struct unpack *body)
{
    struct msg_propose msg;
    struct entry entry;
    cr_assert_eq(msg_propose_decode(&msg, body), 0);
    cr_assert_eq(entry_decode(&entry, msg.entry), 0);
    fake->proposals++;
    fake->last_floor = entry.floor;
    if (fake->mode == FAKE_APPLY) {
        fake_apply_bytes(fake, msg.entry);
    } else if (fake->mode == FAKE_HOLD) {
        cr_assert_lt(fake->held_count, FAKE_HELD_MAX);
        struct buf *held = &fake->held[fake->held_count++];
        buf_init(held, 64u << 20);
        buf_append(held, msg.entry.data, msg.entry.len);
    } else if (fake->mode == FAKE_REFUSE) {
        const struct msg_refuse refuse = {entry.session, entry.sequence, (uint64_t)fake->refusal};
        msg_refuse_send(fake->raft, &refuse);
    }
}

void fake_apply_held(struct fake *fake)
{
    for (unsigned i = 0; i < fake->held_count; i++) {
        fake_apply_bytes(fake, buf_slice(&fake->held[i]));
        buf_fini(&fake->held[i]);
    }
    fake->held_count = 0;
}

static void fake_answer_read(struct fake *fake, uint64_t question)
{
    const struct msg_read_index_reply reply = {
        .id = question, .error = fake->leader_is_known ? 0 : E_NO_LEADER, .index = fake->index};
    msg_read_index_reply_send(fake->raft, &reply);
}

void fake_answer_reads(struct fake *fake)
{
    for (unsigned i = 0; i < fake->held_read_count; i++)
        fake_answer_read(fake, fake->held_reads[i]);
    fake->held_read_count = 0;
}

static void fake_on_read_index(struct fake *fake, struct unpack *body)
{
    struct msg_read_index msg;
    cr_assert_eq(msg_read_index_decode(&msg, body), 0);
    fake->questions++;
    if (fake->answers_reads) {
        fake_answer_read(fake, msg.id);
    } else {
        cr_assert_lt(fake->held_read_count, FAKE_HELD_MAX);
        fake->held_reads[fake->held_read_count++] = msg.id;
    }
}

static void fake_on_cluster_ask(struct fake *fake, struct unpack *body)
{
    struct msg_cluster_ask msg;
    cr_assert_eq(msg_cluster_ask_decode(&msg, body), 0);
    cr_assert_lt(fake->cluster_ask_count, FAKE_HELD_MAX);
    fake->cluster_asks[fake->cluster_ask_count++] = msg.id;
}

static void fake_on_change(struct fake *fake, struct unpack *body)
{
    struct msg_change msg;
    cr_assert_eq(msg_change_decode(&msg, body), 0);
    fake->change = (struct fake_change){.id = msg.id, .kind = (int)msg.kind};
    cr_assert(msg.name.len < 64 && msg.raft_address.len < 64);
    memcpy(fake->change.name, msg.name.data, msg.name.len);
    if (msg.raft_address.len > 0)
        memcpy(fake->change.raft_address, msg.raft_address.data, msg.raft_address.len);
    fake->changes++;
}

static void fake_on_raft_message(void *arg, enum msg type, struct unpack *body)
{
    if (type == MSG_PROPOSE)
        fake_on_propose(arg, body);
    else if (type == MSG_READ_INDEX)
        fake_on_read_index(arg, body);
    else if (type == MSG_CLUSTER_ASK)
        fake_on_cluster_ask(arg, body);
    else if (type == MSG_CHANGE)
        fake_on_change(arg, body);
    else
        cr_assert_fail("raft was sent %s", msg_name(type));
}

static void fake_send_leader(struct fake *fake)
{
    const struct msg_leader msg = {fake->term, fake->leader_is_known};
    if (fake->raft != NULL && link_is_up(fake->raft))
        msg_leader_send(fake->raft, &msg);
}

static void fake_on_raft_up(void *arg, const struct link_peer *peer)
{
    (void)peer;
    fake_send_leader(arg);
}

void fake_say_leader(struct fake *fake, bool is_known)
{
    fake->term++;
    fake->leader_is_known = is_known;
    fake_send_leader(fake);
}

void fake_set_lease(struct fake *fake, bool has_lease)
{
    struct board_lease lease = {.epoch = fake->epoch,
                                .term = fake->term,
                                .lease_end_ns = has_lease ? BOARD_LEASE_FOREVER : 0,
                                .commit_index = fake->index,
                                .role = has_lease ? BOARD_ROLE_LEADER : BOARD_ROLE_FOLLOWER,
                                .standing = fake->standing};
    if (fake->leader_is_known)
        snprintf(lease.leader, sizeof(lease.leader), "node0");
    fake->has_lease = has_lease;
    board_write_lease(fake->board, &lease);
}

/* ---- the workers, played ---------------------------------------------------------------------
 */

struct fake_worker_arg {
    struct fake *fake;
    enum proc worker;
};

static struct fake_worker_arg fake_args[PROC_WORKER_COUNT];

/* All that is remembered of the session, and from then on each result. */
static void fake_on_session(struct fake *fake, enum proc worker, struct unpack *body)
{
    struct msg_session msg;
    cr_assert_eq(msg_session_decode(&msg, body), 0);
    if (worker == PROC_STORAGE) {
        fake->session = msg.session;
        fake->announced++;
    }
    for (unsigned i = 0; i < fake->result_count; i++) {
        if (fake->results[i].session == msg.session && !fake->results_are_lost)
            fake_send_result(fake, worker, &fake->results[i]);
    }
}

static void fake_on_recall(struct fake *fake, enum proc worker, struct unpack *body)
{
    struct msg_recall msg;
    cr_assert_eq(msg_recall_decode(&msg, body), 0);
    fake->recalls++;
    if (fake->recalls_are_ignored)
        return;
    for (unsigned i = 0; i < fake->result_count; i++) {
        if (fake->results[i].session == msg.session && fake->results[i].sequence == msg.sequence)
            fake_send_result(fake, worker, &fake->results[i]);
    }
}

void fake_tell_applied(struct fake *fake)
{
    const struct msg_applied_at msg = {board_read_applied(fake->board, PROC_STORAGE)};
    struct link *link = fake_worker(fake, PROC_STORAGE);
    if (fake->awaited_index == 0 || link == NULL || !link_is_up(link) || fake->worker_is_silent)
        return;
    cr_assert_eq(msg_applied_at_send(link, &msg), 0);
    if (msg.index >= fake->awaited_index)
        fake->awaited_index = 0;
}

static void fake_tell_applied_there(struct fake *fake)
{
    const struct msg_applied_at msg = {board_read_applied(fake->board, PROC_CACHEQ)};
    struct link *link = fake_worker(fake, PROC_CACHEQ);
    if (fake->awaited_there == 0 || link == NULL || !link_is_up(link))
        return;
    cr_assert_eq(msg_applied_at_send(link, &msg), 0);
    if (msg.index >= fake->awaited_there)
        fake->awaited_there = 0;
}

void fake_reach_cacheq(struct fake *fake)
{
    if (!fake->events_is_behind)
        board_write_applied(fake->board, PROC_EVENTS, fake->index);
    if (fake->cacheq_is_behind)
        return;
    board_write_applied(fake->board, PROC_CACHEQ, fake->index);
    fake_tell_applied_there(fake);
}

static void fake_on_wait_applied(struct fake *fake, enum proc worker, struct unpack *body)
{
    struct msg_wait_applied msg;
    cr_assert_eq(msg_wait_applied_decode(&msg, body), 0);
    if (worker == PROC_EVENTS) {
        const struct msg_applied_at told = {board_read_applied(fake->board, PROC_EVENTS)};
        cr_assert_eq(msg_applied_at_send(fake_worker(fake, PROC_EVENTS), &told), 0);
        return;
    }
    if (worker == PROC_CACHEQ) {
        fake->awaited_there = msg.index > 0 ? msg.index : 1;
        fake_tell_applied_there(fake);
        return;
    }
    cr_assert_eq(worker, PROC_STORAGE);
    fake->awaits++;
    if (msg.index > fake->awaited_index)
        fake->awaited_index = msg.index;
    if (msg.index <= board_read_applied(fake->board, PROC_STORAGE)) {
        const struct msg_applied_at told = {board_read_applied(fake->board, PROC_STORAGE)};
        cr_assert_eq(msg_applied_at_send(fake_worker(fake, PROC_STORAGE), &told), 0);
    }
}

static void fake_on_worker_message(void *arg, enum msg type, struct unpack *body)
{
    struct fake_worker_arg *worker = arg;
    if (type == MSG_SESSION)
        fake_on_session(worker->fake, worker->worker, body);
    else if (type == MSG_RECALL)
        fake_on_recall(worker->fake, worker->worker, body);
    else if (type == MSG_WAIT_APPLIED)
        fake_on_wait_applied(worker->fake, worker->worker, body);
    else if (worker->worker == PROC_EVENTS && fake_events_on_message(worker->fake, type, body))
        return;
    else
        cr_assert_fail("a worker was sent %s", msg_name(type));
}

static void fake_on_worker_up(void *arg, const struct link_peer *peer)
{
    struct fake_worker_arg *worker = arg;
    (void)peer;
    if (worker->worker == PROC_EVENTS)
        fake_events_on_up();
    if (worker->worker != PROC_STORAGE)
        return;
    worker->fake->session = 0;
    worker->fake->awaited_index = 0;
}

static void fake_open_link(struct fake *fake, struct link **out, enum proc self, uint64_t start_id)
{
    struct node_paths paths;
    fake_paths(fake, NULL, &paths);
    struct link_options options = {.run_dir = paths.run,
                                   .node = "node0",
                                   .self = self,
                                   .peer = PROC_GATEWAY,
                                   .start_id = start_id};
    if (self == PROC_RAFT) {
        options.handlers =
            (struct link_handlers){.on_up = fake_on_raft_up, .on_message = fake_on_raft_message};
        options.arg = fake;
    } else {
        struct fake_worker_arg *arg = &fake_args[PROC_WORKER_SLOT(self)];
        *arg = (struct fake_worker_arg){fake, self};
        options.handlers = (struct link_handlers){.on_up = fake_on_worker_up,
                                                  .on_message = fake_on_worker_message};
        options.arg = arg;
    }
    cr_assert_eq(link_open(out, &options), 0);
}

void fake_restart_raft(struct fake *fake)
{
    static uint64_t start_id = 9000;
    link_close(&fake->raft);
    for (unsigned i = 0; i < fake->held_count; i++)
        buf_fini(&fake->held[i]);
    fake->held_count = 0;
    fake->held_read_count = 0;
    fake->term++;
    fake_open_link(fake, &fake->raft, PROC_RAFT, ++start_id);
}

void fake_restart_worker(struct fake *fake, enum proc worker, uint64_t start_id)
{
    struct link **link = &fake->workers[PROC_WORKER_SLOT(worker)];
    link_close(link);
    fake_open_link(fake, link, worker, start_id);
}

void fake_restart_storage(struct fake *fake)
{
    static uint64_t start_id = 8000;
    fake_restart_worker(fake, PROC_STORAGE, ++start_id);
}

/* ---- the start -------------------------------------------------------------------------------
 */

void fake_launch(struct fake *fake)
{
    struct node_paths paths;
    fake_paths(fake, NULL, &paths);
    if (fake->map == NULL)
        cr_assert_eq(map_open_writer(&fake->map, paths.values, MAP_VALUES), 0);
    if (fake->volatile_map == NULL)
        cr_assert_eq(map_open_writer(&fake->volatile_map, paths.volatile_map, MAP_VOLATILE), 0);
    if (fake->events_map == NULL)
        cr_assert_eq(map_open_writer(&fake->events_map, paths.events_map, MAP_EVENTS), 0);
    board_raise_generation(fake->board, PROC_STORAGE);
    board_raise_generation(fake->board, PROC_EVENTS);
    board_raise_generation(fake->board, PROC_CACHEQ);
    fake_open_link(fake, &fake->raft, PROC_RAFT, fake_start_id);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        fake_open_link(fake, &fake->workers[i], (enum proc)(PROC_FIRST_WORKER + i), fake_start_id);
    FAKE_WAIT(fake, fake->is_ready);
}

void fake_start(struct fake *fake, const char *settings)
{
    fake_prepare(fake, &(struct fake_options){.settings = settings});
    fake->leader_is_known = true;
    fake_set_lease(fake, true);
    fake_launch(fake);
}

/* ---- turns -----------------------------------------------------------------------------------
 */

void fake_turn(struct fake *fake, int timeout_ms)
{
    struct link *links[1 + PROC_WORKER_COUNT] = {fake->raft, fake->workers[0], fake->workers[1],
                                                 fake->workers[2]};
    struct pollfd fds[2 + PROC_WORKER_COUNT];
    nfds_t count = 0;
    fds[count++] = (struct pollfd){.fd = fake->control, .events = POLLIN};
    for (unsigned i = 0; i < 1 + PROC_WORKER_COUNT; i++)
        fds[count++] =
            (struct pollfd){.fd = links[i] != NULL ? link_fd(links[i]) : -1, .events = POLLIN};
    poll(fds, count, timeout_ms);
    if (fds[0].revents != 0)
        fake_on_control(fake);
    for (unsigned i = 0; i < 1 + PROC_WORKER_COUNT; i++) {
        if (links[i] != NULL && fds[1 + i].revents != 0)
            link_drain(links[i]);
    }
    for (unsigned i = 0; i < 1 + PROC_WORKER_COUNT; i++) {
        if (links[i] != NULL)
            link_flush(links[i]);
    }
}

void fake_pass_ms(struct fake *fake, uint64_t ms)
{
    for (uint64_t end_ms = clock_boot_ms() + ms; clock_boot_ms() < end_ms;)
        fake_turn(fake, 2);
}
