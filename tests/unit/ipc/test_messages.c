/* The message sets: what is encoded is decoded, and nothing else is. A link without a socket
 * collects what would travel. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ipc/gateway_raft.h"
#include "ipc/link_private.h"
#include "ipc/raft_worker.h"
#include "ipc/worker_gateway.h"

static struct link link_;

static void open_link(void)
{
    memset(&link_, 0, sizeof(link_));
    link_.is_up = true;
    link_.own_nonce = 1;
    link_.peer_nonce = 2;
    buf_init(&link_.batch, LIMIT_MESSAGE_BYTES);
}

static void close_link(void)
{
    buf_fini(&link_.batch);
}

TestSuite(messages, .init = open_link, .fini = close_link);

/* ---- every message, with something in each of its elements ---- */

union message {
    struct msg_propose propose;
    struct msg_refuse refuse;
    struct msg_leader leader;
    struct msg_read_index read_index;
    struct msg_read_index_reply read_index_reply;
    struct msg_cluster_ask cluster_ask;
    struct msg_cluster_answer cluster_answer;
    struct msg_change change;
    struct msg_change_answer change_answer;
    struct msg_resume resume;
    struct msg_resume_ok resume_ok;
    struct msg_apply apply;
    struct msg_apply_end apply_end;
    struct msg_applied applied;
    struct msg_worker_propose worker_propose;
    struct msg_role role;
    struct msg_result result;
    struct msg_recall recall;
    struct msg_session session;
    struct msg_snapshot_make snapshot_make;
    struct msg_snapshot_made snapshot_made;
    struct msg_snapshot_drop snapshot_drop;
    struct msg_snapshot_load snapshot_load;
    struct msg_snapshot_loaded snapshot_loaded;
    struct msg_wait_applied wait_applied;
    struct msg_applied_at applied_at;
};

#define CONVERSATION(name)                                                                         \
    static int send_##name(const union message *message)                                           \
    {                                                                                              \
        return msg_##name##_send(&link_, &message->name);                                          \
    }                                                                                              \
    static int decode_##name(union message *message, struct unpack *body)                          \
    {                                                                                              \
        return msg_##name##_decode(&message->name, body);                                          \
    }
CONVERSATION(propose)
CONVERSATION(refuse)
CONVERSATION(leader)
CONVERSATION(read_index)
CONVERSATION(read_index_reply)
CONVERSATION(cluster_ask)
CONVERSATION(cluster_answer)
CONVERSATION(change)
CONVERSATION(change_answer)
CONVERSATION(resume)
CONVERSATION(resume_ok)
CONVERSATION(apply)
CONVERSATION(apply_end)
CONVERSATION(applied)
CONVERSATION(worker_propose)
CONVERSATION(role)
CONVERSATION(result)
CONVERSATION(recall)
CONVERSATION(session)
CONVERSATION(wait_applied)
CONVERSATION(applied_at)
CONVERSATION(snapshot_make)
CONVERSATION(snapshot_made)
CONVERSATION(snapshot_drop)
CONVERSATION(snapshot_load)
CONVERSATION(snapshot_loaded)

static int send_rebuild(const union message *message)
{
    (void)message;
    return msg_rebuild_send(&link_);
}

static int decode_rebuild(union message *message, struct unpack *body)
{
    (void)message;
    return msg_rebuild_decode(body);
}

#define LINEAGE                                                                                    \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255                                      \
    }
#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define BIG 0xfedcba9876543210ull
#define SUM "01234567890123456789012345678901"

