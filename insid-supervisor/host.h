/* host.h - `insid --host`: one `insid --as <node>` per node of the file, so that one node and a
 * whole local cluster run the same code.
 *
 * SIGTERM and SIGINT stop all nodes, SIGHUP is passed on. A node whose insid is killed is started
 * again (with the delays of a worker); one that ends by itself, or is stopped by somebody else, is
 * not, and the others go on.
 */
#ifndef INSI_SUPERVISOR_HOST_H
#define INSI_SUPERVISOR_HOST_H

#include "base/config.h"

/* Until it is told to stop, or no node is left. Returns the exit status: 0 stopped as asked, 1 a
 * node failed. */
int host_run(const struct config *config, const char *config_path);

#endif
