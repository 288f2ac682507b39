/* members.c - the payload of config entries. */
#include "procs/raft/members.h"

#include <stdio.h>

#include "base/error.h"
#include "ipc/pack.h"

static bool members_print_address(char out[MEMBER_ADDRESS_BYTES],
                                  const struct config_address *address)
{
    bool v6 = strchr(address->host, ':') != NULL;
    int len = snprintf(out, MEMBER_ADDRESS_BYTES, "%s%s%s:%u", v6 ? "[" : "", address->host,
                       v6 ? "]" : "", address->port);
    return len > 0 && len < MEMBER_ADDRESS_BYTES;
}

int members_of_self(struct members *members, uint64_t id, const struct config_node *self)
{
    *members = (struct members){.count = 1};
    struct member *member = &members->list[0];
    member->id = id;
    member->voter = true;
    int len = snprintf(member->name, sizeof(member->name), "%s", self->id);
    bool fits = len > 0 && (size_t)len < sizeof(member->name) &&
                members_print_address(member->raft_address, &self->raft) &&
                members_print_address(member->http_address, &self->http);
    return fits ? 0 : E_TOO_LARGE;
}

int members_encode(struct buf *out, const struct members *members)
{
    struct pack pack;
    pack_init(&pack, out);
    pack_array(&pack, 2);
    pack_u64(&pack, MEMBERS_VERSION);
    pack_array(&pack, members->count);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        pack_array(&pack, 5);
        pack_u64(&pack, member->id);
        pack_bool(&pack, member->voter);
        pack_text(&pack, slice_text(member->name));
        pack_text(&pack, slice_text(member->raft_address));
        pack_text(&pack, slice_text(member->http_address));
    }
    return pack_result(&pack);
}

/* A text without NUL that fits. */
static void members_take_text(struct unpack *unpack, char *out, size_t room)
{
    struct slice text = unpack_text(unpack);
    if (text.len == 0 || text.len >= room || memchr(text.data, '\0', text.len)) {
        unpack_refuse(unpack);
        return;
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

int members_decode(struct members *members, struct slice bytes)
{
    struct unpack unpack;
    uint64_t before = 0;
    *members = (struct members){0};
    unpack_init(&unpack, bytes);
    unpack_array_of(&unpack, 2);
    uint64_t version = unpack_u64(&unpack);
    if (unpack.error == 0 && version != MEMBERS_VERSION)
        return E_VERSION;
    uint32_t count = unpack_array(&unpack);
    if (count == 0 || count > RAFT_MEMBERS_MAX)
        unpack_refuse(&unpack);
    for (uint32_t i = 0; i < count && unpack.error == 0; i++) {
        struct member *member = &members->list[i];
        unpack_array_of(&unpack, 5);
        member->id = unpack_u64(&unpack);
        member->voter = unpack_bool(&unpack);
        members_take_text(&unpack, member->name, sizeof(member->name));
        members_take_text(&unpack, member->raft_address, sizeof(member->raft_address));
        members_take_text(&unpack, member->http_address, sizeof(member->http_address));
        if (member->id <= before)
            unpack_refuse(&unpack);
        before = member->id;
    }
    int error = unpack_end(&unpack);
    members->count = error ? 0 : count;
    return error;
}

void members_to_config(const struct members *members, struct raft_config *config)
{
    *config = (struct raft_config){.count = members->count};
    for (uint32_t i = 0; i < members->count; i++)
        config->members[i] = (struct raft_member){members->list[i].id, members->list[i].voter};
}

const struct member *members_find(const struct members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].id == id)
            return &members->list[i];
    return NULL;
}

const struct member *members_named(const struct members *members, struct slice name)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (slice_equal(slice_text(members->list[i].name), name))
            return &members->list[i];
    return NULL;
}

void members_put(struct members *members, const struct member *member)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id != member->id)
            continue;
        bool voter = members->list[i].voter;
        members->list[i] = *member;
        members->list[i].voter = voter;
    }
}

void members_select(struct members *out, const struct members *members,
                    const struct raft_config *config)
{
    *out = (struct members){.count = config->count};
    for (uint32_t i = 0; i < config->count; i++) {
        const struct member *known = members_find(members, config->members[i].id);
        if (known)
            out->list[i] = *known;
        out->list[i].id = config->members[i].id;
        out->list[i].voter = config->members[i].voter;
    }
}