static const struct sample {
    enum msg type;
    int (*send)(const union message *message);
    int (*decode)(union message *message, struct unpack *body);
    union message message;
} samples[] = {
    {MSG_PROPOSE, send_propose, decode_propose, {.propose = {BYTES("entry\0with a zero")}}},
    {MSG_REFUSE, send_refuse, decode_refuse, {.refuse = {BIG, 7, E_NO_LEADER}}},
    {MSG_LEADER, send_leader, decode_leader, {.leader = {BIG, true}}},
    {MSG_READ_INDEX, send_read_index, decode_read_index, {.read_index = {BIG}}},
    {MSG_READ_INDEX_REPLY,
     send_read_index_reply,
     decode_read_index_reply,
     {.read_index_reply = {BIG, 0, BIG + 1}}},
    {MSG_CLUSTER_ASK, send_cluster_ask, decode_cluster_ask, {.cluster_ask = {BIG}}},
    {MSG_CLUSTER_ANSWER,
     send_cluster_answer,
     decode_cluster_answer,
     {.cluster_answer = {.id = BIG,
                         .cluster_id = BYTES("0123456789abcdef"),
                         .leader = BYTES("node0"),
                         .term = BIG + 1,
                         .is_of_leader = true,
                         .member_count = 2,
                         .members = {{BYTES("node0"), BYTES("a:1"), BYTES("b:2"), true,
                                      MSG_MEMBER_LEADER, BIG + 2, 0},
                                     {BYTES("node1"), BYTES("c:3"), BYTES("d:4"), false,
                                      MSG_MEMBER_UNREACHABLE, 7, BIG + 3}},
                         .commit_index = BIG + 4,
                         .workers = {{BIG + 5, 1024, BYTES("hash")}, {1, 0, BYTES("")}}}}},
    {MSG_CHANGE,
     send_change,
     decode_change,
     {.change = {BIG, MSG_CHANGE_JOIN, BYTES("node3"), BYTES("example.org:2222")}}},
    {MSG_CHANGE_ANSWER,
     send_change_answer,
     decode_change_answer,
     {.change_answer = {BIG, E_CONFLICT, BYTES("node3 is a member already")}}},
    {MSG_RESUME, send_resume, decode_resume, {.resume = {BIG, LINEAGE, BIG + 1}}},
    {MSG_RESUME_OK, send_resume_ok, decode_resume_ok, {.resume_ok = {LINEAGE}}},
    {MSG_REBUILD, send_rebuild, decode_rebuild, {{BYTES("")}}},
    {MSG_APPLY,
     send_apply,
     decode_apply,
     {.apply = {BIG, BIG + 1, BIG + 2, BIG + 3, BIG + 4, BIG + 5, BYTES("command")}}},
    {MSG_APPLY_END, send_apply_end, decode_apply_end, {.apply_end = {BIG}}},
    {MSG_APPLIED,
     send_applied,
     decode_applied,
     {.applied = {BIG, BIG + 1, BIG - BIG % RAFT_CHECKPOINT, BIG + 2}}},
    {MSG_WORKER_PROPOSE,
     send_worker_propose,
     decode_worker_propose,
     {.worker_propose = {BYTES("c"), true}}},
    {MSG_ROLE, send_role, decode_role, {.role = {true, BIG}}},
    {MSG_RESULT,
     send_result,
     decode_result,
     {.result = {BIG, BIG + 1, 9, E_CONFLICT, BYTES("-12")}}},
    {MSG_RECALL, send_recall, decode_recall, {.recall = {BIG, BIG + 1}}},
    {MSG_SESSION, send_session, decode_session, {.session = {BIG}}},
    {MSG_WAIT_APPLIED, send_wait_applied, decode_wait_applied, {.wait_applied = {BIG}}},
    {MSG_APPLIED_AT, send_applied_at, decode_applied_at, {.applied_at = {BIG}}},
    {MSG_SNAPSHOT_MAKE,
     send_snapshot_make,
     decode_snapshot_make,
     {.snapshot_make = {BIG, BIG + 1, BYTES("/data/snapshots/making/storage.mdb")}}},
    {MSG_SNAPSHOT_MADE,
     send_snapshot_made,
     decode_snapshot_made,
     {.snapshot_made = {BIG, 0, BIG + 1, BYTES(SUM), BIG + 2}}},
    {MSG_SNAPSHOT_DROP, send_snapshot_drop, decode_snapshot_drop, {.snapshot_drop = {BIG}}},
    {MSG_SNAPSHOT_LOAD,
     send_snapshot_load,
     decode_snapshot_load,
     {.snapshot_load = {BIG, BIG + 1, BYTES(SUM), BIG + 2,
                        BYTES("/data/snapshots/7/storage.mdb")}}},
    {MSG_SNAPSHOT_LOADED,
     send_snapshot_loaded,
     decode_snapshot_loaded,
     {.snapshot_loaded = {BIG, E_CORRUPT}}},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* ---- what travels ---- */

/* The one frame that was queued. */
static struct slice only_frame(void)
{
    struct unpack unpack;
    cr_assert_gt(link_.batch.len, LINK_WIRE_HEAD_BYTES);
    unpack_init(&unpack, slice_of(link_.batch.data + LINK_WIRE_HEAD_BYTES,
                                  link_.batch.len - LINK_WIRE_HEAD_BYTES));
    cr_assert_eq(unpack_u64(&unpack), link_.own_nonce);
    cr_assert_eq(unpack_u64(&unpack), link_.peer_nonce);
    struct slice frame = unpack_bytes(&unpack);
    cr_assert_eq(unpack_end(&unpack), 0);
    return frame;
}

/* As the link does before it calls the handler; the elements' count in out. */
static struct unpack body_of(struct slice frame, enum msg type)
{
    struct unpack body;
    unpack_init(&body, frame);
    cr_assert_eq(unpack_array(&body), 1 + (uint32_t)msg_elements((int)type));
    cr_assert_eq(unpack_u64(&body), (uint64_t)type);
    return body;
}

static struct slice send_sample(const struct sample *sample)
{
    buf_clear(&link_.batch);
    cr_assert_eq(sample->send(&sample->message), 0, "%s", msg_name((int)sample->type));
    return only_frame();
}

Test(messages, every_message_comes_back_as_it_was_sent)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        union message got;
        uint8_t sent[256];
        struct slice frame = send_sample(&samples[i]);
        cr_assert_lt(frame.len, sizeof(sent));
        memcpy(sent, frame.data, frame.len);
        struct unpack body = body_of(slice_of(sent, frame.len), samples[i].type);
        memset(&got, 0xee, sizeof(got));
        cr_assert_eq(samples[i].decode(&got, &body), 0, "%s", msg_name((int)samples[i].type));
        cr_assert_eq(body.at, body.end);
        /* what was understood, said again */
        buf_clear(&link_.batch);
        cr_assert_eq(samples[i].send(&got), 0);
        cr_assert(slice_equal(only_frame(), slice_of(sent, body.end - sent)), "%s",
                  msg_name((int)samples[i].type));
    }
}

