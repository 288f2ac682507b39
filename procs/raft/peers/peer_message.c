/* peer_message.c - see peer_message.h. */
#include "procs/raft/peers/peer_message.h"

#include "base/check.h"
#include "base/error.h"

#define MESSAGE_BIN 0xc6 /* msgpack bin with a length of four bytes */
#define MESSAGE_BIN_BYTES 5

const char *peer_message_name(int number)
{
    switch (number) {
#define X(name, value, elements, who)                                                              \
    case value:                                                                                    \
        return #name;
        PEER_MESSAGE_LIST(X)
#undef X
    default:
        return "?";
    }
}

int peer_message_elements(int number)
{
    switch (number) {
#define X(name, value, elements, who)                                                              \
    case value:                                                                                    \
        return elements;
        PEER_MESSAGE_LIST(X)
#undef X
    default:
        return -1;
    }
}

bool peer_message_is_for_members(int number)
{
    enum { PEER_WHO_ANYBODY, PEER_WHO_MEMBER };
    switch (number) {
#define X(name, value, elements, who)                                                              \
    case value:                                                                                    \
        return PEER_WHO_##who == PEER_WHO_MEMBER;
        PEER_MESSAGE_LIST(X)
#undef X
    default:
        return true;
    }
}

/* ---- in a frame -------------------------------------------------------------------------------
 */

void peer_message_begin(struct buf *out, struct pack *pack, enum peer_message number)
{
    static const uint8_t bin[MESSAGE_BIN_BYTES] = {MESSAGE_BIN};
    CHECK(buf_append(out, bin, sizeof(bin)) == 0);
    pack_init(pack, out);
    pack_array(pack, 1 + (uint32_t)peer_message_elements((int)number));
    pack_u64(pack, (uint64_t)number);
}

void peer_message_end(struct buf *out, size_t begin)
{
    size_t bytes = out->len - begin - MESSAGE_BIN_BYTES;
    uint8_t *length = out->data + begin + 1;
    for (unsigned i = 0; i < 4; i++)
        length[i] = (uint8_t)(bytes >> (24 - 8 * i));
}

int peer_message_single(struct slice messages, enum peer_message number, struct unpack *body)
{
    struct unpack frame;
    unpack_init(&frame, messages);
    unpack_init(body, unpack_bytes(&frame));
    int error = unpack_end(&frame);
    if (error)
        return error;
    unpack_array_of(body, 1 + (uint32_t)peer_message_elements((int)number));
    if (unpack_u64(body) != (uint64_t)number)
        unpack_refuse(body);
    return body->error;
}

/* ---- pieces -----------------------------------------------------------------------------------
 */

struct slice peer_take_text(struct unpack *body, size_t max)
{
    struct slice text = unpack_text(body);
    if (text.len > max || (text.len > 0 && memchr(text.data, '\0', text.len)))
        unpack_refuse(body);
    return text;
}

void peer_take_fixed(struct unpack *body, uint8_t *out, size_t len)
{
    struct slice bytes = unpack_bytes(body);
    if (bytes.len != len)
        unpack_refuse(body);
    else
        memcpy(out, bytes.data, len);
}

uint64_t peer_take_below(struct unpack *body, uint64_t bound)
{
    uint64_t value = unpack_u64(body);
    if (value < bound)
        return value;
    unpack_refuse(body);
    return 0;
}

/* ---- connections ------------------------------------------------------------------------------
 */

void peer_welcome_pack(struct pack *pack, const struct peer_hello *hello)
{
    pack_u64(pack, hello->start_id);
    pack_text(pack, hello->name);
    pack_text(pack, hello->raft_address);
    pack_text(pack, hello->http_address);
}

void peer_hello_pack(struct pack *pack, const struct peer_hello *hello)
{
    pack_bytes(pack, slice_of(hello->nonce, PEER_NONCE_BYTES));
    peer_welcome_pack(pack, hello);
}

int peer_welcome_decode(struct peer_hello *hello, struct unpack *body)
{
    hello->start_id = unpack_u64(body);
    hello->name = peer_take_text(body, LIMIT_NODE_ID_BYTES - 1);
    hello->raft_address = peer_take_text(body, MEMBER_ADDRESS_BYTES - 1);
    hello->http_address = peer_take_text(body, MEMBER_ADDRESS_BYTES - 1);
    if (hello->name.len == 0 || hello->raft_address.len == 0 || hello->http_address.len == 0)
        unpack_refuse(body);
    return unpack_end(body);
}

int peer_hello_decode(struct peer_hello *hello, struct unpack *body)
{
    peer_take_fixed(body, hello->nonce, PEER_NONCE_BYTES);
    return peer_welcome_decode(hello, body);
}

/* ---- the core's messages ----------------------------------------------------------------------
 */

