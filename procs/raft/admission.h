/* admission.h - who may belong to this cluster: what the nodes are told that ask (joining.h is
 * their side), and where members have moved to (docs/peers.md).
 *
 *   1. The leader lets in whoever is new. Where the name is that of a member that is gone (a disk
 *      was lost), that member is removed first. Ids are never used twice.
 *   2. Who was removed while it was away is told so.
 *   3. A member that is found at other addresses than its config entry names gets a new entry.
 *
 * It keeps nothing; all that it is given is borrowed for life.
 */
#ifndef INSI_RAFT_ADMISSION_H
#define INSI_RAFT_ADMISSION_H

#include "procs/raft/group.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"
#include "procs/skel/skel.h"

struct admission {
    const struct skel *skel; /* this node's own addresses */
    const struct group *group;
    struct peers *peers;
    /* The core is to change the members; names and addresses go with it. */
    enum raft_refusal (*change)(void *arg, enum raft_change_kind kind, const struct member *member);
    void *arg;
};

/* JOIN; the body is consumed or refused. */
void admission_on_join(const struct admission *admission, struct peer *from, struct unpack *body);
/* At the leader, once a second: of a member that has moved, in the log. */
void admission_renew_addresses(const struct admission *admission);

#endif
