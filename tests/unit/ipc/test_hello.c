/* The first message of a connection: who says it, and in which version. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/hello.h"
#include "ipc/link.h"

#define START_ID 0xfedcba9876543210ull

static struct buf bytes;

static void begin(void)
{
    buf_init(&bytes, 4096);
}

static void end(void)
{
    buf_fini(&bytes);
}

TestSuite(hello, .init = begin, .fini = end);

static const struct hello good_hello = {.version = LINK_PROTOCOL_VERSION,
                                        .proc = PROC_GATEWAY,
                                        .index = 3,
                                        .node = {"node0", 5},
                                        .start_id = START_ID};

static int decode_hello(struct hello *got, const struct hello *sent)
{
    struct pack pack;
    buf_clear(&bytes);
    pack_init(&pack, &bytes);
    hello_pack(&pack, sent);
    cr_assert_eq(pack_result(&pack), 0);
    return hello_decode(got, buf_slice(&bytes));
}

Test(hello, a_hello_comes_back_as_it_was_sent)
{
    struct hello got;
    const char *what = "?";
    cr_assert_eq(decode_hello(&got, &good_hello), 0);
    cr_assert_eq(got.start_id, START_ID);
    cr_assert_eq(hello_compare(&got, &good_hello, &what), 0);
    cr_assert_str_eq(what, "");
}

Test(hello, a_hello_of_another_process_names_the_difference)
{
    struct hello other;
    const char *what;
    other = good_hello;
    other.version++;
    cr_assert_eq(hello_compare(&other, &good_hello, &what), E_VERSION);
    cr_assert_str_eq(what, "version");
    other = good_hello;
    other.proc = PROC_RAFT;
    cr_assert_eq(hello_compare(&other, &good_hello, &what), E_FOREIGN);
    cr_assert_str_eq(what, "process");
    other = good_hello;
    other.index = 0;
    cr_assert_eq(hello_compare(&other, &good_hello, &what), E_FOREIGN);
    cr_assert_str_eq(what, "index");
    other = good_hello;
    other.node = slice_text("node1");
    cr_assert_eq(hello_compare(&other, &good_hello, &what), E_FOREIGN);
    cr_assert_str_eq(what, "node");
}

/* A later release may say more, or say it differently: its version is what we report. */
Test(hello, the_version_of_a_hello_is_read_before_anything_else_is_believed)
{
    static const uint8_t later[] = {0x93, MSG_HELLO, LINK_PROTOCOL_VERSION + 1, 0xc0};
    struct hello got;
    cr_assert_eq(hello_decode(&got, slice_of(later, sizeof(later))), E_VERSION);
    cr_assert_eq(got.version, LINK_PROTOCOL_VERSION + 1);
}

Test(hello, a_hello_cut_or_lengthened_is_refused)
{
    struct hello got;
    cr_assert_eq(decode_hello(&got, &good_hello), 0);
    size_t len = bytes.len;
    for (size_t cut = 0; cut < len; cut++)
        cr_assert_neq(hello_decode(&got, slice_of(bytes.data, cut)), 0, "%zu", cut);
    buf_append_byte(&bytes, 0xc0);
    cr_assert_eq(hello_decode(&got, buf_slice(&bytes)), E_TRAILING);
}

Test(hello, a_hello_names_a_node_that_can_be_one)
{
    char name[LIMIT_NODE_ID_BYTES + 1];
    struct hello got, sent = good_hello;
    memset(name, 'n', sizeof(name));
    sent.node = slice_of(name, 0);
    cr_assert_eq(decode_hello(&got, &sent), E_INVALID);
    sent.node = slice_of(name, LIMIT_NODE_ID_BYTES - 1);
    cr_assert_eq(decode_hello(&got, &sent), 0);
    sent.node = slice_of(name, LIMIT_NODE_ID_BYTES);
    cr_assert_eq(decode_hello(&got, &sent), E_INVALID);
}
