/* What a value in a message must be: decoders refuse anything else, and encoders what is too
 * large. */
#include <stdlib.h>
#include <string.h>

#include "message_samples.h"

TestSuite(message_values, .init = open_link, .fini = close_link);

static int send(enum msg type, const union message *message)
{
    for (size_t i = 0; i < sample_count; i++)
        if (samples[i].type == type)
            return samples[i].send(message);
    cr_assert_fail("no sample");
    return 0;
}

Test(message_values, entries_and_commands_are_never_empty)
{
    expect_refused(MSG_PROPOSE, &(union message){.propose = {{"", 0}}});
    expect_refused(MSG_WORKER_PROPOSE, &(union message){.worker_propose = {.command = {"", 0}}});
    expect_refused(MSG_APPLY, &(union message){.apply = {.index = 1, .command = {"", 0}}});
}

Test(message_values, a_checkpoint_is_a_round_index_that_was_applied)
{
    expect_refused(MSG_APPLIED, &(union message){.applied = {2047, 0, 2047, 0}});
    expect_refused(MSG_APPLIED, &(union message){.applied = {2047, 0, 2048, 0}});
}

Test(message_values, a_snapshot_has_an_index_a_path_and_a_sum)
{
    const struct slice path = BYTES("/a"), sum = BYTES(SUM), nul = {"/\0a", 3};
    expect_refused(MSG_SNAPSHOT_MAKE, &(union message){.snapshot_make = {0, 0, path}});
    expect_refused(MSG_SNAPSHOT_MAKE, &(union message){.snapshot_make = {1, 0, {"", 0}}});
    expect_refused(MSG_SNAPSHOT_MAKE, &(union message){.snapshot_make = {1, 0, nul}});
    expect_refused(MSG_SNAPSHOT_MADE, &(union message){.snapshot_made = {1, 0, 1, {"", 0}, 0}});
    expect_refused(MSG_SNAPSHOT_MADE, &(union message){.snapshot_made = {1, E_IO, 1, sum, 0}});
    expect_refused(MSG_SNAPSHOT_LOAD, &(union message){.snapshot_load = {0, 1, sum, 0, path}});
    expect_refused(MSG_SNAPSHOT_LOAD, &(union message){.snapshot_load = {1, 1, path, 0, path}});
}

Test(message_values, a_session_is_never_0)
{
    expect_refused(MSG_SESSION, &(union message){.session = {0}});
}

Test(message_values, an_applied_entry_has_an_index)
{
    expect_refused(MSG_APPLY, &(union message){.apply = {.index = 0, .command = {"c", 1}}});
}

Test(message_values, a_refusal_has_a_reason_and_codes_are_small)
{
    expect_refused(MSG_REFUSE, &(union message){.refuse = {1, 2, 0}});
    expect_refused(MSG_REFUSE, &(union message){.refuse = {1, 2, 256}});
    expect_refused(MSG_READ_INDEX_REPLY, &(union message){.read_index_reply = {1, 256, 3}});
    expect_refused(MSG_RESULT, &(union message){.result = {.error = 256}});
    cr_assert_eq(decode_sent(MSG_RESULT, &(union message){.result = {.error = 255}}), 0,
                 "a code of a later release");
}

Test(message_values, a_lineage_has_sixteen_bytes)
{
    for (size_t len = 0; len <= 32; len++) {
        static const uint8_t bytes[32] = {1};
        struct buf buf;
        struct pack pack;
        struct unpack body;
        union message got;
        buf_init(&buf, 64);
        pack_init(&pack, &buf);
        pack_bytes(&pack, slice_of(bytes, len));
        unpack_init(&body, buf_slice(&buf));
        int expected = len == RAFT_LINEAGE_BYTES ? 0 : E_INVALID;
        cr_assert_eq(msg_resume_ok_decode(&got.resume_ok, &body), expected, "%zu", len);
        buf_clear(&buf);
        pack_u64(&pack, 5);
        pack_bytes(&pack, slice_of(bytes, len));
        pack_u64(&pack, 7);
        unpack_init(&body, buf_slice(&buf));
        cr_assert_eq(msg_resume_decode(&got.resume, &body), expected, "%zu", len);
        buf_fini(&buf);
    }
}

