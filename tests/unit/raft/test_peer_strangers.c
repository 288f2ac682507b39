/* Who knocks at a node's door without being one, or with damaged, recorded or foreign frames. */
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/raft/peer_nodes.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define GUEST_ID 777

TestSuite(strangers, .fini = nodes_fini, .timeout = 60);

static void strangers_open(void)
{
    nodes_init(1, NULL);
    node_open(0, "c");
}

static uint64_t strangers_faults(enum peer_fault fault)
{
    return peers_faults(nodes.list[0].peers, fault);
}

static struct peer *strangers_guest(void)
{
    return peers_by_name(nodes.list[0].peers, slice_text("guest"));
}

/* Dials and says hello; the descriptor. */
static int strangers_enter(const char *secret, const char *name, uint64_t raft_id,
                           uint8_t nonce[PEER_NONCE_BYTES])
{
    struct buf hello;
    int fd = stranger_dial(0);
    stranger_greeting(fd, nonce);
    buf_init(&hello, PEER_STRANGER_BYTES);
    stranger_hello(&hello, secret, name, raft_id, nonce);
    stranger_send(fd, hello.data, hello.len);
    buf_fini(&hello);
    return fd;
}

/* A frame with one STATUS_ASK. */
static void strangers_frame(struct buf *out, const uint8_t nonce[PEER_NONCE_BYTES],
                            uint64_t receiver, uint64_t number, uint64_t value)
{
    struct peer_head head = {
        .direction = PEER_SPOKEN, .sender = GUEST_ID, .receiver = receiver, .number = number};
    struct buf inner, messages;
    struct pack pack;
    memset(head.cluster, 'c', sizeof(head.cluster));
    memcpy(head.nonce, nonce, sizeof(head.nonce));
    buf_init(&inner, 256);
    buf_init(&messages, 256);
    buf_init(out, 1024);
    pack_init(&pack, &inner);
    pack_array(&pack, 1 + (uint32_t)peer_message_elements(PEER_STATUS_ASK));
    pack_u64(&pack, PEER_STATUS_ASK);
    peer_id_pack(&pack, value);
    pack_init(&pack, &messages);
    pack_bytes(&pack, buf_slice(&inner));
    stranger_frame(out, SECRET, &head, buf_slice(&messages));
    buf_fini(&inner);
    buf_fini(&messages);
}

/* Enters as "guest", whose frames are believed from now on. */
static int strangers_be_guest(uint8_t nonce[PEER_NONCE_BYTES])
{
    int fd = strangers_enter(SECRET, "guest", GUEST_ID, nonce);
    NODES_WAIT(strangers_guest() && peer_info(strangers_guest())->is_heard);
    return fd;
}

Test(strangers, who_knows_the_secret_is_heard)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    struct buf frame;
    strangers_open();
    int fd = strangers_be_guest(nonce);
    strangers_frame(&frame, nonce, 100, 2, 42);
    stranger_send(fd, frame.data, frame.len);
    NODES_WAIT(node_heard(0, 42) == 1);
    for (int fault = 0; fault < PEER_FAULTS; fault++)
        cr_assert_eq(strangers_faults((enum peer_fault)fault), 0);
    buf_fini(&frame);
    close(fd);
}

Test(strangers, who_does_not_know_the_secret_is_cut_off)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    strangers_open();
    int fd = strangers_enter("another secret", "guest", GUEST_ID, nonce);
    NODES_WAIT(stranger_is_cut(fd));
    cr_assert_eq(strangers_faults(PEER_FAULT_FORGED), 1);
    cr_assert_null(strangers_guest());
    close(fd);
}

Test(strangers, a_hello_that_was_recorded_opens_nothing)
{
    uint8_t nonce[PEER_NONCE_BYTES], other[PEER_NONCE_BYTES];
    struct buf hello;
    strangers_open();
    int first = stranger_dial(0), second = stranger_dial(0);
    stranger_greeting(first, nonce);
    stranger_greeting(second, other);
    cr_assert_neq(memcmp(nonce, other, sizeof(nonce)), 0);
    buf_init(&hello, PEER_STRANGER_BYTES);
    stranger_hello(&hello, SECRET, "guest", GUEST_ID, nonce);
    stranger_send(second, hello.data, hello.len);
    NODES_WAIT(stranger_is_cut(second));
    cr_assert_eq(strangers_faults(PEER_FAULT_REPLAYED), 1);
    cr_assert_null(strangers_guest());
    buf_fini(&hello);
    close(first);
    close(second);
}

Test(strangers, a_frame_that_comes_twice_or_too_early_ends_the_connection)
{
    for (uint64_t number = 2; number <= 4; number += 2) {
        uint8_t nonce[PEER_NONCE_BYTES];
        struct buf frame, again;
        strangers_open();
        int fd = strangers_be_guest(nonce);
        strangers_frame(&frame, nonce, 100, 2, 42);
        strangers_frame(&again, nonce, 100, number, 43);
        stranger_send(fd, frame.data, frame.len);
        stranger_send(fd, again.data, again.len);
        NODES_WAIT(stranger_is_cut(fd));
        cr_assert_eq(strangers_faults(PEER_FAULT_REPLAYED), 1);
        cr_assert_eq(node_heard(0, 42), 1);
        cr_assert_eq(node_heard(0, 43), 0);
        buf_fini(&frame);
        buf_fini(&again);
        close(fd);
        if (number == 2)
            nodes_fini();
    }
}

