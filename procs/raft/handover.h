/* handover.h - before a planned stop, leadership goes to another node.
 *
 * A node that has just started cannot lead before an election timeout and the margin are over
 * (core/vote.c, rule 5), and a leader that hands over takes no proposals. So it goes on leading
 * until there is a voter that has run for so long, within HANDOVER_WAIT_NS, and only then hands
 * over, to that one.
 *
 * All that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_HANDOVER_H
#define INSI_RAFT_HANDOVER_H

#include "base/config.h"
#include "ipc/loop.h"
#include "procs/raft/group.h"
#include "procs/raft/peers/peers.h"

struct handover_hooks {
    /* The core is to hand over to this voter. */
    enum raft_refusal (*transfer)(void *arg, uint64_t to);
    /* This node does not lead, or nobody could take over in time. Nobody is to make it lead any
     * more. */
    void (*ended)(void *arg, bool then_stop);
    void *arg;
};

struct handover_options {
    const struct config *config;
    const struct group *group;
    struct loop *loop;
    struct handover_hooks hooks;
};

struct handover_life { /* of another node's raft process: since when it is known */
    uint64_t id, start_id, since_ns;
};

struct handover {
    const struct config *config;
    const struct group *group;
    struct loop *loop;
    struct handover_hooks hooks;
    bool is_wanted, then_stop;
    uint64_t due_ns;
    struct loop_timer timer;
    struct handover_life lives[RAFT_MEMBERS_MAX];
};

void handover_init(struct handover *handover, const struct handover_options *options);

/* Leadership goes to another node if one can take it; then_stop is passed on to ended. Once it has
 * been asked for, a second time only adds then_stop. */
void handover_begin(struct handover *handover, bool then_stop);
/* Role, term or leader are others. */
void handover_on_role(struct handover *handover);
/* A peer can be spoken to, or speaks: perhaps another process than before. */
void handover_note_life(struct handover *handover, const struct peer *peer);
/* At the leader: whether this member answers, and has run for long enough to lead. */
bool handover_can_take_over(struct handover *handover, uint64_t id);

#endif
