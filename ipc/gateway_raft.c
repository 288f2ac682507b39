/* gateway_raft.c - see gateway_raft.h. */
#include "ipc/gateway_raft.h"

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
