/* discard.h - a node that was removed, and is asked to join again, begins anew: its log and its
 * snapshots go, and with them its raft id, which is never used again. The cluster that it joins is
 * the one it was removed from, and has all that was acknowledged.
 *
 * A mark in the node's folder makes it one step: a start that finds it goes on with the removal.
 * The state workers' maps are of the same cluster and stay: raft has those rebuild that are ahead
 * of the new log.
 */
#ifndef INSI_RAFT_DISCARD_H
#define INSI_RAFT_DISCARD_H

#include "base/path.h"

/* The next start is to have no log. E_IO, logged. */
int discard_mark(const struct node_paths *paths);
/* At a start, before the log is opened: removes what is marked. E_IO, logged. */
int discard_finish(const struct node_paths *paths);

#endif
