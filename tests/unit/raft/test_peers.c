/* Connections between nodes: who is who, messages, peers that are slow, gone, or come back. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/raft/peers/peer_socket.h"
#include "tests/unit/raft/peer_nodes.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static void peers_open_two(void)
{
    nodes_init(2, NULL);
    node_open(0, "c");
    node_open(1, "c");
}

TestSuite(peers, .fini = nodes_fini, .timeout = 60);

static void peers_connect(void)
{
    NODES_WAIT(node_is_up(0, 1) && node_is_up(1, 0));
    NODES_WAIT(peer_info(node_peer(0, 1))->is_heard && peer_info(node_peer(1, 0))->is_heard);
}

Test(peers, nodes_find_each_other_and_know_who_is_there)
{
    peers_open_two();
    peers_connect();
    const struct peer_info *info = peer_info(node_peer(0, 1));
    cr_assert_eq(info->id, 101);
    cr_assert_str_eq(info->name, "node1");
    cr_assert_eq(info->cluster[0], 'c');
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", nodes.list[1].port);
    cr_assert_str_eq(info->raft_address, address);
    cr_assert_str_eq(info->http_address, "127.0.0.1:60001");
    cr_assert_eq(peers_by_id(nodes.list[0].peers, 101), node_peer(0, 1));
    cr_assert_null(peers_by_id(nodes.list[0].peers, 100));
    for (int fault = 0; fault < PEER_FAULTS; fault++)
        cr_assert_eq(peers_faults(nodes.list[0].peers, (enum peer_fault)fault), 0);
}

Test(peers, messages_of_a_turn_travel_as_one_frame_and_in_order)
{
    peers_open_two();
    peers_connect();
    uint64_t frames = peers_frames_sent(nodes.list[0].peers);
    for (uint64_t value = 1; value <= 100; value++)
        node_say(0, 1, value);
    NODES_WAIT(node_heard(1, 100) == 1);
    cr_assert_eq(peers_frames_sent(nodes.list[0].peers), frames + 1);
    cr_assert_eq(nodes.list[1].message_count, 100);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(nodes.list[1].messages[i].value, i + 1);
        cr_assert_str_eq(nodes.list[1].messages[i].from, "node0");
    }
}

Test(peers, large_and_small_messages_follow_each_other)
{
    static const size_t sizes[] = {1, 100, 4095, 65536, 1 << 20, (1 << 20) + 1, 5 << 20, 60 << 20};
    const unsigned count = sizeof(sizes) / sizeof(sizes[0]);
    peers_open_two();
    peers_connect();
    for (unsigned i = 0; i < count; i++) {
        NODES_WAIT(peer_queued_bytes(node_peer(0, 1)) < PEER_QUEUE_BYTES);
        cr_assert_eq(node_say_bytes(0, 1, sizes[i]), 0);
        NODES_WAIT(peer_queued_bytes(node_peer(0, 1)) < PEER_QUEUE_BYTES);
        node_say(0, 1, i);
    }
    NODES_WAIT(nodes.list[1].message_count == 2 * count);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(nodes.list[1].messages[2UL * i].bytes, sizes[i]);
        cr_assert_eq(nodes.list[1].messages[2 * i + 1].value, i);
    }
}

Test(peers, whoever_comes_back_is_connected_again)
{
    peers_open_two();
    peers_connect();
    for (unsigned round = 1; round <= 20; round++) {
        unsigned downs = nodes.list[0].downs;
        node_close(1);
        NODES_WAIT(nodes.list[0].downs == downs + 1);
        cr_assert_not(node_is_up(0, 1));
        struct pack *pack;
        cr_assert_eq(peer_begin(node_peer(0, 1), PEER_STATUS_ASK, &pack), E_PEER_DOWN);
        nodes.list[1].message_count = 0;
        node_open_as(1, "c", 101 + round, SECRET);
        peers_connect();
        cr_assert_eq(peer_info(node_peer(0, 1))->id, 101 + round, "a new raft id is noticed");
        node_say(0, 1, round);
        NODES_WAIT(node_heard(1, round) == 1);
    }
}

Test(peers, a_restart_takes_milliseconds_not_the_longest_delay)
{
    peers_open_two();
    peers_connect();
    node_close(1);
    nodes_turn(4000); /* long enough for the delays to have grown */
    uint64_t begin_ms = clock_boot_ms();
    node_open(1, "c");
    peers_connect();
    cr_assert_lt(clock_boot_ms() - begin_ms, 500);
}

