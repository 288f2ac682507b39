/* gateways.h - the links to this node's gateways: what they want, and what they are told.
 *
 * One link per gateway process. A gateway that reconnects begins a new connection: refusals and
 * answers that belong to an earlier one are not sent, for it has asked everything again.
 */
#ifndef INSI_RAFT_GATEWAYS_H
#define INSI_RAFT_GATEWAYS_H

#include "base/limits.h"
#include "ipc/gateway_raft.h"
#include "procs/raft/proposals.h"
#include "procs/raft/reads.h"

struct gateways_hooks {
    /* The entry is well-formed, its bytes are borrowed. */
    void (*propose)(void *arg, const struct proposal_origin *origin, struct slice entry);
    void (*ask)(void *arg, const struct reads_origin *origin);
    void (*ask_cluster)(void *arg, const struct reads_origin *origin);
    void (*change)(void *arg, const struct reads_origin *origin, const struct msg_change *msg);
    void *arg;
};

struct gateways_options {
    const char *run_dir, *node;
    uint64_t start_id;
    unsigned count;
    struct gateways_hooks hooks;
};

#define GATEWAYS_SESSIONS 8

struct gateways_link {
    struct gateways *gateways;
    struct link *link;
    uint32_t connection; /* raised with each */
    /* Those that it proposed under on this connection; of more the newest count. */
    uint64_t sessions[GATEWAYS_SESSIONS];
    unsigned session_next;
};

struct gateways {
    struct gateways_hooks hooks;
    unsigned count;
    bool leader_is_known;
    uint64_t term;
    struct gateways_link links[LIMIT_GATEWAYS];
};

void gateways_init(struct gateways *gateways, const struct gateways_options *options);
/* Opens the links; the hooks may be called from now on. E_IO, E_TOO_LARGE. */
int gateways_open(struct gateways *gateways, const struct gateways_options *options,
                  struct loop *loop);
void gateways_close(struct gateways *gateways);

/* Told to all of them when it changed. */
void gateways_set_leader(struct gateways *gateways, uint64_t term, bool is_known);

void gateways_refuse(struct gateways *gateways, const struct proposal_origin *origin, int error);
/* The same, to the gateway that proposed under this session, if it is there. */
void gateways_refuse_session(struct gateways *gateways, const struct msg_refuse *refuse);
/* error: 0 or E_NO_LEADER */
void gateways_answer(struct gateways *gateways, const struct reads_origin *origin, int error,
                     uint64_t index);

/* The ids of the answers are the origin's. */
void gateways_show_cluster(struct gateways *gateways, const struct reads_origin *origin,
                           const struct msg_cluster_answer *answer);
void gateways_answer_change(struct gateways *gateways, const struct reads_origin *origin,
                            const struct msg_change_answer *answer);

bool gateways_are_idle(struct gateways *gateways); /* all that was said has left this process */

#endif
