/* supervise.h - running one node: its workers from the first start to the last stop. */
#ifndef INSI_SUPERVISOR_SUPERVISE_H
#define INSI_SUPERVISOR_SUPERVISE_H

#include "insid-supervisor/children.h"
#include "insid-supervisor/config_file.h"
#include "insid-supervisor/node.h"

/* Before node_prepare: from here on signals wait until supervise_node looks at them, so that a stop
 * which comes early still removes what was made. */
void supervise_hold_signals(void);

struct supervise_options {
    struct node *node;
    struct config_file *file; /* read again on SIGHUP */
    const char *workers;      /* the folder of the worker programs */
    const struct child_limits *limits;
};

#define SUPERVISE_AGAIN (-1)

/* Returns the exit status of insid: 0 stopped as asked, 1 failed; or SUPERVISE_AGAIN: the node has
 * lost what it had on tmpfs and was stopped for that. Released, locked and prepared anew, it may be
 * supervised again. */
int supervise_node(const struct supervise_options *options);

#endif
