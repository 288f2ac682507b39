/* gateway_raft.c - see gateway_raft.h. */
#include "ipc/gateway_raft.h"

#include <string.h>

#include "base/error.h"
#include "base/limits.h"

int msg_propose_send(struct link *link, const struct msg_propose *msg)
{
    struct pack *pack;
    if (msg->entry.len > LIMIT_ENTRY_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_PROPOSE, 1, &pack);
    if (error != 0)
        return error;
    pack_bytes(pack, msg->entry);
    link_end(link);
    return 0;
}

int msg_propose_decode(struct msg_propose *msg, struct unpack *body)
{
    msg->entry = unpack_bytes(body);
    if (msg->entry.len == 0 || msg->entry.len > LIMIT_ENTRY_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_refuse_send(struct link *link, const struct msg_refuse *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_REFUSE, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->session);
    pack_u64(pack, msg->sequence);
    pack_u64(pack, msg->error);
    link_end(link);
    return 0;
}

int msg_refuse_decode(struct msg_refuse *msg, struct unpack *body)
{
    msg->session = unpack_u64(body);
    msg->sequence = unpack_u64(body);
    msg->error = unpack_error_code(body);
    if (msg->error == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_leader_send(struct link *link, const struct msg_leader *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_LEADER, 2, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->term);
    pack_bool(pack, msg->is_known);
    link_end(link);
    return 0;
}

int msg_leader_decode(struct msg_leader *msg, struct unpack *body)
{
    msg->term = unpack_u64(body);
    msg->is_known = unpack_bool(body);
    return unpack_end(body);
}

int msg_read_index_send(struct link *link, const struct msg_read_index *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_READ_INDEX, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    link_end(link);
    return 0;
}

int msg_read_index_decode(struct msg_read_index *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    return unpack_end(body);
}

int msg_read_index_reply_send(struct link *link, const struct msg_read_index_reply *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_READ_INDEX_REPLY, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    pack_u64(pack, msg->error);
    pack_u64(pack, msg->index);
    link_end(link);
    return 0;
}

int msg_read_index_reply_decode(struct msg_read_index_reply *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    msg->error = unpack_error_code(body);
    msg->index = unpack_u64(body);
    return unpack_end(body);
}

/* ---- /admin/cluster ---------------------------------------------------------------------------
 */

int msg_cluster_ask_send(struct link *link, const struct msg_cluster_ask *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_CLUSTER_ASK, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    link_end(link);
    return 0;
}

int msg_cluster_ask_decode(struct msg_cluster_ask *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    return unpack_end(body);
}

/* A text of at most so many bytes, without NUL. */
static struct slice msg_take_text(struct unpack *body, size_t max)
{
    struct slice text = unpack_text(body);
    if (text.len > max || (text.len > 0 && memchr(text.data, '\0', text.len) != NULL))
        unpack_refuse(body);
    return text;
}

void msg_cluster_member_pack(struct pack *pack, const struct msg_cluster_member *member)
{
    pack_array(pack, 7);
    pack_text(pack, member->name);
    pack_text(pack, member->raft_address);
    pack_text(pack, member->http_address);
    pack_bool(pack, member->is_voter);
    pack_u64(pack, (uint64_t)member->state);
    pack_u64(pack, member->match_index);
    pack_u64(pack, member->lag);
}

void msg_cluster_member_take(struct unpack *body, struct msg_cluster_member *member)
{
    unpack_array_of(body, 7);
    member->name = msg_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    member->raft_address = msg_take_text(body, MSG_ADDRESS_BYTES - 1);
    member->http_address = msg_take_text(body, MSG_ADDRESS_BYTES - 1);
    member->is_voter = unpack_bool(body);
    uint64_t state = unpack_u64(body);
    if (state > MSG_MEMBER_UNREACHABLE)
        unpack_refuse(body);
    member->state = (enum msg_member_state)state;
    member->match_index = unpack_u64(body);
    member->lag = unpack_u64(body);
}

int msg_cluster_answer_send(struct link *link, const struct msg_cluster_answer *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_CLUSTER_ANSWER, 8, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    pack_bytes(pack, msg->cluster_id);
    pack_text(pack, msg->leader);
    pack_u64(pack, msg->term);
    pack_bool(pack, msg->is_of_leader);
    pack_array(pack, msg->member_count);
    for (uint32_t i = 0; i < msg->member_count; i++)
        msg_cluster_member_pack(pack, &msg->members[i]);
    pack_u64(pack, msg->commit_index);
    pack_array(pack, PROC_WORKER_COUNT);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        pack_array(pack, 3);
        pack_u64(pack, msg->workers[i].applied_index);
        pack_u64(pack, msg->workers[i].hash_index);
        pack_bytes(pack, msg->workers[i].state_hash);
    }
    link_end(link);
    return 0;
}

int msg_cluster_answer_decode(struct msg_cluster_answer *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    msg->cluster_id = unpack_bytes(body);
    if (msg->cluster_id.len != 0 && msg->cluster_id.len != MSG_CLUSTER_ID_BYTES)
        unpack_refuse(body);
    msg->leader = msg_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    msg->term = unpack_u64(body);
    msg->is_of_leader = unpack_bool(body);
    msg->member_count = unpack_array(body);
    if (msg->member_count > MSG_CLUSTER_MEMBERS) {
        msg->member_count = 0;
        unpack_refuse(body);
    }
    for (uint32_t i = 0; i < msg->member_count; i++)
        msg_cluster_member_take(body, &msg->members[i]);
    msg->commit_index = unpack_u64(body);
    unpack_array_of(body, PROC_WORKER_COUNT);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        unpack_array_of(body, 3);
        msg->workers[i].applied_index = unpack_u64(body);
        msg->workers[i].hash_index = unpack_u64(body);
        msg->workers[i].state_hash = unpack_bytes(body);
        if (msg->workers[i].state_hash.len > MSG_STATE_HASH_BYTES)
            unpack_refuse(body);
    }
    return unpack_end(body);
}

int msg_change_send(struct link *link, const struct msg_change *msg)
{
    struct pack *pack;
    if (msg->name.len >= LIMIT_NODE_ID_BYTES || msg->raft_address.len >= MSG_ADDRESS_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_CHANGE, 4, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    pack_u64(pack, (uint64_t)msg->kind);
    pack_text(pack, msg->name);
    pack_text(pack, msg->raft_address);
    link_end(link);
    return 0;
}

int msg_change_decode(struct msg_change *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    uint64_t kind = unpack_u64(body);
    msg->name = msg_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    msg->raft_address = msg_take_text(body, MSG_ADDRESS_BYTES - 1);
    if (kind > MSG_CHANGE_TRANSFER || msg->name.len == 0)
        unpack_refuse(body);
    msg->kind = (enum msg_change_kind)kind;
    return unpack_end(body);
}

int msg_change_answer_send(struct link *link, const struct msg_change_answer *msg)
{
    struct pack *pack;
    if (msg->detail.len > MSG_CHANGE_DETAIL_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_CHANGE_ANSWER, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->id);
    pack_u64(pack, msg->error);
    pack_text(pack, msg->detail);
    link_end(link);
    return 0;
}

int msg_change_answer_decode(struct msg_change_answer *msg, struct unpack *body)
{
    msg->id = unpack_u64(body);
    msg->error = unpack_error_code(body);
    msg->detail = msg_take_text(body, MSG_CHANGE_DETAIL_BYTES);
    return unpack_end(body);
}