Test(peers, a_peer_at_another_address_is_believed)
{
    nodes_init(2, NULL);
    node_open(0, "c");
    /* node1 knows of its new port, node0 does not */
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    cr_assert_eq(bind(probe, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(getsockname(probe, (struct sockaddr *)&at, &len), 0);
    nodes.list[1].port = ntohs(at.sin_port);
    close(probe);
    node_open(1, "c");
    peers_connect();
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", nodes.list[1].port);
    cr_assert_str_eq(peer_info(node_peer(0, 1))->raft_address, address);
}

Test(peers, who_is_of_another_cluster_is_heard_about_joining_only)
{
    nodes_init(2, NULL);
    node_open(0, "c");
    node_open(1, "d");
    peers_connect();
    node_say(0, 1, 7);
    node_say_join(0, 1, true);
    NODES_WAIT(nodes.list[1].message_count == 1);
    cr_assert_eq(nodes.list[1].messages[0].number, PEER_JOIN);
    cr_assert_eq(peers_faults(nodes.list[1].peers, PEER_FAULT_FOREIGN), 1);
    cr_assert_eq(peer_info(node_peer(1, 0))->cluster[0], 'c');
    cr_assert(node_is_up(0, 1), "the connection stays");
}

Test(peers, who_is_of_no_cluster_is_heard_about_joining_only_until_it_is)
{
    static const uint8_t cluster[WAL_CLUSTER_BYTES] = "cccccccccccccccc";
    nodes_init(2, NULL);
    node_open(0, NULL);
    node_open(1, "c");
    peers_connect();
    node_say(0, 1, 7);
    node_say(1, 0, 7);
    node_say_join(0, 1, false);
    node_say_join(1, 0, false);
    NODES_WAIT(nodes.list[1].message_count == 1 && nodes.list[0].message_count == 1);
    peers_set_cluster(nodes.list[0].peers, cluster);
    node_say(0, 1, 8);
    node_say(1, 0, 8);
    NODES_WAIT(node_heard(1, 8) == 1 && node_heard(0, 8) == 1);
}

Test(peers, a_node_that_came_by_is_spoken_to_until_it_is_silent)
{
    nodes_init(3, NULL);
    node_open(0, "c");
    node_open(1, "c");
    peers_connect();
    /* node2 is in nobody's list of members */
    struct members *none = mem_alloc(sizeof(*none));
    peers_set_members(nodes.list[0].peers, none);
    free(none);
    nodes_turn(20);
    cr_assert(node_is_up(0, 1), "for a while");
    node_open(2, "c");
    NODES_WAIT(node_is_up(2, 0) && node_is_up(0, 2));
    node_say(0, 2, 9);
    NODES_WAIT(node_heard(2, 9) == 1);
    cr_assert_eq(peers_next(nodes.list[0].peers, NULL) != NULL, true);
}

Test(peers, what_a_handler_refuses_ends_the_connection_which_comes_back)
{
    peers_open_two();
    peers_connect();
    nodes.list[1].refuses = PEER_STATUS_ASK;
    unsigned downs = nodes.list[0].downs;
    node_say(0, 1, 1);
    NODES_WAIT(nodes.list[0].downs == downs + 1);
    cr_assert_eq(peers_faults(nodes.list[1].peers, PEER_FAULT_MALFORMED), 1);
    nodes.list[1].refuses = PEER_HELLO;
    peers_connect();
    node_say(0, 1, 2);
    NODES_WAIT(node_heard(1, 2) == 1);
}

Test(peers, a_message_may_be_given_up_while_it_is_made)
{
    struct pack *pack;
    peers_open_two();
    peers_connect();
    cr_assert_eq(peer_begin(node_peer(0, 1), PEER_STATUS_ASK, &pack), 0);
    peer_cancel(node_peer(0, 1));
    cr_assert_eq(peer_queued_bytes(node_peer(0, 1)), 0);
    node_say(0, 1, 1);
    cr_assert_eq(peer_begin(node_peer(0, 1), PEER_STATUS_ASK, &pack), 0);
    peer_id_pack(pack, 99);
    peer_cancel(node_peer(0, 1));
    node_say(0, 1, 2);
    NODES_WAIT(node_heard(1, 2) == 1);
    cr_assert_eq(node_heard(1, 1), 1);
    cr_assert_eq(nodes.list[1].message_count, 2);
}

/* ---- slow and gone ----------------------------------------------------------------------------
 */

/* Accepts and says what a node says first, then nothing any more. */
static int peers_stuck_listener(unsigned i)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)nodes.list[i].port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(fd, 8), 0);
    return fd;
}

