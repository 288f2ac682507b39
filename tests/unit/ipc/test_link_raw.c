/* A link whose peer says what no sound peer would: stale batches, wrong hellos, broken bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "ipc/link_private.h"
#include "link_ends.h"

static struct end raft;
static struct raw raw;

static void open_raft(void)
{
    ends_init();
    end_open(&raft, PROC_RAFT, 100);
}

static void close_all(void)
{
    raw_close(&raw);
    ends_fini();
}

TestSuite(link_raw, .init = open_raft, .fini = close_all, .timeout = 60);

Test(link_raw, what_an_earlier_connection_left_behind_is_dropped)
{
    raw_meet(&raw, &raft, 1);
    uint64_t old_peer_nonce = raw.peer_nonce;
    raw_send_number(&raw, 1, old_peer_nonce, 10);
    WAIT_FOR(raft.count == 1);
    raw_close(&raw);
    WAIT_FOR(raft.downs == 1);
    /* Before the hello: nothing counts, whatever nonces it names. */
    raw_connect(&raw);
    cr_assert_neq(raw.peer_nonce, old_peer_nonce);
    raw_send_number(&raw, 1, old_peer_nonce, 11);
    raw_send_number(&raw, 1, raw.peer_nonce, 12);
    raw_send_number(&raw, 2, raw.peer_nonce, 13);
    struct raw_hello hello = raw_good_hello();
    raw_send_hello(&raw, 2, &hello);
    /* After it: only what names both ends of this connection. */
    raw_send_number(&raw, 1, old_peer_nonce, 14);
    raw_send_number(&raw, 1, raw.peer_nonce, 15);
    raw_send_number(&raw, 2, old_peer_nonce, 16);
    raw_send_number(&raw, 2, raw.peer_nonce, 17);
    WAIT_FOR(raft.ups == 2 && raft.count > 0);
    cr_assert_eq(raft.count, 1);
    cr_assert_eq(raft.first, 17);
}

Test(link_raw, another_hello_on_the_same_connection_is_a_new_conversation)
{
    raw_meet(&raw, &raft, 1);
    struct raw_hello hello = raw_good_hello();
    hello.start_id = 78;
    raw_send_hello(&raw, 2, &hello);
    raw_send_number(&raw, 1, raw.peer_nonce, 1);
    raw_send_number(&raw, 2, raw.peer_nonce, 2);
    WAIT_FOR(raft.ups == 2 && raft.count == 1);
    cr_assert_eq(raft.downs, 1);
    cr_assert_eq(raft.peer.start_id, 78);
    cr_assert_eq(raft.first, 2);
}

static void expect_refusal(const struct raw_hello *hello, const char *field)
{
    unsigned logged = ends_logged("link_refused");
    raw_connect(&raw);
    raw_send_hello(&raw, 1, hello);
    raw_send_number(&raw, 1, raw.peer_nonce, 1);
    WAIT_FOR(ends_logged("link_refused") == logged + 1);
    cr_assert_geq(ends_logged(field), 1);
    cr_assert(!link_is_up(raft.link));
    cr_assert_eq(end_send(&raft, 1), E_PEER_DOWN);
    raw_close(&raw);
    WAIT_FOR(end_connection(&raft) == 0);
    cr_assert_eq(raft.ups, 0);
}

Test(link_raw, a_hello_that_does_not_fit_is_refused_and_named)
{
    char version[32];
    struct raw_hello hello = raw_good_hello();
    hello.version = LINK_PROTOCOL_VERSION + 1;
    expect_refusal(&hello, "field=version");
    snprintf(version, sizeof(version), "peer_version=%d", LINK_PROTOCOL_VERSION + 1);
    cr_assert_eq(ends_logged(version), 1);
    hello = raw_good_hello();
    hello.proc = PROC_STORAGE;
    expect_refusal(&hello, "field=process");
    hello = raw_good_hello();
    hello.index = 1;
    expect_refusal(&hello, "field=index");
    hello = raw_good_hello();
    hello.node = "node00";
    expect_refusal(&hello, "field=node");
    hello.node = "";
    expect_refusal(&hello, "field=hello");
    raw_meet(&raw, &raft, 9); /* and a good one still gets in */
}