Test(messages, every_message_of_the_list_but_hello_has_a_sample)
{
    unsigned listed = 0;
    for (int type = 0; type < 1000; type++)
        listed += msg_elements(type) >= 0;
    cr_assert_eq(listed, SAMPLES + 1);
}

Test(messages, a_cut_message_is_refused_wherever_it_is_cut)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        struct slice frame = send_sample(&samples[i]);
        struct unpack whole = body_of(frame, samples[i].type);
        for (const uint8_t *end = whole.at; end < whole.end; end++) {
            union message got;
            struct unpack body = whole;
            /* a copy of its own, so that reading beyond it is seen by the sanitizer */
            size_t len = (size_t)(end - whole.at);
            uint8_t *bytes = malloc(len > 0 ? len : 1);
            memcpy(bytes, whole.at, len);
            unpack_init(&body, slice_of(bytes, len));
            cr_assert_neq(samples[i].decode(&got, &body), 0, "%s", msg_name((int)samples[i].type));
            free(bytes);
        }
    }
}

Test(messages, a_byte_too_many_is_refused)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        union message got;
        uint8_t bytes[256];
        struct slice frame = send_sample(&samples[i]);
        cr_assert_lt(frame.len, sizeof(bytes));
        memcpy(bytes, frame.data, frame.len);
        bytes[frame.len] = 0;
        struct unpack body = body_of(slice_of(bytes, frame.len + 1), samples[i].type);
        cr_assert_eq(samples[i].decode(&got, &body), E_TRAILING, "%s",
                     msg_name((int)samples[i].type));
    }
}

enum kind { KIND_TEXT, KIND_ARRAY, KIND_OTHER };

static enum kind kind_of(const uint8_t *at)
{
    if ((*at & 0xe0) == 0xa0 || (*at >= 0xd9 && *at <= 0xdb))
        return KIND_TEXT;
    return (*at & 0xf0) == 0x90 || *at == 0xdc || *at == 0xdd ? KIND_ARRAY : KIND_OTHER;
}