/* Reads a frame, and answers WELCOME with the key. */
static int peers_accept_and_welcome(int listener, const char *name, uint64_t raft_id)
{
    static const uint8_t nonce[PEER_NONCE_BYTES] = {7};
    uint8_t greeting[PEER_GREETING_BYTES], frame[PEER_STRANGER_BYTES];
    uint32_t length = 0;
    int fd = -1;
    uint64_t end_ms = clock_boot_ms() + 10000;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) {
        cr_assert_lt(clock_boot_ms(), end_ms);
        nodes_turn(1);
    }
    peer_encode_greeting(greeting, nonce);
    cr_assert_eq(send(fd, greeting, sizeof(greeting), 0), (ssize_t)sizeof(greeting));
    for (size_t len = 0; len < PEER_LENGTH_BYTES || len < PEER_LENGTH_BYTES + length;) {
        cr_assert_lt(clock_boot_ms(), end_ms);
        nodes_turn(1);
        ssize_t got = recv(fd, frame + len, sizeof(frame) - len, MSG_DONTWAIT);
        len += got > 0 ? (size_t)got : 0;
        if (len >= PEER_LENGTH_BYTES)
            cr_assert_eq(peer_frame_length(frame, &length), 0);
    }
    struct hash_key *key = peer_frame_key(SECRET);
    struct peer_head head;
    struct slice messages;
    struct unpack outer, body;
    struct peer_hello hello;
    cr_assert_eq(
        peer_frame_open(slice_of(frame + PEER_LENGTH_BYTES, length), key, &head, &messages), 0);
    hash_key_free(&key);
    cr_assert_arr_eq(head.nonce, nonce, sizeof(nonce));
    unpack_init(&outer, messages);
    unpack_init(&body, unpack_bytes(&outer));
    unpack_array(&body);
    cr_assert_eq(unpack_u64(&body), PEER_HELLO);
    cr_assert_eq(peer_hello_decode(&hello, &body), 0);

    struct peer_hello own = {.start_id = 9,
                             .name = slice_text(name),
                             .raft_address = slice_text("127.0.0.1:1"),
                             .http_address = slice_text("127.0.0.1:2")};
    struct peer_head answer = {
        .direction = PEER_ANSWERED, .sender = raft_id, .receiver = head.sender, .number = 1};
    struct buf inner, packed, out;
    struct pack pack;
    memcpy(answer.cluster, head.cluster, sizeof(answer.cluster));
    memcpy(answer.nonce, hello.nonce, sizeof(answer.nonce));
    buf_init(&inner, 4096);
    buf_init(&packed, 4096);
    buf_init(&out, 4096);
    pack_init(&pack, &inner);
    pack_array(&pack, 1 + (uint32_t)peer_message_elements(PEER_WELCOME));
    pack_u64(&pack, PEER_WELCOME);
    peer_welcome_pack(&pack, &own);
    pack_init(&pack, &packed);
    pack_bytes(&pack, buf_slice(&inner));
    stranger_frame(&out, SECRET, &answer, buf_slice(&packed));
    cr_assert_eq(send(fd, out.data, out.len, 0), (ssize_t)out.len);
    buf_fini(&inner);
    buf_fini(&packed);
    buf_fini(&out);
    return fd;
}

