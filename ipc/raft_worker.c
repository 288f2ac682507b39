/* raft_worker.c - see raft_worker.h. */
#include "ipc/raft_worker.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"

static void lineage_pack(struct pack *pack, const uint8_t lineage[RAFT_LINEAGE_BYTES])
{
    pack_bytes(pack, slice_of(lineage, RAFT_LINEAGE_BYTES));
}

static void lineage_unpack(struct unpack *body, uint8_t lineage[RAFT_LINEAGE_BYTES])
{
    struct slice bytes = unpack_bytes(body);
    if (bytes.len == RAFT_LINEAGE_BYTES)
        memcpy(lineage, bytes.data, RAFT_LINEAGE_BYTES);
    else
        unpack_refuse(body);
}

int msg_resume_send(struct link *link, const struct msg_resume *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_RESUME, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->applied_index);
    lineage_pack(pack, msg->lineage);
    pack_u64(pack, msg->state_hash);
    link_end(link);
    return 0;
}

int msg_resume_decode(struct msg_resume *msg, struct unpack *body)
{
    msg->applied_index = unpack_u64(body);
    lineage_unpack(body, msg->lineage);
    msg->state_hash = unpack_u64(body);
    return unpack_end(body);
}

int msg_resume_ok_send(struct link *link, const struct msg_resume_ok *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_RESUME_OK, 1, &pack);
    if (error != 0)
        return error;
    lineage_pack(pack, msg->lineage);
    link_end(link);
    return 0;
}

int msg_resume_ok_decode(struct msg_resume_ok *msg, struct unpack *body)
{
    lineage_unpack(body, msg->lineage);
    return unpack_end(body);
}

int msg_rebuild_send(struct link *link)
{
    struct pack *pack;
    int error = link_begin(link, MSG_REBUILD, 0, &pack);
    if (error == 0)
        link_end(link);
    return error;
}

int msg_rebuild_decode(struct unpack *body)
{
    return unpack_end(body);
}

int msg_apply_send(struct link *link, const struct msg_apply *msg)
{
    struct pack *pack;
    if (msg->command.len > LIMIT_ENTRY_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_APPLY, 7, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->term);
    pack_u64(pack, msg->stamp_ms);
    pack_u64(pack, msg->session);
    pack_u64(pack, msg->sequence);
    pack_u64(pack, msg->floor);
    pack_bytes(pack, msg->command);
    link_end(link);
    return 0;
}

int msg_apply_decode(struct msg_apply *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->term = unpack_u64(body);
    msg->stamp_ms = unpack_u64(body);
    msg->session = unpack_u64(body);
    msg->sequence = unpack_u64(body);
    msg->floor = unpack_u64(body);
    msg->command = unpack_bytes(body);
    if (msg->index == 0 || msg->command.len == 0 || msg->command.len > LIMIT_ENTRY_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_apply_end_send(struct link *link, const struct msg_apply_end *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_APPLY_END, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->last_index);
    link_end(link);
    return 0;
}

int msg_apply_end_decode(struct msg_apply_end *msg, struct unpack *body)
{
    msg->last_index = unpack_u64(body);
    return unpack_end(body);
}

int msg_applied_send(struct link *link, const struct msg_applied *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_APPLIED, 4, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->state_hash);
    pack_u64(pack, msg->checkpoint_index);
    pack_u64(pack, msg->checkpoint_hash);
    link_end(link);
    return 0;
}

