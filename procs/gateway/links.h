/* links.h - the gateway's links to raft and to the state workers, hosted by h2o's loop, and what
 * comes in by them.
 *
 * The supervisor's channel and signals are hosted likewise.
 */
#ifndef INSI_GATEWAY_LINKS_H
#define INSI_GATEWAY_LINKS_H

#include "ipc/link.h"

struct gateway;

struct link_host { /* one link and the h2o socket that watches over its descriptor */
    struct gateway *gateway;
    struct link *link;
    struct st_h2o_socket_t *watch;
    enum proc peer;
};

#define LINKS_COUNT (1 + PROC_WORKER_COUNT)

struct links {
    struct link_host hosts[LINKS_COUNT]; /* raft first, then the workers */
};

/* Dials all. Ends the process when a link cannot even be made. */
void links_open(struct gateway *gateway);
void links_flush(struct gateway *gateway);
struct link *links_find(struct gateway *gateway, enum proc peer);

/* When a session of ours is new: tells the workers that are there of all we have, since they keep
 * those that they were told of last. Those that come up later are told then. */
void links_tell_sessions(struct gateway *gateway);

/* The supervisor's channel and signals of skel.h. */
void links_watch_supervisor(struct gateway *gateway);

#endif