Test(message_values, what_is_too_large_is_not_sent)
{
    uint8_t *bytes = calloc(1, LIMIT_ENTRY_BYTES + 1);
    const struct slice large = slice_of(bytes, LIMIT_ENTRY_BYTES + 1);
    cr_assert_eq(send(MSG_PROPOSE, &(union message){.propose = {large}}), E_TOO_LARGE);
    cr_assert_eq(send(MSG_WORKER_PROPOSE, &(union message){.worker_propose = {.command = large}}),
                 E_TOO_LARGE);
    cr_assert_eq(send(MSG_APPLY, &(union message){.apply = {.index = 1, .command = large}}),
                 E_TOO_LARGE);
    const struct slice detail = slice_of(bytes, LIMIT_BODY_MAX + 1);
    cr_assert_eq(send(MSG_RESULT, &(union message){.result = {.detail = detail}}), E_TOO_LARGE);
    cr_assert_eq(link_.batch.len, 0);
    free(bytes);
}

Test(message_values, what_is_too_large_is_not_believed)
{
    uint8_t *bytes = calloc(1, LIMIT_ENTRY_BYTES + 1);
    struct buf buf;
    struct pack pack;
    struct unpack body;
    union message got;
    buf_init(&buf, LIMIT_MESSAGE_BYTES);
    pack_init(&pack, &buf);
    pack_bytes(&pack, slice_of(bytes, LIMIT_ENTRY_BYTES + 1));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_propose_decode(&got.propose, &body), E_INVALID);
    pack_bool(&pack, true);
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_worker_propose_decode(&got.worker_propose, &body), E_INVALID);
    buf_clear(&buf);
    for (unsigned i = 0; i < 6; i++)
        pack_u64(&pack, 1);
    pack_bytes(&pack, slice_of(bytes, LIMIT_ENTRY_BYTES + 1));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_apply_decode(&got.apply, &body), E_INVALID);
    buf_clear(&buf);
    for (unsigned i = 0; i < 4; i++)
        pack_u64(&pack, 1);
    pack_bytes(&pack, slice_of(bytes, LIMIT_BODY_MAX + 1));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_result_decode(&got.result, &body), E_INVALID);
    buf_fini(&buf);
    free(bytes);
}

static void expect_change_refused(const char *name, size_t name_len, size_t address_len)
{
    static char address[2 * MSG_ADDRESS_BYTES];
    struct buf buf;
    struct pack pack;
    struct unpack body;
    union message got;
    memset(address, 'a', sizeof(address));
    buf_init(&buf, 4096);
    pack_init(&pack, &buf);
    pack_u64(&pack, 1);
    pack_u64(&pack, MSG_CHANGE_JOIN);
    pack_text(&pack, slice_of(name, name_len));
    pack_text(&pack, slice_of(address, address_len));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_change_decode(&got.change, &body), E_INVALID);
    buf_fini(&buf);
}

Test(message_values, a_change_names_a_node)
{
    static const char name[LIMIT_NODE_ID_BYTES] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    expect_change_refused("", 0, 3);
    expect_change_refused(name, LIMIT_NODE_ID_BYTES, 3);
    expect_change_refused("a\0b", 3, 3);
    expect_change_refused("a", 1, MSG_ADDRESS_BYTES);
    expect_refused(MSG_CHANGE,
                   &(union message){.change = {1, MSG_CHANGE_TRANSFER + 1, BYTES("a")}});
    const struct slice large = slice_of(name, LIMIT_NODE_ID_BYTES);
    cr_assert_eq(send(MSG_CHANGE, &(union message){.change = {.name = large}}), E_TOO_LARGE);
}

Test(message_values, a_cluster_has_as_many_members_as_fit)
{
    union message sent = {.cluster_answer = {.member_count = MSG_CLUSTER_MEMBERS}};
    union message got;
    cr_assert_eq(decode_sent(MSG_CLUSTER_ANSWER, &sent), 0);
    sent.cluster_answer.cluster_id = slice_of("0123456789", 10);
    expect_refused(MSG_CLUSTER_ANSWER, &sent);
    struct buf buf;
    struct pack pack;
    struct unpack body;
    buf_init(&buf, 1 << 16);
    pack_init(&pack, &buf);
    pack_u64(&pack, 1);
    pack_bytes(&pack, slice_of(NULL, 0));
    pack_text(&pack, slice_of(NULL, 0));
    pack_u64(&pack, 1);
    pack_bool(&pack, true);
    pack_array(&pack, MSG_CLUSTER_MEMBERS + 1);
    for (unsigned i = 0; i < 100 * MSG_CLUSTER_MEMBERS; i++)
        pack_nil(&pack);
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(msg_cluster_answer_decode(&got.cluster_answer, &body), E_INVALID);
    buf_fini(&buf);
}