enum peer_message peer_raft_number(enum raft_message_kind kind)
{
    static const enum peer_message numbers[RAFT_MESSAGE_KINDS] = {
        [RAFT_MESSAGE_VOTE] = PEER_VOTE,
        [RAFT_MESSAGE_VOTE_REPLY] = PEER_VOTE_REPLY,
        [RAFT_MESSAGE_APPEND] = PEER_APPEND,
        [RAFT_MESSAGE_APPEND_REPLY] = PEER_APPEND_REPLY,
        [RAFT_MESSAGE_TIMEOUT_NOW] = PEER_TIMEOUT_NOW,
        [RAFT_MESSAGE_READ] = PEER_READ,
        [RAFT_MESSAGE_READ_REPLY] = PEER_READ_REPLY};
    CHECK((unsigned)kind < RAFT_MESSAGE_KINDS);
    return numbers[kind];
}

static void peer_vote_pack(struct pack *pack, const struct raft_message *message)
{
    pack_bool(pack, message->vote.pre);
    pack_bool(pack, message->vote.transfer);
    pack_u64(pack, message->vote.transfer_term);
    pack_u64(pack, message->vote.transfer_round);
    pack_u64(pack, message->vote.asked_term);
    pack_u64(pack, message->vote.last_index);
    pack_u64(pack, message->vote.last_term);
}

static void peer_vote_take(struct unpack *body, struct raft_message *message)
{
    message->vote.pre = unpack_bool(body);
    message->vote.transfer = unpack_bool(body);
    message->vote.transfer_term = unpack_u64(body);
    message->vote.transfer_round = unpack_u64(body);
    message->vote.asked_term = unpack_u64(body);
    message->vote.last_index = unpack_u64(body);
    message->vote.last_term = unpack_u64(body);
}

static void peer_append_reply_pack(struct pack *pack, const struct raft_message *message)
{
    pack_bool(pack, message->append_reply.ok);
    pack_bool(pack, message->append_reply.busy);
    pack_u64(pack, message->append_reply.match);
    pack_u64(pack, message->append_reply.prev_index);
    pack_u64(pack, message->append_reply.hint_index);
    pack_u64(pack, message->append_reply.hint_term);
    pack_u64(pack, message->append_reply.round);
    pack_u64(pack, message->append_reply.sent_ns);
}

static void peer_append_reply_take(struct unpack *body, struct raft_message *message)
{
    message->append_reply.ok = unpack_bool(body);
    message->append_reply.busy = unpack_bool(body);
    message->append_reply.match = unpack_u64(body);
    message->append_reply.prev_index = unpack_u64(body);
    message->append_reply.hint_index = unpack_u64(body);
    message->append_reply.hint_term = unpack_u64(body);
    message->append_reply.round = unpack_u64(body);
    message->append_reply.sent_ns = unpack_u64(body);
}

void peer_raft_pack(struct pack *pack, const struct raft_message *message)
{
    pack_u64(pack, message->term);
    switch (message->kind) {
    case RAFT_MESSAGE_VOTE:
        peer_vote_pack(pack, message);
        return;
    case RAFT_MESSAGE_VOTE_REPLY:
        pack_bool(pack, message->vote_reply.pre);
        pack_bool(pack, message->vote_reply.granted);
        pack_u64(pack, message->vote_reply.asked_term);
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        peer_append_reply_pack(pack, message);
        return;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        pack_u64(pack, message->timeout_now.round);
        return;
    case RAFT_MESSAGE_READ:
        pack_u64(pack, message->read.id);
        return;
    case RAFT_MESSAGE_READ_REPLY:
        pack_u64(pack, message->read_reply.id);
        pack_u64(pack, message->read_reply.index);
        return;
    case RAFT_MESSAGE_APPEND:
        break;
    }
    CHECK(!"peer_append.h packs it");
}

int peer_raft_decode(struct raft_message *message, enum peer_message number, struct unpack *body)
{
    *message = (struct raft_message){.term = unpack_u64(body)};
    switch (number) {
    case PEER_VOTE:
        message->kind = RAFT_MESSAGE_VOTE;
        peer_vote_take(body, message);
        break;
    case PEER_VOTE_REPLY:
        message->kind = RAFT_MESSAGE_VOTE_REPLY;
        message->vote_reply.pre = unpack_bool(body);
        message->vote_reply.granted = unpack_bool(body);
        message->vote_reply.asked_term = unpack_u64(body);
        break;
    case PEER_APPEND_REPLY:
        message->kind = RAFT_MESSAGE_APPEND_REPLY;
        peer_append_reply_take(body, message);
        break;
    case PEER_TIMEOUT_NOW:
        message->kind = RAFT_MESSAGE_TIMEOUT_NOW;
        message->timeout_now.round = unpack_u64(body);
        break;
    case PEER_READ:
        message->kind = RAFT_MESSAGE_READ;
        message->read.id = unpack_u64(body);
        break;
    case PEER_READ_REPLY:
        message->kind = RAFT_MESSAGE_READ_REPLY;
        message->read_reply.id = unpack_u64(body);
        message->read_reply.index = unpack_u64(body);
        break;
    default:
        unpack_refuse(body);
    }
    return unpack_end(body);
}