int msg_applied_decode(struct msg_applied *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->state_hash = unpack_u64(body);
    msg->checkpoint_index = unpack_u64(body);
    msg->checkpoint_hash = unpack_u64(body);
    if (msg->checkpoint_index > msg->index || msg->checkpoint_index % RAFT_CHECKPOINT != 0)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_worker_propose_send(struct link *link, const struct msg_worker_propose *msg)
{
    struct pack *pack;
    if (msg->command.len > LIMIT_ENTRY_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_WORKER_PROPOSE, 2, &pack);
    if (error != 0)
        return error;
    pack_bytes(pack, msg->command);
    pack_bool(pack, msg->is_for_all);
    link_end(link);
    return 0;
}

int msg_worker_propose_decode(struct msg_worker_propose *msg, struct unpack *body)
{
    msg->command = unpack_bytes(body);
    msg->is_for_all = unpack_bool(body);
    if (msg->command.len == 0 || msg->command.len > LIMIT_ENTRY_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_role_send(struct link *link, const struct msg_role *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_ROLE, 2, &pack);
    if (error != 0)
        return error;
    pack_bool(pack, msg->is_leader);
    pack_u64(pack, msg->term);
    link_end(link);
    return 0;
}

int msg_role_decode(struct msg_role *msg, struct unpack *body)
{
    msg->is_leader = unpack_bool(body);
    msg->term = unpack_u64(body);
    return unpack_end(body);
}

/* ---- snapshots --------------------------------------------------------------------------------
 */

static struct slice path_unpack(struct unpack *body)
{
    struct slice path = unpack_text(body);
    if (path.len == 0 || path.len >= RAFT_PATH_BYTES || memchr(path.data, '\0', path.len) != NULL)
        unpack_refuse(body);
    return path;
}

int msg_snapshot_make_send(struct link *link, const struct msg_snapshot_make *msg)
{
    struct pack *pack;
    if (msg->path.len >= RAFT_PATH_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_SNAPSHOT_MAKE, 3, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->reserve_bytes);
    pack_text(pack, msg->path);
    link_end(link);
    return 0;
}

int msg_snapshot_make_decode(struct msg_snapshot_make *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->reserve_bytes = unpack_u64(body);
    msg->path = path_unpack(body);
    if (msg->index == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_snapshot_made_send(struct link *link, const struct msg_snapshot_made *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_SNAPSHOT_MADE, 5, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->error);
    pack_u64(pack, msg->bytes);
    pack_bytes(pack, msg->sum);
    pack_u64(pack, msg->state_hash);
    link_end(link);
    return 0;
}

int msg_snapshot_made_decode(struct msg_snapshot_made *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->error = unpack_error_code(body);
    msg->bytes = unpack_u64(body);
    msg->sum = unpack_bytes(body);
    msg->state_hash = unpack_u64(body);
    if (msg->sum.len != (msg->error == 0 ? SHA256_BYTES : 0))
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_snapshot_drop_send(struct link *link, const struct msg_snapshot_drop *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_SNAPSHOT_DROP, 1, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    link_end(link);
    return 0;
}

int msg_snapshot_drop_decode(struct msg_snapshot_drop *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    return unpack_end(body);
}

int msg_snapshot_load_send(struct link *link, const struct msg_snapshot_load *msg)
{
    struct pack *pack;
    if (msg->path.len >= RAFT_PATH_BYTES)
        return E_TOO_LARGE;
    int error = link_begin(link, MSG_SNAPSHOT_LOAD, 5, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->bytes);
    pack_bytes(pack, msg->sum);
    pack_u64(pack, msg->state_hash);
    pack_text(pack, msg->path);
    link_end(link);
    return 0;
}

int msg_snapshot_load_decode(struct msg_snapshot_load *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->bytes = unpack_u64(body);
    msg->sum = unpack_bytes(body);
    msg->state_hash = unpack_u64(body);
    msg->path = path_unpack(body);
    if (msg->index == 0 || msg->sum.len != SHA256_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

int msg_snapshot_loaded_send(struct link *link, const struct msg_snapshot_loaded *msg)
{
    struct pack *pack;
    int error = link_begin(link, MSG_SNAPSHOT_LOADED, 2, &pack);
    if (error != 0)
        return error;
    pack_u64(pack, msg->index);
    pack_u64(pack, msg->error);
    link_end(link);
    return 0;
}

int msg_snapshot_loaded_decode(struct msg_snapshot_loaded *msg, struct unpack *body)
{
    msg->index = unpack_u64(body);
    msg->error = unpack_error_code(body);
    return unpack_end(body);
}
