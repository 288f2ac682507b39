/* Links between two real ends: up and down, batches, bounds, large messages, peers that die. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "ipc/link_private.h"
#include "link_ends.h"

static struct end raft, gateway;

TestSuite(link, .init = ends_init, .fini = ends_fini, .timeout = 60);

/* A connection may go and come more than once before both ends agree again: so ups are not counted
 * where there was a break. */
static bool both_are_up(void)
{
    return link_is_up(raft.link) && link_is_up(gateway.link) &&
           raft.link->own_nonce == gateway.link->peer_nonce &&
           gateway.link->own_nonce == raft.link->peer_nonce;
}

static void open_both(void)
{
    end_open(&raft, PROC_RAFT, 100);
    end_open(&gateway, PROC_GATEWAY, 200);
    WAIT_FOR(raft.ups == 1 && gateway.ups == 1);
}

/* As a failure within the kernel would. */
static void break_connection(const struct end *end)
{
    struct link_wire *wire = &end->link->wire;
    pthread_mutex_lock(&wire->mutex);
    wire->is_closing = true; /* nothing may be begun on a closed stream */
    pthread_mutex_unlock(&wire->mutex);
    nng_stream_close(wire->stream);
}

Test(link, two_ends_come_up_and_know_each_other)
{
    open_both();
    cr_assert_eq(raft.peer.proc, PROC_GATEWAY);
    cr_assert_eq(raft.peer.index, 0);
    cr_assert_eq(raft.peer.start_id, 200);
    cr_assert_eq(gateway.peer.proc, PROC_RAFT);
    cr_assert_eq(gateway.peer.start_id, 100);
}

Test(link, who_dials_may_start_first)
{
    end_open(&gateway, PROC_GATEWAY, 200);
    for (int i = 0; i < 20; i++)
        ends_turn(5);
    cr_assert(!link_is_up(gateway.link));
    end_open(&raft, PROC_RAFT, 100);
    uint64_t start_ms = clock_boot_ms();
    WAIT_FOR(raft.ups == 1 && gateway.ups == 1);
    cr_assert_lt(clock_boot_ms() - start_ms, 1000);
}

Test(link, nothing_can_be_queued_while_the_peer_is_down)
{
    end_open(&raft, PROC_RAFT, 100);
    cr_assert_eq(end_send(&raft, 1), E_PEER_DOWN);
    cr_assert_eq(link_queued_bytes(raft.link), 0);
    cr_assert(link_is_idle(raft.link));
}

Test(link, all_messages_of_a_turn_travel_as_one_batch_in_order)
{
    open_both();
    for (uint64_t i = 1; i <= 1000; i++)
        cr_assert_eq(end_send(&gateway, i), 0);
    cr_assert_gt(link_queued_bytes(gateway.link), 1000);
    WAIT_FOR(raft.count == 1000);
    cr_assert_eq(raft.batch_ends, 1);
    cr_assert(!raft.has_gap);
    cr_assert_eq(raft.first, 1);
    WAIT_FOR(link_queued_bytes(gateway.link) == 0);
}

Test(link, a_batch_over_its_limit_is_closed_within_the_turn)
{
    open_both();
    static char bytes[1 << 20];
    struct msg_propose propose = {slice_of(bytes, sizeof(bytes))};
    for (int i = 0; i < 16; i++)
        cr_assert_eq(msg_propose_send(gateway.link, &propose), 0);
    cr_assert_eq(end_send(&gateway, 1), 0);
    WAIT_FOR(raft.count == 1);
    cr_assert_eq(raft.batch_ends, 16 / 4 + 1);
}

Test(link, handlers_may_answer_at_once)
{
    open_both();
    raft.echoes = 100;
    for (uint64_t i = 1; i <= 100; i++)
        cr_assert_eq(end_send(&gateway, i), 0);
    WAIT_FOR(gateway.count == 100);
    cr_assert_eq(gateway.batch_ends, 1);
    cr_assert(!gateway.has_gap);
}