Test(peers, a_peer_that_takes_nothing_costs_its_bound_and_is_given_up)
{
    nodes_init(2, NULL);
    int listener = peers_stuck_listener(1);
    node_open(0, "c");
    int fd = peers_accept_and_welcome(listener, "node1", 101);
    NODES_WAIT(node_is_up(0, 1));
    struct peer *peer = node_peer(0, 1);
    unsigned refused = 0;
    size_t most = 0;
    uint64_t begin_ms = clock_boot_ms();
    while (node_is_up(0, 1)) {
        cr_assert_lt(clock_boot_ms() - begin_ms, PEER_SILENCE_MS + 3000);
        refused += node_say_bytes(0, 1, 256 << 10) == E_BUSY;
        most = peer_queued_bytes(peer) > most ? peer_queued_bytes(peer) : most;
        nodes_turn(1);
    }
    cr_assert_gt(refused, 0);
    cr_assert_leq(most, PEER_QUEUE_BYTES + (1 << 20));
    cr_assert_geq(clock_boot_ms() - begin_ms, PEER_SILENCE_MS - 100);
    cr_assert_eq(peer_queued_bytes(peer), 0, "nothing is kept for it");
    close(fd);
    close(listener);
}

static unsigned peers_ended;

static void peers_count_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    peers_ended += strstr(line, "event=peer_") != NULL;
}

Test(peers, a_peer_that_is_gone_costs_one_line_and_few_tries)
{
    nodes_init(2, NULL);
    log_set_hook(peers_count_log, NULL);
    node_open(0, "c");
    nodes_turn(3000);
    cr_assert_eq(peers_ended, 1);
    log_set_hook(NULL, NULL);
}

Test(peers, an_answer_without_the_secret_opens_nothing)
{
    static const uint8_t nonce[PEER_NONCE_BYTES] = {7};
    uint8_t greeting[PEER_GREETING_BYTES];
    nodes_init(2, NULL);
    int listener = peers_stuck_listener(1), fd;
    node_open(0, "c");
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0)
        nodes_turn(1);
    peer_encode_greeting(greeting, nonce);
    send(fd, greeting, sizeof(greeting), 0);
    struct buf out;
    struct peer_head head = {.direction = PEER_ANSWERED, .sender = 101, .number = 1};
    buf_init(&out, 4096);
    stranger_frame(&out, "another secret", &head, slice_text("xx"));
    send(fd, out.data, out.len, 0);
    NODES_WAIT(peers_faults(nodes.list[0].peers, PEER_FAULT_FORGED) == 1);
    cr_assert_not(node_is_up(0, 1));
    buf_fini(&out);
    close(fd);
    close(listener);
}

Test(peers, another_node_at_the_address_is_not_taken_for_the_one_that_was_dialed)
{
    nodes_init(2, NULL);
    int listener = peers_stuck_listener(1);
    node_open(0, "c");
    close(peers_accept_and_welcome(listener, "node7", 107));
    NODES_WAIT(peers_faults(nodes.list[0].peers, PEER_FAULT_IDENTITY) == 1);
    close(peers_accept_and_welcome(listener, "node1", 100));
    NODES_WAIT(peers_faults(nodes.list[0].peers, PEER_FAULT_IDENTITY) == 2);
    cr_assert_not(node_is_up(0, 1));
    close(listener);
}
