/* peer_frame.c - greetings and frames. */
#include "procs/raft/peers/peer_frame.h"

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

#define PEER_KEY_LABEL "insi peers v1" /* the secret itself is the root of other keys, too */

static const uint8_t peer_magic[8] = "INSIPEER";

/* of the head, from its begin */
enum {
    PEER_AT_VERSION = 0,
    PEER_AT_GROUP = 4,
    PEER_AT_DIRECTION = 8,
    PEER_AT_CLUSTER = 16,
    PEER_AT_SENDER = 32,
    PEER_AT_RECEIVER = 40,
    PEER_AT_NONCE = 48,
    PEER_AT_NUMBER = 64
};
_Static_assert(PEER_AT_NUMBER + 8 == PEER_HEAD_BYTES, "the head has no holes but four zeros");

static void peer_put_u32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static void peer_put_u64(uint8_t *out, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t peer_get_u32(const uint8_t *bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value |= (uint32_t)bytes[i] << (8 * i);
    return value;
}

static uint64_t peer_get_u64(const uint8_t *bytes)
{
    return peer_get_u32(bytes) | (uint64_t)peer_get_u32(bytes + 4) << 32;
}

struct hash_key *peer_frame_key(const char *instance_secret)
{
    uint8_t key[SHA256_BYTES];
    hash_hmac_sha256(slice_text(instance_secret), slice_text(PEER_KEY_LABEL), key);
    struct hash_key *out = hash_key_new(slice_of(key, sizeof(key)));
    explicit_bzero(key, sizeof(key));
    return out;
}

/* ---- greetings --------------------------------------------------------------------------------
 */

void peer_encode_greeting(uint8_t out[PEER_GREETING_BYTES], const uint8_t nonce[PEER_NONCE_BYTES])
{
    memset(out, 0, PEER_GREETING_BYTES);
    memcpy(out, peer_magic, sizeof(peer_magic));
    peer_put_u32(out + 8, PEER_VERSION);
    memcpy(out + 16, nonce, PEER_NONCE_BYTES);
}

int peer_decode_greeting(const uint8_t bytes[PEER_GREETING_BYTES], uint8_t nonce[PEER_NONCE_BYTES],
                         uint32_t *version)
{
    if (memcmp(bytes, peer_magic, sizeof(peer_magic)) != 0)
        return E_INVALID;
    *version = peer_get_u32(bytes + 8);
    if (*version != PEER_VERSION)
        return E_VERSION;
    memcpy(nonce, bytes + 16, PEER_NONCE_BYTES);
    return 0;
}

/* ---- frames -----------------------------------------------------------------------------------
 */

void peer_frame_begin(struct buf *out)
{
    CHECK(out->len == 0);
    uint8_t *room = buf_reserve(out, PEER_BEFORE_BYTES);
    CHECK(room);
    memset(room, 0, PEER_BEFORE_BYTES);
    out->len = PEER_BEFORE_BYTES;
}

static void peer_put_length(uint8_t out[PEER_LENGTH_BYTES], uint32_t length)
{
    peer_put_u32(out, length);
    peer_put_u32(out + 4, hash_crc32c(0, out, 4));
}

void peer_frame_seal(struct buf *out, struct hash_key *key, const struct peer_head *head)
{
    CHECK(out->len >= PEER_BEFORE_BYTES);
    uint8_t *mac = buf_reserve(out, SHA256_BYTES);
    CHECK(mac && out->len - PEER_LENGTH_BYTES <= UINT32_MAX - SHA256_BYTES);
    uint8_t *at = out->data + PEER_LENGTH_BYTES;
    peer_put_length(out->data, (uint32_t)(out->len - PEER_LENGTH_BYTES + SHA256_BYTES));
    peer_put_u32(at + PEER_AT_VERSION, PEER_VERSION);
    peer_put_u32(at + PEER_AT_GROUP, PEER_GROUP);
    peer_put_u32(at + PEER_AT_DIRECTION, (uint32_t)head->direction);
    memcpy(at + PEER_AT_CLUSTER, head->cluster, WAL_CLUSTER_BYTES);
    peer_put_u64(at + PEER_AT_SENDER, head->sender);
    peer_put_u64(at + PEER_AT_RECEIVER, head->receiver);
    memcpy(at + PEER_AT_NONCE, head->nonce, PEER_NONCE_BYTES);
    peer_put_u64(at + PEER_AT_NUMBER, head->number);
    hash_key_mac(key, slice_of(at, out->len - PEER_LENGTH_BYTES), mac);
    out->len += SHA256_BYTES;
}

int peer_frame_length(const uint8_t bytes[PEER_LENGTH_BYTES], uint32_t *out)
{
    *out = peer_get_u32(bytes);
    if (peer_get_u32(bytes + 4) != hash_crc32c(0, bytes, 4))
        return E_INVALID;
    return *out >= PEER_FRAME_MIN && *out <= LIMIT_MESSAGE_BYTES ? 0 : E_INVALID;
}

int peer_frame_open(struct slice frame, struct hash_key *key, struct peer_head *head,
                    struct slice *messages)
{
    uint8_t mac[SHA256_BYTES];
    if (frame.len < PEER_FRAME_MIN)
        return E_TRUNCATED;
    const uint8_t *at = frame.data;
    size_t covered = frame.len - SHA256_BYTES;
    if (peer_get_u32(at + PEER_AT_VERSION) != PEER_VERSION ||
        peer_get_u32(at + PEER_AT_GROUP) != PEER_GROUP)
        return E_VERSION;
    hash_key_mac(key, slice_of(at, covered), mac);
    if (!hash_equal_constant_time(slice_of(mac, sizeof(mac)), slice_of(at + covered, SHA256_BYTES)))
        return E_DENIED;
    head->direction = (enum peer_direction)peer_get_u32(at + PEER_AT_DIRECTION);
    memcpy(head->cluster, at + PEER_AT_CLUSTER, WAL_CLUSTER_BYTES);
    head->sender = peer_get_u64(at + PEER_AT_SENDER);
    head->receiver = peer_get_u64(at + PEER_AT_RECEIVER);
    memcpy(head->nonce, at + PEER_AT_NONCE, PEER_NONCE_BYTES);
    head->number = peer_get_u64(at + PEER_AT_NUMBER);
    *messages = slice_of(at + PEER_HEAD_BYTES, covered - PEER_HEAD_BYTES);
    return 0;
}
