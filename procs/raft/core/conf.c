/* conf.c - who is a member (thesis 4).
 *
 *   A config is in effect as soon as it is in the log, committed or not, and no longer when it is
 *   truncated away (4.1; M2). So all configs behind the base are kept, with their index.
 *   Only one that is not committed can be in the log at a time: change.c sees to it.
 */
#include <string.h>

#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "procs/raft/core/state.h"

#define CONF_ROOM_MIN 4

const struct raft_conf *raft_conf(const struct raft *raft)
{
    return &raft->confs[raft->conf_count - 1];
}

bool raft_conf_is_committed(const struct raft *raft)
{
    return raft_conf(raft)->index <= raft->commit_index;
}

const struct raft_member *raft_conf_find(const struct raft_config *config, uint64_t id)
{
    for (uint32_t i = 0; i < config->count; i++)
        if (config->members[i].id == id)
            return &config->members[i];
    return NULL;
}

bool raft_conf_is_voter(const struct raft *raft, uint64_t id)
{
    const struct raft_member *member = raft_conf_find(&raft_conf(raft)->config, id);
    return member && member->voter;
}

/* A voter; and one that the newest config leaves out, until that is committed: its log may be the
 * only one that holds it, and then nobody else can win (thesis 4.2.2). It does not count itself. */
bool raft_conf_may_stand(const struct raft *raft)
{
    if (raft_conf_is_voter(raft, raft->self))
        return true;
    if (raft_conf_is_committed(raft) || raft->conf_count < 2 || RAFT_MUTANT(REMOVED_GIVES_UP))
        return false;
    const struct raft_config *before = &raft->confs[raft->conf_count - 2].config;
    const struct raft_member *member = raft_conf_find(before, raft->self);
    return member && member->voter;
}

uint32_t raft_conf_voters(const struct raft_config *config)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < config->count; i++)
        voters += config->members[i].voter;
    return voters;
}

bool raft_conf_is_sole_voter(const struct raft *raft)
{
    return raft_conf_voters(&raft_conf(raft)->config) == 1 && raft_conf_is_voter(raft, raft->self);
}

/* Ids ascending and not 0, so none twice; at least one voter. */
bool raft_conf_is_valid(const struct raft_config *config)
{
    if (config->count == 0 || config->count > RAFT_MEMBERS_MAX)
        return false;
    for (uint32_t i = 0; i < config->count; i++)
        if (config->members[i].id <= (i > 0 ? config->members[i - 1].id : RAFT_NONE))
            return false;
    return raft_conf_voters(config) > 0;
}

void raft_conf_append(struct raft *raft, uint64_t index, const struct raft_config *config)
{
    CHECK(raft->conf_count == 0 || index > raft_conf(raft)->index);
    if (raft->conf_count == raft->conf_room)
        raft->confs =
            mem_grow(raft->confs, &raft->conf_room, sizeof(raft->confs[0]), CONF_ROOM_MIN);
    struct raft_conf *conf = &raft->confs[raft->conf_count++];
    conf->index = index;
    conf->config = *config;
    raft->conf_changes++;
}

void raft_conf_truncate(struct raft *raft, uint64_t from)
{
    if (RAFT_MUTANT(CONF_KEPT)) {
        for (uint32_t i = 1; i < raft->conf_count; i++)
            if (raft->confs[i].index >= from)
                raft->confs[i].index = from - 1; /* in effect, although it is gone */
        return;
    }
    while (raft->conf_count > 1 && raft_conf(raft)->index >= from) {
        raft->conf_count--;
        raft->conf_changes++;
    }
}

void raft_conf_compact(struct raft *raft, uint64_t base)
{
    uint32_t keep = 0; /* the last one at or below the base */
    while (keep + 1 < raft->conf_count && raft->confs[keep + 1].index <= base)
        keep++;
    raft->conf_count -= keep;
    memmove(raft->confs, raft->confs + keep, raft->conf_count * sizeof(raft->confs[0]));
}

void raft_conf_reset(struct raft *raft, uint64_t index, const struct raft_config *config)
{
    struct raft_config copy = *config; /* it may be one of those that are dropped */
    raft->conf_count = 0;
    raft_conf_append(raft, index, &copy);
}

const struct raft_conf *raft_conf_as_of(const struct raft *raft, uint64_t index)
{
    uint32_t at = raft->conf_count - 1;
    while (at > 0 && raft->confs[at].index > index)
        at--;
    return &raft->confs[at];
}