/* One element, whatever it is. */
static void step_over(struct unpack *body)
{
    struct unpack tries[4] = {*body, *body, *body, *body};
    if (unpack_nil(body))
        return;
    if (kind_of(body->at) == KIND_ARRAY) {
        for (uint32_t left = unpack_array(body); left > 0; left--)
            step_over(body);
        return;
    }
    (void)unpack_u64(&tries[0]);
    (void)unpack_bytes(&tries[1]);
    (void)unpack_bool(&tries[2]);
    (void)unpack_text(&tries[3]);
    for (unsigned i = 0; i < 4; i++)
        if (tries[i].error == 0)
            *body = tries[i];
}

Test(messages, an_element_of_another_type_is_refused)
{
    static const uint8_t wrong[][2] = {{0xc0}, {0xa1, 'x'}, {0x90}, {0xff}}; /* nil "x" [] -1 */
    static const size_t wrong_len[] = {1, 2, 1, 1};
    for (size_t i = 0; i < SAMPLES; i++) {
        int elements = msg_elements((int)samples[i].type);
        for (int element = 0; element < elements; element++)
            for (size_t w = 0; w < sizeof(wrong_len) / sizeof(wrong_len[0]); w++) {
                union message got;
                struct buf bytes;
                bool is_same = false;
                buf_init(&bytes, 4096);
                struct unpack body = body_of(send_sample(&samples[i]), samples[i].type);
                for (int e = 0; e < elements; e++) {
                    const uint8_t *start = body.at;
                    step_over(&body);
                    cr_assert_gt(body.at, start);
                    is_same |= e == element && kind_of(start) == kind_of(wrong[w]);
                    if (e == element)
                        buf_append(&bytes, wrong[w], wrong_len[w]);
                    else
                        buf_append(&bytes, start, (size_t)(body.at - start));
                }
                struct unpack changed;
                unpack_init(&changed, buf_slice(&bytes));
                cr_assert(is_same || samples[i].decode(&got, &changed) == E_INVALID,
                          "%s, element %d", msg_name((int)samples[i].type), element);
                buf_fini(&bytes);
            }
    }
}

Test(messages, nothing_is_queued_for_a_peer_that_is_down)
{
    link_.is_up = false;
    for (size_t i = 0; i < SAMPLES; i++)
        cr_assert_eq(samples[i].send(&samples[i].message), E_PEER_DOWN);
    cr_assert_eq(link_.batch.len, 0);
}

Test(messages, nothing_is_queued_beyond_the_bound)
{
    link_.ready_bytes = LINK_QUEUE_BYTES;
    for (size_t i = 0; i < SAMPLES; i++)
        cr_assert_eq(samples[i].send(&samples[i].message), E_BUSY);
    cr_assert_eq(link_.batch.len, 0);
    link_.ready_bytes = LINK_QUEUE_BYTES - 1;
    cr_assert_eq(samples[0].send(&samples[0].message), 0);
}

/* ---- what a value must be ---- */

static int decode_sent(const struct sample *sample, const union message *message)
{
    union message got;
    buf_clear(&link_.batch);
    cr_assert_eq(sample->send(message), 0);
    struct unpack body = body_of(only_frame(), sample->type);
    return sample->decode(&got, &body);
}

static const struct sample *sample_of(enum msg type)
{
    for (size_t i = 0; i < SAMPLES; i++)
        if (samples[i].type == type)
            return &samples[i];
    cr_assert_fail("no sample");
    return NULL;
}

static void expect_refused(enum msg type, const union message *message)
{
    cr_expect_eq(decode_sent(sample_of(type), message), E_INVALID, "%s", msg_name((int)type));
}

Test(messages, entries_and_commands_are_never_empty)
{
    expect_refused(MSG_PROPOSE, &(union message){.propose = {{"", 0}}});
    expect_refused(MSG_WORKER_PROPOSE, &(union message){.worker_propose = {.command = {"", 0}}});
    expect_refused(MSG_APPLY, &(union message){.apply = {.index = 1, .command = {"", 0}}});
}

