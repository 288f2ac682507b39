/* message_samples.c - see message_samples.h. */
#include "message_samples.h"

#include <string.h>

struct link link_;

void open_link(void)
{
    memset(&link_, 0, sizeof(link_));
    link_.is_up = true;
    link_.own_nonce = 1;
    link_.peer_nonce = 2;
    buf_init(&link_.batch, LIMIT_MESSAGE_BYTES);
}

void close_link(void)
{
    buf_fini(&link_.batch);
}

/* ---- the samples ---- */

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

CONVERSATION(subscribe)
CONVERSATION(unsubscribe)
CONVERSATION(event_credit)
CONVERSATION(subscribed)
CONVERSATION(event)
CONVERSATION(event_gap)
CONVERSATION(event_reached)

#define PLACE(name)                                                                                \
    static int send_##name(const union message *message)                                           \
    {                                                                                              \
        return msg_##name##_send(&link_, &message->event_place);                                   \
    }
PLACE(event_outrun)
PLACE(event_caught_up)
PLACE(event_behind)

static int decode_event_place(union message *message, struct unpack *body)
{
    return msg_event_place_decode(&message->event_place, body);
}

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

const struct sample samples[] = {
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
    {MSG_SUBSCRIBE,
     send_subscribe,
     decode_subscribe,
     {.subscribe = {BIG, {"0123456789abcde"}, BYTES("orders/*"), true, BIG + 1, 262144, 7}}},
    {MSG_UNSUBSCRIBE, send_unsubscribe, decode_unsubscribe, {.unsubscribe = {BIG}}},
    {MSG_EVENT_CREDIT, send_event_credit, decode_event_credit, {.event_credit = {BIG, BIG + 1}}},
    {MSG_SUBSCRIBED, send_subscribed, decode_subscribed, {.subscribed = {BIG, BIG + 1, E_BUSY}}},
    {MSG_EVENT,
     send_event,
     decode_event,
     {.event = {BIG, BIG + 1, BYTES("orders/7"), BYTES("{\"a\":1}"),
                BYTES("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0")}}},
    {MSG_EVENT_GAP, send_event_gap, decode_event_gap, {.event_gap = {BIG, BIG + 1, BIG + 2}}},
    {MSG_EVENT_REACHED, send_event_reached, decode_event_reached, {.event_reached = {BIG}}},
    {MSG_EVENT_OUTRUN, send_event_outrun, decode_event_place, {.event_place = {BIG, BIG + 1}}},
    {MSG_EVENT_CAUGHT_UP,
     send_event_caught_up,
     decode_event_place,
     {.event_place = {BIG, BIG + 1}}},
    {MSG_EVENT_BEHIND, send_event_behind, decode_event_place, {.event_place = {BIG, BIG + 1}}},
};
const size_t sample_count = sizeof(samples) / sizeof(samples[0]);

/* ---- what travels ---- */

struct slice only_frame(void)
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

struct unpack body_of(struct slice frame, enum msg type)
{
    struct unpack body;
    unpack_init(&body, frame);
    cr_assert_eq(unpack_array(&body), 1 + (uint32_t)msg_elements((int)type));
    cr_assert_eq(unpack_u64(&body), (uint64_t)type);
    return body;
}

static const struct sample *sample_of(enum msg type)
{
    for (size_t i = 0; i < sample_count; i++)
        if (samples[i].type == type)
            return &samples[i];
    cr_assert_fail("no sample");
    return NULL;
}

int decode_sent(enum msg type, const union message *message)
{
    const struct sample *sample = sample_of(type);
    union message got;
    buf_clear(&link_.batch);
    cr_assert_eq(sample->send(message), 0);
    struct unpack body = body_of(only_frame(), sample->type);
    return sample->decode(&got, &body);
}

void expect_refused(enum msg type, const union message *message)
{
    cr_expect_eq(decode_sent(type, message), E_INVALID, "%s", msg_name((int)type));
}
