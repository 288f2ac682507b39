/* link_private.h - what link.c (connections, receiving) and link_send.c (batches, sending) share.
 */
#ifndef INSI_IPC_LINK_PRIVATE_H
#define INSI_IPC_LINK_PRIVATE_H

#include "base/limits.h"
#include "ipc/link.h"
#include "ipc/link_inbox.h"
#include "ipc/link_meet.h"
#include "ipc/link_timer.h"
#include "ipc/link_wire.h"

#define LINK_READY_BATCHES 48

struct link {
    struct link_options options;
    char node[LIMIT_NODE_ID_BYTES];
    char url[PROC_LINK_BYTES];
    struct loop *loop; /* NULL when another loop hosts us */
    struct link_inbox inbox;
    struct link_meet meet;
    struct link_timer timer; /* to the next look for a peer, or to the end of one that is not up */

    /* the connection */
    struct link_wire wire;
    bool is_refused; /* it is to be closed: what it brings is not heard */
    bool is_up;
    uint64_t apart_since_ms; /* when it was last up, or the link was opened */
    uint64_t own_nonce, peer_nonce;
    uint64_t refused_start_id; /* of the last refusal that was logged */
    const char *refused_what;

    /* sending */
    struct buf batch; /* being filled */
    struct pack pack;
    size_t frame_start; /* in batch, of the message between begin and end */
    bool in_message;
    struct buf ready[LINK_READY_BATCHES]; /* closed batches in order */
    unsigned ready_count;
    size_t ready_bytes;
};

/* The first message of a connection; nothing may be queued yet. */
void link_send_hello(struct link *link);

/* Throws away what was queued for a peer that is gone. */
void link_forget_unsent(struct link *link);

#endif