Test(link_raw, a_refused_connection_is_closed_after_a_while)
{
    struct raw_hello hello = raw_good_hello();
    hello.node = "elsewhere";
    raw_connect(&raw);
    raw_send_hello(&raw, 1, &hello);
    uint64_t start_ms = clock_boot_ms();
    WAIT_FOR(raft.link->is_refused);
    uint32_t connection = end_connection(&raft);
    WAIT_FOR(end_connection(&raft) != connection);
    cr_assert_geq(clock_boot_ms() - start_ms, 900);
}

Test(link_raw, a_message_that_does_not_decode_ends_the_connection_and_nothing_behind_it_is_heard)
{
    static const char *bad[] = {
        "",                              /* nothing */
        "\x01",                          /* not an array */
        "\x92\x7f\x01",                  /* unknown type */
        "\x91\x0c",                      /* READ_INDEX without its element */
        "\x93\x0c\x01\x02",              /* with one too many */
        "\x92\x0c\xa1x",                 /* with a text instead of a number */
        "\x92\x0c\x01\x05",              /* and with something behind it */
        "\x93\x1f\x01\x02",              /* RECALL: not for raft */
        "\x96\x01\x01\x05\x01\xa1n\x01", /* a hello in mid conversation */
    };
    unsigned count = sizeof(bad) / sizeof(bad[0]);
    for (unsigned i = 0; i < count; i++) {
        raw_meet(&raw, &raft, i + 1);
        raw_send_number(&raw, i + 1, raw.peer_nonce, 7);
        raw_send_frames(&raw, slice_text(bad[i]), slice_text("\x92\x0c\x08"));
        raw_send_number(&raw, i + 1, raw.peer_nonce, 9);
        WAIT_FOR(raft.downs == i + 1);
        cr_assert_eq(ends_logged("message_malformed"), i + 1, "case %u", i);
        cr_assert_eq(end_send(&raft, 1), E_PEER_DOWN);
        raw_close(&raw);
        WAIT_FOR(end_connection(&raft) == 0);
        cr_assert_eq(raft.count, 1, "case %u", i);
        cr_assert_eq(raft.last, 7);
    }
    raw_meet(&raw, &raft, 99);
    raw_send_number(&raw, 99, raw.peer_nonce, 5);
    WAIT_FOR(raft.count == 1);
}

Test(link_raw, a_peer_that_talks_nonsense_is_thrown_out_after_a_second)
{
    raw_meet(&raw, &raft, 1);
    uint32_t connection = end_connection(&raft);
    uint64_t start_ms = clock_boot_ms();
    for (unsigned i = 0; i < 100; i++)
        raw_send_frame(&raw, slice_text("\x01"));
    WAIT_FOR(end_connection(&raft) != connection);
    cr_assert_geq(clock_boot_ms() - start_ms, 900);
    cr_assert_eq(ends_logged("message_malformed"), 1, "a flood is one line");
}

Test(link_raw, a_hello_that_is_broken_is_no_hello)
{
    unsigned lines = 0;
    static const char *bad[] = {
        "\x00\x00\xc4\x00",         /* a nonce that nobody draws */
        "\x01\x00\x05",             /* no bytes */
        "\x01\x00\xc4\x01\xc0\xc4", /* and something behind it */
    };
    static const size_t lens[] = {4, 3, 6};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        raw_connect(&raw);
        raw_send(&raw, slice_of(bad[i], lens[i]));
        lines++;
        WAIT_FOR(ends_logged("message_malformed") == lines);
        raw_close(&raw);
        WAIT_FOR(end_connection(&raft) == 0);
    }
    cr_assert_eq(raft.ups, 0);
    raw_meet(&raw, &raft, 1);
}

Test(link_raw, a_batch_that_cannot_be_read_ends_the_connection)
{
    raw_meet(&raw, &raft, 1);
    raw_send(&raw, slice_text("\xc1 what is this"));
    raw_send_number(&raw, 1, raw.peer_nonce, 4);
    WAIT_FOR(raft.downs == 1);
    cr_assert_eq(raft.count, 0);
    raw_close(&raw);
    raw_meet(&raw, &raft, 2);
    raw_send_number(&raw, 2, raw.peer_nonce, 5);
    WAIT_FOR(raft.count == 1);
}

