/* members.h - who belongs to the group, and where they are reached: the payload of config entries.
 *
 * The core knows ids and who votes; names and addresses are ours. A config entry carries them all:
 *
 *   [version, [[id, voter, name, raft address, http address], ...]]   ids ascending
 */
#ifndef INSI_RAFT_MEMBERS_H
#define INSI_RAFT_MEMBERS_H

#include "base/buf.h"
#include "base/config.h"
#include "procs/raft/core/raft.h"

#define MEMBERS_VERSION 1
#define MEMBER_ADDRESS_BYTES 272 /* "host:port", and a NUL */
#define MEMBERS_BYTES (64u << 10)

struct member {
    uint64_t id;
    bool voter;
    char name[LIMIT_NODE_ID_BYTES]; /* node id of the configuration */
    char raft_address[MEMBER_ADDRESS_BYTES];
    char http_address[MEMBER_ADDRESS_BYTES];
};

struct members {
    uint32_t count;
    struct member list[RAFT_MEMBERS_MAX];
};

/* This node alone. E_TOO_LARGE: an address is too long. */
int members_of_self(struct members *members, uint64_t id, const struct config_node *self);

int members_encode(struct buf *out, const struct members *members); /* appends; E_TOO_LARGE */
int members_decode(struct members *members, struct slice bytes);    /* E_INVALID and the like */
void members_to_config(const struct members *members, struct raft_config *config);

/* Those of the config, with names and addresses as members has them. */
void members_select(struct members *out, const struct members *members,
                    const struct raft_config *config);

/* The member of this one's id gets its name and addresses; nothing happens if there is none. */
void members_put(struct members *members, const struct member *member);

const struct member *members_named(const struct members *members, struct slice name); /* NULL */
const struct member *members_find(const struct members *members, uint64_t id);        /* NULL */

#endif
