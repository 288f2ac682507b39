/* peer_append.c - entries from one log to another. */
#include "procs/raft/peers/peer_append.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/entry.h"

#define APPEND_ROOM_MIN 64

/* ---- packing ----------------------------------------------------------------------------------
 */

struct peer_append_copy {
    struct pack *pack;
    uint32_t left;
    uint64_t next_index, last_term;
};

static bool peer_append_copy_entry(const struct wal_entry *entry, void *arg)
{
    struct peer_append_copy *copy = arg;
    if (copy->left == 0)
        return false;
    CHECK(entry->index == copy->next_index);
    pack_array(copy->pack, 3);
    pack_u64(copy->pack, entry->term);
    pack_u64(copy->pack, (uint64_t)entry->kind);
    pack_bytes(copy->pack, entry->payload);
    copy->next_index++;
    copy->last_term = entry->term;
    return --copy->left > 0;
}

int peer_append_pack(struct pack *pack, const struct raft_message *message, struct wal *wal)
{
    uint64_t first = message->append.prev_index + 1;
    struct peer_append_copy copy = {
        .pack = pack, .left = message->append.count, .next_index = first};
    pack_u64(pack, message->term);
    pack_u64(pack, message->append.prev_index);
    pack_u64(pack, message->append.prev_term);
    pack_u64(pack, message->append.last_term);
    pack_u64(pack, message->append.commit);
    pack_u64(pack, message->append.match);
    pack_u64(pack, message->append.round);
    pack_u64(pack, message->append.sent_ns);
    pack_u64(pack, message->append.round_floor);
    pack_array(pack, message->append.count);
    if (copy.left == 0)
        return 0;
    int error = wal_read(wal, first, SIZE_MAX, peer_append_copy_entry, &copy);
    if (error)
        return error;
    return copy.left == 0 && copy.last_term == message->append.last_term ? 0 : E_NOT_FOUND;
}

/* ---- unpacking --------------------------------------------------------------------------------
 */

static void peer_append_make_room(struct peer_append *append, uint32_t count)
{
    if (count <= append->room)
        return;
    uint32_t room = append->room ? append->room : APPEND_ROOM_MIN;
    while (room < count)
        room *= 2;
    append->entries = mem_resize(append->entries, room * sizeof(append->entries[0]));
    append->payloads = mem_resize(append->payloads, room * sizeof(append->payloads[0]));
    append->room = room;
}

/* E_INVALID and the like unless the payload is one of a member list. */
static int peer_append_take_config(struct peer_append *append, struct slice payload)
{
    if (append->config_count == append->config_room)
        append->configs =
            mem_grow(append->configs, &append->config_room, sizeof(append->configs[0]), 1);
    struct members *members = mem_alloc(sizeof(*members));
    int error = members_decode(members, payload);
    if (!error)
        members_to_config(members, &append->configs[append->config_count++]);
    free(members);
    return error;
}

static int peer_append_check_payload(struct peer_append *append, const struct wal_entry *entry)
{
    uint64_t stamp_ms = 0;
    int error = 0;
    switch (entry->kind) {
    case WAL_COMMAND:
        if (entry->payload.len > LIMIT_ENTRY_BYTES)
            return E_TOO_LARGE;
        error = entry_stamp(entry->payload, &stamp_ms);
        if (stamp_ms > append->last_stamp_ms)
            append->last_stamp_ms = stamp_ms;
        return error;
    case WAL_CONFIG:
        return peer_append_take_config(append, entry->payload);
    case WAL_EMPTY:
        return entry->payload.len == 0 ? 0 : E_INVALID;
    }
    return E_INVALID;
}

static int peer_append_take_entry(struct peer_append *append, struct unpack *body, uint32_t number)
{
    struct raft_entry *entry = &append->entries[number];
    struct wal_entry *payload = &append->payloads[number];
    unpack_array_of(body, 3);
    uint64_t term = unpack_u64(body);
    uint64_t kind = unpack_u64(body);
    struct slice bytes = unpack_bytes(body);
    if (body->error)
        return body->error;
    if (kind > WAL_EMPTY || bytes.len > UINT32_MAX)
        return E_INVALID;
    *payload =
        (struct wal_entry){.term = term, .kind = (enum wal_entry_kind)kind, .payload = bytes};
    *entry = (struct raft_entry){.term = term, .bytes = (uint32_t)bytes.len};
    return peer_append_check_payload(append, payload);
}

/* Only now: the array of configs may have moved while it grew. */
static void peer_append_link_configs(struct peer_append *append)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < append->message.append.count; i++)
        if (append->payloads[i].kind == WAL_CONFIG)
            append->entries[i].config = &append->configs[next++];
}

int peer_append_decode(struct peer_append *append, struct unpack *body)
{
    struct raft_message *message = &append->message;
    *message = (struct raft_message){.kind = RAFT_MESSAGE_APPEND, .term = unpack_u64(body)};
    append->config_count = 0;
    append->last_stamp_ms = 0;
    message->append.prev_index = unpack_u64(body);
    message->append.prev_term = unpack_u64(body);
    message->append.last_term = unpack_u64(body);
    message->append.commit = unpack_u64(body);
    message->append.match = unpack_u64(body);
    message->append.round = unpack_u64(body);
    message->append.sent_ns = unpack_u64(body);
    message->append.round_floor = unpack_u64(body);
    uint32_t count = unpack_array(body);
    if (count > PEER_APPEND_ENTRIES)
        unpack_refuse(body);
    if (body->error)
        return body->error;
    peer_append_make_room(append, count);
    message->append.count = count;
    message->append.entries = append->entries;
    for (uint32_t i = 0; i < count; i++) {
        int error = peer_append_take_entry(append, body, i);
        if (error) {
            unpack_refuse(body);
            return error;
        }
    }
    peer_append_link_configs(append);
    return unpack_end(body);
}

void peer_append_fini(struct peer_append *append)
{
    free(append->entries);
    free(append->payloads);
    free(append->configs);
    *append = (struct peer_append){0};
}
