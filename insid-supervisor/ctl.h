/* ctl.h - `insid ctl`: talking to the supervisor of a node that runs on this machine (control.h).
 */
#ifndef INSI_SUPERVISOR_CTL_H
#define INSI_SUPERVISOR_CTL_H

#include "base/config.h"

struct ctl_request {
    const struct config *config;
    const char *config_name; /* for messages */
    const char *node;        /* NULL: the only one of the configuration that runs here */
    const char *what;        /* "status", "restart", "stop" */
    const char *worker;      /* of a restart */
};

/* Asks, waits for the answer and prints it. 0; E_USAGE: it must be said which node; else any other
 * code after saying on stderr what is wrong. */
int ctl_run(const struct ctl_request *request);

#endif