Test(link_raw, a_length_that_cannot_be_ends_the_connection_and_nothing_else)
{
    static const uint32_t lens[] = {0, LIMIT_MESSAGE_BYTES + 1, UINT32_MAX};
    char byte;
    for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t head[4];
        for (unsigned n = 0; n < 4; n++)
            head[n] = (uint8_t)(lens[i] >> (24 - 8 * n));
        raw_meet(&raw, &raft, i + 1);
        raw_send_number(&raw, i + 1, raw.peer_nonce, 3);
        raw_send_bytes(&raw, slice_of(head, sizeof(head)));
        WAIT_FOR(raft.downs == i + 1);
        cr_assert_eq(raft.count, 1, "what came before it is heard");
        while (recv(raw.fd, &byte, 1, 0) > 0)
            ;
        raw_close(&raw);
    }
    raw_meet(&raw, &raft, 9);
}

Test(link_raw, batches_are_understood_however_their_bytes_are_cut)
{
    struct buf bytes;
    struct pack pack;
    buf_init(&bytes, 1 << 20);
    raw_meet(&raw, &raft, 1);
    for (unsigned i = 1; i <= 50; i++) {
        uint8_t body[3] = {0x92, MSG_READ_INDEX, (uint8_t)i};
        const uint8_t head[4] = {0, 0, 0, 9 + 9 + 2 + sizeof(body)};
        cr_assert_eq(buf_append(&bytes, head, sizeof(head)), 0);
        pack_init(&pack, &bytes);
        pack_u64_fixed(&pack, 1);
        pack_u64_fixed(&pack, raw.peer_nonce);
        pack_bytes(&pack, slice_of(body, sizeof(body)));
    }
    size_t half = bytes.len / 2;
    for (size_t at = 0; at < half; at++) {
        raw_send_bytes(&raw, slice_of(bytes.data + at, 1));
        ends_turn(0);
    }
    raw_send_bytes(&raw, slice_of(bytes.data + half, bytes.len - half));
    WAIT_FOR(raft.count == 50);
    cr_assert(!raft.has_gap);
    cr_assert_eq(raft.batch_ends, 50);
    cr_assert_eq(raft.ups, 1);
    buf_fini(&bytes);
}

/* Every cut and a random change of a good batch. A broken batch costs a reconnect, so the raw peer
 * only connects anew when it was thrown out. */
Test(link_raw, cut_and_changed_batches_never_do_harm)
{
    struct buf good;
    struct pack pack;
    unsigned nonce = 1;
    srand(11);
    buf_init(&good, 256);
    raw_meet(&raw, &raft, nonce);
    for (unsigned i = 0; i < 120; i++) {
        buf_clear(&good);
        pack_init(&pack, &good);
        pack_u64_fixed(&pack, nonce);
        pack_u64_fixed(&pack, raw.peer_nonce);
        pack_bytes(&pack, slice_text("\x92\x0c\x01"));
        pack_bytes(&pack, slice_text("\x92\x0a\xc4\x03xyz"));
        size_t len = good.len;
        cr_assert_gt(len, 0);
        if (i < good.len)
            len = i;
        else
            good.data[(size_t)rand() % len] ^= (uint8_t)(1 + rand() % 255);
        raw_send(&raw, slice_of(good.data, len));
        ends_turn(2);
        if (!link_is_up(raft.link) || end_connection(&raft) == 0) {
            raw_close(&raw);
            WAIT_FOR(end_connection(&raft) == 0);
            raw_meet(&raw, &raft, ++nonce);
        }
    }
    raw_close(&raw);
    WAIT_FOR(!link_is_up(raft.link));
    raw_meet(&raw, &raft, 9999);
    raw_send_number(&raw, 9999, raw.peer_nonce, 5);
    WAIT_FOR(raft.count == 1 && raft.last == 5);
    buf_fini(&good);
}