Test(messages, a_checkpoint_is_a_round_index_that_was_applied)
{
    expect_refused(MSG_APPLIED, &(union message){.applied = {2047, 0, 2047, 0}});
    expect_refused(MSG_APPLIED, &(union message){.applied = {2047, 0, 2048, 0}});
}

Test(messages, a_snapshot_has_an_index_a_path_and_a_sum)
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

Test(messages, a_session_is_never_0)
{
    expect_refused(MSG_SESSION, &(union message){.session = {0}});
}

Test(messages, an_applied_entry_has_an_index)
{
    expect_refused(MSG_APPLY, &(union message){.apply = {.index = 0, .command = {"c", 1}}});
}

Test(messages, a_refusal_has_a_reason_and_codes_are_small)
{
    expect_refused(MSG_REFUSE, &(union message){.refuse = {1, 2, 0}});
    expect_refused(MSG_REFUSE, &(union message){.refuse = {1, 2, 256}});
    expect_refused(MSG_READ_INDEX_REPLY, &(union message){.read_index_reply = {1, 256, 3}});
    expect_refused(MSG_RESULT, &(union message){.result = {.error = 256}});
    cr_assert_eq(decode_sent(sample_of(MSG_RESULT), &(union message){.result = {.error = 255}}), 0,
                 "a code of a later release");
}

Test(messages, a_lineage_has_sixteen_bytes)
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
        cr_assert_eq(decode_resume_ok(&got, &body), expected, "%zu", len);
        buf_clear(&buf);
        pack_u64(&pack, 5);
        pack_bytes(&pack, slice_of(bytes, len));
        pack_u64(&pack, 7);
        unpack_init(&body, buf_slice(&buf));
        cr_assert_eq(decode_resume(&got, &body), expected, "%zu", len);
        buf_fini(&buf);
    }
}

Test(messages, what_is_too_large_is_not_sent)
{
    uint8_t *bytes = calloc(1, LIMIT_ENTRY_BYTES + 1);
    const struct slice large = slice_of(bytes, LIMIT_ENTRY_BYTES + 1);
    cr_assert_eq(send_propose(&(union message){.propose = {large}}), E_TOO_LARGE);
    cr_assert_eq(send_worker_propose(&(union message){.worker_propose = {.command = large}}),
                 E_TOO_LARGE);
    cr_assert_eq(send_apply(&(union message){.apply = {.index = 1, .command = large}}),
                 E_TOO_LARGE);
    const struct slice detail = slice_of(bytes, LIMIT_BODY_MAX + 1);
    cr_assert_eq(send_result(&(union message){.result = {.detail = detail}}), E_TOO_LARGE);
    cr_assert_eq(link_.batch.len, 0);
    free(bytes);
}

Test(messages, what_is_too_large_is_not_believed)
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
    cr_assert_eq(decode_propose(&got, &body), E_INVALID);
    pack_bool(&pack, true);
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(decode_worker_propose(&got, &body), E_INVALID);
    buf_clear(&buf);
    for (unsigned i = 0; i < 6; i++)
        pack_u64(&pack, 1);
    pack_bytes(&pack, slice_of(bytes, LIMIT_ENTRY_BYTES + 1));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(decode_apply(&got, &body), E_INVALID);
    buf_clear(&buf);
    for (unsigned i = 0; i < 4; i++)
        pack_u64(&pack, 1);
    pack_bytes(&pack, slice_of(bytes, LIMIT_BODY_MAX + 1));
    unpack_init(&body, buf_slice(&buf));
    cr_assert_eq(decode_result(&got, &body), E_INVALID);
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
    cr_assert_eq(decode_change(&got, &body), E_INVALID);
    buf_fini(&buf);
}

Test(messages, a_change_names_a_node)
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
    cr_assert_eq(send_change(&(union message){.change = {.name = large}}), E_TOO_LARGE);
}

Test(messages, a_cluster_has_as_many_members_as_fit)
{
    union message sent = {.cluster_answer = {.member_count = MSG_CLUSTER_MEMBERS}};
    union message got;
    cr_assert_eq(decode_sent(sample_of(MSG_CLUSTER_ANSWER), &sent), 0);
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
    cr_assert_eq(decode_cluster_answer(&got, &body), E_INVALID);
    buf_fini(&buf);
}
