/* dev.h - `insid --host` without a configuration: a single development node with secrets of its
 * own, in the working directory. */
#ifndef INSI_SUPERVISOR_DEV_H
#define INSI_SUPERVISOR_DEV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"

#define DEV_FOLDER "./insi-data"
#define DEV_CONFIG DEV_FOLDER "/cluster.yaml"

/* Makes the folder and its configuration where they are not there yet. E_IO after saying on stderr
 * what failed. */
int dev_make_config(void);

/* What to type for a first answer, to stdout; every line works when it is pasted into a shell. */
void dev_print_first_steps(const struct config *config);

/* Writes the text as one word of a shell: as it is, or quoted. False when it does not fit. */
bool dev_quote(char *out, size_t size, const char *text);

#endif