Test(link, a_closed_peer_is_down_and_a_new_one_is_up_again)
{
    open_both();
    end_close(&gateway);
    WAIT_FOR(raft.downs == 1);
    cr_assert_eq(end_send(&raft, 1), E_PEER_DOWN);
    end_open(&gateway, PROC_GATEWAY, 201);
    WAIT_FOR(both_are_up());
    cr_assert_geq(raft.ups, 2);
    cr_assert_eq(raft.peer.start_id, 201);
    end_close(&raft); /* the listening side as well */
    WAIT_FOR(gateway.downs == 1);
    end_open(&raft, PROC_RAFT, 101);
    uint64_t start_ms = clock_boot_ms();
    WAIT_FOR(both_are_up());
    cr_assert_lt(clock_boot_ms() - start_ms, 1000);
    cr_assert_geq(gateway.ups, 2);
    cr_assert_eq(gateway.peer.start_id, 101);
}

Test(link, closing_calls_no_handler)
{
    open_both();
    cr_assert_eq(end_send(&gateway, 1), 0);
    end_close(&gateway);
    cr_assert_eq(gateway.downs, 0);
    WAIT_FOR(raft.downs == 1);
    cr_assert_eq(raft.count, 0, "what was queued is lost");
}

Test(link, a_broken_connection_of_two_living_processes_is_down_and_up_on_both_sides)
{
    open_both();
    for (int round = 1; round <= 5; round++) {
        unsigned raft_downs = raft.downs, gateway_downs = gateway.downs;
        for (uint64_t i = 1; i <= 10; i++)
            cr_assert_eq(end_send(&gateway, 1000 + i), 0); /* queued, never flushed */
        break_connection(round % 2 == 0 ? &raft : &gateway);
        uint64_t end_ms = clock_boot_ms() + 15000;
        while (raft.downs == raft_downs || gateway.downs == gateway_downs) {
            link_drain(raft.link); /* no flush: what is queued must die with the connection */
            link_drain(gateway.link);
            usleep(100);
            cr_assert_lt(clock_boot_ms(), end_ms);
        }
        WAIT_FOR(both_are_up());
        for (uint64_t i = 1; i <= 3; i++)
            cr_assert_eq(end_send(&gateway, i), 0);
        WAIT_FOR(raft.count == 3);
        cr_assert_eq(raft.first, 1, "nothing of before the break arrives after it");
        cr_assert(!raft.has_gap);
    }
}

Test(link, breaks_under_load_lose_a_tail_and_never_the_middle)
{
    open_both();
    unsigned ups = gateway.ups;
    uint64_t next = ups * 1000000ull;
    for (int round = 0; round < 8; round++) {
        unsigned downs = gateway.downs;
        for (int turn = 0; turn < 200 || gateway.downs == downs || !both_are_up(); turn++) {
            for (int i = 0; i < 50 && link_is_up(gateway.link); i++)
                cr_assert_eq(end_send(&gateway, next++), 0);
            if (turn == 150)
                break_connection(&gateway);
            ends_turn(turn < 200 ? 0 : 1);
            if (gateway.ups != ups) {
                ups = gateway.ups;
                next = ups * 1000000ull; /* numbers of each connection are apart */
            }
            cr_assert(!raft.has_gap, "round %d", round);
            cr_assert_lt(turn, 20000, "round %d", round);
        }
        uint64_t last = next;
        cr_assert_eq(end_send(&gateway, next++), 0);
        WAIT_FOR(raft.last == last);
        cr_assert(!raft.has_gap);
        cr_assert_eq(raft.first / 1000000, ups, "of this connection");
    }
}

