/* worker_gateway.c - see worker_gateway.h. */
#include "ipc/worker_gateway.h"

#include "base/error.h"
#include "base/limits.h"

int msg_result_send(struct link *link, const struct msg_result *msg)
{
    struct pack *pack;
    if (msg->detail.len > LIMIT_BODY_MAX)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_RESULT, 4, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->sequence);
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->error);
    pack_bytes(pack, msg->detail);
    link_end(link);
    return 0;
}

int msg_result_decode(struct msg_result *msg, struct unpack *body)
{
    msg->sequence = unpack_u64(body);
    msg->index = unpack_u64(body);
    msg->error = unpack_error_code(body);
    msg->detail = unpack_bytes(body);
    if (msg->detail.len > LIMIT_BODY_MAX)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_recall_send(struct link *link, const struct msg_recall *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_RECALL, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->sequence);
    link_end(link);
    return 0;
}

int msg_recall_decode(struct msg_recall *msg, struct unpack *body)
{
    msg->sequence = unpack_u64(body);
    return unpack_end(body);
}
