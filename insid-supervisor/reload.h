/* reload.h - what SIGHUP may change. */
#ifndef INSI_SUPERVISOR_RELOAD_H
#define INSI_SUPERVISOR_RELOAD_H

#include "insid-supervisor/config_file.h"

/* The first setting in which the two differ although a running node cannot follow ("dataDir"); NULL
 * when there is none. A worker that is restarted reads the new text, so these must not change: half
 * a node in another folder would be worse than a refused reload. */
const char *reload_forbids(const struct config *old, const struct config *fresh, const char *node);

/* Reads the file again. 0: its text and log level are in use, for workers started from now on too.
 * E_INVALID or E_IO after logging why; then everything stays as it was. */
int reload_file(struct config_file *file, const char *node);

#endif
