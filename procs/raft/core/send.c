/* send.c - what may leave, and when.
 *
 *   Every message carries this node's term, so none leaves before that term and its vote are on the
 *   disk; an acknowledgement waits for its entries as well (I1, P1; thesis 3.8, figure 3.1). This
 *   holds by structure: there is no other way out, and what waits is parked here.
 */
#include <string.h>

#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

#define SEND_ROOM_MIN 16

static void raft_send_now(struct raft *raft, const struct raft_message *message)
{
    if (raft->message_count == raft->message_room)
        raft->messages =
            mem_grow(raft->messages, &raft->message_room, sizeof(raft->messages[0]), SEND_ROOM_MIN);
    raft->messages[raft->message_count++] = *message;
}

static void raft_send_park(struct raft *raft, const struct raft_message *message, uint64_t write)
{
    if (raft->parked_count == RAFT_PARKED_MAX)
        return; /* lost, as messages may be */
    if (raft->parked_count == raft->parked_room)
        raft->parked =
            mem_grow(raft->parked, &raft->parked_room, sizeof(raft->parked[0]), SEND_ROOM_MIN);
    raft->parked[raft->parked_count++] = (struct raft_parked){.write = write, .message = *message};
}

static bool raft_send_mutant(const struct raft_message *message)
{
    return (RAFT_MUTANT(VOTE_NOT_PERSISTED) && message->kind == RAFT_MESSAGE_VOTE_REPLY) ||
           (RAFT_MUTANT(ACK_BEFORE_FSYNC) && message->kind == RAFT_MESSAGE_APPEND_REPLY);
}

void raft_send(struct raft *raft, struct raft_message *message, uint64_t after_write)
{
    CHECK(message->to != RAFT_NONE && message->to != raft->self);
    message->from = raft->self;
    message->term = raft->term;
    if (after_write < raft->term_write)
        after_write = raft->term_write;
    if (after_write <= raft->write_durable || raft_send_mutant(message))
        raft_send_now(raft, message);
    else
        raft_send_park(raft, message, after_write);
}

void raft_send_released(struct raft *raft)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < raft->parked_count; i++) {
        if (raft->parked[i].write <= raft->write_durable)
            raft_send_now(raft, &raft->parked[i].message);
        else
            raft->parked[kept++] = raft->parked[i];
    }
    raft->parked_count = kept;
}

void raft_send_forget(struct raft *raft)
{
    raft->parked_count = 0;
}

bool raft_send_acks(const struct raft *raft, uint64_t match)
{
    for (uint32_t i = 0; i < raft->parked_count; i++) {
        const struct raft_message *message = &raft->parked[i].message;
        if (message->kind == RAFT_MESSAGE_APPEND_REPLY && message->append_reply.ok &&
            message->append_reply.match >= match)
            return true;
    }
    return false;
}
