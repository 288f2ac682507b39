#include "tests/unit/raft/transfer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/path.h"
#include "base/rng.h"

struct transfer transfer;

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

/* ---- the way ----------------------------------------------------------------------------------
 */

static struct pack *say(bool to_receiver, enum peer_message number)
{
    static struct pack pack;
    cr_assert_lt(transfer.count, TRANSFER_QUEUE);
    struct transfer_message *message =
        &transfer.queue[(transfer.head + transfer.count++) % TRANSFER_QUEUE];
    message->number = number;
    message->to_receiver = to_receiver;
    buf_init(&message->bytes, 2 << 20);
    pack_init(&pack, &message->bytes);
    loop_run_again(transfer.loop);
    return &pack;
}

static void drop_all(void)
{
    for (; transfer.count > 0; transfer.count--) {
        buf_fini(&transfer.queue[transfer.head].bytes);
        transfer.head = (transfer.head + 1) % TRANSFER_QUEUE;
    }
}

void transfer_cut(void)
{
    drop_all();
    if (transfer.send)
        snapshot_send_on_peer_gone(transfer.send);
    snapshot_receive_on_peer_gone(&transfer.receive, TRANSFER_SENDER);
}

static void hear_chunk(struct unpack *body)
{
    struct peer_snapshot_chunk chunk;
    cr_assert_eq(peer_snapshot_chunk_decode(&chunk, body), 0);
    if (transfer.chunk_bytes == 0)
        transfer.first_position = chunk.position;
    transfer.chunk_bytes += chunk.bytes.len;
    uint8_t *bytes = mem_copy(chunk.bytes.data, chunk.bytes.len);
    chunk.bytes.data = bytes;
    if (++transfer.chunks == transfer.damage_at)
        bytes[chunk.bytes.len / 2] ^= 4;
    transfer.refused = snapshot_receive_on_chunk(&transfer.receive, TRANSFER_SENDER, &chunk);
    free(bytes);
    if (transfer.chunks == transfer.hold_at)
        transfer.holds = true;
}

static void hear_abort(bool to_receiver, struct unpack *body)
{
    struct peer_snapshot_abort abort;
    cr_assert_eq(peer_snapshot_abort_decode(&abort, body), 0);
    transfer.aborts++;
    transfer.aborted = (int)abort.error;
    if (to_receiver)
        snapshot_receive_on_abort(&transfer.receive, TRANSFER_SENDER, &abort);
    else if (transfer.send)
        snapshot_send_on_abort(transfer.send, &abort);
}

void transfer_deliver(bool to_receiver, enum peer_message number, const struct buf *bytes)
{
    struct peer_snapshot_offer offer;
    struct peer_snapshot_ack ack;
    struct unpack body;
    unpack_init(&body, buf_slice(bytes));
    if (number == PEER_SNAPSHOT_CHUNK) {
        hear_chunk(&body);
    } else if (number == PEER_SNAPSHOT_ABORT) {
        hear_abort(to_receiver, &body);
    } else if (number == PEER_SNAPSHOT_OFFER) {
        cr_assert_eq(peer_snapshot_offer_decode(&offer, &body), 0);
        transfer.offers++;
        snapshot_receive_on_offer(&transfer.receive, TRANSFER_SENDER, &offer);
    } else {
        cr_assert_eq(peer_snapshot_ack_decode(&ack, &body), 0);
        transfer.acks++;
        if (transfer.send)
            transfer.refused = snapshot_send_on_ack(transfer.send, &ack);
    }
}

static void on_runner(void *arg)
{
    (void)arg;
    if (transfer.send)
        snapshot_send_go_on(transfer.send);
    for (unsigned i = 0; i < 8 && transfer.count > 0 && !transfer.holds; i++) {
        if (++transfer.delivered == transfer.cut_at) {
            transfer_cut();
            return;
        }
        struct transfer_message message = transfer.queue[transfer.head];
        transfer.head = (transfer.head + 1) % TRANSFER_QUEUE;
        transfer.count--;
        transfer_deliver(message.to_receiver, message.number, &message.bytes);
        buf_fini(&message.bytes);
    }
    if (transfer.count > 0 && !transfer.holds)
        loop_run_again(transfer.loop);
}

