/* host.h - `insid --host`: one `insid --as <node>` per node of the file, so that one node and a
 * whole local cluster run the same code. */
#ifndef INSI_SUPERVISOR_HOST_H
#define INSI_SUPERVISOR_HOST_H

#include "base/config.h"

/* Runs until told to stop or until a node ends by itself (then the others are stopped too). Returns
 * the exit status: 0 stopped as asked, 1 a node failed. */
int host_run(const struct config *config, const char *config_path);

#endif