Test(strangers, a_frame_for_another_node_ends_the_connection)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    struct buf frame;
    strangers_open();
    int fd = strangers_be_guest(nonce);
    strangers_frame(&frame, nonce, 101, 2, 42);
    stranger_send(fd, frame.data, frame.len);
    NODES_WAIT(stranger_is_cut(fd));
    cr_assert_eq(strangers_faults(PEER_FAULT_IDENTITY), 1);
    buf_fini(&frame);
    close(fd);
}

/* Of a length that is too large, too, nothing more is awaited. */
Test(strangers, one_inverted_bit_anywhere_ends_the_connection_at_once)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    struct buf frame;
    size_t len = 1;
    strangers_open();
    for (size_t at = 0; at < len; at++) {
        int fd = strangers_be_guest(nonce);
        strangers_frame(&frame, nonce, 100, 2, 42);
        len = frame.len;
        frame.data[at] ^= (uint8_t)(1u << (at * 5 % 8));
        stranger_send(fd, frame.data, frame.len);
        uint64_t end_ms = clock_boot_ms() + 2000;
        while (!stranger_is_cut(fd)) {
            cr_assert_lt(clock_boot_ms(), end_ms, "not cut off: byte %zu", at);
            nodes_turn(1);
        }
        buf_fini(&frame);
        close(fd);
    }
    cr_assert_eq(node_heard(0, 42), 0);
    cr_assert_eq(strangers_faults(PEER_FAULT_LENGTH), PEER_LENGTH_BYTES);
}

Test(strangers, a_damaged_hello_opens_nothing)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    struct buf hello;
    size_t len = 1;
    strangers_open();
    for (size_t at = 0; at < len; at += 3) {
        int fd = stranger_dial(0);
        stranger_greeting(fd, nonce);
        buf_init(&hello, PEER_STRANGER_BYTES);
        stranger_hello(&hello, SECRET, "guest", GUEST_ID, nonce);
        len = hello.len;
        hello.data[at] ^= (uint8_t)(1u << (at % 8));
        stranger_send(fd, hello.data, hello.len);
        NODES_WAIT(stranger_is_cut(fd));
        buf_fini(&hello);
        close(fd);
    }
    cr_assert_null(strangers_guest());
}

Test(strangers, what_is_no_frame_at_all_is_cut_off)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    strangers_open();
    int fd = stranger_dial(0);
    stranger_send(fd, request, sizeof(request) - 1);
    NODES_WAIT(stranger_is_cut(fd));
    cr_assert_eq(strangers_faults(PEER_FAULT_LENGTH), 1);
    close(fd);
}

Test(strangers, who_says_that_it_is_this_node_is_cut_off)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    strangers_open();
    int name = strangers_enter(SECRET, "node0", GUEST_ID, nonce);
    NODES_WAIT(stranger_is_cut(name));
    int id = strangers_enter(SECRET, "guest", 100, nonce);
    NODES_WAIT(stranger_is_cut(id));
    cr_assert_eq(strangers_faults(PEER_FAULT_IDENTITY), 2);
    close(name);
    close(id);
}

Test(strangers, one_raft_id_is_one_node)
{
    uint8_t nonce[PEER_NONCE_BYTES];
    strangers_open();
    int first = strangers_be_guest(nonce);
    int second = strangers_enter(SECRET, "other", GUEST_ID, nonce);
    NODES_WAIT(stranger_is_cut(second));
    cr_assert_eq(strangers_faults(PEER_FAULT_IDENTITY), 1);
    cr_assert_not(stranger_is_cut(first));
    close(first);
    close(second);
}

Test(strangers, who_says_nothing_is_cut_off_in_time)
{
    strangers_open();
    uint64_t begin_ms = clock_boot_ms();
    int fd = stranger_dial(0);
    NODES_WAIT(stranger_is_cut(fd));
    cr_assert_geq(clock_boot_ms() - begin_ms + 50, PEERS_HELLO_MS);
    cr_assert_eq(strangers_faults(PEER_FAULT_SILENT), 1);
    close(fd);
}

Test(strangers, a_crowd_of_them_keeps_no_node_out)
{
    int fds[3 * PEERS_STRANGERS];
    uint8_t nonce[PEER_NONCE_BYTES];
    strangers_open();
    for (unsigned i = 0; i < 3 * PEERS_STRANGERS; i++) {
        fds[i] = stranger_dial(0);
        nodes_turn(1);
    }
    int guest = strangers_be_guest(nonce);
    cr_assert_geq(strangers_faults(PEER_FAULT_CROWD), 2ull * PEERS_STRANGERS);
    cr_assert(stranger_is_cut(fds[0]), "the oldest goes first");
    for (unsigned i = 0; i < 3 * PEERS_STRANGERS; i++)
        close(fds[i]);
    close(guest);
}