/* ---- the sender's hooks -----------------------------------------------------------------------
 */

static bool is_busy(void)
{
    static unsigned tries;
    loop_run_again(transfer.loop);
    return transfer.busy_every > 0 && ++tries % transfer.busy_every == 0;
}

static int say_offer(void *arg, const struct peer_snapshot_offer *offer)
{
    (void)arg;
    if (is_busy())
        return E_BUSY;
    peer_snapshot_offer_pack(say(true, PEER_SNAPSHOT_OFFER), offer);
    return 0;
}

static int say_chunk(void *arg, const struct peer_snapshot_chunk *chunk)
{
    (void)arg;
    if (is_busy())
        return E_BUSY;
    peer_snapshot_chunk_pack(say(true, PEER_SNAPSHOT_CHUNK), chunk);
    return 0;
}

static int say_abort(void *arg, const struct peer_snapshot_abort *abort)
{
    (void)arg;
    peer_snapshot_abort_pack(say(true, PEER_SNAPSHOT_ABORT), abort);
    return 0;
}

static void on_ended(void *arg, int error)
{
    (void)arg;
    transfer.error = error;
    transfer.sent += error == 0 ? 1 : 0;
    transfer.failed += error == 0 ? 0 : 1;
    snapshot_send_cancel(&transfer.send);
}

/* ---- the receiver's hooks ---------------------------------------------------------------------
 */

static void answer_ack(void *arg, uint64_t to, const struct peer_snapshot_ack *ack)
{
    (void)arg;
    cr_assert_eq(to, TRANSFER_SENDER);
    peer_snapshot_ack_pack(say(false, PEER_SNAPSHOT_ACK), ack);
}

static void answer_abort(void *arg, uint64_t to, const struct peer_snapshot_abort *abort)
{
    (void)arg;
    cr_assert_eq(to, TRANSFER_SENDER);
    peer_snapshot_abort_pack(say(false, PEER_SNAPSHOT_ABORT), abort);
}

static int judge(void *arg, uint64_t from, uint64_t term, const struct snapshot *snapshot)
{
    (void)arg;
    cr_assert_eq(from, TRANSFER_SENDER);
    cr_assert_geq(term, snapshot->term);
    return transfer.judgement;
}