Test(link, a_peer_that_does_not_read_fills_its_bounds_and_then_sending_is_refused)
{
    open_both();
    static char bytes[1 << 20];
    memset(bytes, 7, sizeof(bytes));
    struct msg_propose propose = {slice_of(bytes, sizeof(bytes))};
    unsigned sent = 0;
    int error = 0;
    uint64_t end_ms = clock_boot_ms() + 15000;
    uint64_t stuck_ms = 0;
    /* Only the gateway takes turns, until it has been refused for a while. */
    while (clock_boot_ms() < end_ms && (error == 0 || clock_boot_ms() - stuck_ms < 300)) {
        link_drain(gateway.link);
        error = msg_propose_send(gateway.link, &propose);
        stuck_ms = error == 0 ? clock_boot_ms() : stuck_ms;
        sent += error == 0;
        link_flush(gateway.link);
    }
    cr_assert_eq(error, E_BUSY);
    cr_assert_geq(link_queued_bytes(gateway.link), LINK_QUEUE_BYTES);
    cr_assert_lt(link_queued_bytes(gateway.link), LINK_QUEUE_BYTES + 2 * sizeof(bytes));
    cr_assert(!link_is_idle(gateway.link));
    cr_assert_leq(raft.link->inbox.bytes, LINK_INBOX_BYTES + LIMIT_MESSAGE_BYTES);
    cr_assert_geq(raft.link->inbox.bytes, LINK_INBOX_BYTES);
    cr_assert_lt(sent, (128 + 64 + 32), "bytes are held somewhere uncounted");
    /* The reader wakes up: everything arrives and sending works again. */
    WAIT_FOR(link_queued_bytes(gateway.link) == 0);
    cr_assert_eq(end_send(&gateway, 1), 0);
    WAIT_FOR(raft.count == 1);
    cr_assert_eq(raft.ups, 1);
    WAIT_FOR(link_is_idle(gateway.link));
}

