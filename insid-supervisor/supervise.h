/* supervise.h - running one node: its workers from the first start to the last stop. */
#ifndef INSI_SUPERVISOR_SUPERVISE_H
#define INSI_SUPERVISOR_SUPERVISE_H

#include "insid-supervisor/config_file.h"
#include "insid-supervisor/node.h"

/* Returns the exit status of insid: 0 stopped as asked, 1 failed. Reads the file again on SIGHUP.
 */
int supervise_node(struct node *node, struct config_file *file);

#endif