static void on_received(void *arg, uint64_t from, uint64_t term, struct snapshot *snapshot)
{
    (void)arg;
    transfer.received++;
    transfer.received_index = snapshot->index;
    transfer.received_from = from;
    transfer.received_term = term;
    free(snapshot);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void open_receiver(void)
{
    const struct snapshot_receive_hooks hooks = {answer_ack, answer_abort, judge, on_received,
                                                 NULL};
    snapshot_receive_init(&transfer.receive, transfer.to, transfer.loop, &hooks);
}

void transfer_restart_receiver(void)
{
    snapshot_receive_fini(&transfer.receive);
    open_receiver();
}

void transfer_path(char out[SNAPSHOT_PATH_BYTES], bool of_receiver, const char *name, unsigned part)
{
    snapshot_part_path(out, of_receiver ? transfer.to : transfer.from, name,
                       transfer.snapshot->index, SNAPSHOT_PROC(part));
}

static void make_part(unsigned part, uint64_t bytes)
{
    char path[SNAPSHOT_PATH_BYTES];
    struct rng rng;
    uint8_t *data = mem_alloc(bytes);
    rng_init(&rng, clock_boot_ns());
    for (uint64_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)rng_next(&rng);
    transfer_path(path, false, SNAPSHOT_MAKING, part);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_eq(write(fd, data, bytes), (ssize_t)bytes);
    close(fd);
    transfer.snapshot->parts[part].bytes = bytes;
    transfer.snapshot->parts[part].state_hash = part + 1;
    hash_sha256(slice_of(data, bytes), transfer.snapshot->parts[part].sum);
    free(data);
}

void transfer_make(uint64_t index, const uint64_t bytes[PROC_WORKER_COUNT])
{
    struct snapshot *snapshot = transfer.snapshot;
    *snapshot = (struct snapshot){.index = index, .term = 3, .stamp_ms = 5, .config_index = 1};
    memcpy(snapshot->cluster, TRANSFER_CLUSTER, sizeof(snapshot->cluster));
    snapshot->members.count = 1;
    snapshot->members.list[0] = (struct member){.id = TRANSFER_SENDER,
                                                .voter = true,
                                                .name = "node0",
                                                .raft_address = "127.0.0.1:1",
                                                .http_address = "127.0.0.1:2"};
    cr_assert_eq(path_make_folder(transfer.from), 0);
    cr_assert_eq(snapshot_store_begin(transfer.from, SNAPSHOT_MAKING, 0, 0), 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        make_part(i, bytes[i]);
    cr_assert_eq(snapshot_store_finish(transfer.from, SNAPSHOT_MAKING, snapshot), 0);
}

void transfer_init(uint64_t index, const uint64_t bytes[PROC_WORKER_COUNT])
{
    transfer = (struct transfer){.folder = "/tmp/insi-transfer-XXXXXX", .term = 7};
    cr_assert_not_null(mkdtemp(transfer.folder));
    snprintf(transfer.from, sizeof(transfer.from), "%s/from", transfer.folder);
    snprintf(transfer.to, sizeof(transfer.to), "%s/to", transfer.folder);
    log_set_hook(swallow_log, NULL);
    transfer.loop = loop_new();
    transfer.helper = helper_new(transfer.loop);
    transfer.snapshot = mem_alloc(sizeof(*transfer.snapshot));
    cr_assert_eq(path_make_folder(transfer.to), 0);
    transfer_make(index, bytes);
    cr_assert_eq(loop_add_runner(transfer.loop, on_runner, NULL), 0);
    open_receiver();
}

void transfer_fini(void)
{
    drop_all();
    snapshot_receive_fini(&transfer.receive);
    helper_free(&transfer.helper);
    snapshot_send_free(&transfer.send);
    free(transfer.snapshot);
    loop_free(&transfer.loop);
    path_remove_tree(transfer.folder);
}

void transfer_begin(void)
{
    const struct snapshot_send_options options = {
        .folder = transfer.from,
        .snapshot = transfer.snapshot,
        .transfer = ++transfer.transfers,
        .term = transfer.term,
        .loop = transfer.loop,
        .helper = transfer.helper,
        .hooks = {say_offer, say_chunk, say_abort, on_ended, NULL}};
    cr_assert_null(transfer.send);
    transfer.chunk_bytes = 0;
    transfer.send = snapshot_send_new(&options);
}

static void on_stop(void *arg)
{
    (void)arg;
    loop_stop(transfer.loop);
}

void transfer_turn(unsigned ms)
{
    struct loop_timer timer = {.fire = on_stop};
    loop_timer_set(transfer.loop, &timer, clock_boot_ns() + ms * NS_PER_MS);
    loop_run(transfer.loop);
}

void transfer_expect_equal(void)
{
    struct snapshot_list list = {0};
    char path[SNAPSHOT_PATH_BYTES];
    cr_assert_eq(snapshot_store_open(transfer.to, (const uint8_t *)TRANSFER_CLUSTER, &list), 0);
    cr_assert_eq(list.count, 1);
    cr_assert_eq(list.damaged, 0);
    cr_assert_eq(list.items[0]->index, transfer.snapshot->index);
    cr_assert_eq(list.items[0]->members.count, 1);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        cr_assert_eq(snapshot_store_verify(transfer.to, NULL, transfer.snapshot, SNAPSHOT_PROC(i)),
                     0);
    snapshot_part_path(path, transfer.to, SNAPSHOT_INCOMING, 0, PROC_STORAGE);
    cr_assert_neq(access(path, F_OK), 0);
    snapshot_list_fini(&list);
}