Test(link, the_largest_entry_passes_and_its_memory_is_given_back)
{
    open_both();
    uint8_t *bytes = malloc(LIMIT_ENTRY_BYTES + 1);
    uint8_t sum = 0;
    for (size_t i = 0; i <= LIMIT_ENTRY_BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    for (size_t i = 0; i < LIMIT_ENTRY_BYTES; i += 1021)
        sum = (uint8_t)(sum + bytes[i]);
    struct msg_propose propose = {slice_of(bytes, LIMIT_ENTRY_BYTES + 1)};
    cr_assert_eq(msg_propose_send(gateway.link, &propose), E_TOO_LARGE);
    /* Behind a batch that is just below its limit, too: the worst case of one batch. */
    propose.entry.len = LIMIT_BATCH_BYTES - 100;
    cr_assert_eq(msg_propose_send(gateway.link, &propose), 0);
    propose.entry.len = LIMIT_ENTRY_BYTES;
    cr_assert_eq(msg_propose_send(gateway.link, &propose), 0);
    WAIT_FOR(raft.entry_bytes == LIMIT_ENTRY_BYTES);
    cr_assert_eq(raft.entry_sum, sum);
    cr_assert_eq(raft.batch_ends, 1);
    cr_assert_eq(raft.ups, 1);
    WAIT_FOR(link_is_idle(gateway.link));
    cr_assert_leq(gateway.link->batch.cap, 64 << 10);
    cr_assert_leq(gateway.link->wire.out.cap, 64 << 10);
    cr_assert_leq(raft.link->wire.in.cap, 64 << 10);
    free(bytes);
}

/* Nor within NNG, which keeps what it holds reachable. */
Test(link, messages_leave_no_memory_behind)
{
    size_t before = 0;
    open_both();
    for (unsigned round = 0; round <= 40; round++) {
        uint64_t wanted = gateway.count + 50;
        raft.echoes = 50;
        for (uint64_t i = 0; i < 50; i++) {
            cr_assert_eq(end_send(&gateway, i), 0);
            ends_turn(0);
        }
        WAIT_FOR(gateway.count == wanted && link_is_idle(raft.link) && link_is_idle(gateway.link));
        if (round == 20)
            before = mallinfo2().uordblks;
    }
    /* 1000 batches there and 1000 back */
    cr_assert_lt(mallinfo2().uordblks, before + 50000);
}

Test(link, a_second_dialer_is_turned_away_and_the_first_does_not_notice)
{
    static struct end extra;
    open_both();
    end_open(&extra, PROC_GATEWAY, 300);
    for (uint64_t i = 1; i <= 50; i++) {
        cr_assert_eq(end_send(&gateway, i), 0);
        WAIT_FOR(raft.count == i);
        ends_turn(5);
    }
    cr_assert_eq(extra.ups, 0);
    cr_assert_eq(raft.ups, 1);
    cr_assert_eq(raft.downs + gateway.downs, 0);
    end_close(&gateway);
    WAIT_FOR(extra.ups > 0 && raft.ups > 1 &&
             link_is_up(raft.link)); /* and takes over once there is room */
    cr_assert_eq(raft.peer.start_id, 300);
}

Test(link, the_socket_is_for_its_owner_only)
{
    char url[PROC_LINK_BYTES];
    struct stat status;
    open_both();
    cr_assert_eq(proc_link_url(url, ends_dir, PROC_RAFT, PROC_GATEWAY, 0), 0);
    cr_assert_eq(stat(url + strlen("ipc://"), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
}

static void ignore_message(void *arg, enum msg type, struct unpack *body)
{
    (void)arg;
    (void)type;
    (void)body;
}

Test(link, a_folder_that_is_not_there_and_a_path_too_long_are_errors)
{
    char long_dir[121];
    struct link *link;
    memset(long_dir, 'd', sizeof(long_dir) - 1);
    long_dir[sizeof(long_dir) - 1] = '\0';
    struct link_options options = {.run_dir = "/tmp/insi-no-such-folder",
                                   .node = NODE,
                                   .self = PROC_RAFT,
                                   .peer = PROC_STORAGE,
                                   .handlers.on_message = ignore_message};
    cr_assert_eq(link_open(&link, &options), E_IO);
    cr_assert_null(link);
    cr_assert_eq(ends_logged("link_failed"), 1);
    options.run_dir = long_dir;
    cr_assert_eq(link_open(&link, &options), E_TOO_LARGE);
    cr_assert_null(link);
}

Test(link, another_node_is_refused_and_logged_once_on_both_sides)
{
    end_open_as(&raft, PROC_RAFT, "node0", 100);
    end_open_as(&gateway, PROC_GATEWAY, "node1", 200);
    WAIT_FOR(ends_logged("link_refused") == 2);
    cr_assert_eq(ends_logged("field=node"), 2);
    cr_assert_eq(ends_logged("peer_node=node1"), 1);
    cr_assert_eq(ends_logged("peer_node=node0"), 1);
    uint32_t connection = end_connection(&raft);
    cr_assert_neq(connection, 0);
    WAIT_FOR(end_connection(&raft) > connection && raft.link->is_refused &&
             gateway.link->is_refused);
    cr_assert_eq(ends_logged("link_refused"), 2, "the same stranger again is no news");
    cr_assert_eq(raft.ups + gateway.ups, 0);
    end_close(&gateway);
    end_open_as(&gateway, PROC_GATEWAY, "node0", 201);
    WAIT_FOR(both_are_up());
    cr_assert_eq(raft.peer.start_id, 201);
}

/* ---- in a loop ---- */

static struct loop *loop;
static unsigned late_sends;

static void send_late(void *arg)
{
    (void)arg;
    if (link_is_up(gateway.link) && late_sends > 0) {
        late_sends--;
        cr_assert_eq(end_send(&gateway, 3 - late_sends), 0);
    }
    if (raft.count == 3 && gateway.count == 3)
        loop_stop(loop);
}

Test(link, in_a_loop_nothing_waits_for_the_next_event_to_be_flushed)
{
    loop = loop_new();
    end_open(&raft, PROC_RAFT, 100);
    end_open(&gateway, PROC_GATEWAY, 200);
    cr_assert_eq(link_attach(raft.link, loop), 0);
    cr_assert_eq(link_attach(gateway.link, loop), 0);
    raft.echoes = 3;
    late_sends = 3;
    /* This runner comes after the links' own, so what it queues has missed their flush. */
    cr_assert_eq(loop_add_runner(loop, send_late, NULL), 0);
    loop_run(loop);
    cr_assert_eq(late_sends, 0);
    end_close(&raft);
    end_close(&gateway);
    loop_free(&loop);
}