/* ---- events ---- */

static const struct slice topic = BYTES("t"), one = BYTES("\1\0\0\0\0\0\0\0");

Test(message_values, a_connection_is_never_0)
{
    expect_refused(MSG_SUBSCRIBE, &(union message){.subscribe = {.topic = topic, .window = 1}});
    expect_refused(MSG_UNSUBSCRIBE, &(union message){.unsubscribe = {0}});
    expect_refused(MSG_SUBSCRIBED, &(union message){.subscribed = {0, 1, 0}});
    expect_refused(MSG_EVENT_GAP, &(union message){.event_gap = {0, 1, 2}});
    expect_refused(MSG_EVENT_OUTRUN, &(union message){.event_place = {0, 1}});
    cr_assert_eq(decode_sent(MSG_EVENT_CREDIT, &(union message){.event_credit = {0, 1}}), 0,
                 "the link's own window");
}

Test(message_values, a_subscription_has_a_topic_and_a_window)
{
    static char text[EVENT_PATTERN_BYTES + 1];
    memset(text, 'x', sizeof(text));
    struct msg_subscribe msg = {.connection = 1, .topic = topic, .window = 0};
    expect_refused(MSG_SUBSCRIBE, &(union message){.subscribe = msg});
    msg.window = 1;
    cr_assert_eq(decode_sent(MSG_SUBSCRIBE, &(union message){.subscribe = msg}), 0);
    const struct {
        size_t len;
        char last;
        bool fits;
    } topics[] = {{0, 'x', false},
                  {1, '*', true},
                  {LIMIT_KEY_BYTES, 'x', true},
                  {EVENT_PATTERN_BYTES, 'x', false},
                  {EVENT_PATTERN_BYTES, '*', true},
                  {EVENT_PATTERN_BYTES + 1, '*', false}};
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (topics[i].len > 0)
            text[topics[i].len - 1] = topics[i].last;
        msg.topic = slice_of(text, topics[i].len);
        const union message message = {.subscribe = msg};
        buf_clear(&link_.batch);
        cr_expect_eq(send(MSG_SUBSCRIBE, &message), topics[i].fits ? 0 : E_TOO_LARGE, "%zu", i);
        if (topics[i].len > 0)
            text[topics[i].len - 1] = 'x';
    }
}

Test(message_values, an_event_has_an_index_a_topic_and_connections)
{
    const struct slice odd = slice_of(one.data, 7), empty = slice_of(NULL, 0);
    expect_refused(MSG_EVENT, &(union message){.event = {0, 1, topic, topic, one}});
    const struct msg_event wrong[] = {{1, 1, empty, topic, one},
                                      {1, 1, topic, topic, empty},
                                      {1, 1, topic, topic, odd},
                                      {1, 1, topic, slice_of(one.data, LIMIT_BODY_MAX + 1), one}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect_eq(send(MSG_EVENT, &(union message){.event = wrong[i]}), E_TOO_LARGE, "%zu", i);
}

Test(message_values, an_event_names_its_connections)
{
    const struct msg_event msg = {7, 1, topic, topic, BYTES("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\x80")};
    cr_assert_eq(msg_event_connection_count(&msg), 2);
    cr_assert_eq(msg_event_connection(&msg, 0), 1);
    cr_assert_eq(msg_event_connection(&msg, 1), 0x8000000000000002);
    cr_assert_eq(event_message_cost(&msg), EVENT_COST_BYTES + 1 + 1 + 16);
}

Test(message_values, a_gap_has_a_beginning_and_an_end)
{
    expect_refused(MSG_EVENT_GAP, &(union message){.event_gap = {1, 0, 2}});
    expect_refused(MSG_EVENT_GAP, &(union message){.event_gap = {1, 3, 2}});
    cr_assert_eq(decode_sent(MSG_EVENT_GAP, &(union message){.event_gap = {1, 2, 2}}), 0);
}
