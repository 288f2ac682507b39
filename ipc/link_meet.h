/* link_meet.h - how the two ends of a link come by a stream: one listens at a socket file, for its
 * owner only, the other dials it.
 *
 * One stream at a time is accepted or dialled, when asked for, and comes as LINK_EVENT_MET. Who
 * else dials waits in the kernel's queue until the listener asks again. A socket file that vanished
 * is made again.
 */
#ifndef INSI_IPC_LINK_MEET_H
#define INSI_IPC_LINK_MEET_H

#include <sys/types.h>

#include <nng/nng.h>

#include "ipc/link_inbox.h"

struct link_meet {
    struct link_inbox *inbox;
    const char *url; /* the link's */
    bool listens;
    nng_aio *aio;
    bool is_under_way;   /* the aio accepts or dials, or its event is on its way to us */
    uint32_t generation; /* of the listener; its events carry it */
    nng_stream_listener *listener;
    nng_stream_dialer *dialer;
    dev_t device; /* of the listener's socket file */
    ino_t inode;
};

/* Listens, or gets ready to dial. E_IO, logged. The url must outlive it. */
int link_meet_init(struct link_meet *meet, struct link_inbox *inbox, const char *url, bool listens);
void link_meet_fini(struct link_meet *meet);

/* Asks for a stream, unless that is under way, and sees to the socket file. */
void link_meet_ask(struct link_meet *meet);

/* On LINK_EVENT_MET: the stream, which is now the caller's; NULL when there is none. A stream of
 * another user's process is turned away. */
nng_stream *link_meet_take(struct link_meet *meet, struct link_event *event);

#endif
