/* link_private.h - what link.c (connections, receiving) and link_send.c (batches, sending) share.
 */
#ifndef INSI_IPC_LINK_PRIVATE_H
#define INSI_IPC_LINK_PRIVATE_H

#include <nng/nng.h>

#include "base/limits.h"
#include "ipc/link.h"
#include "ipc/link_canary.h"
#include "ipc/link_inbox.h"

#define LINK_OFFERED_PIPES 8
#define LINK_READY_BATCHES 48

struct link {
    struct link_options options;
    char node[LIMIT_NODE_ID_BYTES];
    char url[PROC_LINK_BYTES];
    struct loop *loop; /* NULL when another loop hosts us */

    nng_socket socket;
    bool socket_is_open;
    bool listens, endpoint_is_open;
    nng_listener listener;
    nng_dialer dialer;
    nng_aio *receive_aio, *send_aio, *refuse_aio, *revive_aio;
    bool revive_is_set; /* revive_aio sleeps, or its event is on its way to us */
    bool wants_revival;
    unsigned revive_ms;
    uint64_t revive_due_ms;    /* boot time */
    struct link_canary canary; /* sent when a pipe was lost */
    unsigned canary_looks;     /* in vain */
    struct link_inbox inbox;
    nng_pipe refused_pipe; /* what refuse_aio closes */

    /* the connection */
    uint32_t offered[LINK_OFFERED_PIPES]; /* pipes not yet current, in order of appearance */
    unsigned offered_count;
    uint32_t pipe;   /* 0 = none */
    bool is_refused; /* the pipe is to be closed: what it brings is not heard */
    bool is_up;
    uint64_t own_nonce, peer_nonce;
    uint64_t refused_start_id; /* of the last refusal that was logged */
    const char *refused_what;

    /* sending */
    struct buf batch; /* being filled */
    struct pack pack;
    size_t frame_start; /* in batch, of the message between begin and end */
    bool in_message;
    nng_msg *ready[LINK_READY_BATCHES]; /* closed batches in order */
    unsigned ready_count;
    size_t ready_bytes;
    bool is_sending; /* send_aio holds a message */
    size_t sending_bytes;
    int send_fd; /* NNG's "can send", fetched by the first link_is_idle; -1 before */
};

/* The first message of a connection; nothing may be queued yet. */
void link_send_hello(struct link *link);

/* Throws away what was queued for a peer that is gone. */
void link_forget_unsent(struct link *link);

/* send_aio has finished: LINK_EVENT_SEND_DONE. */
void link_on_send_done(struct link *link);

#endif
