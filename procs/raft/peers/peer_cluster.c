/* peer_cluster.c - see peer_cluster.h. */
#include "procs/raft/peers/peer_cluster.h"

#include "procs/raft/peers/peers.h"

static int peer_say_bare(struct peer *peer, enum peer_message number)
{
    struct pack *pack;
    int error = peer_begin(peer, number, &pack);
    if (error == 0)
        peer_end(peer);
    return error;
}

/* ---- proposals --------------------------------------------------------------------------------
 */

void peer_forward_pack(struct pack *pack, const struct peer_forward *forward)
{
    pack_u64(pack, forward->term);
    pack_bytes(pack, forward->entry);
}

int peer_forward_decode(struct peer_forward *forward, struct unpack *body)
{
    forward->term = unpack_u64(body);
    forward->entry = unpack_bytes(body);
    if (forward->entry.len == 0 || forward->entry.len > LIMIT_ENTRY_BYTES)
        unpack_refuse(body);
    return unpack_end(body);
}

PEER_SAY(forward, PEER_FORWARD, peer_forward_pack, const struct peer_forward *, forward)

void peer_forward_refused_pack(struct pack *pack, const struct peer_forward_refused *refused)
{
    pack_u64(pack, refused->session);
    pack_u64(pack, refused->sequence);
    pack_u64(pack, refused->error);
}

int peer_forward_refused_decode(struct peer_forward_refused *refused, struct unpack *body)
{
    refused->session = unpack_u64(body);
    refused->sequence = unpack_u64(body);
    refused->error = unpack_error_code(body);
    if (refused->error == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

PEER_SAY(forward_refused, PEER_FORWARD_REFUSED, peer_forward_refused_pack,
         const struct peer_forward_refused *, refused)

int peer_say_forward_again(struct peer *peer)
{
    return peer_say_bare(peer, PEER_FORWARD_AGAIN);
}

void peer_disk_pack(struct pack *pack, bool is_full)
{
    pack_bool(pack, is_full);
}

int peer_disk_decode(bool *is_full, struct unpack *body)
{
    *is_full = unpack_bool(body);
    return unpack_end(body);
}

PEER_SAY(disk, PEER_DISK, peer_disk_pack, bool, is_full)

/* ---- joining ----------------------------------------------------------------------------------
 */

void peer_join_pack(struct pack *pack, bool has_log)
{
    pack_bool(pack, has_log);
}

int peer_join_decode(bool *has_log, struct unpack *body)
{
    *has_log = unpack_bool(body);
    return unpack_end(body);
}

PEER_SAY(join, PEER_JOIN, peer_join_pack, bool, has_log)

void peer_join_answer_pack(struct pack *pack, const struct peer_join_answer *answer)
{
    pack_u64(pack, (uint64_t)answer->verdict);
    pack_bytes(pack, slice_of(answer->cluster, WAL_CLUSTER_BYTES));
    pack_text(pack, answer->leader);
    pack_text(pack, answer->leader_address);
}

int peer_join_answer_decode(struct peer_join_answer *answer, struct unpack *body)
{
    answer->verdict = (enum peer_verdict)peer_take_below(body, PEER_VERDICTS);
    peer_take_fixed(body, answer->cluster, WAL_CLUSTER_BYTES);
    answer->leader = peer_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    answer->leader_address = peer_take_text(body, MEMBER_ADDRESS_BYTES - 1);
    return unpack_end(body);
}

PEER_SAY(join_answer, PEER_JOIN_ANSWER, peer_join_answer_pack, const struct peer_join_answer *,
         answer)

int peer_say_invite(struct peer *peer)
{
    return peer_say_bare(peer, PEER_INVITE);
}

void peer_invite_answer_pack(struct pack *pack, enum peer_invited answer)
{
    pack_u64(pack, (uint64_t)answer);
}

int peer_invite_answer_decode(enum peer_invited *answer, struct unpack *body)
{
    *answer = (enum peer_invited)peer_take_below(body, PEER_INVITED_ANSWERS);
    return unpack_end(body);
}

PEER_SAY(invite_answer, PEER_INVITE_ANSWER, peer_invite_answer_pack, enum peer_invited, answer)

/* ---- operators --------------------------------------------------------------------------------
 */

void peer_id_pack(struct pack *pack, uint64_t id)
{
    pack_u64(pack, id);
}

int peer_id_decode(uint64_t *id, struct unpack *body)
{
    *id = unpack_u64(body);
    return unpack_end(body);
}

PEER_SAY(status_ask, PEER_STATUS_ASK, peer_id_pack, uint64_t, id)

void peer_status_pack(struct pack *pack, const struct peer_status *status)
{
    pack_u64(pack, status->id);
    pack_u64(pack, status->term);
    pack_text(pack, status->leader);
    pack_array(pack, status->member_count);
    for (uint32_t i = 0; i < status->member_count; i++)
        msg_cluster_member_pack(pack, &status->members[i]);
}

int peer_status_decode(struct peer_status *status, struct unpack *body)
{
    status->id = unpack_u64(body);
    status->term = unpack_u64(body);
    status->leader = peer_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    status->member_count = unpack_array(body);
    if (status->member_count > MSG_CLUSTER_MEMBERS) {
        status->member_count = 0;
        unpack_refuse(body);
    }
    for (uint32_t i = 0; i < status->member_count; i++)
        msg_cluster_member_take(body, &status->members[i]);
    return unpack_end(body);
}

PEER_SAY(status_answer, PEER_STATUS_ANSWER, peer_status_pack, const struct peer_status *, status)

void peer_change_pack(struct pack *pack, const struct msg_change *change)
{
    pack_u64(pack, change->id);
    pack_u64(pack, (uint64_t)change->kind);
    pack_text(pack, change->name);
    pack_text(pack, change->raft_address);
}

int peer_change_decode(struct msg_change *change, struct unpack *body)
{
    return msg_change_decode(change, body);
}

PEER_SAY(change, PEER_CHANGE, peer_change_pack, const struct msg_change *, change)

void peer_change_answer_pack(struct pack *pack, const struct msg_change_answer *answer)
{
    pack_u64(pack, answer->id);
    pack_u64(pack, answer->error);
    pack_text(pack, answer->detail);
}

int peer_change_answer_decode(struct msg_change_answer *answer, struct unpack *body)
{
    return msg_change_answer_decode(answer, body);
}

PEER_SAY(change_answer, PEER_CHANGE_ANSWER, peer_change_answer_pack,
         const struct msg_change_answer *, answer)

/* ---- the cluster clock ------------------------------------------------------------------------
 */

void peer_clock_answer_pack(struct pack *pack, const struct peer_clock *clock)
{
    pack_u64(pack, clock->asked_ns);
    pack_u64(pack, clock->cluster_ns);
}

int peer_clock_answer_decode(struct peer_clock *clock, struct unpack *body)
{
    clock->asked_ns = unpack_u64(body);
    clock->cluster_ns = unpack_u64(body);
    return unpack_end(body);
}

PEER_SAY(clock_ask, PEER_CLOCK_ASK, peer_id_pack, uint64_t, asked_ns)

PEER_SAY(clock_answer, PEER_CLOCK_ANSWER, peer_clock_answer_pack, const struct peer_clock *, clock)
